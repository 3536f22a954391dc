/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/event_note.h"

#include <stdio.h>

static void copy(char *to, size_t bytes, const char *from)
{
	snprintf(to, bytes, "%s", from ? from : "");
}

void event_note_set(struct event_note *n, const struct engine_event *e)
{
	n->kind = e->kind;
	n->level = e->level;
	n->sequence = e->sequence;
	n->at_ns = e->at_ns;
	n->bytes = e->bytes;
	n->duration_ns = e->duration_ns;
	copy(n->volume, sizeof(n->volume), e->volume);
	copy(n->pool, sizeof(n->pool), e->pool);
	copy(n->peer, sizeof(n->peer), e->peer);
	copy(n->client, sizeof(n->client), e->client);
	copy(n->what, sizeof(n->what), e->what);
	copy(n->from, sizeof(n->from), e->from);
	copy(n->to, sizeof(n->to), e->to);
	copy(n->reason, sizeof(n->reason), e->reason);
}
