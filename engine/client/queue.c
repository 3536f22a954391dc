/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Client's side of the rings.  The ordering points and their other sides are listed in
 * engine/shm/shmq.c.
 *
 * Requests that were queued and not taken back as completions never exceed the depth.  This
 * one rule keeps both rings from overflowing, and ls_read() and its kin keep it.
 */
#include "engine/client/connection.h"
#include "engine/shm/shmq.h"

#include <errno.h>
#include <unistd.h>

/* Polls without a completion between two looks for the engine's death. */
#define EMPTY_POLLS_MAX 1024

static void doorbell_ring(struct ls_connection *c, uint64_t sleep)
{
	uint64_t one = 1;

	c->rung = sleep;
	(void)!write(c->doorbell, &one, sizeof(one));
}

void queue_show(struct ls_connection *c)
{
	uint64_t sleep;

	if (c->sq_tail_shown == c->sq_tail)
		return;
	c->sq_tail_shown = c->sq_tail;
	atomic_store_explicit(&c->header->sq_tail, c->sq_tail, memory_order_seq_cst);
	sleep = atomic_load_explicit(&c->header->engine_sleep, memory_order_seq_cst);
	if (sleep && sleep != c->rung)
		doorbell_ring(c, sleep);
}

bool queue_ready(const struct ls_connection *c)
{
	return atomic_load_explicit(&c->header->cq_tail, memory_order_acquire) != c->cq_head;
}

bool queue_arm(struct ls_connection *c)
{
	c->sleep++;
	atomic_store_explicit(&c->header->client_sleep, c->sleep, memory_order_seq_cst);
	return atomic_load_explicit(&c->header->cq_tail, memory_order_seq_cst) != c->cq_head;
}

void queue_disarm(struct ls_connection *c)
{
	atomic_store_explicit(&c->header->client_sleep, 0, memory_order_relaxed);
}

int queue_take(struct ls_connection *c, struct ls_completion *completions, int max)
{
	uint32_t tail = atomic_load_explicit(&c->header->cq_tail, memory_order_acquire);
	uint32_t n = tail - c->cq_head;
	const struct shmq_completion *e;

	if (!n)
		return 0;
	/* The engine is trusted, but this program may have written past a buffer. */
	if (n > c->sq_tail_shown - c->cq_head)
		return wait_gone(c, "the shared queue was overwritten: "
				    "look for a write outside of a buffer");
	if (n > (uint32_t)max)
		n = (uint32_t)max;
	for (uint32_t i = 0; i < n; i++) {
		e = &c->cq[(c->cq_head + i) & (c->depth - 1)];
		completions[i] = (struct ls_completion){
			.tag = e->tag,
			.status = e->status,
			.failed_legs = e->failed_legs,
			.engine_ns = e->engine_ns,
		};
	}
	c->cq_head += n;
	/* Release: the entries were read; and before sq_tail, so the engine finds room. */
	atomic_store_explicit(&c->header->cq_head, c->cq_head, memory_order_release);
	return (int)n;
}

/* Copies @request to the next free descriptor.  0, -EAGAIN or -EPIPE. */
static int request_queue(struct ls_connection *c, const struct shmq_descriptor *request)
{
	if (c->gone)
		return wait_gone(c, c->gone);
	if (c->sq_tail - c->cq_head >= c->depth)
		return err_set(&c->err, -EAGAIN, "the queue is full: take completions first");
	c->sq[c->sq_tail & (c->depth - 1)] = *request;
	c->sq_tail++;
	return 0;
}

/* A buffer elsewhere becomes an offset that the engine answers with LS_BAD_BUFFER. */
static uint64_t buffer_offset(const struct ls_connection *c, const void *buf)
{
	uintptr_t at = (uintptr_t)buf, base = (uintptr_t)c->arena_base;

	return at >= base && at - base < c->arena_bytes ? at - base : UINT64_MAX;
}

/* Bits that the descriptor has no room for must not vanish: the engine refuses this. */
static uint16_t flags_cut(uint32_t flags)
{
	return flags > UINT16_MAX ? UINT16_MAX : (uint16_t)flags;
}

int ls_read(struct ls_connection *c, int volume, void *buf, uint64_t offset, uint32_t length,
	    uint64_t tag)
{
	return request_queue(c, &(struct shmq_descriptor){
					.tag = tag,
					.offset = offset,
					.length = length,
					.buffer = buffer_offset(c, buf),
					.volume = (uint32_t)volume,
					.op = SHMQ_READ,
				});
}

int ls_write(struct ls_connection *c, int volume, const void *buf, uint64_t offset, uint32_t length,
	     uint32_t flags, uint64_t tag)
{
	return request_queue(c, &(struct shmq_descriptor){
					.tag = tag,
					.offset = offset,
					.length = length,
					.buffer = buffer_offset(c, buf),
					.volume = (uint32_t)volume,
					.op = SHMQ_WRITE,
					.flags = flags_cut(flags),
				});
}

int ls_flush(struct ls_connection *c, int volume, uint64_t tag)
{
	return request_queue(c, &(struct shmq_descriptor){
					.tag = tag,
					.volume = (uint32_t)volume,
					.op = SHMQ_FLUSH,
				});
}

int ls_discard(struct ls_connection *c, int volume, uint64_t offset, uint64_t length, uint64_t tag)
{
	return request_queue(c, &(struct shmq_descriptor){
					.tag = tag,
					.offset = offset,
					.length = length,
					.volume = (uint32_t)volume,
					.op = SHMQ_DISCARD,
				});
}

int ls_write_zeroes(struct ls_connection *c, int volume, uint64_t offset, uint64_t length,
		    uint32_t flags, uint64_t tag)
{
	return request_queue(c, &(struct shmq_descriptor){
					.tag = tag,
					.offset = offset,
					.length = length,
					.volume = (uint32_t)volume,
					.op = SHMQ_WRITE_ZEROES,
					.flags = flags_cut(flags),
				});
}

int ls_submit(struct ls_connection *c)
{
	uint32_t n = c->sq_tail - c->sq_tail_shown;

	if (c->gone)
		return wait_gone(c, c->gone);
	queue_show(c);
	return (int)n;
}

int ls_poll(struct ls_connection *c, struct ls_completion *completions, int max)
{
	int n;

	if (max <= 0)
		return err_set(&c->err, -EINVAL, "room for %d completions", max);
	n = queue_take(c, completions, max);
	if (n)
		return n;
	if (c->gone)
		return wait_gone(c, c->gone);
	if (++c->empty_polls < EMPTY_POLLS_MAX)
		return 0;
	c->empty_polls = 0;
	/* A program that only polls would not learn of the engine's death otherwise. */
	if (!wait_look(c))
		return 0;
	/* What it completed before it went still counts. */
	n = queue_take(c, completions, max);
	return n ? n : wait_gone(c, c->gone);
}
