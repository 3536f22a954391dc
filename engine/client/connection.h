/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection, private to the client library.  connect.c makes it, queue.c moves requests
 * and completions, wait.c sleeps, buffer.c hands out the arena.
 */
#ifndef LS_CLIENT_CONNECTION_H
#define LS_CLIENT_CONNECTION_H

#include "engine/base/err.h"
#include "engine/client/arena.h"
#include "engine/include/lockstep.h"
#include "engine/shm/shmq_layout.h"

#include <stdbool.h>

struct ls_connection {
	/* The queue.  Each request has one completion, so sq_tail - cq_head are outstanding. */
	struct shmq_header *header;
	struct shmq_descriptor *sq;
	const struct shmq_completion *cq;
	uint32_t depth;
	uint32_t sq_tail; /* queued so far */
	uint32_t sq_tail_shown;
	uint32_t cq_head;     /* taken so far */
	uint64_t rung;        /* the engine's sleep that we rang for already */
	uint64_t sleep;       /* number of our last sleep */
	uint32_t empty_polls; /* since the last look for the engine's death */
	uint32_t spin_us;
	const char *gone; /* why the engine is, for good; NULL = it is there */

	char *arena_base;
	uint64_t arena_bytes;
	struct arena *arena;

	uint64_t total_bytes;
	int socket, doorbell, wakeup;
	int epoll; /* ls_fd(): wakeup and socket */

	struct err err;
};

/* queue.c: shows queued requests; the seq_cst store that shmq_arm() relies on. */
void queue_show(struct ls_connection *c);
/* True when a completion is there. */
bool queue_ready(const struct ls_connection *c);
/* Asks for a wake-up; true when a completion is there at once.  Each ring is for one arming. */
bool queue_arm(struct ls_connection *c);
void queue_disarm(struct ls_connection *c);
/* Takes up to @max completions; -EPIPE when the memory is spoilt. */
int queue_take(struct ls_connection *c, struct ls_completion *completions, int max);

/* wait.c: notices the engine's end without waiting; leaves the bell alone.  0 or -EPIPE. */
int wait_look(struct ls_connection *c);
/* The engine is gone for good because of @why, or of what was said first: -EPIPE. */
int wait_gone(struct ls_connection *c, const char *why);

#endif
