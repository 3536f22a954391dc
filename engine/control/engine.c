/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's life and its passes; see engine.h. */
#include "engine/control/engine.h"

#include "engine/base/crc32c.h"
#include "engine/control/admin.h"
#include "engine/control/peers.h"
#include "engine/peer/node.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEER_TIMEOUT_DEFAULT_MS 10000u
#define REQUEST_TIMEOUT_DEFAULT_MS 30000u
#define MAP_KEEP_DEFAULT GIB(64)
#define CLEAR_DEFAULT_MS 1000u
/* Chunks of resyncs, a page of checksums for each, bodies of control requests, fetches. */
#define FETCH_MEMORY_AT                                                                            \
	(COPY_UNITS * (PIECE_BYTES_MAX + 4096u) + CONTROL_BUFFERS * CONTROL_BUFFER_BYTES)
#define COPY_REGION_BYTES (FETCH_MEMORY_AT + FETCH_MEMORY_BYTES)

static int take_memory(struct engine *e, struct err *err)
{
	e->copy_region = e->core.env.copy_buffers(e->core.env.ctx, COPY_REGION_BYTES);
	if (!e->copy_region || e->copy_region->length_bytes < COPY_REGION_BYTES)
		return err_set(err, -ENOMEM, "no memory for the copy buffers (%u KiB)",
			       COPY_REGION_BYTES / 1024);
	if (fetch_init(&e->core, e->copy_region,
		       (uint8_t *)e->copy_region->base + FETCH_MEMORY_AT) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

int engine_create(const struct engine_config *config, const struct engine_env *env,
		  struct engine **engine, struct err *err)
{
	struct engine *e;
	int rc;

	assert(config->node_address != 0);
	if (!name_valid(config->node_name, NODE_NAME_MAX))
		return err_set(err, -EINVAL,
			       "'%s' is not a node name: 1 to %d letters, digits, '.', '_' or '-'",
			       config->node_name, NODE_NAME_MAX);
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	list_init(&e->pairings);
	list_init(&e->undeletes);
	list_init(&e->resyncs);
	list_init(&e->verifies);
	e->core.writes_held = mirror_writes_held;
	e->core.leg_failed = mirror_leg_failed;
	e->core.write_failed_here = mend_write_failed;
	e->core.piece_ended = resync_piece_ended;
	pace_init(&e->pace, COPY_UNITS * PIECE_BYTES_MAX, PIECE_BYTES_MAX);
	e->core.readable = mirror_readable;
	e->settings.clear_ns = (config->clear_ms ? config->clear_ms : CLEAR_DEFAULT_MS) * NS_PER_MS;
	e->settings.map_keep_bytes =
		config->map_keep_bytes ? config->map_keep_bytes : MAP_KEEP_DEFAULT;
	e->settings.region_shift =
		config->region_shift ? config->region_shift : INTENT_SHIFT_DEFAULT;
	e->core.own_address = config->node_address;
	e->core.payload_crc = config->payload_crc;
	e->core.volumes = e->volumes;
	e->core.engine = e;
	e->settings.peer_timeout_ns =
		(config->peer_timeout_ms ? config->peer_timeout_ms : PEER_TIMEOUT_DEFAULT_MS) *
		NS_PER_MS;
	e->settings.request_timeout_ns = (config->request_timeout_ms ? config->request_timeout_ms
								     : REQUEST_TIMEOUT_DEFAULT_MS) *
					 NS_PER_MS;
	e->settings.slot_count = config->slot_count ? config->slot_count : LINK_SLOTS_MAX;
	snprintf(e->settings.node_name, sizeof(e->settings.node_name), "%s", config->node_name);
	rc = core_init(&e->core, env, config->pieces ? config->pieces : CORE_PIECES);
	if (rc < 0)
		err_set(err, rc, "out of memory");
	else
		rc = take_memory(e, err);
	if (rc < 0) {
		core_fini(&e->core);
		free(e);
		return rc;
	}
	/* Epochs go up from a random start, so that a restarted node does not repeat one. */
	env->random(env->ctx, &e->last_epoch, sizeof(e->last_epoch));
	e->last_epoch &= 0x3fffffffu;
	*engine = e;
	return 0;
}

static bool core_idle(const struct engine *e)
{
	return e->core.requests == 0;
}

static bool pools_idle(const struct engine *e)
{
	for (unsigned i = 0; i < e->pool_count; i++)
		if (e->pools[i]->busy)
			return false;
	return e->admin_open == 0;
}

void engine_stop(struct engine *e)
{
	e->stopping = true;
	e->core.stopping = true;
	e->next_tick_ns = 0;
}

static void stop_mirrors(struct engine *e)
{
	struct list *node;
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at))) {
		struct mirror *m = v->peering;

		core_release(&e->core, v);
		if (!m)
			continue;
		mirror_jobs_done(m, -ESHUTDOWN, "this node is stopping");
		verify_stop(m, -ESHUTDOWN, "this node is stopping");
		while ((node = list_pop(&m->ops))) {
			struct mirror_op *op = LIST_ENTRY(node, struct mirror_op, node);

			job_done(op->job, -ESHUTDOWN, "this node is stopping");
			free(op);
		}
	}
}

static bool mirrors_idle(const struct engine *e)
{
	const struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at))) {
		if (v->map.busy || (v->peering && !mirror_idle(v->peering)))
			return false;
	}
	return e->units_busy == 0;
}

/* Own requests end first; then the sessions, which ends what the peer waits for. */
static void stop_run(struct engine *e)
{
	stop_mirrors(e);
	core_run(&e->core);
	if (!core_idle(e))
		return;
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (e->sessions[i].phase != PHASE_FREE)
			session_fail(&e->sessions[i], "this node is stopping");
}

static bool peers_idle(const struct engine *e)
{
	for (unsigned i = 0; i < e->peer_count; i++)
		if (e->peers[i].dialling || e->peers[i].removal)
			return false;
	return true;
}

bool engine_stopped(const struct engine *e)
{
	return e->stopping && core_idle(e) && session_none(e) && pools_idle(e) &&
	       list_empty(&e->pairings) && mirrors_idle(e) && peers_idle(e);
}

void engine_destroy(struct engine *e)
{
	struct volume *v;
	unsigned at = 0;

	assert(engine_stopped(e));
	while ((v = volume_next(e, &at)))
		volume_unmake(e, v);
	for (unsigned i = 0; i < e->pool_count; i++)
		pool_destroy(e->pools[i]);
	for (unsigned i = 0; i < e->peer_count; i++)
		channel_fini(&e->peers[i].channel);
	core_fini(&e->core);
	free(e);
}

void engine_tick(struct engine *e, uint64_t now_ns)
{
	bool asked, all;

	e->core.now_ns = max_u64(now_ns, 1); /* 0 says "never" in many places */
	if (UNLIKELY(now_ns >= e->pace.wake_ns)) {
		resync_more(e);
		verify_more(e);
	}
	if (LIKELY(now_ns < e->next_tick_ns))
		return;
	asked = e->next_tick_ns == 0;
	e->next_tick_ns = UINT64_MAX; /* from here on it is the next one's */
	session_tick(e);
	all = tick_takes_all(e, asked || e->next_tick_ns == 0); /* a session has ended */
	pair_run(e);
	core_administer(&e->core, true);
	peers_tick(e);
	mirror_tick(e, all);
	volumes_undelete(e);
	core_administer(&e->core, false);
	engine_rest(e);
}

uint64_t engine_deadline_ns(const struct engine *e)
{
	return min_u64(e->next_tick_ns, e->pace.wake_ns);
}

unsigned engine_poll(struct engine *e, unsigned budget)
{
	return session_poll(e, budget);
}

void engine_flush(struct engine *e)
{
	core_run(&e->core);
	if (UNLIKELY(e->stopping))
		stop_run(e);
	session_flush(e);
	session_reap(e);
}

bool engine_arm(struct engine *e)
{
	return session_arm(e);
}

void engine_submit(struct engine *e, struct request *request)
{
	core_submit(&e->core, request);
}

void engine_link_opened(struct engine *e, struct link *link, void *cookie)
{
	session_opened(e, link, cookie);
}

void engine_dial_failed(struct engine *e, void *cookie, const char *reason)
{
	(void)e;
	session_dial_failed(cookie, reason);
}

struct volume *engine_volume_get(struct engine *e, const char *name)
{
	struct volume *v = volume_find(e, name);

	if (!v || !v->ready || v->deleting)
		return NULL;
	v->open_count++;
	return v;
}

void engine_volume_put(struct volume *v)
{
	assert(v->open_count > 0);
	v->open_count--;
}

void engine_capture_start(struct engine *e, unsigned count)
{
	e->core.captured = 0;
	e->core.capture_left = (unsigned)min_u64(count, CORE_CAPTURE_MAX);
}

unsigned engine_capture_read(const struct engine *e, struct captured_frame *frames, unsigned max)
{
	unsigned n = (unsigned)min_u64(e->core.captured, max);

	for (unsigned i = 0; i < n; i++) {
		frames[i].at_ns = e->core.capture[i].at_ns;
		frames[i].sent = e->core.capture[i].sent;
		memcpy(frames[i].bytes, e->core.capture[i].bytes, FRAME_BYTES);
	}
	return n;
}
