/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/event.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

/* Name, and what its text calls it behind the subject. */
static const struct {
	const char *name, *word;
} kinds[EVENT_KINDS] = {
	[EVENT_MIRROR] = {"mirror", ""},
	[EVENT_ROLE] = {"role", ""},
	[EVENT_GENERATION] = {"generation", "generation "},
	[EVENT_ASSOCIATION] = {"association", "association "},
	[EVENT_POLICY] = {"policy", "policy "},
	[EVENT_COPY] = {"copy", "copy "},
	[EVENT_RESYNC] = {"resync", "resync "},
	[EVENT_VERIFY] = {"verify", "verify "},
	[EVENT_VOLUME] = {"volume", ""},
	[EVENT_ERROR] = {"error", ""},
	[EVENT_SESSION] = {"session", "session "},
	[EVENT_POOL] = {"pool", ""},
	[EVENT_OPERATION] = {"operation", ""},
	[EVENT_CLIENT] = {"client", ""},
	[EVENT_NODE] = {"node", ""},
};

const char *event_kind_name(enum event_kind kind)
{
	return kinds[kind].name;
}

struct writer {
	char *text;
	size_t used;
};

/* What is too long is cut off. */
static void PRINTF_LIKE(2, 3) add(struct writer *w, const char *fmt, ...)
{
	int n;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(w->text + w->used, EVENT_TEXT_MAX - w->used, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	w->used = min_u64(w->used + (size_t)n, EVENT_TEXT_MAX - 1);
}

static void add_subject(struct writer *w, const struct engine_event *e)
{
	if (e->volume)
		add(w, "volume '%s'", e->volume);
	else if (e->pool)
		add(w, "pool '%s'", e->pool);
	else if (e->client)
		add(w, "client %s", e->client);
	else if (e->peer)
		add(w, "peer '%s'", e->peer);
	else
		add(w, "node");
}

static void add_amount(struct writer *w, const struct engine_event *e)
{
	unsigned long long bytes = e->bytes, ms = e->duration_ns / 1000000;

	if (e->bytes && e->duration_ns)
		add(w, " (%llu bytes in %llu ms)", bytes, ms);
	else if (e->bytes)
		add(w, " (%llu bytes)", bytes);
	else if (e->duration_ns)
		add(w, " (%llu ms)", ms);
}

void event_text(const struct engine_event *e, char text[EVENT_TEXT_MAX])
{
	struct writer w = {.text = text};

	add_subject(&w, e);
	if (e->what || e->to)
		add(&w, ": %s%s%s", kinds[e->kind].word, e->what ? e->what : "",
		    e->what && e->to ? " " : "");
	if (e->from && e->to)
		add(&w, "%s -> ", e->from);
	if (e->to)
		add(&w, "%s", e->to);
	add_amount(&w, e);
	if (e->reason && e->reason[0])
		add(&w, ": %s", e->reason);
}
