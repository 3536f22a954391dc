/* SPDX-License-Identifier: BSD-3-Clause */
/* An event with its texts, as it goes from thread to thread and is kept. */
#ifndef LS_DAEMON_EVENT_NOTE_H
#define LS_DAEMON_EVENT_NOTE_H

#include "engine/base/limits.h"
#include "engine/core/event.h"

/* "" = it says nothing of that. */
struct event_note {
	enum event_kind kind;
	int level;
	uint64_t sequence, at_ns;
	uint64_t bytes, duration_ns;
	char volume[VOLUME_NAME_MAX + 1];
	char pool[POOL_NAME_MAX + 1];
	char peer[NODE_NAME_MAX + 1];
	char client[24];
	char what[24];
	char from[24], to[24];
	char reason[400];
};

/* Copies; a text that is too long is cut off.  Any thread. */
void event_note_set(struct event_note *note, const struct engine_event *event);

#endif
