/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A raw client for tests of the engine's side: it works on the engine's own mapping, so that
 * ThreadSanitizer sees both sides at the same addresses, and it breaks rules when asked to.
 */
#ifndef LS_TESTS_UNIT_SHM_PEER_H
#define LS_TESTS_UNIT_SHM_PEER_H

#include "engine/shm/shmq.h"
#include "engine/shm/shmq_layout.h"

#include <poll.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct shm_peer {
	struct shmq *queue;
	struct shmq_header *header;
	struct shmq_descriptor *sq;
	struct shmq_completion *cq;
	uint32_t depth, sq_tail, cq_head;
	uint64_t sleep, rung, rings;
	struct shmq_fds fds;
};

/* The client of @queue, which it takes over. */
static inline void shm_peer_use(struct shm_peer *p, struct shmq *queue, uint32_t depth,
				uint64_t arena_bytes)
{
	struct shmq_layout layout = shmq_layout_of(depth, arena_bytes);
	char *base = (char *)shmq_arena(queue)->base - layout.arena_offset;

	*p = (struct shm_peer){.queue = queue, .depth = depth};
	p->header = (void *)base;
	p->sq = (void *)(base + SHMQ_PAGE_BYTES);
	p->cq = (void *)(base + layout.cq_offset);
	p->fds = shmq_fds(p->queue);
}

static inline void shm_peer_init(struct shm_peer *p, uint32_t depth, uint64_t arena_bytes)
{
	struct err err = {0};
	struct shmq *queue;

	if (shmq_create(depth, arena_bytes, &queue, &err))
		fail_msg("shmq_create: %s", err.text);
	shm_peer_use(p, queue, depth, arena_bytes);
}

static inline void shm_peer_fini(struct shm_peer *p)
{
	shmq_destroy(p->queue);
}

/* Writes a descriptor, not yet shown. */
static inline void shm_peer_queue(struct shm_peer *p, uint64_t tag)
{
	p->sq[p->sq_tail++ & (p->depth - 1)] = (struct shmq_descriptor){
		.tag = tag,
		.offset = tag * 4096,
		.length = 4096,
		.buffer = tag % 7 * 4096,
		.volume = 3,
		.op = SHMQ_WRITE,
		.flags = LS_FUA,
	};
}

static inline void shm_peer_show(struct shm_peer *p)
{
	uint64_t one = 1, sleep;

	atomic_store_explicit(&p->header->sq_tail, p->sq_tail, memory_order_seq_cst);
	sleep = atomic_load_explicit(&p->header->engine_sleep, memory_order_seq_cst);
	if (sleep && sleep != p->rung) {
		p->rung = sleep;
		p->rings++;
		assert_int_equal(write(p->fds.doorbell, &one, sizeof(one)), sizeof(one));
	}
}

/* For who sleeps on the doorbell level-triggered, before shmq_arm(). */
static inline void shm_quiet(int doorbell)
{
	uint64_t rings;
	ssize_t n = read(doorbell, &rings, sizeof(rings));

	(void)n;
}

/* The next completion's tag, or UINT64_MAX. */
static inline uint64_t shm_peer_take(struct shm_peer *p)
{
	uint64_t tag;

	if (atomic_load_explicit(&p->header->cq_tail, memory_order_acquire) == p->cq_head)
		return UINT64_MAX;
	tag = p->cq[p->cq_head & (p->depth - 1)].tag;
	p->cq_head++;
	atomic_store_explicit(&p->header->cq_head, p->cq_head, memory_order_release);
	return tag;
}

/* Asks for a wake-up; true when a completion is there already. */
static inline bool shm_peer_arm(struct shm_peer *p)
{
	atomic_store_explicit(&p->header->client_sleep, ++p->sleep, memory_order_seq_cst);
	return atomic_load_explicit(&p->header->cq_tail, memory_order_seq_cst) != p->cq_head;
}

static inline bool shm_readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) > 0;
}

#endif
