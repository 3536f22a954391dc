/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/events.h"
#include "engine/base/clock.h"
#include "engine/daemon/ctl.h"
#include "engine/daemon/daemon.h"
#include "engine/daemon/log.h"
#include "engine/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct kept {
	uint64_t number; /* of the daemon's events, from 1; a gap: lost between the threads */
	struct timespec time;
	struct event_note note;
};

/* One who watches. */
struct watcher {
	struct ctl_stream stream;
	struct ctl_conn *conn;
	struct event_log *log;
	struct watcher *next;
	uint64_t wanted; /* number of the next event */
	uint64_t until; /* the last one that is wanted */
	char volume[VOLUME_NAME_MAX + 1]; /* only of this one; "" = all */
};

struct event_log {
	struct kept kept[EVENTS_KEPT];
	uint64_t added; /* into kept[], from the beginning */
	uint64_t number; /* the last one given */
	uint64_t engine_sequence; /* the last one taken */
	struct watcher *watchers; /* at most one for each connection */
	bool ended;
};

struct event_log *events_create(void)
{
	return calloc(1, sizeof(struct event_log));
}

void events_destroy(struct event_log *log)
{
	free(log);
}

/*
 * What the journal calls the kinds, for ever; lockstep.catalog explains each (`journalctl -x`).
 */
static const char *const message_ids[EVENT_KINDS] = {
	[EVENT_MIRROR] = "c500c027857546e194387f6b01ffcc7e",
	[EVENT_ROLE] = "df2fbfe3fa8048f18c19ac582669f6bb",
	[EVENT_GENERATION] = "0f435e32713247a58ed4d057bd038daf",
	[EVENT_ASSOCIATION] = "f2f69ca9588844e2b2fc870a62f6258c",
	[EVENT_POLICY] = "f6a9929f81d14065a96731bfe3f5345f",
	[EVENT_COPY] = "4d5a41436e6e4134952668450f45b179",
	[EVENT_RESYNC] = "ef3d15b86bbe4e249c8acf6b9bbf4b8d",
	[EVENT_VERIFY] = "7d3540514402485a8d766c3a25f5d50d",
	[EVENT_VOLUME] = "544c7789e0954986a8923e18f348f90e",
	[EVENT_ERROR] = "07acda8049cc494eb8211f597b657371",
	[EVENT_SESSION] = "62be9348114842ccaff9ea9cff065dc8",
	[EVENT_POOL] = "efd693e14a3949b88d5d7cafe08bdbd6",
	[EVENT_OPERATION] = "5b9961ba4d1a4291b690a63d39f5df88",
	[EVENT_CLIENT] = "158a1557bb0d484684a4371c3527a998",
	[EVENT_NODE] = "87744ad3da0f4822bd8f7e677085ff44",
};

/* --- notes --- */

static const char *some(const char *text)
{
	return text[0] ? text : NULL;
}

static void note_text(const struct event_note *n, char text[EVENT_TEXT_MAX])
{
	struct engine_event e = {
		.kind = n->kind,
		.volume = some(n->volume),
		.pool = some(n->pool),
		.client = some(n->client),
		.peer = some(n->peer),
		.what = some(n->what),
		.from = some(n->from),
		.to = some(n->to),
		.reason = some(n->reason),
		.bytes = n->bytes,
		.duration_ns = n->duration_ns,
	};

	event_text(&e, text);
}

static void set_some(struct json_object *json, const char *key, const char *text)
{
	if (text[0])
		json_set_text(json, key, text);
}

/* "2026-11-26T11:08:32.123Z" */
static void set_time(struct json_object *json, const struct timespec *time)
{
	char text[64];
	struct tm tm;
	size_t used;

	gmtime_r(&time->tv_sec, &tm);
	used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, sizeof(text) - used, ".%03dZ", (int)(time->tv_nsec / 1000000));
	json_set_text(json, "time", text);
}

static struct json_object *kept_json(const struct kept *k)
{
	struct json_object *json = json_object_new_object();
	const struct event_note *n = &k->note;
	char text[EVENT_TEXT_MAX];

	json_set_text(json, "event", event_kind_name(n->kind));
	json_set_u64(json, "seq", k->number);
	set_time(json, &k->time);
	json_set_u64(json, "at_ns", n->at_ns);
	set_some(json, "volume", n->volume);
	set_some(json, "pool", n->pool);
	set_some(json, "client", n->client);
	set_some(json, "peer", n->peer);
	set_some(json, "what", n->what);
	set_some(json, "from", n->from);
	set_some(json, "to", n->to);
	if (n->bytes)
		json_set_u64(json, "bytes", n->bytes);
	if (n->duration_ns)
		json_set_u64(json, "duration_ns", n->duration_ns);
	set_some(json, "reason", n->reason);
	note_text(n, text);
	json_set_text(json, "text", text);
	return json;
}

/* --- what happens --- */

static void wake_all(const struct event_log *log)
{
	for (struct watcher *w = log->watchers; w; w = w->next)
		ctl_stream_news(w->conn);
}

static void keep(struct event_log *log, const struct event_note *note)
{
	struct kept *k = &log->kept[log->added++ % EVENTS_KEPT];
	char text[EVENT_TEXT_MAX];

	k->number = ++log->number;
	clock_gettime(CLOCK_REALTIME, &k->time);
	k->note = *note;
	note_text(note, text);
	log_with(note->level,
		 &(struct log_fields){
			 .message_id = message_ids[note->kind],
			 .event = event_kind_name(note->kind),
			 .volume = note->volume,
			 .pool = note->pool,
			 .peer = note->peer,
			 .client = note->client,
			 .from = note->from,
			 .to = note->to,
		 },
		 text);
	wake_all(log);
}

void events_tell(struct event_log *log, const struct engine_event *event)
{
	struct event_note note;

	event_note_set(&note, event);
	note.at_ns = clock_precise();
	keep(log, &note);
}

void events_take(struct event_log *log, const struct event_note *note)
{
	uint64_t lost = note->sequence - log->engine_sequence - 1;

	if (lost)
		log_line(LOG_LEVEL_WARNING, "%llu events of the engine were lost on their way",
			 (unsigned long long)lost);
	log->engine_sequence = note->sequence;
	log->number += lost;
	keep(log, note);
}

void events_end(struct event_log *log)
{
	log->ended = true;
	wake_all(log);
}

/* --- watchers --- */

/* The oldest one that is kept and not before @number; NULL: none yet. */
static const struct kept *find(const struct event_log *log, uint64_t number)
{
	uint64_t count = min_u64(log->added, EVENTS_KEPT);

	for (uint64_t i = log->added - count; i < log->added; i++) {
		const struct kept *k = &log->kept[i % EVENTS_KEPT];

		if (k->number >= number)
			return k;
	}
	return NULL;
}

static struct json_object *lost_json(uint64_t count)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "event", "lost");
	json_set_u64(json, "count", count);
	return json;
}

static void watcher_free(struct watcher *w)
{
	struct watcher **at = &w->log->watchers;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

static void watcher_answer(struct watcher *w)
{
	struct json_object *answer = json_object_new_object();
	struct ctl_conn *conn = w->conn;

	json_set_u64(answer, "last", w->wanted - 1);
	json_set_bool(answer, "stopped", w->log->ended);
	watcher_free(w);
	ctl_stream_end(conn);
	ctl_answer(conn, answer);
}

static struct json_object *watcher_next(struct ctl_stream *stream)
{
	struct watcher *w = CONTAINER_OF(stream, struct watcher, stream);
	const struct kept *k;
	uint64_t lost;

	while (w->wanted <= w->until && (k = find(w->log, w->wanted))) {
		lost = k->number - w->wanted;
		w->wanted = k->number;
		if (lost)
			return lost_json(lost);
		w->wanted++;
		if (!w->volume[0] || !strcmp(w->volume, k->note.volume))
			return kept_json(k);
	}
	if (w->wanted > w->until || w->log->ended)
		watcher_answer(w);
	return NULL;
}

static void watcher_closed(struct ctl_stream *stream)
{
	watcher_free(CONTAINER_OF(stream, struct watcher, stream));
}

/* Where to begin: behind the last one, unless older ones are asked for. */
static int choose(struct watcher *w, struct json_object *request, struct err *err)
{
	const struct event_log *log = w->log;
	uint64_t since = json_get_u64(request, "since", log->number);
	uint64_t last = json_get_u64(request, "last", 0);
	const struct kept *oldest;

	if (since > log->number)
		return err_set(err, -ERANGE,
			       "there was no event %llu yet, the last one was %llu: this daemon "
			       "counts from its start",
			       (unsigned long long)since, (unsigned long long)log->number);
	if (last)
		since = log->number - min_u64(last, log->number);
	w->wanted = since + 1;
	/* Who asks for the last ones asks for those that are there; "since" wants to know. */
	oldest = find(log, 0);
	if (last && oldest)
		w->wanted = max_u64(w->wanted, oldest->number);
	w->until = json_get_bool(request, "follow", true) ? UINT64_MAX : log->number;
	return 0;
}

void command_events(struct ctl_conn *conn, struct json_object *request)
{
	struct event_log *log = ctl_daemon(conn)->events;
	const char *volume = json_get_text(request, "volume", "");
	struct watcher *w = calloc(1, sizeof(*w));
	struct err err;
	int rc = 0;

	if (!w) {
		err_set(&err, -ENOMEM, "the daemon has no memory for this");
		ctl_fail(conn, &err);
		return;
	}
	w->stream = (struct ctl_stream){.next = watcher_next, .closed = watcher_closed};
	w->conn = conn;
	w->log = log;
	if (strlen(volume) > VOLUME_NAME_MAX)
		rc = err_set(&err, -ENAMETOOLONG, "'volume' has at most %d characters",
			     VOLUME_NAME_MAX);
	else
		snprintf(w->volume, sizeof(w->volume), "%s", volume);
	if (!rc)
		rc = choose(w, request, &err);
	if (rc) {
		free(w);
		ctl_fail(conn, &err);
		return;
	}
	w->next = log->watchers;
	log->watchers = w;
	ctl_stream_begin(conn, &w->stream);
}
