/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection, private to the client library.  connect.c makes it, dial.c talks to the engine's
 * socket, volume.c opens volumes, queue.c moves requests and completions, wait.c sleeps,
 * reattach.c finds the next engine when this one went, buffer.c hands out the arena.
 *
 * What is open is recorded in private memory.  The rings are only the way to the engine and back:
 * they may be lost or spoilt at any time, and what comes from them is checked against the record.
 */
#ifndef LS_CLIENT_CONNECTION_H
#define LS_CLIENT_CONNECTION_H

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/client/arena.h"
#include "engine/include/lockstep.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq_layout.h"

#include <stdbool.h>

#define NO_DEADLINE UINT64_MAX
/* An engine that takes longer to answer is taken for dead.  It may have to pin 1 GiB. */
#define REPLY_TIMEOUT_S 30

enum session {
	SESSION_UP,
	SESSION_LOST, /* the engine went; reattach.c looks for the next */
	SESSION_GONE, /* for good */
};

/* How far the way back is. */
enum dial {
	DIAL_PAUSE, /* until the timer */
	DIAL_HELLO, /* the engine will answer this */
	DIAL_OPEN, /* and this, for volumes[opening] */
};

/* A request, from ls_write() and its kin until the program has its completion. */
struct open_request {
	struct list node; /* in one of the connection's three lists */
	struct shmq_descriptor descriptor; /* tag and volume as the program knows them */
	struct ls_completion completion; /* while in completed_requests */
	uint32_t life; /* counts the uses of this record; in the ring's tag, with the index */
	bool open; /* the engine owes its completion */
};

struct client_volume {
	char name[ATTACH_NAME_BYTES];
	uint8_t id[ATTACH_ID_BYTES];
	uint64_t size_bytes;
	uint32_t block_bytes;
	uint32_t engine_handle; /* in this session; NO_HANDLE = the engine does not have it */
};

/* Above all that an engine gives: it answers LS_NO_VOLUME. */
#define NO_HANDLE UINT32_MAX
#define QUEUE_SPOILT "the shared queue was overwritten: look for a write outside of a buffer"

struct ls_connection {
	/* The queue.  Each request has one completion, so sq_tail - cq_head are outstanding. */
	struct shmq_header *header;
	struct shmq_descriptor *sq;
	const volatile struct shmq_completion *cq; /* volatile: each field is read once */
	uint32_t depth;
	uint32_t sq_tail; /* queued so far */
	uint32_t sq_tail_shown;
	uint32_t cq_head; /* taken so far */
	uint64_t rung; /* the engine's sleep that we rang for already */
	uint64_t sleep; /* number of our last sleep */
	uint32_t empty_polls; /* since the last look for the engine's death */
	uint32_t spin_us;

	struct open_request *requests; /* depth of them */
	struct list open_requests; /* in the order in which they were queued */
	struct list completed_requests; /* taken from a lost session's ring, not yet told */
	struct list free_requests;

	struct client_volume volumes[ATTACH_VOLUMES_MAX]; /* index = the program's handle */
	unsigned nr_volumes;

	enum session session;
	enum dial dial;
	unsigned opening;
	uint64_t next_dial_ns, give_up_ns; /* while lost */
	uint64_t lost_ns;
	uint64_t pause_ns; /* between two dials; grows */
	uint64_t patience_ns; /* 0 = never looks for the next engine */
	uint64_t patience_left_ns; /* whole again with each completion */
	uint64_t nr_reattached;
	char why[sizeof(((struct err *)0)->text)]; /* the session is lost or gone */

	char *arena_base;
	uint64_t arena_bytes;
	struct arena *arena;

	uint64_t total_bytes;
	char socket_path[108];
	int memory; /* handed to the next engine */
	int socket, doorbell, wakeup; /* -1 while there is none */
	int timer; /* while lost: when to go on; when gone: readable for ever */
	int epoll; /* ls_fd(): wakeup, socket and timer */

	struct err err;
};

/*
 * dial.c.  Keeps a copy of @path: the socket's place is needed again when the engine goes, and
 * options are the caller's.
 */
int dial_path(struct ls_connection *c, const char *path) MUST_CHECK;
/* Opens the socket, with more @flags of socket(). */
int dial_socket(struct ls_connection *c, int flags) MUST_CHECK;
/* Sends HELLO for a queue of that size, with the memory of @c if it has one. */
int dial_hello(struct ls_connection *c, uint32_t depth, uint64_t arena_bytes) MUST_CHECK;
/* Takes its answer; @fds are the caller's.  -EAGAIN: it is not there yet. */
int dial_hello_answer(struct ls_connection *c, struct attach_hello_reply *reply,
		      int *fds) MUST_CHECK;
int dial_open(struct ls_connection *c, const char *name) MUST_CHECK;
/* The engine's refusal is in @reply and no error here. */
int dial_open_answer(struct ls_connection *c, struct attach_open_reply *reply) MUST_CHECK;
/* Hands over @with, which stays the caller's, and waits for the answer. */
int dial_serve(struct ls_connection *c, const char *name, const uint8_t *id, int with) MUST_CHECK;

/* volume.c: what an engine says of volumes[@index] that was open before. */
int volume_reopened(struct ls_connection *c, unsigned index,
		    const struct attach_open_reply *reply) MUST_CHECK;

/* queue.c */
int queue_init(struct ls_connection *c) MUST_CHECK;
/* Shows queued requests; the seq_cst store that shmq_arm() relies on. */
void queue_show(struct ls_connection *c);
/* True when a completion is there. */
bool queue_ready(const struct ls_connection *c);
/* Asks for a wake-up; true when a completion is there at once.  Each ring is for one arming. */
bool queue_arm(struct ls_connection *c);
void queue_disarm(struct ls_connection *c);
/* Takes up to @max completions.  May find that the session is over. */
int queue_take(struct ls_connection *c, struct ls_completion *completions, int max);
/* The ring will not be looked at again: saves what it has.  False: it is spoilt. */
bool queue_save(struct ls_connection *c) MUST_CHECK;
/* A ring that is new: fills it with what is open, and shows what was shown. */
void queue_refill(struct ls_connection *c);

/* wait.c */
uint64_t clock_ns(void);
/* Notices the engine's end without waiting; leaves the bell alone. */
void wait_look(struct ls_connection *c);
/* Until the session is up again or gone. */
void wait_for_session(struct ls_connection *c);

/* reattach.c: the session is over because of @why; is the next engine looked for? */
void session_lost(struct ls_connection *c, const char *why);
/* Over, and no engine could help. */
void session_gone(struct ls_connection *c, const char *why);
/* The answer to a call when the session is gone: -EPIPE. */
int session_error(struct ls_connection *c);
/* While lost: goes as far towards the next session as it can without waiting. */
void session_advance(struct ls_connection *c);

#endif
