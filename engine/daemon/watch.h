/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proof that the data path neither allocates nor locks: lockstepd is linked with
 * -Wl,--wrap for malloc, calloc, realloc, free, aligned allocation and pthread_mutex_lock
 * (wrap.c), and the wrappers count on the thread whose watch is on.  The shard turns it on
 * for the loop and off while it runs an administrator's call or takes or drops a link or a
 * client.
 *
 * What still counts is I/O, and the later steps of making a pool, a volume or a pair, which
 * run from store completions and do allocate.  So the proof is that the counters stand
 * still while I/O runs.  Only the objects of our own program are wrapped: what a shared
 * library (libibverbs' providers, libc) does by itself is not seen.
 */
#ifndef LS_DAEMON_WATCH_H
#define LS_DAEMON_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
	bool on;
	uint64_t allocations; /* malloc, calloc, realloc, free, … while on */
	uint64_t locks;       /* pthread_mutex_lock while on */
};

/* One for each thread. */
extern _Thread_local struct watch watch;

#endif
