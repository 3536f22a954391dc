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

/*
 * A flush that failed may have lost whatever had not settled, and the next one says nothing of
 * it: a device tells an error once.  So it counts like a client's that failed.
 */
static void round_failed(struct mirror *m)
{
	struct volume *v = m->volume;

	if (m->round_here != LS_OK)
		mend_write_failed(m->engine, v, 0, 0, "a flush failed on the local leg");
	/* At the end of a resync that is for resync_flushed(). */
	if ((m->round_peer == LS_LOCAL_IO || m->round_peer == LS_NO_SPACE) && !m->finishing)
		mirror_leg_failed(m->engine, v, "a flush failed on the peer's leg");
}

static void round_part(struct mirror *m)
{
	struct volume *v = m->volume;

	if (--m->round_open > 0)
		return;
	if (clears(m) && (m->round_here != LS_OK || m->round_peer != LS_OK))
		round_failed(m);
	else if (clears(m) && intent_round_end(&v->map.intent, m->round_clears))
		map_write(v);
	resync_flushed(m);
}

static void round_flushed(struct leg *leg)
{
	struct mirror *m = CONTAINER_OF(leg, struct mirror, flush_leg);
	const struct volume *v = m->volume;
	bool mended = v->mirror == MIRROR_SYNCED && v->record.role == VOLUME_PRIMARY;

	core_administer(&m->engine->core, true);
	/* What this node lacks then is fetched, if the peer has it: so there is nothing to tell. */
	m->round_here = volume_flush_end(m->volume, leg, mended);
	m->flushes_known = v->flushes_failed;
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
	m->flush_leg = (struct leg){.code = LEG_FLUSH, .done = round_flushed};
	volume_flush_begin(v, &m->flush_leg, (uint32_t)max_u64(m->flushes_known, v->flushes_told));
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
	if (v->channels[0] && v->map.intent.marked > v->map.intent.dirty_regions)
		round_begin(m);
}
