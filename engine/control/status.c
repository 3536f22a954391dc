/* SPDX-License-Identifier: BSD-3-Clause */
/* Status: plain copies of what the engine knows. */
#include "engine/control/engine.h"

#include "engine/base/crc32c.h"
#include "engine/peer/node.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *mirror_state_name(enum mirror_state state)
{
	switch (state) {
	case MIRROR_NONE:
		return "none";
	case MIRROR_WAITING:
		return "waiting";
	case MIRROR_COPYING:
		return "copying";
	case MIRROR_SYNCED:
		return "synced";
	case MIRROR_ALONE:
		return "alone";
	case MIRROR_SPLIT:
		return "split";
	case MIRROR_BROKEN:
		return "broken";
	}
	return "?";
}

const char *session_state_name(enum session_state state)
{
	switch (state) {
	case SESSION_DOWN:
		return "down";
	case SESSION_DIALLING:
		return "dialling";
	case SESSION_HANDSHAKE:
		return "handshake";
	case SESSION_UP:
		return "up";
	case SESSION_DRAINING:
		return "draining";
	}
	return "?";
}

bool engine_volume_regions(struct engine *e, const char *name, struct volume_regions *out)
{
	const struct mirror *m;
	const struct volume *v = volume_find(e, name);

	if (!v || !v->ready)
		return false;
	m = v->peering;
	memset(out, 0, sizeof(*out));
	out->size_bytes = v->size_bytes;
	out->local.region_bytes = UINT64_C(1) << v->map.intent.shift;
	intent_export(&v->map.intent, out->local.dirty);
	if (!m || !m->map_shift)
		return true;
	out->peer.region_bytes = UINT64_C(1) << m->map_shift;
	memcpy(out->peer.dirty, m->map, m->map_bytes);
	out->everything = v->mirror == MIRROR_SPLIT && m->decision.everything;
	return true;
}

static enum session_state peer_state(const struct engine *e, const struct peer *p)
{
	if (p->session)
		return p->session->phase == PHASE_UP ? SESSION_UP : SESSION_DRAINING;
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (e->sessions[i].phase != PHASE_FREE && e->sessions[i].peer == p)
			return SESSION_HANDSHAKE;
	return p->dialling ? SESSION_DIALLING : SESSION_DOWN;
}

static void peer_status(const struct engine *e, const struct peer *p, struct peer_status *s)
{
	const struct link *link = p->session ? p->session->link : NULL;

	*s = (struct peer_status){
		.node_address = p->node_address,
		.state = peer_state(e, p),
		.sessions = p->sessions,
	};
	snprintf(s->name, sizeof(s->name), "%s", p->name);
	snprintf(s->address, sizeof(s->address), "%s", p->address);
	snprintf(s->last_error, sizeof(s->last_error), "%s", p->last_error);
	if (!link)
		return;
	s->epoch = p->session->epoch;
	s->version = p->session->version;
	s->credits = p->channel.ids.free_count;
	s->credits_total = p->channel.ids.slots;
	s->link = link->stats;
	snprintf(s->link_backend, sizeof(s->link_backend), "%s", link->backend);
	snprintf(s->link_device, sizeof(s->link_device), "%s", link->device);
	snprintf(s->link_detail, sizeof(s->link_detail), "%s", link->detail);
	snprintf(s->link_address, sizeof(s->link_address), "%s", link->address);
}

static void pool_status(const struct pool *p, struct pool_status *s)
{
	*s = (struct pool_status){
		.size_bytes = pool_units_total(p) * POOL_UNIT_BYTES,
		.free_bytes = pool_units_free(p) * POOL_UNIT_BYTES,
		.device_count = p->device_count,
	};
	snprintf(s->name, sizeof(s->name), "%s", p->name);
	memcpy(s->uuid, p->uuid, 16);
	for (unsigned i = 0; i < p->device_count; i++)
		s->devices[i] = p->stores[i]->geometry;
}

void engine_status(const struct engine *e, struct engine_status *s)
{
	/* Not the pools and peers that are not there: that is more than a megabyte. */
	memset(s, 0, offsetof(struct engine_status, pools));
	s->node_address = e->core.own_address;
	s->now_ns = e->core.now_ns;
	s->crc32c = e->core.payload_crc ? crc32c_name() : "off";
	s->requests_open = e->core.requests;
	s->pieces_in_use = e->core.in_use;
	s->pieces_total = e->core.piece_count;
	s->write_ns_sum = e->core.stats.write_ns_sum;
	s->write_local_ns_sum = e->core.stats.write_local_ns_sum;
	s->write_remote_ns_sum = e->core.stats.write_remote_ns_sum;
	s->write_peer_device_ns_sum = e->core.stats.write_peer_device_ns_sum;
	s->write_count = e->core.stats.write_count;
	s->pool_count = e->pool_count;
	s->volume_count = e->volume_count;
	snprintf(s->node_name, sizeof(s->node_name), "%s", e->settings.node_name);
	for (unsigned i = 0; i < e->pool_count; i++)
		pool_status(e->pools[i], &s->pools[i]);
	for (unsigned i = 0; i < e->peer_count; i++)
		if (e->peers[i].name[0])
			peer_status(e, &e->peers[i], &s->peers[s->peer_count++]);
}

static uint32_t count_bits(const uint8_t *bits, uint32_t bytes)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < bytes; i++)
		n += (uint32_t)__builtin_popcount(bits[i]);
	return n;
}

static const char *copy_bound(const struct mirror *m)
{
	const struct pace *p = &m->engine->pace;

	if (!resync_active(m))
		return "turn";
	if (p->bound != PACE_NOTHING)
		return p->bound == PACE_CLIENTS ? "clients" : "limit";
	return p->local_ns > p->remote_ns ? "device" : "peer";
}

static void copy_status(const struct mirror *m, struct volume_status *s)
{
	const struct engine *e = m->engine;

	s->copy_done_bytes = min_u64(m->resync_done, m->resync_total);
	s->copy_total_bytes = m->resync_total;
	s->copy_started_ns = m->resync_started_ns;
	s->copy_bound = copy_bound(m);
	if (resync_active(m))
		s->copy_rate_bytes = pace_rate(&e->pace, e->core.now_ns);
}

#define COPY_TEXT(to, from)                                                                        \
	do {                                                                                       \
		_Static_assert(sizeof(to) == sizeof(from), "texts of one size");                   \
		memcpy(to, from, sizeof(to));                                                      \
	} while (0)

static void volume_status(const struct volume *v, struct volume_status *s)
{
	const struct volume_record *r = &v->record;
	const struct mirror *m = v->peering;

	*s = (struct volume_status){
		.number = r->number,
		.size_bytes = v->size_bytes,
		.growing_bytes = expand_pending(v) ? record_capacity(&v->record) : 0,
		.block_bytes = r->block_bytes,
		.role = r->role,
		.mirror = v->mirror,
		.consistent = r->consistent,
		.open_count = v->open_count,
		.association = r->association,
		.policy = r->policy,
		.generations = r->generations,
		.dirty_regions = v->map.intent.dirty_regions,
		.lacking_regions = v->map.intent.lacking_regions,
		.map_writes = v->map.writes,
		.map_marks = v->map.marks,
		.resync_sent_bytes = m ? m->resync_sent : 0,
		.copy_bound = "",
		.resync_limit_bytes = KIB(r->resync_limit_kib),
		.reads = v->stats.reads,
		.writes = v->stats.writes,
		.flushes = v->stats.flushes,
		.discards = v->stats.discards,
		.read_bytes = v->stats.read_bytes,
		.written_bytes = v->stats.written_bytes,
		.errors = v->stats.errors,
		.read_errors = v->stats.read_errors,
		.fetched_bytes = v->stats.fetched_bytes,
		.repairs = v->stats.repairs,
		.repair_failures = v->stats.repair_failures,
		.regions_touched = v->map.intent.marked,
		.region_bytes = (uint32_t)intent_region_bytes(&v->map.intent),
		.extent_count = r->extent_count,
	};
	memcpy(s->uuid, r->uuid, sizeof(s->uuid));
	/* Texts of one size, so that status of many volumes is cheap. */
	COPY_TEXT(s->name, r->name);
	COPY_TEXT(s->pool, v->pool->name);
	if (r->replica_count) {
		COPY_TEXT(s->peer, r->replicas[0].node_name);
		COPY_TEXT(s->peer_volume, r->replicas[0].volume_name);
	}
	if (m && m->step == STEP_SOURCE && v->mirror == MIRROR_COPYING)
		copy_status(m, s);
	if (m && r->role == VOLUME_PRIMARY && volume_tracks(v))
		s->verify_left_bytes = m->verify.left_bytes;
	if (m && m->verify.job) {
		s->verify_done_bytes = m->verify.result->compared_bytes;
		s->verify_total_bytes = m->verify.end - m->verify.begin;
		s->verify_different_bytes = m->verify.result->different_bytes;
		s->verify_started_ns = m->verify.started_ns;
	}
	if (m && m->map_bytes) {
		s->peer_generations = m->theirs.generations;
		s->peer_dirty_regions = count_bits(m->map, m->map_bytes);
	}
	COPY_TEXT(s->last_error, v->mirror_reason);
	for (unsigned i = 0; i < r->extent_count; i++)
		s->extents[i] = (struct extent_status){
			.device = r->extents[i].device,
			.offset = POOL_DATA_OFFSET + r->extents[i].start * POOL_UNIT_BYTES,
			.length = r->extents[i].count * POOL_UNIT_BYTES,
		};
}

bool engine_volume_status(const struct engine *e, unsigned *at, struct volume_status *s)
{
	const struct volume *v = volume_next(e, at);

	if (v)
		volume_status(v, s);
	return v;
}

bool engine_volume_status_of(const struct engine *e, const char *name, struct volume_status *s)
{
	const struct volume *v = volume_find(e, name);

	if (v)
		volume_status(v, s);
	return v;
}

void engine_volume_info(const struct volume *v, struct ls_volume_info *info)
{
	*info = (struct ls_volume_info){
		.size_bytes = v->size_bytes,
		.block_bytes = v->record.block_bytes,
		.request_max_bytes = REQUEST_MAX_BYTES,
		.mirrored = v->record.replica_count > 0,
		.primary = v->record.role == VOLUME_PRIMARY,
	};
}
