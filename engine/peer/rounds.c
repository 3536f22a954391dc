/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clearing rounds of a volume's write-intent map: what was written long enough ago is equal on both
 * replicas, once both are flushed.  It has settled: it is not compared when the peer is lost, and,
 * when it is cleared as well, not after a crash of this node either.
 */
#include "engine/peer/node.h"

#include "engine/base/mutant.h"

#include <assert.h>

/*
 * In sync, or as the source of a resync: what was copied is equal, too, so that a resync that is
 * interrupted goes on with what is left.
 */
static bool clears(const struct mirror *m)
{
	return m->volume->mirror == MIRROR_SYNCED ||
	       (m->volume->mirror == MIRROR_COPYING && m->step == STEP_SOURCE);
}

/* Something may be lost of a primary in sync that is not known to be lacking. */
static bool mends(const struct mirror *m)
{
	const struct volume *v = m->volume;

	return volume_lost(v) && v->mirror == MIRROR_SYNCED && v->record.role == VOLUME_PRIMARY &&
	       (m->mend.flushes != v->flushes_failed || !v->map.intent.lacking_regions) &&
	       !MUTANT(SOURCE_KEEPS_LOST);
}

/*
 * A flush that failed, this one or another on the device, may have lost whatever had not settled,
 * and the next one says nothing of it: a device tells an error once.  So nothing settles until
 * this replica is whole again; of a primary in sync, what it lacks is fetched.  Until then a
 * flush of its clients fails, too, once.
 */
static void round_failed_here(struct mirror *m)
{
	if (mends(m))
		mend_write_failed(m->engine, m->volume, 0, 0, "a flush failed on the local leg");
}

/*
 * A primary fetches what it lost, all of which is its own: what it had been sent before was durable
 * when it was promoted.  At the end of a resync it is for resync_flushed().
 */
static void round_failed_there(struct mirror *m)
{
	struct volume *v = m->volume;
	bool theirs = v->mirror == MIRROR_SYNCED && v->record.role != VOLUME_PRIMARY;

	if ((m->round_peer == LS_LOCAL_IO || m->round_peer == LS_NO_SPACE) && !m->finishing &&
	    !theirs)
		mirror_leg_failed(m->engine, v, "a flush failed on the peer's leg");
}

static void round_over(struct mirror *m)
{
	struct volume *v = m->volume;
	/* Or counted since this node's flush ended: it may be of an older one. */
	bool lost = m->round_here != LS_OK || (volume_lost(v) && !MUTANT(LOST_SETTLES));

	if (lost)
		round_failed_here(m);
	if (m->round_peer != LS_OK)
		round_failed_there(m);
	else if (!lost && intent_round_end(&v->map.intent, m->round_clears))
		map_write(v);
}

static void round_part(struct mirror *m)
{
	if (--m->round_open > 0)
		return;
	if (clears(m))
		round_over(m);
	resync_flushed(m);
}

static void round_flushed(struct leg *leg)
{
	struct mirror *m = CONTAINER_OF(leg, struct mirror, flush_leg);

	core_administer(&m->engine->core, true);
	m->round_here = volume_flush_end(m->volume, leg, false);
	round_part(m);
	core_administer(&m->engine->core, false);
}

static void round_answered(struct call *call, const struct frame *f)
{
	struct mirror *m = CONTAINER_OF(call, struct mirror, flush_call);

	core_administer(&m->engine->core, true);
	m->round_peer = f->status;
	round_part(m);
	core_administer(&m->engine->core, false);
}

static void round_lost(struct call *call, bool sent)
{
	struct mirror *m = CONTAINER_OF(call, struct mirror, flush_call);

	(void)sent;
	m->round_peer = LS_PEER_LOST;
	round_part(m);
}

static void round_send(struct call *call)
{
	struct mirror *m = CONTAINER_OF(call, struct mirror, flush_call);
	struct frame f = {
		.command = FRAME_FLUSH,
		.volume = m->volume->record.replicas[0].volume_number,
	};

	channel_send(call->channel, call, &f, NULL, 0, NULL);
}

/*
 * Does the next round clear what has settled?  The next write to a region that was cleared has to
 * wait for the map's page again.  So only when the clients rest, or so much is set that comparing
 * it after a crash of this node would take long.
 */
static bool round_clears(struct mirror *m)
{
	const struct volume *v = m->volume;
	const struct intent *map = &v->map.intent;
	uint64_t changes = v->stats.writes + v->stats.discards;
	/* Of a secondary only its own: the peer goes on changing it. */
	bool rest =
		changes == m->round_changes && (v->record.role != VOLUME_PRIMARY || !v->changing);

	m->round_changes = changes;
	return rest || v->mirror != MIRROR_SYNCED ||
	       (uint64_t)(map->marked - map->dirty_regions) << map->shift >
		       m->engine->settings.map_keep_bytes;
}

/* Both replicas flush, then what was quiet meanwhile is equal for certain (I3, I4). */
void round_begin(struct mirror *m)
{
	struct volume *v = m->volume;

	assert(!m->round_open && v->channels[0]);
	m->round_at_ns = m->engine->core.now_ns + m->engine->settings.clear_ns;
	m->round_clears = round_clears(m);
	intent_round_begin(&v->map.intent);
	m->round_here = LS_OK;
	m->round_open = 2;
	m->flush_leg = (struct leg){.op.code = STORE_FLUSH, .done = round_flushed};
	volume_flush_begin(v, &m->flush_leg,
			   MUTANT(LOST_SETTLES) ? v->flushes_failed : v->flushes_mended);
	leg_start(&m->flush_leg, &v->record, v->pool->stores);
	if (MUTANT(ROUND_NO_FLUSH)) {
		m->round_peer = LS_OK;
		round_part(m);
		return;
	}
	m->flush_call.credit = round_send;
	m->flush_call.answered = round_answered;
	m->flush_call.lost = round_lost;
	if (channel_credit(v->channels[0], &m->flush_call, true))
		round_send(&m->flush_call);
}

void round_run(struct mirror *m)
{
	const struct volume *v = m->volume;

	if (m->round_open || !clears(m) || m->engine->core.now_ns < m->round_at_ns)
		return;
	if (v->channels[0] && (v->map.intent.marked > v->map.intent.dirty_regions || mends(m)))
		round_begin(m);
}
