/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/nbdkit/shared.h"

#include "engine/base/defs.h"
#include "engine/base/list.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPLETIONS_AT_ONCE 32

/* A thread that is inside of shared_do(). */
struct worker {
	struct list node; /* in watchers or hungry, while it waits */
	pthread_cond_t wake;
	struct list done; /* its slots that came back */
	unsigned in_flight;
	enum ls_status status;
};

struct slot {
	struct list node; /* in shared.free or worker.done */
	struct worker *worker; /* NULL = not in flight */
	void *buffer;
	void *data; /* where a read's bytes go to, in the caller's buffer */
	uint32_t length; /* of a read */
};

struct shared {
	struct ls_connection *connection;
	struct ls_volume_info info;
	int volume;
	uint32_t chunk_bytes, spin_us;
	unsigned slot_count;
	struct slot *slots;

	pthread_mutex_t lock; /* of all below, and of the connection */
	struct list free;
	struct list watchers; /* have something in flight and wait for it */
	struct list hungry; /* have nothing in flight and wait for a slot */
	bool watched; /* one of them sleeps on the connection */
	bool gone; /* the engine, for good */
	char why[SHARED_MESSAGE_BYTES];
};

static int open_volume(struct shared *s, const struct shared_options *options,
		       char message[SHARED_MESSAGE_BYTES])
{
	struct ls_options connect = {
		.size = sizeof(connect),
		.queue_depth = options->slots,
		.arena_bytes = (uint64_t)options->slots * SHARED_CHUNK_BYTES,
		.socket = options->socket,
		.reconnect_ms = options->reconnect_ms,
	};

	if (ls_connect(&connect, &s->connection, message, SHARED_MESSAGE_BYTES))
		return -1;
	s->volume = ls_volume_open(s->connection, options->volume, &s->info);
	if (s->volume < 0) {
		snprintf(message, SHARED_MESSAGE_BYTES, "%s", ls_error(s->connection));
		return -1;
	}
	s->chunk_bytes = (uint32_t)min_u64(SHARED_CHUNK_BYTES, s->info.request_max_bytes);
	for (unsigned i = 0; i < s->slot_count; i++) {
		struct slot *slot = &s->slots[i];

		slot->buffer = ls_buf_alloc(s->connection, s->chunk_bytes);
		if (!slot->buffer) {
			snprintf(message, SHARED_MESSAGE_BYTES,
				 "the arena has no room for %u buffers", s->slot_count);
			return -1;
		}
		list_add_tail(&s->free, &slot->node);
	}
	return 0;
}

struct shared *shared_open(const struct shared_options *options, char message[SHARED_MESSAGE_BYTES])
{
	struct shared *s = calloc(1, sizeof(*s));

	snprintf(message, SHARED_MESSAGE_BYTES, "out of memory");
	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->free);
	list_init(&s->watchers);
	list_init(&s->hungry);
	s->spin_us = options->spin_us;
	s->slot_count = options->slots;
	s->slots = calloc(s->slot_count, sizeof(*s->slots));
	if (!s->slots || open_volume(s, options, message)) {
		shared_close(s);
		return NULL;
	}
	return s;
}

void shared_close(struct shared *s)
{
	if (s->connection)
		ls_disconnect(s->connection);
	pthread_mutex_destroy(&s->lock);
	free(s->slots);
	free(s);
}

const char *shared_gone(struct shared *s)
{
	bool gone;

	pthread_mutex_lock(&s->lock);
	gone = s->gone;
	pthread_mutex_unlock(&s->lock);
	return gone ? s->why : NULL; /* written once */
}

const struct ls_volume_info *shared_info(const struct shared *s)
{
	return &s->info;
}

/* --- completions --- */

static struct worker *first_worker(struct list *list)
{
	struct list *node = list_first(list);

	return node ? LIST_ENTRY(node, struct worker, node) : NULL;
}

static void slot_done(struct slot *slot, enum ls_status status)
{
	struct worker *w = slot->worker;

	slot->worker = NULL;
	if (w->status == LS_OK)
		w->status = status;
	w->in_flight--;
	list_add_tail(&w->done, &slot->node);
	pthread_cond_signal(&w->wake);
}

/* Takes what has come.  False: nothing. */
static bool take(struct shared *s)
{
	struct ls_completion completions[COMPLETIONS_AT_ONCE];
	int n = ls_poll(s->connection, completions, COMPLETIONS_AT_ONCE);

	for (int i = 0; i < n; i++)
		slot_done(&s->slots[completions[i].tag], (enum ls_status)completions[i].status);
	if (n >= 0)
		return n > 0;
	snprintf(s->why, sizeof(s->why), "%s", ls_error(s->connection));
	s->gone = true;
	for (unsigned i = 0; i < s->slot_count; i++)
		if (s->slots[i].worker)
			slot_done(&s->slots[i], LS_SHUTDOWN);
	return true;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Looks for a while, without the lock: others hand in meanwhile.  True when something came. */
static bool spin(struct shared *s)
{
	uint64_t end = s->spin_us ? now_us() + s->spin_us : 0;

	while (s->spin_us && now_us() < end) {
		if (take(s))
			return true;
		pthread_mutex_unlock(&s->lock);
		pthread_mutex_lock(&s->lock);
	}
	return false;
}

/* Waits for completions, for all; the lock is not held while it sleeps. */
static void watch(struct shared *s)
{
	struct pollfd fd = {.fd = ls_fd(s->connection), .events = POLLIN};

	s->watched = true;
	if (!take(s) && !spin(s)) {
		ls_arm(s->connection);
		if (!take(s)) {
			pthread_mutex_unlock(&s->lock);
			poll(&fd, 1, -1); /* a signal only makes it look again */
			pthread_mutex_lock(&s->lock);
			take(s);
		}
	}
	s->watched = false;
}

/* Until one of its chunks has come back. */
static void await_done(struct shared *s, struct worker *w)
{
	struct worker *next;

	list_add_tail(&s->watchers, &w->node);
	while (list_empty(&w->done)) {
		if (s->watched)
			pthread_cond_wait(&w->wake, &s->lock);
		else
			watch(s);
	}
	list_del(&w->node);
	next = first_worker(&s->watchers);
	if (next && !s->watched)
		pthread_cond_signal(&next->wake);
}

/* --- slots --- */

static struct slot *slot_take(struct shared *s, struct worker *w)
{
	struct worker *hungry;
	struct list *node;

	/* Who has chunks in flight takes care of them first. */
	while (list_empty(&s->free) && !w->in_flight && list_empty(&w->done)) {
		list_add_tail(&s->hungry, &w->node);
		pthread_cond_wait(&w->wake, &s->lock);
		list_del(&w->node);
	}
	node = list_pop(&s->free);
	hungry = first_worker(&s->hungry);
	/* Two slots that came back at once have woken one thread. */
	if (hungry && !list_empty(&s->free))
		pthread_cond_signal(&hungry->wake);
	return node ? LIST_ENTRY(node, struct slot, node) : NULL;
}

static void slot_put(struct shared *s, struct slot *slot)
{
	struct worker *hungry = first_worker(&s->hungry);

	list_add_tail(&s->free, &slot->node);
	if (hungry)
		pthread_cond_signal(&hungry->wake);
}

/* Gives back what has come, and to the caller what was read. */
static void reap(struct shared *s, struct worker *w)
{
	struct list *node;

	while ((node = list_pop(&w->done))) {
		struct slot *slot = LIST_ENTRY(node, struct slot, node);

		if (slot->length && w->status == LS_OK) {
			pthread_mutex_unlock(&s->lock);
			memcpy(slot->data, slot->buffer, slot->length);
			pthread_mutex_lock(&s->lock);
		}
		slot_put(s, slot);
	}
}

/* --- requests --- */

static int queue_chunk(struct shared *s, const struct shared_request *r, struct slot *slot,
		       uint64_t at, uint64_t length)
{
	uint64_t offset = r->offset + at, tag = (uint64_t)(slot - s->slots);

	switch (r->op) {
	case SHARED_READ:
		return ls_read(s->connection, s->volume, slot->buffer, offset, (uint32_t)length,
			       tag);
	case SHARED_WRITE:
		return ls_write(s->connection, s->volume, slot->buffer, offset, (uint32_t)length,
				r->flags, tag);
	case SHARED_FLUSH:
		return ls_flush(s->connection, s->volume, tag);
	case SHARED_DISCARD:
		return ls_discard(s->connection, s->volume, offset, length, tag);
	case SHARED_ZERO:
		return ls_write_zeroes(s->connection, s->volume, offset, length, r->flags, tag);
	}
	return -EINVAL;
}

/* Hands in the chunk at @at.  False: the request has failed. */
static bool start_chunk(struct shared *s, struct worker *w, const struct shared_request *r,
			struct slot *slot, uint64_t at, uint64_t length)
{
	slot->data = r->data ? (uint8_t *)r->data + at : NULL;
	slot->length = r->op == SHARED_READ ? (uint32_t)length : 0;
	if (r->op == SHARED_WRITE) {
		pthread_mutex_unlock(&s->lock);
		memcpy(slot->buffer, slot->data, length);
		pthread_mutex_lock(&s->lock);
	}
	if (s->gone || queue_chunk(s, r, slot, at, length)) {
		slot_put(s, slot);
		take(s); /* the engine is gone, or on its way: notes which */
		if (w->status == LS_OK)
			w->status = LS_SHUTDOWN;
		return false;
	}
	slot->worker = w;
	w->in_flight++;
	return true;
}

enum ls_status shared_do(struct shared *s, const struct shared_request *r)
{
	bool data = r->op == SHARED_READ || r->op == SHARED_WRITE;
	/* Only what has a buffer is bounded; the engine cuts the rest itself. */
	uint64_t chunk = data ? s->chunk_bytes : max_u64(r->length, 1);
	uint64_t end = r->op == SHARED_FLUSH ? 1 : r->length, at = 0;
	struct worker w = {.wake = PTHREAD_COND_INITIALIZER, .status = LS_OK};

	list_init(&w.node);
	list_init(&w.done);
	pthread_mutex_lock(&s->lock);
	while (at < end || w.in_flight || !list_empty(&w.done)) {
		struct slot *slot;

		while (at < end && w.status == LS_OK && (slot = slot_take(s, &w)) &&
		       start_chunk(s, &w, r, slot, at, min_u64(chunk, end - at)))
			at += min_u64(chunk, end - at);
		if (w.status != LS_OK)
			at = end; /* what is in flight comes back; no more of it */
		if (w.in_flight && list_empty(&w.done)) {
			ls_submit(s->connection);
			await_done(s, &w);
		}
		reap(s, &w);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_cond_destroy(&w.wake);
	return w.status;
}
