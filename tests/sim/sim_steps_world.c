/* SPDX-License-Identifier: BSD-3-Clause */
/* What is the same for all operations: the world without chance, its client, its end. */
#include "tests/sim/sim_steps.h"

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <stdio.h>
#include <string.h>

#define BLOCK 4096u
#define DISKS 2u /* the first is full: table and map are there, the volume's data are not */
#define FULL 4u /* volumes that fill it */
#define LONG_NS MS(300000) /* of virtual time, for anything that happens by itself */
#define LONG_PASSES 400000u
#define WRITES_MAX 10u /* while the operation runs */

static void choose_profile(struct sim_world *world)
{
	struct sim_profile *p = &world->profile;

	memset(p, 0, sizeof(*p));
	p->faultless = true;
	p->crc = true;
	p->dials[0] = true;
	p->region_shift = 16;
	p->clear_ms = 100000; /* rounds come by the clock: none while an operation runs */
	p->client_gap_ns = p->store_ns_max = US(200);
	for (unsigned i = 0; i < SIM_NODES; i++) {
		struct store_geometry g = {
			.size_bytes = MIB(16),
			.block_bytes = BLOCK,
			.atomic_bytes = BLOCK,
			.io_max_bytes = (uint32_t)MIB(1),
			.zeroes_max_bytes = MIB(1),
			.discard_max_bytes = MIB(1),
			.volatile_cache = true,
			.numa_node = -1,
			.backend = "sim",
			.path = "sim",
		};

		p->block_bytes[i] = BLOCK;
		/* Enough; a node that begins again makes them anew, and a case must be cheap. */
		p->pieces[i] = 64;
		p->slot_count[i] = 16;
		p->slot_bytes[i] = (uint32_t)KIB(128);
		p->disk_count[i] = DISKS;
		p->depth[i] = SIM_REQUESTS_MAX;
		for (unsigned d = 0; d < DISKS; d++)
			sim_disk_reset(&world->node[i].disks[d], &g, true);
		world->node[i].client_ns = SIM_NEVER;
	}
	/* Neither faults nor visits of administrators but ours. */
	world->fault_step = world->admin_step = SIM_NEVER;
}

bool steps_look(struct steps *steps)
{
	static struct volume_status status;
	bool both = true;

	for (unsigned n = 0; n < SIM_NODES; n++) {
		struct sim_node *node = &steps->world.node[n];

		memset(&steps->now[n], 0, sizeof(steps->now[n]));
		both &= node->engine && node->opened && !node->restarting;
		if (!node->engine || !node->opened)
			continue;
		check_map(node);
		if (engine_volume_status_of(node->engine, STEPS_NAME, &status))
			steps->now[n] = status;
	}
	return both;
}

/* --- the client --- */

/* Writes at places of its own until it has written enough; two at a time. */
void steps_load(struct steps *steps)
{
	unsigned writer = steps->operation ? steps->operation->writer : SIM_NODES;
	struct sim_node *node = &steps->world.node[writer % SIM_NODES];
	struct sim_volume *v = sim_volume_find(node, STEPS_NAME);

	if (writer == SIM_NODES || !node->engine || !node->opened || !v || !v->handle)
		return;
	while (steps->written < WRITES_MAX && node->requests_open < 2) {
		sim_heap_enter(&node->heap);
		engine_tick(node->engine, steps->world.now_ns);
		sim_client_write(node, v, steps->written * 25 % 250, 1 + steps->written % 3);
		steps->written++;
		sim_wake(&steps->world, writer, steps->world.now_ns);
	}
}

void steps_write(struct steps *steps, unsigned n, unsigned first, unsigned count, unsigned length)
{
	struct sim_node *node = &steps->world.node[n];
	struct sim_volume *v = sim_volume_find(node, STEPS_NAME);

	sim_heap_enter(&node->heap);
	engine_tick(node->engine, steps->world.now_ns);
	sim_client_open(node, v);
	steps->world.phase = SIM_HEAL; /* where no request may fail */
	for (unsigned i = 0; i < count; i++)
		if (!sim_client_write(node, v, first + i * 20, length))
			sim_fail(&steps->world, "steps", "no room for a request");
	sim_wake(&steps->world, n, steps->world.now_ns);
	for (uint64_t end = steps->world.steps + LONG_PASSES; node->requests_open;)
		if (!sim_world_pass(&steps->world) || steps->world.steps > end)
			sim_fail(&steps->world, "liveness", "the last writes do not end");
	steps->world.phase = SIM_LOAD;
}

/* --- going on --- */

void steps_cut(struct steps *steps)
{
	LIST_FOR (entry, &steps->world.wires)
		sim_wire_break(LIST_ENTRY(entry, struct sim_wire, node), "simulated: cut");
}

void steps_part(struct steps *steps)
{
	/* Some writes come afterwards. */
	steps->written -= min_u64(steps->written, 4);
	steps->world.profile.faults.dial_failure = 10000;
	steps_cut(steps);
}

void steps_join(struct steps *steps)
{
	steps->world.profile.faults.dial_failure = 0;
}

void steps_pass(struct steps *steps)
{
	steps_load(steps);
	if (!sim_world_pass(&steps->world))
		sim_fail(&steps->world, "liveness", "nothing will ever happen again");
}

bool steps_asked(const struct steps *steps)
{
	const struct sim_node *node = &steps->world.node[steps->operation->node];

	return steps->job->open && node->engine && node->starts == steps->job_start;
}

bool steps_until(struct steps *steps, bool (*over)(struct steps *steps))
{
	uint64_t end_ns = steps->world.now_ns + LONG_NS, end = steps->world.steps + LONG_PASSES;

	while (!over(steps)) {
		if (steps->world.now_ns > end_ns || steps->world.steps > end)
			return false;
		steps_pass(steps);
	}
	return true;
}

static bool connected(struct steps *steps)
{
	static struct engine_status status;

	for (unsigned n = 0; n < SIM_NODES; n++) {
		const struct sim_node *node = &steps->world.node[n];

		if (!node->engine || !node->opened)
			return false;
		engine_status(node->engine, &status);
		if (status.peers[0].state != SESSION_UP)
			return false;
	}
	/* An end may not have heard of it yet. */
	LIST_FOR (entry, &steps->world.wires)
		if (LIST_ENTRY(entry, struct sim_wire, node)->broken)
			return false;
	return true;
}

static bool rests(const struct steps *steps, unsigned n)
{
	const struct volume_status *s = &steps->now[n];

	if (s->growing_bytes)
		return s->role == VOLUME_SECONDARY; /* it has room that its source has given up */
	switch (s->mirror) {
	case MIRROR_NONE:
	case MIRROR_BROKEN:
	case MIRROR_SPLIT:
	case MIRROR_SYNCED:
		return true;
	default:
		/* The other node knows nothing of the pair: it waits for ever. */
		return sim_orphan(&steps->world, n, s);
	}
}

bool steps_quiet(struct steps *steps)
{
	const struct sim_node *node = steps->world.node;

	if (steps->world.steps % 8 || node[0].jobs_open || node[1].jobs_open ||
	    node[0].requests_open || node[1].requests_open || !connected(steps) ||
	    !steps_look(steps))
		return false;
	return rests(steps, 0) && rests(steps, 1);
}

bool steps_clear(struct steps *steps)
{
	return steps_quiet(steps) && !steps->now[0].regions_touched &&
	       !steps->now[1].regions_touched;
}

bool steps_idle(const struct steps *steps)
{
	for (unsigned n = 0; n < SIM_NODES; n++) {
		for (unsigned d = 0; d < DISKS; d++) {
			const struct sim_store *store = steps->world.node[n].stores[d];

			if (store && !list_empty(&store->in_flight))
				return false;
		}
	}
	return true;
}

static bool pools_ready(struct steps *steps)
{
	return steps->world.node[0].has_pool && steps->world.node[1].has_pool && connected(steps);
}

static bool created(struct steps *steps)
{
	return !steps->job->open;
}

/* --- beginning and end --- */

static void create_volume(struct steps *steps, unsigned n, const char *name, uint64_t bytes)
{
	struct sim_node *node = &steps->world.node[n];
	struct sim_volume *v = sim_volume_new(node, name);

	sim_heap_enter(&node->heap);
	engine_tick(node->engine, steps->world.now_ns);
	v->zeroed = true;
	steps->job = sim_job_new(node, SIM_VOLUME_CREATE, v, name);
	engine_volume_create(node->engine, &steps->job->job, NULL, name, bytes, true);
	sim_wake(&steps->world, n, steps->world.now_ns);
	if (!steps_until(steps, created) || steps->job->job.err.code)
		sim_fail(&steps->world, "steps", "volume '%s' was not created", name);
}

static void create(struct steps *steps)
{
	static const char *const full[SIM_NODES][FULL] = {{"a0", "a1", "a2", "a3"},
							  {"b0", "b1", "b2", "b3"}};

	for (unsigned i = 0; i < SIM_NODES * FULL; i++)
		create_volume(steps, i / FULL, full[i / FULL][i % FULL], MIB(8) / FULL);
	create_volume(steps, 0, STEPS_NAME, MIB(1));
	/* Not a zero is left in it: what is copied is data. */
	steps_write(steps, 0, 0, 12, 20);
	steps_write(steps, 0, 236, 1, 20);
}

void steps_prepare(struct steps *steps, const struct steps_operation *operation,
		   struct sim_log *log, uint64_t seed)
{
	sim_log_start(log, seed, false);
	sim_world_begin(&steps->world, log, seed);
	choose_profile(&steps->world);
	sim_world_start(&steps->world);
	steps->operation = NULL;
	steps->written = 0;
	if (!steps_until(steps, pools_ready))
		sim_fail(&steps->world, "steps", "no session");
	create(steps);
	if (operation->prepare)
		operation->prepare(steps);
	steps->operation = operation;
	steps_look(steps);
	memcpy(steps->before, steps->now, sizeof(steps->before));
}

/* A larger volume: what was known of the old end is checked, the new one is zeroes. */
static void adopt_size(struct steps *steps, unsigned n)
{
	struct sim_volume *v = sim_volume_find(&steps->world.node[n], STEPS_NAME);
	enum sim_value value = SIM_ANY;
	uint64_t at, id;

	if (!v || !v->history.heads || v->history.block_count * BLOCK >= v->status.size_bytes)
		return;
	for (uint64_t b = v->history.block_count; b < v->status.size_bytes / BLOCK; b++) {
		const struct sim_disk *disk = check_block(v, b * BLOCK, &at);

		if (!disk || !media_pattern(&disk->media, at, BLOCK, b, &value, &id) ||
		    value != SIM_ZERO)
			sim_fail(&steps->world, "legs", "block %u of the new area is not zeroes",
				 (unsigned)b);
	}
	sim_client_close(v);
	history_fini(&v->history);
	memset(&v->history, 0, sizeof(v->history));
	v->zeroed = false;
}

void steps_verify(struct steps *steps)
{
	steps_look(steps);
	check_primaries(&steps->world);
	check_legs(&steps->world);
	for (unsigned n = 0; n < SIM_NODES; n++) {
		if (steps->now[n].mirror == MIRROR_SYNCED && steps->now[n].dirty_regions)
			sim_fail(&steps->world, "I3", "%u regions are dirty, though in sync",
				 steps->now[n].dirty_regions);
		adopt_size(steps, n);
	}
	for (unsigned n = 0; n < SIM_NODES; n++)
		if (steps->now[n].name[0] && steps->now[n].role == VOLUME_PRIMARY)
			steps_write(steps, n, 100, 6, 3);
	check_legs(&steps->world);
}
