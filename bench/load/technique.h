/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What makes the path of the floor cheap, a bit each, so that a measurement can leave one out and
 * see what it gave: bench/floor/techniques.
 */
#ifndef LS_BENCH_LOAD_TECHNIQUE_H
#define LS_BENCH_LOAD_TECHNIQUE_H

enum technique {
	TECHNIQUE_CHAIN = 1 << 0, /* one post a pass; without: one for each work request */
	TECHNIQUE_INLINE = 1 << 1, /* messages travel in the work request; without: by address */
	TECHNIQUE_MODERATION = 1 << 2, /* a completion for one send in 64; without: for each */
	TECHNIQUE_ACK_BATCH = 1 << 3, /* one message for all acks of a pass; without: one each */
	TECHNIQUE_SUBMIT_BATCH = 1 << 4, /* one io_uring_enter a pass; without: one a command */
	TECHNIQUE_FIXED_BUFFERS = 1 << 5, /* registered with the ring */
	TECHNIQUE_FIXED_FILE = 1 << 6, /* registered with the ring */
	TECHNIQUE_DEFERRED = 1 << 7, /* DEFER_TASKRUN; without: the kernel interrupts the thread */
};

#endif
