/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail between threads: bounded single-producer single-consumer rings with an eventfd.
 * Nothing here locks; a push fails only when its bound was broken, which callers rule out.
 *
 *   control thread ── calls ──> shard ── the same calls, done ──> control thread
 *   fabric's CM thread ── link events ──> shard
 *   shard ── notes (events, log lines, dial requests, …) ──> control thread
 */
#ifndef LS_DAEMON_MAIL_H
#define LS_DAEMON_MAIL_H

#include "engine/base/err.h"
#include "engine/daemon/event_note.h"

#include <ck_ring.h>
#include <stdbool.h>

/*
 * Work that the control thread has the shard do.  Owned by the control thread, lent to
 * the shard between call_push() and on_control().
 */
struct call {
	/* On the shard.  Leads to shard_return(), at once or when a job is done. */
	void (*on_shard)(void *shard, struct call *call);
	/* Back on the control thread; frees the call. */
	void (*on_control)(struct call *call);
};

/* A link that the CM thread made, or its failure. */
struct link_event {
	struct link *link; /* NULL = the dial failed */
	void *cookie;
	char reason[256];
};

enum note_kind {
	NOTE_LOG,
	NOTE_EVENT,
	NOTE_DIAL,
	NOTE_CLIENT_BROKEN,
	NOTE_CLIENT_ENDED,
	NOTE_STOPPED,
};

struct note {
	enum note_kind kind;
	int level; /* NOTE_LOG: as in syslog */
	void *cookie; /* NOTE_DIAL */
	uint64_t client_id; /* NOTE_CLIENT_* */
	union {
		char text[512]; /* NOTE_LOG: the line; NOTE_DIAL: the address */
		struct event_note event; /* NOTE_EVENT */
	};
};

#define CALLS_MAX 1024u
#define LINK_EVENTS_MAX 256u
/* Of these, so many stay free for dial answers: strangers that connect can't use them up. */
#define LINK_EVENTS_RESERVED 64u
#define NOTES_MAX 1024u
/* Of these, so many stay free for what may not be lost (8 dials, 256 clients, 1 stop). */
#define NOTES_RESERVED 320u

/* Are there so many of them that some may be lost? */
static inline bool note_may_be_lost(const struct note *note)
{
	return note->kind == NOTE_LOG || note->kind == NOTE_EVENT;
}

struct call_box;
struct link_box;
struct note_box;

/* Each returns NULL when memory or descriptors ran out. */
struct call_box *call_box_create(void);
void call_box_destroy(struct call_box *box);
bool call_push(struct call_box *box, struct call *call);
struct call *call_pop(struct call_box *box);

struct link_box *link_box_create(void);
void link_box_destroy(struct link_box *box);
/* @reserved: may use the reserved room, too. */
bool link_push(struct link_box *box, const struct link_event *event, bool reserved);
bool link_pop(struct link_box *box, struct link_event *event);

struct note_box *note_box_create(void);
void note_box_destroy(struct note_box *box);
bool note_push(struct note_box *box, const struct note *note);
bool note_pop(struct note_box *box, struct note *note);

bool call_box_empty(const struct call_box *box);
bool link_box_empty(const struct link_box *box);

/* The bell: an eventfd that is rung after a push and quieted before the pops. */
int bell_create(void);
void bell_ring(int fd);
void bell_quiet(int fd);

#endif
