/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verify: compares a volume that is in sync with its peer's replica, beside I/O, and repairs
 * what differs if that is wanted.  engine/doc/verify.md has the argument; this file is the
 * operation and what it finds, verify_unit.c one chunk of it.
 *
 * One volume is compared at a time; the others wait in order, and all of them wait for
 * resyncs, whose pace and buffers are used.
 */
#include "engine/peer/node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *verify_blame_name(enum verify_blame blame)
{
	static const char *const names[] = {"unknown", "local", "peer", "both"};

	return names[blame];
}

static struct mirror *active(struct engine *e)
{
	struct list *node = list_first(&e->verifies);

	return node ? LIST_ENTRY(node, struct mirror, verify.node) : NULL;
}

static void tell(struct mirror *m, int level, const char *what, uint64_t bytes, const char *reason)
{
	const struct volume *v = m->volume;
	const struct verify_result *r = m->verify.result;

	core_event(&m->engine->core,
		   &(struct engine_event){
			   .kind = EVENT_VERIFY,
			   .level = level,
			   .volume = v->record.name,
			   .peer = v->record.replica_count ? v->record.replicas[0].node_name : NULL,
			   .to = what,
			   .bytes = bytes,
			   .duration_ns = r->duration_ns,
			   .reason = reason,
		   });
}

/* --- what was found --- */

static bool joins(const struct verify_place *a, const struct verify_place *b)
{
	return a->offset + a->length == b->offset && a->blame == b->blame &&
	       a->unreadable == b->unreadable && a->repaired == b->repaired;
}

static void place_remove(struct verify_result *r, unsigned i)
{
	r->place_count--;
	memmove(&r->places[i], &r->places[i + 1], (r->place_count - i) * sizeof(r->places[0]));
}

/* Chunks end in any order: a place goes where it belongs, and joins its neighbours. */
static void place_add(struct verify_result *r, const struct verify_place *place)
{
	unsigned i = r->place_count;

	while (i > 0 && r->places[i - 1].offset > place->offset)
		i--;
	if (i > 0 && joins(&r->places[i - 1], place)) {
		i--;
		r->places[i].length += place->length;
	} else if (i < r->place_count && joins(place, &r->places[i])) {
		r->places[i].offset = place->offset;
		r->places[i].length += place->length;
	} else if (r->place_count < VERIFY_PLACES_MAX) {
		memmove(&r->places[i + 1], &r->places[i],
			(r->place_count - i) * sizeof(r->places[0]));
		r->places[i] = *place;
		r->place_count++;
	} else {
		r->more = true;
		return;
	}
	if (i + 1 < r->place_count && joins(&r->places[i], &r->places[i + 1])) {
		r->places[i].length += r->places[i + 1].length;
		place_remove(r, i + 1);
	}
}

void verify_found(struct mirror *m, const struct verify_place *place)
{
	struct verify_result *r = m->verify.result;
	char text[160];

	r->different_bytes += place->length;
	r->blamed_bytes[place->blame] += place->length;
	r->repaired_bytes += place->repaired ? place->length : 0;
	place_add(r, place);
	if (m->verify.told++ >= VERIFY_PLACES_MAX)
		return;
	snprintf(text, sizeof(text), "%llu bytes at byte %llu %s, blamed: %s%s",
		 (unsigned long long)place->length, (unsigned long long)place->offset,
		 place->unreadable ? "cannot be read" : "differ", verify_blame_name(place->blame),
		 place->repaired ? "; repaired" : "");
	core_administer(&m->engine->core, true);
	tell(m, 4, "difference", place->length, text);
	core_administer(&m->engine->core, false);
}

/* --- the end --- */

/* @what: for events.  The job gets the whole sentence. */
static void PRINTF_LIKE(4, 5)
	end(struct mirror *m, int code, const char *what, const char *fmt, ...)
{
	struct verify *x = &m->verify;
	struct verify_result *r = x->result;
	struct job *job = x->job;
	char text[400];
	uint64_t left;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->duration_ns = m->engine->core.now_ns - x->started_ns;
	list_del(&x->node);
	core_administer(&m->engine->core, true);
	tell(m, code || r->different_bytes > r->repaired_bytes ? 4 : 6, code ? "stopped" : "ended",
	     r->compared_bytes, what);
	left = r->different_bytes - r->repaired_bytes;
	/* Only one of all, that came to its end, takes back what another one found. */
	if (left > x->left_bytes || (!code && !x->begin && x->end == m->volume->size_bytes))
		x->left_bytes = left;
	x->job = NULL;
	x->result = NULL;
	x->turn++; /* chunks under way are nobody's now */
	m->engine->next_tick_ns = 0;
	job_done(job, code, "%s", text);
	core_administer(&m->engine->core, false);
}

static void finish(struct mirror *m)
{
	const struct volume_record *v = &m->volume->record;
	const struct verify_result *r = m->verify.result;
	char found[120];

	if (!r->different_bytes)
		snprintf(found, sizeof(found), "all equal");
	else if (m->verify.repair)
		snprintf(found, sizeof(found), "%llu differed, of which %llu were repaired",
			 (unsigned long long)r->different_bytes,
			 (unsigned long long)r->repaired_bytes);
	else
		snprintf(found, sizeof(found), "%llu differ",
			 (unsigned long long)r->different_bytes);
	end(m, 0, found, "volume '%s': %llu bytes compared with node '%s': %s", v->name,
	    (unsigned long long)r->compared_bytes, v->replicas[0].node_name, found);
}

void verify_stop(struct mirror *m, int code, const char *reason)
{
	const struct verify *x = &m->verify;

	if (!x->job)
		return;
	verify_units_abandon(m);
	end(m, code, reason,
	    "volume '%s': verify stopped after %llu of %llu bytes (%llu differed): %s",
	    m->volume->record.name, (unsigned long long)x->result->compared_bytes,
	    (unsigned long long)(x->end - x->begin), (unsigned long long)x->result->different_bytes,
	    reason);
}

/* --- going on --- */

static struct verify_unit *free_unit(struct engine *e)
{
	for (unsigned i = 0; i < COPY_UNITS; i++)
		if (!e->units[i].busy && !e->verify_units[i].busy)
			return &e->verify_units[i];
	return NULL;
}

/* Whole parts, within one piece of I/O. */
static uint64_t chunk_length(const struct verify *x, uint64_t granted)
{
	uint64_t border = PIECE_BYTES_MAX - x->at % PIECE_BYTES_MAX;
	uint64_t most = max_u64(granted / CHECK_BYTES * CHECK_BYTES, CHECK_BYTES);

	return min_u64(min_u64(most, border), x->end - x->at);
}

void verify_more(struct engine *e)
{
	struct mirror *m;

	while (list_empty(&e->resyncs) && (m = active(e))) {
		struct verify *x = &m->verify;
		struct verify_unit *u = x->at < x->end ? free_unit(e) : NULL;
		uint64_t bytes = 0;

		if (u)
			bytes = copy_grant(e, 0);
		if (bytes) {
			bytes = chunk_length(x, bytes);
			verify_unit_start(m, u, x->at, bytes);
			x->at += bytes;
		} else if (x->at == x->end && x->result->compared_bytes == x->end - x->begin) {
			finish(m);
		} else {
			/* A chunk that ends, or pace.wake_ns, leads here again. */
			return;
		}
	}
}

/* --- from outside --- */

static void PRINTF_LIKE(3, 4) refuse(struct job *job, int code, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	job_done(job, code, "%s", text);
}

static void begin(struct mirror *m, struct job *job, const struct verify_wish *wish,
		  struct verify_result *result)
{
	const struct volume *v = m->volume;
	struct verify *x = &m->verify;
	uint64_t last = wish->length ? wish->offset + wish->length : v->size_bytes;

	memset(result, 0, sizeof(*result));
	x->job = job;
	x->result = result;
	x->repair = wish->repair;
	x->begin = x->at = wish->offset / CHECK_BYTES * CHECK_BYTES;
	x->end = min_u64(round_up_u64(last, CHECK_BYTES), v->size_bytes);
	x->started_ns = m->engine->core.now_ns;
	x->told = 0;
	x->turn++;
	tell(m, 6, "begun", x->end - x->begin, x->repair ? "what differs is repaired" : "");
	list_add_tail(&m->engine->verifies, &x->node);
	m->engine->next_tick_ns = 0;
}

void verify_request(struct engine *e, struct job *job, struct volume *v,
		    const struct verify_wish *wish, struct verify_result *result)
{
	struct mirror *m = mirror_get(e, v);
	const char *name = v->record.name;

	if (!m)
		refuse(job, -ENOMEM, "out of memory");
	else if (!volume_tracks(v))
		refuse(job, -EINVAL, "volume '%s' is not paired: there is nothing to compare with",
		       name);
	else if (v->record.role != VOLUME_PRIMARY)
		refuse(job, -EINVAL,
		       "volume '%s' is secondary on this node: verify it at node '%s'", name,
		       v->record.replicas[0].node_name);
	else if (v->mirror != MIRROR_SYNCED)
		refuse(job, -EBUSY, "volume '%s' is not in sync with node '%s' (%s): %s", name,
		       v->record.replicas[0].node_name, mirror_state_name(v->mirror),
		       v->mirror == MIRROR_COPYING
			       ? "the resync compares what may differ; verify it afterwards"
			       : "verify it when it is");
	else if (m->verify.job)
		refuse(job, -EALREADY, "volume '%s' is being verified already (%llu of %llu bytes)",
		       name, (unsigned long long)m->verify.result->compared_bytes,
		       (unsigned long long)(m->verify.end - m->verify.begin));
	else if (wish->offset >= v->size_bytes || wish->length > v->size_bytes - wish->offset)
		refuse(job, -EINVAL, "volume '%s' has %llu bytes: nothing is there to compare",
		       name, (unsigned long long)v->size_bytes);
	else
		begin(m, job, wish, result);
}

void verify_cancel(struct job *job, struct volume *v)
{
	struct mirror *m = v->peering;

	if (!m || !m->verify.job) {
		refuse(job, -EINVAL, "volume '%s' is not being verified", v->record.name);
		return;
	}
	verify_stop(m, -ECANCELED, "by the operator");
	job_done(job, 0, "the verify of volume '%s' was stopped", v->record.name);
}
