/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An event: one change of state, with its reason.  The pure code tells it to its surroundings
 * (engine_env.event) where the state changes, in one place each and never on the data path; the
 * line in the log is made of it, too, so that there is one wording.  engine/doc/control.md lists
 * the kinds.
 *
 * Made on the stack of who tells it; the texts are his, too: who keeps an event copies them.
 */
#ifndef LS_CORE_EVENT_H
#define LS_CORE_EVENT_H

#include "engine/base/defs.h"

enum event_kind {
	EVENT_MIRROR, /* state of a volume's mirror */
	EVENT_ROLE,
	EVENT_GENERATION,
	EVENT_ASSOCIATION,
	EVENT_POLICY,
	EVENT_COPY, /* is this replica a consistent copy? */
	EVENT_RESYNC,
	EVENT_VERIFY, /* begun, a difference, ended, stopped */
	EVENT_VOLUME, /* created, deleted, expanded */
	EVENT_ERROR, /* of a device, a pool's table, a leg: @what says which */
	EVENT_SESSION,
	EVENT_POOL,
	EVENT_OPERATION, /* of an operator; @what is its name */
	EVENT_CLIENT,
	EVENT_NODE,
	EVENT_KINDS,
};

/* NULL = it says nothing of that. */
struct engine_event {
	enum event_kind kind;
	int level; /* of its line in the log, as in syslog */
	uint64_t sequence, at_ns; /* the teller's: from 1 on without a gap, and its clock */
	/* What it is about: the first one that is there.  None: the node. */
	const char *volume, *pool, *client, *peer;
	const char *what;
	const char *from, *to;
	const char *reason;
	uint64_t bytes, duration_ns; /* 0 = it says nothing of that */
};

const char *event_kind_name(enum event_kind kind);

/* The longest text of an event, with its NUL. */
#define EVENT_TEXT_MAX 800u

/* "volume 'db': synced -> waiting: the peer was silent for 10000 ms" */
void event_text(const struct engine_event *event, char text[EVENT_TEXT_MAX]);

#endif
