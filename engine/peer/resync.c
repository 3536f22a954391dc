/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source of a resync: copies the dirty regions of its map, while clients go on writing
 * to both replicas.
 *
 * Why it loses no write: since BEGIN was answered every write goes to both, and a chunk is
 * read, compared and copied under its range (I2), so a write is either before the chunk's
 * read or behind its arrival at the target.
 *
 * A blank source (zeroed when it was made, not written since) is not read: its target is told to
 * write zeroes, by the region.
 *
 * A chunk that one of the devices fails is left out, its region stays dirty, and the rest is
 * copied; then, and after BAD_CHUNKS_MAX of them, the copy pauses and tries them again later.
 * Meanwhile writes go to both replicas as before.
 *
 * One volume is copied at a time; the others wait in order.  How much is under way at once,
 * and how large a chunk is, pace.c says.
 */
#include "engine/peer/node.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/base/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A device that fails everything is not asked for everything. */
#define BAD_CHUNKS_MAX 16u

static void copy_more(struct mirror *m);
static void unit_next_run(struct copy_unit *u);

static struct mirror *active(struct engine *e)
{
	struct list *node = list_first(&e->resyncs);

	return node ? LIST_ENTRY(node, struct mirror, resync_node) : NULL;
}

static bool copying(const struct mirror *m)
{
	return m->step == STEP_SOURCE && m->volume->mirror == MIRROR_COPYING &&
	       m->resync_status == LS_OK;
}

/* The operator's, in bytes a second; 0 = none. */
static uint64_t hand_limit(const struct mirror *m)
{
	return KIB(m->volume->record.resync_limit_kib);
}

/* Does the chunk belong to the resync that runs, and not to one before a lost session? */
static bool current(const struct copy_unit *u)
{
	return u->turn == u->mirror->resync_turn && copying(u->mirror);
}

/* --- what cannot be copied --- */

static bool region_bad(const struct mirror *m, uint32_t region)
{
	return m->resync_bad[region / 8] >> (region % 8) & 1;
}

static void chunk_failed(struct mirror *m, uint32_t region, uint64_t offset, enum ls_status status)
{
	m->resync_bad[region / 8] |= (uint8_t)(1u << region % 8);
	if (m->resync_bad_chunks++ > 0)
		return;
	m->resync_bad_at = offset;
	m->resync_bad_status = status;
}

static void forget_bad(struct mirror *m)
{
	memset(m->resync_bad, 0, sizeof(m->resync_bad));
	m->resync_bad_chunks = 0;
	m->resync_again_ns = 0;
}

/* Nothing is left that has not failed, or too much has. */
static void resync_pause(struct mirror *m)
{
	struct engine *e = m->engine;
	struct volume *v = m->volume;
	uint64_t wait = mirror_backoff_ns(m);

	m->resync_again_ns = e->core.now_ns + wait;
	mirror_reason(v,
		      "%u parts could not be copied, the first at byte %llu: %s; tried again in "
		      "%llu s",
		      m->resync_bad_chunks, (unsigned long long)m->resync_bad_at,
		      ls_status_text(m->resync_bad_status), (unsigned long long)(wait / NS_PER_S));
	tell_error(e, v, "resync", "%s", v->mirror_reason);
	mirror_jobs_done(m, -EIO, v->mirror_reason);
}

void resync_again(struct mirror *m)
{
	if (!m->resync_again_ns)
		return;
	forget_bad(m);
	list_add_tail(&m->engine->resyncs, &m->resync_node);
	m->engine->next_tick_ns = 0;
}

/* --- one chunk --- */

static bool region_under_way(const struct mirror *m, uint32_t region)
{
	const struct engine *e = m->engine;

	for (unsigned i = 0; i < COPY_UNITS; i++)
		if (e->units[i].busy && e->units[i].offset >> m->volume->map.intent.shift == region)
			return true;
	return false;
}

static void unit_end(struct copy_unit *u, enum ls_status status)
{
	struct mirror *m = u->mirror;
	struct volume *v = m->volume;
	struct intent *map = &v->map.intent;
	uint32_t region = (uint32_t)(u->offset >> map->shift);
	uint64_t region_end = min_u64((uint64_t)(region + 1) << map->shift, v->size_bytes);
	uint64_t now = m->engine->core.now_ns;

	u->busy = false;
	m->engine->units_busy--;
	pace_end(&m->engine->pace, now, u->cost, u->read_ns - u->began_ns, now - u->read_ns);
	range_release(&v->ranges, &u->range);
	if (current(u) && (status == LS_LOCAL_IO || status == LS_PEER_IO))
		chunk_failed(m, region, u->offset, status);
	else if (current(u))
		m->resync_status = status;
	if (current(u)) {
		m->resync_done += u->length;
		/* The cursor is past it and no other chunk of it is under way. */
		if (MUTANT(CLEAN_EARLY) || (m->resync_at >= region_end &&
					    !region_under_way(m, region) && !region_bad(m, region)))
			intent_clean(map, region);
	}
	copy_more(m);
}

static void unit_lost(struct call *call, bool sent)
{
	(void)sent;
	unit_end(CONTAINER_OF(call, struct copy_unit, call), LS_PEER_LOST);
}

static void unit_written(struct call *call, const struct frame *f)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);

	if (f->status != LS_OK && !MUTANT(COPY_ERROR_IGNORED)) {
		bool device = f->status == LS_LOCAL_IO || f->status == LS_NO_SPACE;

		unit_end(u, device ? LS_PEER_IO : LS_PROTOCOL);
		return;
	}
	u->run_at += u->run_bytes;
	unit_next_run(u);
}

static bool all_zeroes(const uint8_t *p, uint64_t length)
{
	/* The first word is zero and each byte equals the one eight before it. */
	return get_u64(p) == 0 && memcmp(p, p + 8, length - 8) == 0;
}

static void run_send(struct call *call)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);
	struct engine *e = u->mirror->engine;
	const uint8_t *data = u->buf + u->run_at;
	bool crc = e->core.payload_crc && !u->zeroes;
	struct frame f = {
		.command = u->zeroes ? FRAME_WRITE_ZEROES : FRAME_WRITE,
		.flags = crc ? FRAME_CRC : 0,
		.volume = u->mirror->volume->record.replicas[0].volume_number,
		.length = (uint32_t)u->run_bytes,
		.offset = u->offset + u->run_at,
		.payload_crc = crc ? crc32c(data, u->run_bytes) : 0,
	};

	u->mirror->resync_sent += u->zeroes ? 0 : u->run_bytes;
	channel_send(call->channel, call, &f, u->zeroes ? NULL : data,
		     u->zeroes ? 0 : (uint32_t)u->run_bytes, e->copy_region);
}

static void unit_call(struct copy_unit *u, void (*send)(struct call *),
		      void (*answered)(struct call *, const struct frame *))
{
	struct volume *v = u->mirror->volume;

	/* The session may have ended while the device read. */
	if (!current(u) || !v->channels[0]) {
		unit_end(u, LS_PEER_LOST);
		return;
	}
	u->call.credit = send;
	u->call.answered = answered;
	u->call.lost = unit_lost;
	if (channel_credit(v->channels[0], &u->call, false))
		send(&u->call);
}

static bool differs(const struct copy_unit *u, uint64_t at)
{
	return u->mask >> (at / CHECK_BYTES) & 1;
}

/* The next run of parts that differ, from run_at on; the end of the chunk when there is none. */
static void unit_next_run(struct copy_unit *u)
{
	uint64_t at = u->run_at, end;

	while (at < u->length && !differs(u, at))
		at += CHECK_BYTES;
	if (at >= u->length) {
		unit_end(u, LS_OK);
		return;
	}
	for (end = at; end < u->length && differs(u, end);)
		end += CHECK_BYTES;
	u->run_at = at;
	u->run_bytes = min_u64(end, u->length) - at;
	u->zeroes = all_zeroes(u->buf + at, u->run_bytes);
	unit_call(u, run_send, unit_written);
}

static void unit_checked(struct call *call, const struct frame *f)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);

	/* A target that cannot read it is given all of it: a write may mend the block. */
	u->mask = f->status == LS_OK ? f->offset : UINT64_MAX;
	unit_next_run(u);
}

static void check_send(struct call *call)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);
	uint32_t n = 0;
	struct frame f = {
		.command = FRAME_CHECK,
		.volume = u->mirror->volume->record.replicas[0].volume_number,
		.length = (uint32_t)u->length,
		.offset = u->offset,
	};

	for (uint64_t at = 0; at < u->length; at += CHECK_BYTES, n++)
		put_u64(u->sums + 8 * n,
			checksum64(u->buf + at, min_u64(CHECK_BYTES, u->length - at)));
	if (u->mirror->engine->core.payload_crc) {
		f.flags = FRAME_CRC;
		f.payload_crc = crc32c(u->sums, 8 * (size_t)n);
	}
	channel_send(call->channel, call, &f, u->sums, 8 * n, u->mirror->engine->copy_region);
}

static void unit_read(struct leg *leg)
{
	struct copy_unit *u = CONTAINER_OF(leg, struct copy_unit, leg);

	u->read_ns = u->mirror->engine->core.now_ns;
	if (leg->status != LS_OK) {
		unit_end(u, LS_LOCAL_IO);
		return;
	}
	u->run_at = 0;
	u->mask = UINT64_MAX;
	if (u->mirror->resync_blind)
		unit_next_run(u);
	else
		unit_call(u, check_send, unit_checked);
}

/* Under its range nobody writes here: what is blank now stays so until the target has it. */
static void send_blank(struct copy_unit *u)
{
	u->zeroes = true;
	u->run_at = 0;
	u->mask = UINT64_MAX;
	u->run_bytes = u->length;
	unit_call(u, run_send, unit_written);
}

/* Somebody has written to the volume since, and this is too long to be read: back to the rest. */
static void shorten(struct copy_unit *u)
{
	struct mirror *m = u->mirror;

	u->length = PIECE_BYTES_MAX;
	if (current(u))
		m->resync_at = min_u64(m->resync_at, u->offset + u->length);
}

static void unit_granted(struct range *range)
{
	struct copy_unit *u = CONTAINER_OF(range, struct copy_unit, range);
	const struct volume *v = u->mirror->volume;

	u->began_ns = u->read_ns = u->mirror->engine->core.now_ns;
	if (v->blank) {
		send_blank(u);
		return;
	}
	if (u->length > PIECE_BYTES_MAX)
		shorten(u);
	u->leg = (struct leg){
		.op.code = STORE_READ,
		.offset = u->offset,
		.length = u->length,
		.op.buf = u->buf,
		.op.region = u->mirror->engine->copy_region,
		.done = unit_read,
	};
	leg_start(&u->leg, &v->record, v->pool->stores);
}

uint8_t *copy_buffer(const struct engine *e, size_t i)
{
	return (uint8_t *)e->copy_region->base + i * PIECE_BYTES_MAX;
}

uint8_t *copy_sums(const struct engine *e, size_t i)
{
	return copy_buffer(e, COPY_UNITS) + i * 4096;
}

static void unit_start(struct mirror *m, struct copy_unit *u, uint64_t offset, uint64_t length,
		       uint64_t cost)
{
	struct engine *e = m->engine;
	struct volume *v = m->volume;
	size_t i = (size_t)(u - e->units);

	u->mirror = m;
	u->turn = m->resync_turn;
	u->busy = true;
	e->units_busy++;
	pace_begin(&e->pace, e->core.now_ns, cost, hand_limit(m));
	u->buf = copy_buffer(e, i);
	u->sums = copy_sums(e, i);
	u->offset = offset;
	u->length = length;
	u->cost = cost;
	m->resync_at = offset + u->length;
	u->range.granted = unit_granted;
	/* The mutant's range is one that nobody else takes. */
	if (range_acquire(&v->ranges, &u->range,
			  u->offset + (MUTANT(RESYNC_UNLOCKED) ? UINT64_C(1) << 60 : 0), u->length))
		unit_granted(&u->range);
}

/* --- the end --- */

static void source_committed(struct mirror *m, enum ls_status status)
{
	m->finishing = false;
	if (status != LS_OK)
		mirror_again(m, "resync", "the pool's table could not be written");
	else if (m->step == STEP_SOURCE)
		mirror_synced(m);
	mirror_kick(m);
}

static void synced_answered(struct mirror *m, const struct frame *f)
{
	struct generations *g = &m->volume->record.generations;

	if (m->step != STEP_SOURCE)
		return;
	if (!f || f->status != LS_OK) {
		m->finishing = false;
		if (f)
			mirror_again(m, "resync", "the target did not confirm the resync");
		return;
	}
	if (!g->base && !g->offered) {
		source_committed(m, LS_OK);
		return;
	}
	mirror_change(m, "equal to node '%s'", m->peer->name);
	generation_synced(g);
	mirror_commit(m, source_committed);
}

/* Everything is equal and flushed. */
static void send_synced(struct mirror *m)
{
	struct generations g = m->volume->record.generations;

	generation_synced(&g);
	generations_encode(&g, m->buffer);
	mirror_call(m, FRAME_SYNCED, GENERATIONS_BYTES, synced_answered);
}

static void offer_committed(struct mirror *m, enum ls_status status)
{
	if (status == LS_OK || m->step != STEP_SOURCE)
		return;
	m->finishing = false;
	mirror_again(m, "resync", "the pool's table could not be written");
}

/* From SYNCED on the peer may have our generation: that is durable before it is sent. */
static void offer(struct mirror *m)
{
	mirror_change(m, "offered to node '%s'", m->peer->name);
	m->volume->alone_durable = false;
	m->volume->record.generations.offered = true;
	if (MUTANT(OFFER_NOT_DURABLE))
		offer_committed(m, LS_OK);
	else
		mirror_commit(m, offer_committed);
}

/*
 * This node's own flush may fail: what was copied is in the map for its next crash, then.  The
 * target's may not.
 */
void resync_flushed(struct mirror *m)
{
	if (!m->finishing)
		return;
	m->engine->next_tick_ns = 0;
	if (m->flush_turn != m->resync_turn || m->round_peer == LS_PEER_LOST)
		return;
	if (m->round_peer != LS_OK) {
		m->finishing = false;
		mirror_again(m, "resync", "the target could not flush the resync");
		return;
	}
	m->flushed = true;
}

/* Nothing more is to be copied, or the copy has failed; the last chunk is back. */
static void copy_ended(struct mirror *m)
{
	enum ls_status status = m->resync_status;

	list_del(&m->resync_node);
	m->engine->next_tick_ns = 0;
	if (m->step != STEP_SOURCE)
		return;
	if (status == LS_PROTOCOL) {
		mirror_again(m, "resync", "the target refused a write of the resync");
	} else if (status == LS_OK && m->resync_bad_chunks) {
		resync_pause(m);
	} else if (status == LS_OK) {
		m->finishing = true;
		m->flushed = MUTANT(SYNCED_UNFLUSHED);
	}
}

/* --- from outside --- */

/*
 * Where the next chunk begins; false: nothing is dirty from the cursor on, but what has failed.
 * A region that failed in part is copied to its end.
 */
static bool next_dirty(const struct mirror *m, uint64_t *at)
{
	const struct intent *map = &m->volume->map.intent;
	uint32_t region = (uint32_t)(m->resync_at >> map->shift), next;

	if (m->resync_at >= m->volume->size_bytes)
		return false;
	next = intent_next_dirty(map, region);
	*at = m->resync_at;
	if (next == region && m->resync_at % intent_region_bytes(map))
		return true;
	while (next != UINT32_MAX && region_bad(m, next))
		next = intent_next_dirty(map, next + 1);
	*at = (uint64_t)next << map->shift;
	return next != UINT32_MAX;
}

/* At most @bytes, within one region and one piece of I/O; blank, as much as a frame may. */
static uint64_t chunk_length(const struct volume *v, uint64_t at, uint64_t bytes)
{
	uint64_t region = intent_region_bytes(&v->map.intent);
	uint64_t unit = min_u64(v->blank ? PIECE_SPAN_MAX : PIECE_BYTES_MAX, region);

	if (v->blank)
		bytes = unit;
	return min_u64(bytes, min_u64(unit - at % unit, v->size_bytes - at));
}

static struct copy_unit *free_unit(struct engine *e)
{
	for (unsigned i = 0; i < COPY_UNITS; i++)
		if (!e->units[i].busy && !e->verify_units[i].busy)
			return &e->units[i];
	return NULL;
}

uint64_t copy_grant(struct engine *e, uint64_t limit)
{
	e->core.sampled_until_ns = e->core.now_ns + PACE_UNASKED_NS;
	return pace_grant(&e->pace, e->core.now_ns, e->core.flying > 0, limit);
}

static void copy_more(struct mirror *m)
{
	struct engine *e = m->engine;
	uint64_t at;

	if (active(e) != m)
		return;
	while (copying(m) && m->resync_bad_chunks < BAD_CHUNKS_MAX && next_dirty(m, &at)) {
		struct copy_unit *u = free_unit(e);
		uint64_t bytes = 0, length;

		if (u)
			bytes = copy_grant(e, hand_limit(m));
		/* A chunk that ends, or pace.wake_ns, leads here again. */
		if (!bytes)
			return;
		length = chunk_length(m->volume, at, bytes);
		unit_start(m, u, at, length, min_u64(length, bytes));
	}
	if (e->units_busy)
		return;
	/* A write that failed at the target has made a region dirty behind the cursor. */
	if (copying(m) && m->resync_bad_chunks < BAD_CHUNKS_MAX) {
		m->resync_at = 0;
		if (next_dirty(m, &at)) {
			e->next_tick_ns = 0;
			return;
		}
	}
	copy_ended(m);
}

void resync_start(struct mirror *m)
{
	struct intent *map = &m->volume->map.intent;

	m->resync_at = m->resync_done = m->resync_sent = 0;
	m->resync_total = (uint64_t)map->dirty_regions << map->shift;
	m->resync_started_ns = m->engine->core.now_ns;
	m->resync_status = LS_OK;
	forget_bad(m);
	m->finishing = m->marking = false;
	m->resync_turn++;
	/* The last chunk of a resync before a lost session may still be under way. */
	if (list_empty(&m->resync_node))
		list_add_tail(&m->engine->resyncs, &m->resync_node);
	m->engine->next_tick_ns = 0;
}

/*
 * From here on writes may be held until the peer is back: a chunk that waits for one would keep
 * its unit, and the copies of other volumes, for so long.
 */
static void abandon_waiting(struct mirror *m)
{
	struct engine *e = m->engine;

	for (unsigned i = 0; i < COPY_UNITS; i++) {
		struct copy_unit *u = &e->units[i];

		if (!u->busy || u->mirror != m || !range_waits(&u->range))
			continue;
		u->busy = false;
		e->units_busy--;
		pace_end(&e->pace, e->core.now_ns, u->cost, 0, 0);
		range_abandon(&m->volume->ranges, &u->range);
		e->next_tick_ns = 0;
	}
}

void resync_stop(struct mirror *m)
{
	m->finishing = false;
	m->resync_again_ns = 0;
	if (m->resync_status == LS_OK)
		m->resync_status = LS_PEER_LOST;
	abandon_waiting(m);
	/* Chunks under way end by themselves; the last one takes it from the list. */
	if (active(m->engine) != m || !m->engine->units_busy)
		list_del(&m->resync_node);
}

/*
 * What this node may have lost is fetched when both are in sync, and must be in the map by then:
 * a power cut would make the replicas differ.  What only the peer's map had is not yet.
 */
static bool marks_what_is_lost(struct mirror *m)
{
	struct volume *v = m->volume;

	if (!volume_lost(v) || intent_all_durable(&v->map.intent))
		return true;
	if (v->map.busy)
		return false;
	if (m->marking && v->map.failed) {
		mirror_again(m, "resync", "the write-intent map could not be written");
		return false;
	}
	m->marking = true;
	map_write(v);
	return false;
}

static void finish(struct mirror *m)
{
	const struct volume *v = m->volume;
	/* Who was promoted by force has no base, but goes alone, too. */
	bool alone = generation_alone(&v->record.generations) ||
		     (v->alone_durable && !MUTANT(FORCED_KEEPS_ALONE));
	bool to_offer = m->flushed && alone && !MUTANT(SYNCED_KEEPS_ALONE);

	if (m->calling || m->committing || !peer_up(m->peer) || !marks_what_is_lost(m))
		return;
	if (to_offer) {
		offer(m);
		return;
	}
	if (m->flushed) {
		if (mirror_buffer(m))
			send_synced(m);
	} else if (m->flush_turn != m->resync_turn && !m->round_open && v->channels[0]) {
		m->flush_turn = m->resync_turn;
		round_begin(m);
	}
}

bool resync_active(const struct mirror *m)
{
	return active(m->engine) == m;
}

void resync_more(struct engine *e)
{
	struct mirror *m = active(e);

	e->pace.wake_ns = UINT64_MAX;
	if (m)
		copy_more(m);
}

void resync_piece_ended(void *engine, bool mirrored, uint64_t since_ns)
{
	struct engine *e = engine;

	pace_client(&e->pace, e->core.now_ns, mirrored ? PACE_MIRRORED : PACE_LOCAL, since_ns);
}

void resync_run(struct engine *e)
{
	struct volume *v;
	unsigned at = 0;

	resync_more(e);
	while ((v = volume_next_in(e, &e->restless, &at))) {
		struct mirror *m = v->peering;

		if (m && m->finishing && m->step == STEP_SOURCE)
			finish(m);
		else if (m && m->resync_again_ns && e->core.now_ns >= m->resync_again_ns)
			resync_again(m);
	}
}
