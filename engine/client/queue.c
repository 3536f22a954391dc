/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Client's side of the rings, and the record of what is open.  The ordering points and their
 * other sides are listed in engine/shm/shmq.c.
 *
 * Requests that were queued and not taken back as completions never exceed the depth.  This
 * one rule keeps both rings from overflowing, and ls_read() and its kin keep it: there are as
 * many records as the ring has places.
 *
 * What travels in a descriptor's tag, and comes back, is a record's index and which use of it
 * this is.  So a completion fits one request at most, once, whatever tags the program uses.
 */
#include "engine/client/connection.h"
#include "engine/shm/shmq.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Polls without a completion between two looks for the engine's death. */
#define EMPTY_POLLS_MAX 1024

int queue_init(struct ls_connection *c)
{
	list_init(&c->open_requests);
	list_init(&c->completed_requests);
	list_init(&c->free_requests);
	c->requests = calloc(c->depth, sizeof(*c->requests));
	if (!c->requests)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->depth; i++)
		list_add_tail(&c->free_requests, &c->requests[i].node);
	return 0;
}

static void doorbell_ring(struct ls_connection *c, uint64_t sleep)
{
	uint64_t one = 1;

	c->rung = sleep;
	(void)!write(c->doorbell, &one, sizeof(one));
}

static void tail_show(struct ls_connection *c)
{
	uint64_t sleep;

	atomic_store_explicit(&c->header->sq_tail, c->sq_tail_shown, memory_order_seq_cst);
	sleep = atomic_load_explicit(&c->header->engine_sleep, memory_order_seq_cst);
	if (sleep && sleep != c->rung)
		doorbell_ring(c, sleep);
}

void queue_show(struct ls_connection *c)
{
	if (c->sq_tail_shown == c->sq_tail)
		return;
	c->sq_tail_shown = c->sq_tail;
	if (c->session == SESSION_UP)
		tail_show(c);
}

static bool ring_ready(const struct ls_connection *c)
{
	return c->session == SESSION_UP &&
	       atomic_load_explicit(&c->header->cq_tail, memory_order_acquire) != c->cq_head;
}

bool queue_ready(const struct ls_connection *c)
{
	return ring_ready(c) || !list_empty(&c->completed_requests);
}

bool queue_arm(struct ls_connection *c)
{
	if (c->session != SESSION_UP)
		return !list_empty(&c->completed_requests);
	c->sleep++;
	atomic_store_explicit(&c->header->client_sleep, c->sleep, memory_order_seq_cst);
	return atomic_load_explicit(&c->header->cq_tail, memory_order_seq_cst) != c->cq_head ||
	       !list_empty(&c->completed_requests);
}

void queue_disarm(struct ls_connection *c)
{
	if (c->session == SESSION_UP)
		atomic_store_explicit(&c->header->client_sleep, 0, memory_order_relaxed);
}

/*
 * How many completions the ring has, or UINT32_MAX when that cannot be: the engine is trusted, but
 * this program may have written past a buffer.
 */
static uint32_t ring_count(const struct ls_connection *c)
{
	uint32_t n = atomic_load_explicit(&c->header->cq_tail, memory_order_acquire) - c->cq_head;

	return n > c->sq_tail_shown - c->cq_head ? UINT32_MAX : n;
}

/* The open request that @tag of the ring names, or NULL. */
static struct open_request *request_of(const struct ls_connection *c, uint64_t tag)
{
	uint32_t index = (uint32_t)tag;
	struct open_request *r = index < c->depth ? &c->requests[index] : NULL;

	return r && r->open && r->life == tag >> 32 ? r : NULL;
}

/*
 * Reads the ring's next entry and leaves it there.  Returns the request that it completes, or
 * NULL when there is none.
 */
static struct open_request *entry_read(const struct ls_connection *c, struct ls_completion *done)
{
	const volatile struct shmq_completion *e = &c->cq[c->cq_head & (c->depth - 1)];
	struct open_request *r = request_of(c, e->tag);

	if (r)
		*done = (struct ls_completion){
			.tag = r->descriptor.tag,
			.status = e->status,
			.failed_legs = e->failed_legs,
			.engine_ns = e->engine_ns,
		};
	return r;
}

/* From here on the engine owes nothing for @r. */
static void request_close(struct open_request *r, struct list *to)
{
	r->open = false;
	list_del(&r->node);
	list_add_tail(to, &r->node);
}

/* True for what a stopping engine refused, when the next one will do it. */
static bool left_to_next(const struct ls_connection *c, const struct ls_completion *done)
{
	return done->status == LS_SHUTDOWN && c->patience_ns;
}

static int ring_take(struct ls_connection *c, struct ls_completion *completions, int max)
{
	uint32_t count = ring_count(c);
	struct open_request *r;
	int n;

	if (!count)
		return 0;
	for (n = 0; n < max && (uint32_t)n < count; n++) {
		r = count <= c->depth ? entry_read(c, &completions[n]) : NULL;
		if (!r)
			session_gone(c, QUEUE_SPOILT);
		else if (left_to_next(c, &completions[n]))
			session_lost(c, "the engine is stopping");
		if (c->session != SESSION_UP)
			return n;
		request_close(r, &c->free_requests);
		c->cq_head++;
	}
	/* Release: the entries were read; and before sq_tail, so the engine finds room. */
	atomic_store_explicit(&c->header->cq_head, c->cq_head, memory_order_release);
	c->patience_left_ns = c->patience_ns;
	c->empty_polls = 0; /* it lives */
	return n;
}

static int saved_take(struct ls_connection *c, struct ls_completion *completions, int max)
{
	struct list *node;
	int n;

	for (n = 0; n < max && (node = list_pop(&c->completed_requests)); n++) {
		completions[n] = LIST_ENTRY(node, struct open_request, node)->completion;
		list_add_tail(&c->free_requests, node);
	}
	return n;
}

int queue_take(struct ls_connection *c, struct ls_completion *completions, int max)
{
	int n = saved_take(c, completions, max);

	if (!n && c->session == SESSION_UP)
		n = ring_take(c, completions, max);
	/* The ring may have told that the session is over, and have had more. */
	return n ? n : saved_take(c, completions, max);
}

/* The ring begins anew with what is open, in the order in which it was queued. */
static void ring_renumber(struct ls_connection *c)
{
	uint32_t nr_hidden = c->sq_tail - c->sq_tail_shown;

	c->sq_tail = c->cq_head = 0;
	LIST_FOR (node, &c->open_requests)
		c->sq_tail++;
	c->sq_tail_shown = c->sq_tail - nr_hidden;
	c->rung = 0; /* the next engine counts its sleeps from 1 */
}

bool queue_save(struct ls_connection *c)
{
	uint32_t count = ring_count(c);
	struct open_request *r;
	struct ls_completion done;

	for (uint32_t i = 0; i < count; i++, c->cq_head++) {
		r = count <= c->depth ? entry_read(c, &done) : NULL;
		if (!r)
			return false;
		if (left_to_next(c, &done))
			continue;
		r->completion = done;
		request_close(r, &c->completed_requests);
		c->patience_left_ns = c->patience_ns;
	}
	ring_renumber(c);
	return true;
}

/* A handle that the program made up is one that the engine does not have, either. */
static uint32_t engine_handle(const struct ls_connection *c, uint32_t volume)
{
	return volume < c->nr_volumes ? c->volumes[volume].engine_handle : NO_HANDLE;
}

/* Writes @r to the next free descriptor. */
static void ring_put(struct ls_connection *c, const struct open_request *r)
{
	struct shmq_descriptor d = r->descriptor;

	d.tag = (uint64_t)r->life << 32 | (uint32_t)(r - c->requests);
	d.volume = engine_handle(c, d.volume);
	c->sq[c->sq_tail & (c->depth - 1)] = d;
	c->sq_tail++;
}

void queue_refill(struct ls_connection *c)
{
	c->sq_tail = 0;
	LIST_FOR (node, &c->open_requests)
		ring_put(c, LIST_ENTRY(node, struct open_request, node));
	/* Before the requests are seen: the program may have armed what is no more, and sleep. */
	queue_arm(c);
	if (c->sq_tail_shown)
		tail_show(c);
}

/* Records @request, and writes it to the ring if there is one.  0, -EAGAIN or -EPIPE. */
static int request_queue(struct ls_connection *c, const struct shmq_descriptor *request)
{
	struct open_request *r;
	struct list *node;

	if (c->session == SESSION_GONE)
		return session_error(c);
	node = list_pop(&c->free_requests);
	if (!node)
		return err_set(&c->err, -EAGAIN, "the queue is full: take completions first");
	r = LIST_ENTRY(node, struct open_request, node);
	r->descriptor = *request;
	r->life++;
	r->open = true;
	list_add_tail(&c->open_requests, node);
	if (c->session == SESSION_UP)
		ring_put(c, r);
	else
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

	if (c->session == SESSION_GONE)
		return session_error(c);
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
	if (c->session == SESSION_UP && ++c->empty_polls < EMPTY_POLLS_MAX)
		return 0;
	/* A program that only polls would not learn of the engine's death otherwise. */
	c->empty_polls = 0;
	wait_look(c);
	if (c->session == SESSION_LOST)
		session_advance(c);
	/* What it completed before it went still counts. */
	n = queue_take(c, completions, max);
	return n || c->session != SESSION_GONE ? n : session_error(c);
}
