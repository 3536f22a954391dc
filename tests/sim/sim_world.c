/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_world.h"

#include "engine/core/event.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long things may take, in virtual time, once nothing goes wrong any more. */
#define CALM_NS_MAX MS(400000)
#define CALM_PASSES_MAX 300000u
#define HEAL_REQUESTS 40u
#define PASS_NS US(1)
/* How often, after the faults, an operator looks after the mirrors. */
#define MEND_STEPS 64u

_Noreturn void sim_fail(struct sim_world *world, const char *invariant, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sim_log_failure(world->log, invariant, "%s", text);
	world->log->sentence = fmt;
	fflush(stdout);
	_exit(SIM_EXIT_BROKEN);
}

void sim_wake(struct sim_world *world, unsigned node, uint64_t at_ns)
{
	world->node[node].wake_ns = min_u64(world->node[node].wake_ns, at_ns);
}

uint64_t sim_oldest_seq(const struct sim_world *world)
{
	uint64_t oldest = world->seq;

	for (unsigned n = 0; n < SIM_NODES; n++) {
		const struct sim_request *request = world->node[n].requests;

		for (unsigned left = world->node[n].requests_open; left; request++) {
			if (!request->open)
				continue;
			oldest = min_u64(oldest, request->seq);
			left--;
		}
	}
	return oldest;
}

/* The engine's environment. */

static void env_random(void *ctx, void *buf, size_t bytes)
{
	struct sim_node *node = ctx;
	uint8_t *out = buf;

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)rng_next(&node->world->rng);
}

static void env_log(void *ctx, int level, const char *text)
{
	struct sim_node *node = ctx;

	(void)level;
	sim_log_text(node->world->log, node->world->now_ns, (int)node->number, text);
}

static void env_event(void *ctx, const struct engine_event *event)
{
	struct sim_node *node = ctx;
	char text[EVENT_TEXT_MAX];
	struct sim_volume *v;

	event_text(event, text);
	env_log(ctx, event->level, text);
	v = event->kind == EVENT_MIRROR || event->kind == EVENT_ROLE
		    ? sim_volume_find(node, event->volume)
		    : NULL;
	if (v && event->kind == EVENT_ROLE) {
		v->promoted = strcmp(event->to, "primary") == 0;
		return;
	}
	if (v && strcmp(event->from, "synced") == 0)
		v->unsynced_seq = node->world->seq++;
	if (v)
		check_goes_on(v, event->from, event->to);
}

static struct region *env_copy_buffers(void *ctx, size_t bytes)
{
	struct sim_node *node = ctx;

	node->copy.base = aligned_alloc(SIM_PAGE_BYTES, round_up_u64(bytes, SIM_PAGE_BYTES));
	assert(node->copy.base);
	node->copy.length_bytes = bytes;
	node->copy.buffer_first = REGION_NO_BUFFERS;
	return &node->copy;
}

static void engine_begin(struct sim_node *node, bool again)
{
	const struct sim_profile *profile = &node->world->profile;
	const char *peer = node->number ? "A" : "B";
	struct engine_config config = {
		.node_address = node->address,
		.peer_timeout_ms = profile->peer_timeout_ms,
		.request_timeout_ms = profile->request_timeout_ms,
		.payload_crc = profile->crc,
		.region_shift = profile->region_shift,
		.clear_ms = profile->clear_ms,
		.map_keep_bytes = profile->map_keep_bytes,
		.pieces = profile->pieces[node->number],
		.slot_count = profile->slot_count[node->number],
	};
	struct engine_env env = {
		.ctx = node,
		.random = env_random,
		.dial = sim_net_dial,
		.release_link = sim_net_release,
		.log = env_log,
		.event = env_event,
		.copy_buffers = env_copy_buffers,
	};
	char key[32] = "0123456789abcdef0123456789abcde";
	struct err err = {0};

	snprintf(config.node_name, sizeof(config.node_name), "%s", node->number ? "B" : "A");
	if (node->number && profile->faults.wrong_key)
		key[3] ^= 1;
	node->starts++;
	sim_heap_enter(&node->heap);
	if (engine_create(&config, &env, &node->engine, &err) < 0)
		sim_fail(node->world, "sim", "engine_create: %s", err.text);
	engine_tick(node->engine, node->world->now_ns);
	engine_capture_start(node->engine, ENGINE_CAPTURE_MAX);
	if (engine_peer_add(node->engine, peer,
			    !profile->dials[node->number] ? ""
			    : node->number		  ? "A:1"
							  : "B:1",
			    key, sizeof(key), &err) < 0)
		sim_fail(node->world, "sim", "engine_peer_add: %s", err.text);
	node->opened = !again;
	if (again)
		sim_admin_open(node);
	else
		sim_admin_start(node);
}

/* The memory that all runs of this process share. */
static struct sim_disk *disks(unsigned node)
{
	static struct sim_disk all[SIM_NODES][SIM_DISKS_MAX];
	static bool ready;

	for (unsigned i = 0; !ready && i < SIM_NODES * SIM_DISKS_MAX; i++)
		sim_disk_init(&all[i / SIM_DISKS_MAX][i % SIM_DISKS_MAX]);
	ready = true;
	return all[node];
}

static void node_begin(struct sim_world *world, unsigned number)
{
	static void *arenas[SIM_NODES];
	struct sim_node *node = &world->node[number];

	if (!arenas[number])
		arenas[number] = aligned_alloc(SIM_PAGE_BYTES, SIM_ARENA_BYTES);
	assert(arenas[number]);
	list_init(&node->heap);
	node->world = world;
	node->number = number;
	node->address = number ? 0xb0b0b0b000000002ull : 0xa0a0a0a000000001ull;
	node->disks = disks(number);
	node->arena.base = arenas[number];
	node->arena.length_bytes = SIM_ARENA_BYTES;
	node->arena.buffer_first = REGION_NO_BUFFERS;
}

static bool maybe_engine_flush(struct sim_node *node)
{
	engine_flush(node->engine);
	/* Sometimes the owner goes to sleep. */
	return !rng_below(&node->world->rng, 4) && engine_arm(node->engine);
}

static uint64_t next_client_ns(struct sim_world *world)
{
	uint64_t gap = rng_spread(&world->rng, US(1), world->profile.client_gap_ns);

	/* Sometimes nothing happens for a while: timers run. */
	if (!rng_below(&world->rng, 500))
		gap += rng_spread(&world->rng, MS(1), MS(20000));
	/*
	 * A new session takes its time; most of the load shall not be over by then.  Where all
	 * wait, what was in flight when it was lost is not hidden by what is written next.
	 */
	if (!sim_net_linked(world) && rng_chance(&world->rng, world->profile.rests))
		gap += rng_spread(&world->rng, MS(1), world->profile.rest_ns_max);
	return world->now_ns + gap;
}

static void schedule(struct sim_node *node, bool at_once)
{
	struct sim_world *world = node->world;
	uint64_t due = engine_deadline_ns(node->engine);

	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (node->stores[i])
			due = min_u64(due, sim_store_due_ns(node->stores[i]));
	}
	due = min_u64(due, sim_net_due_ns(node));
	if (world->phase == SIM_LOAD)
		due = min_u64(due, node->client_ns);
	if (at_once || due < world->now_ns)
		due = world->now_ns;
	if (due != SIM_NEVER && rng_chance(&world->rng, world->profile.batch))
		due += rng_spread(&world->rng, US(1), US(300));
	node->wake_ns = due == SIM_NEVER ? due : max_u64(due, world->now_ns + PASS_NS);
}

/* One pass of a node's loop, as engine.h describes it. */
static void pass(struct sim_node *node)
{
	struct sim_world *world = node->world;
	bool at_once;

	if (!node->engine) {
		if (node->back_at_ns > world->now_ns && world->phase == SIM_LOAD) {
			node->wake_ns = node->back_at_ns;
			return;
		}
		SIM_NOTE(world, node->number, "starts again");
		engine_begin(node, true);
	}
	sim_heap_enter(&node->heap);
	if (node->open_again)
		sim_admin_open(node);
	if (node->paused_until_ns > world->now_ns && world->phase == SIM_LOAD) {
		node->wake_ns = node->paused_until_ns;
		return;
	}
	world->steps++;
	engine_tick(node->engine, world->now_ns);
	sim_net_run(node);
	if (world->phase == SIM_LOAD && node->client_ns <= world->now_ns) {
		sim_client_run(node);
		node->client_ns = next_client_ns(world);
	}
	if (node->admin_due && !node->restarting) {
		node->admin_due = false;
		sim_admin_run(node);
		sim_operator_run(node);
	}
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (node->stores[i])
			sim_store_poll(node->stores[i]);
	}
	engine_poll(node->engine, 1 + (unsigned)rng_below(&world->rng, 32));
	at_once = maybe_engine_flush(node);
	schedule(node, at_once);
	sim_restart_run(node);
}

/* Faults and administrators come by the step, not by the clock: idle time is cheap. */
static void disturb(struct sim_world *world)
{
	struct sim_rng *rng = &world->rng;
	struct sim_node *node;

	if (world->phase != SIM_LOAD)
		return;
	sim_spell_step(world);
	if (world->steps >= world->fault_step) {
		world->fault_step = world->steps + rng_between(rng, 1, world->profile.fault_gap);
		sim_net_fault(world);
	}
	if (world->steps >= world->admin_step) {
		world->admin_step = world->steps + rng_between(rng, 1, world->profile.admin_gap);
		node = &world->node[rng_below(rng, SIM_NODES)];
		node->admin_due = true;
		sim_wake(world, node->number, world->now_ns);
	}
}

/* Lets the next thing happen; false when nothing will ever happen again. */
static bool step(struct sim_world *world)
{
	struct sim_node *first = NULL;
	uint64_t now = SIM_NEVER;

	disturb(world);
	for (unsigned i = 0; i < SIM_NODES; i++) {
		struct sim_node *node = &world->node[i];

		if (!node->stopped && node->wake_ns < now) {
			now = node->wake_ns;
			first = node;
		}
	}
	if (!first)
		return false;
	world->now_ns = max_u64(world->now_ns, now);
	pass(first);
	return true;
}

static void enter(struct sim_world *world, enum sim_phase phase)
{
	static const char *const names[] = {"load", "calm", "heal", "stop"};

	world->phase = phase;
	if (phase != SIM_LOAD)
		sim_spells_end(world);
	SIM_NOTE(world, -1, "phase: %s", SIM_STR(names[phase]));
	for (unsigned i = 0; i < SIM_NODES; i++) {
		struct sim_node *node = &world->node[i];

		for (unsigned d = 0; d < SIM_DISKS_MAX; d++) {
			if (node->stores[d])
				sim_store_hurry(node->stores[d], world->now_ns + MS(20));
		}
		sim_wake(world, i, world->now_ns);
	}
}

static bool requests_ended(const struct sim_world *world)
{
	return !world->node[0].requests_open && !world->node[1].requests_open;
}

static bool jobs_ended(const struct sim_world *world)
{
	return !world->node[0].jobs_open && !world->node[1].jobs_open;
}

static bool all_ended(const struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES; i++)
		if (!world->node[i].engine || !world->node[i].opened || world->node[i].restarting)
			return false;
	/* A pair job waits for a peer that never comes. */
	return requests_ended(world) && (jobs_ended(world) || world->profile.faults.wrong_key);
}

static bool all_stopped(const struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES; i++) {
		if (!engine_stopped(world->node[i].engine))
			return false;
	}
	return true;
}

/* A mirror that should be in sync and is not, and at which node; NULL = none. */
static const struct volume_status *unsynced(const struct sim_world *world, unsigned *node)
{
	static struct volume_status status;

	for (unsigned n = 0; n < SIM_NODES; n++) {
		const struct engine *engine = world->node[n].engine;

		for (unsigned at = 0; engine && engine_volume_status(engine, &at, &status);) {
			*node = n;
			if (status.association == ASSOCIATION_ACTIVE &&
			    (status.mirror != MIRROR_SYNCED || status.lacking_regions) &&
			    !sim_orphan(world, n, &status))
				return &status;
		}
	}
	return NULL;
}

/* Every mirror is in sync again, by itself. */
static bool mirrors_synced(const struct sim_world *world)
{
	unsigned node;

	return world->steps % 16 == 0 && !unsynced(world, &node);
}

static _Noreturn void fail_late(struct sim_world *world, const char *what, double seconds)
{
	unsigned node;
	const struct volume_status *status;

	check_ended(world);
	sim_job_ended(world);
	if (world->phase == SIM_HEAL && !check_credits(world, &node))
		sim_fail(world, "credits", "%c has not got all of its credits back in %.1f s",
			 'A' + node, seconds);
	status = unsynced(world, &node);
	if (status)
		sim_fail(world, "liveness", "%s did not come in %.1f s: %s at %c is %s: %s", what,
			 seconds, status->name, 'A' + node, mirror_state_name(status->mirror),
			 status->last_error);
	sim_fail(world, "liveness", "%s did not come in %.1f s without a fault", what, seconds);
}

/* Runs until @over, which must come in bounded time. */
static void run_until(struct sim_world *world, bool (*over)(const struct sim_world *world),
		      const char *what)
{
	uint64_t end_ns = world->now_ns + CALM_NS_MAX, steps = world->steps + CALM_PASSES_MAX;

	while (!over(world)) {
		if (world->phase != SIM_STOP && world->steps % MEND_STEPS == 0)
			sim_operator_mend(world);
		if (step(world) && world->now_ns < end_ns && world->steps < steps)
			continue;
		fail_late(world, what, (double)(world->now_ns + CALM_NS_MAX - end_ns) / 1e9);
	}
}

/* Lets @ns pass, so that what is on the wire arrives. */
static void settle(struct sim_world *world, uint64_t ns)
{
	uint64_t end_ns = world->now_ns + ns, steps = world->steps + CALM_PASSES_MAX;

	while (min_u64(world->node[0].wake_ns, world->node[1].wake_ns) < end_ns) {
		step(world);
		if (world->steps > steps)
			sim_fail(world, "liveness", "the engines never rest");
	}
	world->now_ns = max_u64(world->now_ns, end_ns);
}

static bool connected(const struct sim_world *world)
{
	/* Too long for the stack, and too slow to ask at every step. */
	static struct engine_status status;

	if (world->steps % 16)
		return false;
	for (unsigned i = 0; i < SIM_NODES; i++) {
		engine_status(world->node[i].engine, &status);
		if (status.peers[0].state != SESSION_UP)
			return false;
	}
	return true;
}

static bool credits_back(const struct sim_world *world)
{
	unsigned node;

	return check_credits(world, &node);
}

/* What will fail may be with a slow device still: a clearing round's flush, say. */
static bool failures_over(const struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES * SIM_DISKS_MAX; i++) {
		const struct sim_store *store =
			world->node[i / SIM_DISKS_MAX].stores[i % SIM_DISKS_MAX];

		if (!store)
			continue;
		LIST_FOR (entry, &store->in_flight)
			if (LIST_ENTRY(entry, struct sim_op, node)->fate != LS_OK)
				return false;
	}
	return true;
}

/*
 * A flush that failed is told each volume on the device once, with its own next one: not after
 * nothing is wrong any more.
 */
static void hear_of_failures(struct sim_world *world)
{
	run_until(world, failures_over, "the end of all that fails");
	settle(world, MS(300));
	for (unsigned i = 0; i < SIM_NODES * SIM_VOLUMES_MAX; i++) {
		struct sim_node *node = &world->node[i / SIM_VOLUMES_MAX];
		struct sim_volume *v = &node->volumes[i % SIM_VOLUMES_MAX];

		sim_heap_enter(&node->heap);
		engine_tick(node->engine, world->now_ns);
		if (v->used && v->alive)
			sim_client_open(node, v);
		if (v->used && v->alive && v->handle)
			sim_client_flush(node, v);
		sim_wake(world, node->number, world->now_ns);
	}
	run_until(world, all_ended, "the end of all flushes");
	if (!world->profile.faults.wrong_key)
		run_until(world, mirrors_synced,
			  "the resync of mirrors of which a flush had failed");
}

static bool is_long(uint32_t ms)
{
	return !ms || ms >= 4000;
}

/* Only where all is well, and nobody's patience short: rest.c. */
static bool may_rest(const struct sim_world *world)
{
	static struct volume_status status;

	if (world->profile.faults.wrong_key || !is_long(world->profile.peer_timeout_ms) ||
	    !is_long(world->profile.request_timeout_ms))
		return false;
	for (unsigned n = 0; n < SIM_NODES; n++)
		for (unsigned at = 0; engine_volume_status(world->node[n].engine, &at, &status);)
			if (status.association != ASSOCIATION_NONE &&
			    status.mirror != MIRROR_SYNCED)
				return false;
	return true;
}

static bool both_rest(const struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES; i++)
		if (engine_deadline_ns(world->node[i].engine) < world->now_ns + MS(200))
			return false;
	return true;
}

/* Everything works again: so everything must succeed. */
static void heal(struct sim_world *world)
{
	enter(world, SIM_HEAL);
	if (!world->profile.faults.wrong_key) {
		/* Crossed dials may end the first session once more. */
		run_until(world, connected, "a new session");
		settle(world, MS(1000));
		run_until(world, connected, "a lasting session");
	}
	run_until(world, all_ended, "the end of all jobs");
	if (!world->profile.faults.wrong_key)
		run_until(world, mirrors_synced, "the resync of all mirrors");
	hear_of_failures(world);
	for (unsigned i = 0; i < HEAL_REQUESTS; i++) {
		struct sim_node *node = &world->node[i % SIM_NODES];
		struct sim_volume *v = &node->volumes[rng_below(&world->rng, 4)];

		sim_heap_enter(&node->heap);
		engine_tick(node->engine, world->now_ns);
		if (v->used && v->alive && v->handle)
			sim_client_one(node, v);
		sim_wake(world, node->number, world->now_ns);
		for (unsigned s = (unsigned)rng_below(&world->rng, 4); s; s--)
			step(world);
	}
	run_until(world, all_ended, "the end of the last requests");
	settle(world, MS(50));
	/* A ping may be under way; it will be answered. */
	run_until(world, credits_back, "the return of all credits");
	check_legs(world);
	if (sim_verify_rot(world)) {
		run_until(world, all_ended, "the end of a verify");
		sim_verify_found(world);
		settle(world, MS(50));
		run_until(world, credits_back, "the return of all credits");
		check_legs(world);
	}
	check_idle(world);
	if (may_rest(world))
		run_until(world, both_rest, "rest");
}

static void close_volumes(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++) {
		if (node->volumes[i].used && !node->volumes[i].requests_open)
			sim_client_close(&node->volumes[i]);
	}
}

static void stop_node(struct sim_world *world, struct sim_node *node)
{
	SIM_NOTE(world, node->number, "stops");
	if (!node->engine)
		engine_begin(node, true);
	sim_heap_enter(&node->heap);
	engine_tick(node->engine, world->now_ns);
	node->stopping = true;
	node->restarting = false;
	sim_client_again(node);
	engine_stop(node->engine);
	sim_wake(world, node->number, world->now_ns);
}

static void stop(struct sim_world *world)
{
	unsigned first = (unsigned)rng_below(&world->rng, SIM_NODES);

	world->session_disturbed = true;
	if (!world->profile.abrupt) {
		close_volumes(&world->node[0]);
		close_volumes(&world->node[1]);
	}
	stop_node(world, &world->node[first]);
	for (unsigned i = (unsigned)rng_below(&world->rng, 40); i; i--)
		step(world);
	enter(world, SIM_STOP);
	stop_node(world, &world->node[!first]);
	run_until(world, requests_ended, "the end of all requests");
	close_volumes(&world->node[0]);
	close_volumes(&world->node[1]);
	run_until(world, all_stopped, "the stop of the engines");
	for (unsigned i = 0; i < SIM_NODES; i++) {
		world->node[i].stopped = true;
		sim_heap_enter(&world->node[i].heap);
		engine_destroy(world->node[i].engine);
		world->node[i].engine = NULL;
	}
	check_nothing_left(world);
}

void sim_world_end(struct sim_world *world)
{
	LIST_FOR_SAFE (entry, &world->wires)
		sim_wire_destroy(LIST_ENTRY(entry, struct sim_wire, node));
	for (unsigned i = 0; i < SIM_NODES; i++) {
		struct sim_node *node = &world->node[i];

		for (unsigned v = 0; v < SIM_VOLUMES_MAX; v++) {
			if (node->volumes[v].used && node->volumes[v].history.heads)
				history_fini(&node->volumes[v].history);
		}
		free(node->copy.base);
	}
	history_pool_destroy(world->history);
}

void sim_world_begin(struct sim_world *world, struct sim_log *log, uint64_t seed)
{
	memset(world, 0, sizeof(*world));
	world->log = log;
	world->seq = 1;
	world->now_ns = MS(1000);
	world->history = history_pool_create();
	list_init(&world->wires);
	rng_init(&world->rng, seed);
	node_begin(world, 0);
	node_begin(world, 1);
}

void sim_world_start(struct sim_world *world)
{
	world->session_disturbed = !world->profile.faultless;
	engine_begin(&world->node[0], false);
	engine_begin(&world->node[1], false);
	enter(world, SIM_LOAD);
}

bool sim_world_pass(struct sim_world *world)
{
	return step(world);
}

void sim_run(struct sim_log *log, const struct sim_plan *plan, struct sim_totals *totals)
{
	static struct sim_world world;

	sim_log_start(log, plan->seed, plan->verbose);
	sim_world_begin(&world, log, plan->seed);
	world.steps_max = plan->steps;
	world.totals = *totals;
	sim_profile_draw(&world, plan->without);
	if (plan->course)
		rng_init(&world.rng, sim_mix(plan->seed) + plan->course);
	sim_world_start(&world);
	while (world.steps < plan->steps && step(&world))
		;
	if (!world.profile.abrupt) {
		enter(&world, SIM_CALM);
		run_until(&world, all_ended, "the end of all requests and jobs");
		heal(&world);
	}
	stop(&world);
	sim_world_end(&world);
	*totals = world.totals;
}
