/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mending: writes that this node's device failed and the peer's took.
 *
 * The client has been told that its write failed; either bytes may be there.  But the peer has
 * them, and a device that fails writes is no reason to leave the good replica behind: the mirror
 * stays in sync, the regions are lacking here, and after a while they are fetched from the peer
 * (core/fetch.c reads and writes back).  They stay set in the write-intent map until then, so a
 * crash or a lost peer finds them in doubt, as any write in flight.
 *
 * A flush that failed may have lost whatever had not settled: all of that is lacking at a primary.
 * A secondary begins anew, as the target of a resync.
 */
#include "engine/peer/node.h"

#include "engine/base/mutant.h"

#include <errno.h>
#include <stdio.h>

/* A leg that failed: after 5, 10, 20 … seconds; from the beginning after ten minutes of peace. */
#define BACKOFF_NS (5 * NS_PER_S)
#define BACKOFF_MAX_NS (60 * NS_PER_S)
#define BACKOFF_FORGET_NS (600 * NS_PER_S)

static void mend_next(struct mirror *m);

uint64_t mirror_backoff_ns(struct mirror *m)
{
	uint64_t now = m->engine->core.now_ns, wait;

	if (now - m->failed_at_ns > BACKOFF_FORGET_NS)
		m->failures = 0;
	m->failed_at_ns = now;
	wait = min_u64(BACKOFF_NS << m->failures, BACKOFF_MAX_NS);
	if (wait < BACKOFF_MAX_NS)
		m->failures++;
	return wait;
}

void mirror_again(struct mirror *m, const char *kind, const char *what)
{
	uint64_t wait = mirror_backoff_ns(m);
	char text[240];

	snprintf(text, sizeof(text), "%s; a resync begins in %llu s", what,
		 (unsigned long long)(wait / NS_PER_S));
	tell_error(m->engine, m->volume, kind, "%s", text);
	mirror_stop(m->volume, text);
	m->retry_at_ns = m->engine->core.now_ns + wait;
	mirror_jobs_done(m, -EIO, text);
}

void mirror_leg_failed(void *engine, struct volume *v, const char *reason)
{
	(void)engine;
	if (volume_mirrors(v))
		mirror_again(v->peering, "leg", reason);
}

static bool lacks(const struct mirror *m)
{
	return m->volume->mirror == MIRROR_SYNCED && m->volume->map.intent.lacking_regions > 0;
}

static void later(struct mirror *m, const char *what)
{
	uint64_t wait = mirror_backoff_ns(m);

	m->mend.at_ns = m->engine->core.now_ns + wait;
	mirror_reason(m->volume,
		      "%s; what this node's device lacks is fetched from the peer in %llu s", what,
		      (unsigned long long)(wait / NS_PER_S));
	tell_error(m->engine, m->volume, "leg", "%s", m->volume->mirror_reason);
	mirror_jobs_done(m, -EIO, m->volume->mirror_reason);
}

/*
 * Of what was lost before both were in sync, the peer may have been given what was read here
 * instead, and clients must hear of it.
 */
static void made_whole(struct mirror *m)
{
	volume_whole(m->volume, m->mend.flushes);
	if (m->mend.in_sync)
		volume_untold(m->volume, m->mend.flushes);
}

static void all_mended(struct mirror *m)
{
	made_whole(m);
	core_event(&m->engine->core, &(struct engine_event){
					     .kind = EVENT_ERROR,
					     .level = 5,
					     .volume = m->volume->record.name,
					     .what = "leg mended",
					     .reason = "it has what the peer has, again",
				     });
	mirror_is_synced(m);
}

static void region_mended(struct mirror *m)
{
	struct intent *map = &m->volume->map.intent;

	/* Another write has failed in it meanwhile: once more. */
	if (!m->mend.again)
		intent_filled(map, m->mend.region);
	if (!map->lacking_regions)
		all_mended(m);
}

static void went_on(struct mirror *m, const struct fetch *fetch, enum ls_status status)
{
	char text[120];

	/* Stopped meanwhile: the regions are dirty now, and a resync's.  What lacks since waits. */
	if (!lacks(m) || m->mend.at == m->mend.end)
		return;
	if (status != LS_OK || !fetch->written_back) {
		snprintf(text, sizeof(text), "byte %llu could not be mended: %s",
			 (unsigned long long)fetch->offset,
			 ls_status_text(status != LS_OK ? status : LS_LOCAL_IO));
		mend_stop(m);
		later(m, text);
		return;
	}
	m->mend.at += fetch->length;
	if (m->mend.at == m->mend.end)
		region_mended(m);
	mend_next(m);
}

static void fetched(struct fetch *fetch, enum ls_status status)
{
	struct mirror *m = CONTAINER_OF(fetch, struct mirror, mend.fetch);

	core_administer(&m->engine->core, true);
	m->mend.busy = false;
	m->engine->next_tick_ns = 0;
	went_on(m, fetch, status);
	core_administer(&m->engine->core, false);
}

/* One chunk of the region that is being mended, or of the next one that lacks something. */
static void mend_next(struct mirror *m)
{
	struct mend *x = &m->mend;
	struct volume *v = m->volume;
	struct intent *map = &v->map.intent;
	uint64_t border;

	if (!lacks(m))
		return;
	if (x->at == x->end) {
		x->region = intent_next_lacking(map);
		x->at = (uint64_t)x->region << map->shift;
		x->end = min_u64(x->at + intent_region_bytes(map), v->size_bytes);
		x->again = false;
	}
	border = FETCH_BYTES_MAX - x->at % FETCH_BYTES_MAX;
	x->busy = true;
	x->fetch = (struct fetch){
		.volume = v,
		.offset = x->at,
		.length = min_u64(border, x->end - x->at),
		.silent = true,
		.done = fetched,
	};
	fetch_start(&m->engine->core, &x->fetch);
}

/* What a secondary may have lost may be in the peer's map only. */
static bool leaves(const struct mirror *m)
{
	const struct volume *v = m->volume;

	return v->mirror == MIRROR_SYNCED && v->record.role != VOLUME_PRIMARY && volume_lost(v) &&
	       !mirror_busy(m);
}

void mend_run(struct mirror *m)
{
	if (leaves(m))
		mirror_leg_failed(m->engine, m->volume, "a flush failed on the local leg");
	if (lacks(m) && !m->mend.busy && m->volume->record.role == VOLUME_PRIMARY &&
	    m->engine->core.now_ns >= m->mend.at_ns)
		mend_next(m);
}

static void mend_soon(struct mirror *m)
{
	m->mend.at_ns = 0;
	m->engine->next_tick_ns = 0;
}

void mend_now(struct mirror *m)
{
	m->failures = 0;
	mend_soon(m);
}

void mend_stop(struct mirror *m)
{
	m->mend.at = m->mend.end = 0;
}

/* Nothing is marked: nothing was lost. */
static void lack_marked(struct mirror *m)
{
	struct volume *v = m->volume;

	m->mend.flushes = v->flushes_failed;
	intent_lack_marked(&v->map.intent);
	if (!v->map.intent.lacking_regions)
		made_whole(m);
}

void mend_write_failed(void *engine, struct volume *v, uint64_t offset, uint64_t length,
		       const char *reason)
{
	struct mirror *m = v->peering;
	struct intent *map = &v->map.intent;
	bool first = !map->lacking_regions;

	/* A flush that failed without a loss, or of one that is made good: only to be told. */
	if (!length && (!volume_lost(v) || v->record.role != VOLUME_PRIMARY))
		return;
	/* A peer that is not whole is no help.  A resync begins anew, and copies this as well. */
	if (v->mirror != MIRROR_SYNCED) {
		if (length)
			intent_dirty(map, offset, length);
		mirror_leg_failed(engine, v, reason);
		return;
	}
	m->mend.again = true;
	if (MUTANT(LACK_FORGOTTEN))
		return;
	if (first) {
		m->mend.flushes = v->flushes_mended;
		/* Numbers that wrap.  Of those before they may have to hear still. */
		m->mend.in_sync = (int32_t)(v->flushes_told - v->flushes_mended) >= 0;
	}
	if (length)
		intent_lack(map, offset, length);
	else
		lack_marked(m);
	if (first && map->lacking_regions)
		later(m, reason);
}

bool mend_lost(struct mirror *m)
{
	struct volume *v = m->volume;

	if (v->record.role != VOLUME_PRIMARY || !volume_lost(v) || MUTANT(SOURCE_KEEPS_LOST))
		return false;
	m->mend.in_sync = false;
	lack_marked(m);
	if (!v->map.intent.lacking_regions)
		return false;
	mirror_reason(v, "a flush had failed here: what it may have lost is fetched from the peer");
	/* What failed before goes on counting: each time that it is tried may lead here. */
	mend_soon(m);
	return true;
}
