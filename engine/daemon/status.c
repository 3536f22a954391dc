/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots and frames as JSON. */
#include "engine/base/crc32c.h"
#include "engine/core/frame.h"
#include "engine/daemon/door.h"
#include "engine/daemon/task.h"
#include "engine/json/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct json_object *geometry_json(const struct store_geometry *g)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "path", g->path);
	json_set_text(json, "backend", g->backend);
	json_set_u64(json, "size_bytes", g->size_bytes);
	json_set_u64(json, "block_bytes", g->block_bytes);
	json_set_u64(json, "io_max_bytes", g->io_max_bytes);
	json_set_bool(json, "volatile_cache", g->volatile_cache);
	json_set_bool(json, "can_discard", g->can_discard);
	json_set_bool(json, "discard_zeroes", g->discard_zeroes);
	json_set_int(json, "numa_node", g->numa_node);
	json_set_text(json, "model", g->model);
	json_set_text(json, "serial", g->serial);
	json_set_text(json, "detail", g->detail);
	return json;
}

static void set_uuid(struct json_object *json, const uint8_t uuid[16])
{
	char text[33];

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", uuid[i]);
	json_set_text(json, "uuid", text);
}

struct json_object *pools_json(struct daemon *d, const struct snapshot *s)
{
	const struct engine_status *e = &s->status.engine;
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < e->pool_count; i++) {
		const struct pool_status *p = &e->pools[i];
		struct json_object *pool = json_object_new_object();
		struct json_object *devices = json_object_new_array();

		json_set_text(pool, "name", p->name);
		json_set_bool(pool, "available", true);
		set_uuid(pool, p->uuid);
		json_set_u64(pool, "size_bytes", p->size_bytes);
		json_set_u64(pool, "free_bytes", p->free_bytes);
		for (unsigned k = 0; k < p->device_count; k++)
			json_object_array_add(devices, geometry_json(&p->devices[k]));
		json_object_object_add(pool, "devices", devices);
		json_object_array_add(list, pool);
	}
	for (unsigned i = 0; i < d->state.pool_count; i++) {
		const struct state_pool *absent = &d->state.pools[i];
		struct json_object *pool;

		if (!absent->error[0])
			continue;
		pool = json_object_new_object();
		json_set_text(pool, "name", absent->name);
		json_set_bool(pool, "available", false);
		json_set_text(pool, "error", absent->error);
		json_object_array_add(list, pool);
	}
	return list;
}

static struct json_object *extents_json(const struct volume_status *v)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < v->extent_count; i++) {
		struct json_object *extent = json_object_new_object();

		json_set_u64(extent, "device", v->extents[i].device);
		json_set_u64(extent, "offset", v->extents[i].offset);
		json_set_u64(extent, "length", v->extents[i].length);
		json_object_array_add(list, extent);
	}
	return list;
}

static const char *association_name(enum association association)
{
	switch (association) {
	case ASSOCIATION_NONE:
		return "none";
	case ASSOCIATION_ACTIVE:
		return "active";
	case ASSOCIATION_BROKEN:
		return "broken";
	}
	return "?";
}

static struct json_object *generations_json(const struct generations *g)
{
	struct json_object *json = json_object_new_object();
	struct json_object *history = json_object_new_array();
	char text[32];

	json_set_hex(json, "current", g->current);
	json_set_hex(json, "base", g->base);
	for (unsigned i = 0; i < GENERATION_HISTORY && g->history[i]; i++) {
		snprintf(text, sizeof(text), "0x%016" PRIx64, g->history[i]);
		json_object_array_add(history, json_object_new_string(text));
	}
	json_object_object_add(json, "history", history);
	json_set_u64(json, "covered", g->covered);
	json_set_bool(json, "offered", g->offered);
	return json;
}

static uint64_t regions_bytes(const struct volume_status *v, uint32_t regions)
{
	/* The last region may be a part of one. */
	return min_u64((uint64_t)regions * v->region_bytes, v->size_bytes);
}

static void set_difference(struct json_object *json, const struct volume_status *v)
{
	json_object_object_add(json, "generations", generations_json(&v->generations));
	json_object_object_add(json, "peer_generations", generations_json(&v->peer_generations));
	json_set_u64(json, "region_bytes", v->region_bytes);
	json_set_u64(json, "dirty_regions", v->dirty_regions);
	json_set_u64(json, "dirty_bytes", regions_bytes(v, v->dirty_regions));
	json_set_u64(json, "lacking_regions", v->lacking_regions);
	json_set_u64(json, "peer_dirty_regions", v->peer_dirty_regions);
	json_set_u64(json, "peer_dirty_bytes", regions_bytes(v, v->peer_dirty_regions));
	json_set_u64(json, "regions_touched", v->regions_touched);
	json_set_u64(json, "map_writes", v->map_writes);
	json_set_u64(json, "map_marks", v->map_marks);
	json_set_u64(json, "resync_sent_bytes", v->resync_sent_bytes);
}

static void set_mirror(struct json_object *json, const struct volume_status *v, uint64_t now_ns)
{
	json_set_text(json, "mirror", mirror_state_name(v->mirror));
	json_set_text(json, "association", association_name(v->association));
	json_set_text(json, "policy",
		      v->policy == POLICY_FAIL_CLOSED ? "fail-closed" : "fail-open");
	json_set_bool(json, "consistent", v->consistent);
	json_set_text(json, "peer", v->peer);
	json_set_text(json, "peer_volume", v->peer_volume);
	json_set_text(json, "last_error", v->last_error);
	json_set_u64(json, "copy_done_bytes", v->copy_done_bytes);
	json_set_u64(json, "copy_total_bytes", v->copy_total_bytes);
	json_set_u64(json, "copy_ns",
		     v->copy_started_ns && now_ns > v->copy_started_ns ? now_ns - v->copy_started_ns
								       : 0);
	json_set_u64(json, "copy_rate_bytes", v->copy_rate_bytes);
	json_set_text(json, "copy_bound", v->copy_bound);
	json_set_u64(json, "resync_limit_bytes", v->resync_limit_bytes);
	set_difference(json, v);
}

static void set_verify(struct json_object *json, const struct volume_status *v, uint64_t now_ns)
{
	json_set_u64(json, "verify_done_bytes", v->verify_done_bytes);
	json_set_u64(json, "verify_total_bytes", v->verify_total_bytes);
	json_set_u64(json, "verify_different_bytes", v->verify_different_bytes);
	json_set_u64(json, "verify_ns", now_ns - v->verify_started_ns);
}

struct json_object *volume_json(const struct volume_status *v, uint64_t now_ns)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "name", v->name);
	json_set_text(json, "pool", v->pool);
	set_uuid(json, v->uuid);
	json_set_u64(json, "number", v->number);
	json_set_u64(json, "size_bytes", v->size_bytes);
	if (v->growing_bytes)
		json_set_u64(json, "growing_bytes", v->growing_bytes);
	json_set_u64(json, "block_bytes", v->block_bytes);
	json_set_text(json, "role", v->role == VOLUME_PRIMARY ? "primary" : "secondary");
	set_mirror(json, v, now_ns);
	if (v->verify_total_bytes)
		set_verify(json, v, now_ns);
	json_set_u64(json, "verify_left_bytes", v->verify_left_bytes);
	json_set_u64(json, "open_count", v->open_count);
	json_set_u64(json, "reads", v->reads);
	json_set_u64(json, "writes", v->writes);
	json_set_u64(json, "flushes", v->flushes);
	json_set_u64(json, "discards", v->discards);
	json_set_u64(json, "read_bytes", v->read_bytes);
	json_set_u64(json, "written_bytes", v->written_bytes);
	json_set_u64(json, "errors", v->errors);
	json_set_u64(json, "read_errors", v->read_errors);
	json_set_u64(json, "fetched_bytes", v->fetched_bytes);
	json_set_u64(json, "repairs", v->repairs);
	json_set_u64(json, "repair_failures", v->repair_failures);
	json_object_object_add(json, "extents", extents_json(v));
	return json;
}

/* The paths of the extents' devices, so that a reader needs no second table. */
static void set_devices(struct json_object *json, const struct volume_status *v,
			const struct engine_status *e)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < e->pool_count; i++) {
		if (strcmp(e->pools[i].name, v->pool))
			continue;
		for (unsigned k = 0; k < e->pools[i].device_count; k++)
			json_object_array_add(list,
					      json_object_new_string(e->pools[i].devices[k].path));
	}
	json_object_object_add(json, "devices", list);
}

struct json_object *volumes_json(const struct snapshot *s)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < s->volume_count; i++) {
		struct json_object *volume = volume_json(&s->volumes[i], s->status.engine.now_ns);

		set_devices(volume, &s->volumes[i], &s->status.engine);
		json_object_array_add(list, volume);
	}
	return list;
}

static struct json_object *link_json(const struct peer_status *p)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "backend", p->link_backend);
	json_set_text(json, "device", p->link_device);
	json_set_text(json, "address", p->link_address);
	json_set_text(json, "detail", p->link_detail);
	json_set_u64(json, "messages_tx", p->link.messages_tx);
	json_set_u64(json, "messages_rx", p->link.messages_rx);
	json_set_u64(json, "requests_tx", p->link.requests_tx);
	json_set_u64(json, "requests_rx", p->link.requests_rx);
	json_set_u64(json, "trains_tx", p->link.trains_tx);
	json_set_u64(json, "payload_tx_bytes", p->link.payload_tx);
	json_set_u64(json, "payload_rx_bytes", p->link.payload_rx);
	json_set_u64(json, "posts", p->link.posts);
	json_set_u64(json, "completions", p->link.completions);
	json_set_u64(json, "copied_payload_bytes", p->link.copied);
	json_set_u64(json, "rnr", p->link.rnr);
	return json;
}

/* In node.json, so that an operator sees which file counts. */
static const char *key_file_of(const struct daemon *d, const char *peer)
{
	for (unsigned i = 0; i < d->state.peer_count; i++)
		if (!strcmp(d->state.peers[i].name, peer))
			return d->state.peers[i].key_file;
	return "";
}

/* One of node.json that the engine does not have. */
static struct json_object *absent_json(const struct state_peer *p)
{
	static const struct peer_status none = {.state = SESSION_DOWN};
	struct json_object *json = json_object_new_object();

	json_set_text(json, "name", p->name);
	json_set_text(json, "address", p->address);
	json_set_text(json, "key_file", p->key_file);
	json_set_hex(json, "node_address", 0);
	json_set_text(json, "session", session_state_name(none.state));
	json_set_u64(json, "sessions", 0);
	json_set_text(json, "last_error", p->error);
	json_object_object_add(json, "link", link_json(&none));
	return json;
}

struct json_object *peers_json(struct daemon *d, const struct snapshot *s)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < s->status.engine.peer_count; i++) {
		const struct peer_status *p = &s->status.engine.peers[i];
		struct json_object *json = json_object_new_object();

		json_set_text(json, "name", p->name);
		json_set_text(json, "address", p->address);
		json_set_text(json, "key_file", key_file_of(d, p->name));
		json_set_hex(json, "node_address", p->node_address);
		json_set_text(json, "session", session_state_name(p->state));
		json_set_u64(json, "sessions", p->sessions);
		json_set_u64(json, "epoch", p->epoch);
		json_set_u64(json, "version", p->version);
		json_set_u64(json, "credits", p->credits);
		json_set_u64(json, "credits_total", p->credits_total);
		json_set_text(json, "last_error", p->last_error);
		json_object_object_add(json, "link", link_json(p));
		json_object_array_add(list, json);
	}
	for (unsigned i = 0; i < d->state.peer_count; i++)
		if (d->state.peers[i].error[0])
			json_object_array_add(list, absent_json(&d->state.peers[i]));
	return list;
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static struct json_object *loop_json(const struct snapshot *s)
{
	const struct loop_stats *l = &s->status.loop;
	struct json_object *json = json_object_new_object();

	json_set_u64(json, "passes", l->passes);
	json_set_u64(json, "idle_passes", l->idle_passes);
	json_set_u64(json, "sleeps", l->sleeps);
	json_set_u64(json, "wakes", l->wakes);
	json_set_u64(json, "interrupted", l->interrupted);
	json_set_u64(json, "armed_hits", l->armed_hits);
	json_set_u64(json, "spins", l->spins);
	json_set_u64(json, "spin_hits", l->spin_hits);
	json_set_u64(json, "spin_pauses", l->spin_pauses);
	json_set_u64(json, "late_wakes", l->late_wakes);
	json_set_u64(json, "requests", l->requests);
	json_set_u64(json, "completions", l->completions);
	return json;
}

static struct json_object *ratios_json(const struct snapshot *s, const struct link_stats *links)
{
	uint64_t ios = s->status.loop.requests + links->requests_rx;
	struct json_object *json = json_object_new_object();

	json_set_u64(json, "ios", ios); /* of clients and of peers */
	json_set_double(json, "passes", ratio(s->status.loop.passes, ios));
	json_set_double(json, "sleeps", ratio(s->status.loop.sleeps, ios));
	json_set_double(json, "wakes", ratio(s->status.loop.wakes, ios));
	json_set_double(json, "store_syscalls", ratio(s->status.store.syscalls, ios));
	json_set_double(json, "link_posts", ratio(links->posts, ios));
	json_set_double(json, "link_messages", ratio(links->messages_tx, ios));
	json_set_double(json, "link_completions", ratio(links->completions, ios));
	return json;
}

static struct json_object *store_json(const struct snapshot *s)
{
	const struct store_queue_stats *q = &s->status.store;
	struct json_object *json = json_object_new_object();

	json_set_text(json, "detail", s->status.store_describe);
	json_set_u64(json, "submitted", q->submitted);
	json_set_u64(json, "completed", q->completed);
	json_set_u64(json, "syscalls", q->syscalls);
	json_set_u64(json, "fixed_buffer_ops", q->fixed);
	json_set_u64(json, "bounced_bytes", q->bounced);
	json_set_u64(json, "slowest_ns", q->slow_ns_max);
	return json;
}

static struct link_stats sum_links(const struct engine_status *e)
{
	struct link_stats sum = {0};

	for (unsigned i = 0; i < e->peer_count; i++) {
		sum.posts += e->peers[i].link.posts;
		sum.messages_tx += e->peers[i].link.messages_tx;
		sum.completions += e->peers[i].link.completions;
		sum.copied += e->peers[i].link.copied;
		sum.requests_rx += e->peers[i].link.requests_rx;
	}
	return sum;
}

static struct json_object *shard_json(struct daemon *d, const struct snapshot *s)
{
	const struct engine_status *e = &s->status.engine;
	struct link_stats links = sum_links(e);
	struct json_object *json = json_object_new_object();

	json_set_int(json, "core", d->bind_error[0] ? -1 : d->pick.core);
	json_set_text(json, "core_why", d->bind_error[0] ? d->bind_error : d->pick.why);
	json_set_int(json, "numa_node", d->pick.numa_node);
	json_set_text(json, "polling", polling_name(s->status.polling));
	json_set_text(json, "polling_why", d->polling_why);
	json_set_u64(json, "spin_us", s->status.spin_ns / 1000);
	json_object_object_add(json, "loop", loop_json(s));
	json_object_object_add(json, "per_io", ratios_json(s, &links));
	json_object_object_add(json, "store_queue", store_json(s));
	json_set_u64(json, "requests_open", e->requests_open);
	json_set_u64(json, "pieces_in_use", e->pieces_in_use);
	json_set_u64(json, "pieces_total", e->pieces_total);
	json_set_u64(json, "copied_payload_bytes", links.copied + s->status.store.bounced);
	json_set_u64(json, "data_path_allocations", s->status.data_path_allocations);
	json_set_u64(json, "data_path_locks", s->status.data_path_locks);
	return json;
}

static struct json_object *write_json(const struct engine_status *e)
{
	struct json_object *json = json_object_new_object();

	json_set_u64(json, "count", e->write_count);
	json_set_u64(json, "total_ns_sum", e->write_ns_sum);
	json_set_u64(json, "local_ns_sum", e->write_local_ns_sum);
	json_set_u64(json, "remote_ns_sum", e->write_remote_ns_sum);
	json_set_u64(json, "peer_device_ns_sum", e->write_peer_device_ns_sum);
	return json;
}

static struct json_object *histogram_json(const struct sample_histogram *h)
{
	struct json_object *json = json_object_new_object();
	struct json_object *buckets = json_object_new_array();

	json_set_u64(json, "count", h->count);
	json_set_u64(json, "sum_ns", h->sum_ns);
	for (unsigned i = 0; i <= SAMPLE_BOUNDS; i++)
		json_object_array_add(buckets, json_object_new_uint64(h->buckets[i]));
	json_object_object_add(json, "buckets", buckets);
	return json;
}

static struct json_object *latency_json(const struct shard_status *s)
{
	struct json_object *json = json_object_new_object();
	struct json_object *bounds = json_object_new_array();
	struct json_object *list = json_object_new_array();

	json_set_u64(json, "every_ns", SAMPLE_EVERY_NS);
	for (unsigned i = 0; i < SAMPLE_BOUNDS; i++)
		json_object_array_add(bounds, json_object_new_uint64(sample_bounds_ns[i]));
	json_object_object_add(json, "bounds_ns", bounds);
	for (unsigned op = 0; op < SAMPLE_OPS; op++) {
		for (unsigned hop = 0; hop < SAMPLE_HOPS; hop++) {
			struct json_object *one;

			/* A read goes nowhere else. */
			if (op == SAMPLE_READ && hop >= SAMPLE_REMOTE)
				break;
			one = histogram_json(&s->latency[op][hop]);
			json_set_text(one, "op", sample_op_name(op));
			json_set_text(one, "hop", sample_hop_name(hop));
			json_object_array_add(list, one);
		}
	}
	json_object_object_add(json, "histograms", list);
	return json;
}

static struct json_object *fabric_json(struct daemon *d)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "backend", fabric_backend(d->fabric));
	json_set_text(json, "detail", fabric_describe(d->fabric));
	json_set_text(json, "listen", d->listen);
	json_set_u64(json, "rnr_device", fabric_rnr_count(d->fabric));
	return json;
}

static struct json_object *machine_json(const struct daemon *d)
{
	struct json_object *json = json_object_new_object();

	json_set_text(json, "kernel", d->machine.kernel);
	json_set_u64(json, "hardware_threads", d->hardware_threads);
	json_set_text(json, "memory", d->machine.memory);
	json_set_text(json, "io_flusher", d->machine.io_flusher);
	return json;
}

struct json_object *status_json(struct daemon *d, const struct snapshot *s)
{
	const struct engine_status *e = &s->status.engine;
	struct json_object *json = json_object_new_object();

	json_set_text(json, "node", e->node_name);
	json_set_hex(json, "address", e->node_address);
	json_set_text(json, "version", DAEMON_VERSION);
	json_set_int(json, "pid", getpid());
	json_set_u64(json, "now_ns", e->now_ns);
	json_set_text(json, "crc32c", e->crc32c);
	json_object_object_add(json, "machine", machine_json(d));
	json_object_object_add(json, "fabric", fabric_json(d));
	json_object_object_add(json, "shard", shard_json(d, s));
	json_object_object_add(json, "writes", write_json(e));
	json_object_object_add(json, "latency", latency_json(&s->status));
	json_object_object_add(json, "pools", pools_json(d, s));
	json_object_object_add(json, "volumes", volumes_json(s));
	json_object_object_add(json, "peers", peers_json(d, s));
	json_object_object_add(json, "clients", door_json(d->door, &s->status));
	return json;
}

static void set_bytes(struct json_object *json, const uint8_t *bytes, size_t length)
{
	char text[2 * LINK_HEADER_BYTES + 1] = "";

	for (size_t i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	json_set_text(json, "bytes", text);
}

/* Regions that lie side by side are one entry. */
static struct json_object *runs_json(const struct region_map *m, uint64_t size_bytes)
{
	struct json_object *list = json_object_new_array();
	uint64_t regions =
		m->region_bytes ? (size_bytes + m->region_bytes - 1) / m->region_bytes : 0;

	regions = min_u64(regions, INTENT_REGIONS_MAX);
	for (uint64_t i = 0, from; i < regions; i++) {
		struct json_object *run;

		if (!(m->dirty[i / 8] & 1u << i % 8))
			continue;
		for (from = i; i < regions && m->dirty[i / 8] & 1u << i % 8;)
			i++;
		run = json_object_new_object();
		json_set_u64(run, "offset", from * m->region_bytes);
		json_set_u64(run, "length",
			     min_u64(i * m->region_bytes, size_bytes) - from * m->region_bytes);
		json_object_array_add(list, run);
	}
	return list;
}

struct json_object *regions_json(const struct volume_regions *r)
{
	struct json_object *answer = json_object_new_object();

	json_object_object_add(answer, "local", runs_json(&r->local, r->size_bytes));
	json_object_object_add(answer, "peer", runs_json(&r->peer, r->size_bytes));
	json_set_bool(answer, "peer_known", r->peer.region_bytes);
	json_set_bool(answer, "everything", r->everything);
	return answer;
}

struct json_object *frame_json(const struct captured_frame *c)
{
	struct json_object *json = json_object_new_object();
	enum frame_verdict verdict;
	struct frame f;

	json_set_u64(json, "at_ns", c->at_ns);
	json_set_bool(json, "sent", c->sent);
	set_bytes(json, c->bytes, sizeof(c->bytes));
	verdict = frame_decode(c->bytes, &f);
	json_set_text(json, "verdict", frame_verdict_name(verdict));
	if (verdict != FRAME_OK)
		return json;
	json_set_hex(json, "target", f.target);
	json_set_hex(json, "initiator", f.initiator);
	json_set_text(json, "command", frame_command_name(f.command));
	json_set_hex(json, "message", f.message);
	json_set_bool(json, "completion", f.flags & FRAME_COMPLETION);
	json_set_bool(json, "fua", f.flags & FRAME_FUA);
	json_set_u64(json, "version", f.version);
	json_set_u64(json, "volume", f.volume);
	json_set_u64(json, "offset", f.offset);
	json_set_u64(json, "length", f.length);
	json_set_u64(json, "status", f.status);
	json_set_u64(json, "epoch", f.epoch);
	json_set_hex(json, "payload_crc", f.payload_crc);
	return json;
}
