/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bare ring between two processes: slot numbers one way, and an eventfd for a consumer that
 * sleeps.  Memory that both share from fork() on; one producer, one consumer.
 */
#ifndef LS_BENCH_FLOOR_QUEUE_H
#define LS_BENCH_FLOOR_QUEUE_H

#include "bench/load/load.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_ENTRIES (2 * DEPTH_MAX) /* a power of two */

struct queue {
	_Alignas(64) atomic_uint tail;
	_Alignas(64) atomic_uint head;
	_Alignas(64) atomic_bool sleeping;
	int bell;
	uint32_t entries[QUEUE_ENTRIES];
};

static inline void queue_init(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	q->bell = eventfd(0, 0);
	if (q->bell < 0)
		die("cannot make an eventfd");
}

/* There is always room: no more than DEPTH_MAX slots exist. */
static inline void queue_put(struct queue *q, uint32_t entry)
{
	unsigned tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	q->entries[tail % QUEUE_ENTRIES] = entry;
	atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
}

/* After one or more puts. */
static inline void queue_ring(struct queue *q)
{
	/* Pairs with the fence in queue_doze(): one of both sees the other's store. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&q->sleeping, memory_order_relaxed) &&
	    atomic_exchange_explicit(&q->sleeping, false, memory_order_relaxed))
		(void)eventfd_write(q->bell, 1);
}

static inline bool queue_empty(struct queue *q)
{
	return atomic_load_explicit(&q->head, memory_order_relaxed) ==
	       atomic_load_explicit(&q->tail, memory_order_acquire);
}

static inline bool queue_get(struct queue *q, uint32_t *entry)
{
	unsigned head = atomic_load_explicit(&q->head, memory_order_relaxed);

	if (queue_empty(q))
		return false;
	*entry = q->entries[head % QUEUE_ENTRIES];
	atomic_store_explicit(&q->head, head + 1, memory_order_release);
	return true;
}

/* True when the consumer may sleep on the bell: from now on a put rings it. */
static inline bool queue_doze(struct queue *q)
{
	atomic_store_explicit(&q->sleeping, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return queue_empty(q);
}

static inline void queue_wake(struct queue *q)
{
	atomic_store_explicit(&q->sleeping, false, memory_order_relaxed);
}

#endif
