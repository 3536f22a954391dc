/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting: dials that succeed or not, links on their way to an engine, and their loss. */
#include "tests/sim/sim_check.h"

#include <stdio.h>
#include <string.h>

void sim_net_dial(void *ctx, const char *address, void *cookie)
{
	struct sim_node *node = ctx;
	struct sim_world *world = node->world;

	for (unsigned i = 0; i < SIM_DIALS_MAX; i++) {
		struct sim_dial *dial = &node->dials[i];

		if (dial->used)
			continue;
		*dial = (struct sim_dial){.used = true, .cookie = cookie};
		dial->due_ns = world->now_ns + rng_spread(&world->rng, US(50), MS(20));
		snprintf(dial->address, sizeof(dial->address), "%s", address);
		SIM_NOTE(world, node->number, "dials");
		sim_wake(world, node->number, dial->due_ns);
		return;
	}
	sim_fail(world, "dial", "%c has %u dials without an answer, and dials again",
		 'A' + node->number, SIM_DIALS_MAX);
}

void sim_net_release(void *ctx, struct link *link)
{
	struct sim_node *node = ctx;
	struct sim_end *end = sim_end_of(link);

	SIM_NOTE(node->world, node->number, "wire %u: released", end->wire->number);
	check_released(end);
	link_destroy(link);
}

/* A node that does not run accepts nothing. */
static bool may_accept(const struct sim_node *node)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < SIM_OPENS_MAX; i++)
		waiting += node->openings[i].used && !node->openings[i].cookie;
	return waiting < SIM_ACCEPTS_MAX;
}

static struct sim_opening *free_opening(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_OPENS_MAX; i++) {
		if (!node->openings[i].used)
			return &node->openings[i];
	}
	return NULL;
}

static void bring(struct sim_node *node, struct link *link, void *cookie, uint64_t due_ns)
{
	struct sim_opening *opening = free_opening(node);

	if (!opening)
		sim_fail(node->world, "sim", "more links than the simulator has room for");
	*opening = (struct sim_opening){
		.used = true, .link = link, .cookie = cookie, .due_ns = due_ns};
	sim_wake(node->world, node->number, due_ns);
}

static void answer_dial(struct sim_node *node, struct sim_dial *dial)
{
	struct sim_world *world = node->world;
	struct sim_node *peer = &world->node[!node->number];
	bool fails = world->phase == SIM_LOAD &&
		     rng_chance(&world->rng, world->profile.faults.dial_failure);
	struct sim_wire *wire;

	dial->used = false;
	if (fails || sim_spell_dial_fails(world) || peer->stopped || !peer->engine ||
	    !may_accept(peer) || strcmp(dial->address, peer->number ? "B:1" : "A:1") != 0) {
		SIM_NOTE(world, node->number, "dial fails");
		engine_dial_failed(node->engine, dial->cookie, "simulated: nobody answers");
		return;
	}
	wire = sim_wire_create(world);
	SIM_NOTE(world, node->number, "wire %u: connected", wire->number);
	bring(node, &wire->end[node->number].link, dial->cookie,
	      world->now_ns + rng_spread(&world->rng, US(1), US(200)));
	bring(peer, &wire->end[peer->number].link, NULL,
	      world->now_ns + rng_spread(&world->rng, US(1), US(200)));
}

static void open_link(struct sim_node *node, struct sim_opening *opening)
{
	struct sim_end *end = sim_end_of(opening->link);

	opening->used = false;
	end->attached = true;
	SIM_NOTE(node->world, node->number, "wire %u: opened", end->wire->number);
	engine_link_opened(node->engine, opening->link, opening->cookie);
}

void sim_net_run(struct sim_node *node)
{
	uint64_t now = node->world->now_ns;

	for (unsigned i = 0; i < SIM_DIALS_MAX; i++) {
		if (node->dials[i].used && node->dials[i].due_ns <= now)
			answer_dial(node, &node->dials[i]);
	}
	for (unsigned i = 0; i < SIM_OPENS_MAX; i++) {
		if (node->openings[i].used && node->openings[i].due_ns <= now)
			open_link(node, &node->openings[i]);
	}
}

uint64_t sim_net_due_ns(const struct sim_node *node)
{
	uint64_t due = SIM_NEVER;

	for (unsigned i = 0; i < SIM_DIALS_MAX; i++) {
		if (node->dials[i].used)
			due = min_u64(due, node->dials[i].due_ns);
	}
	for (unsigned i = 0; i < SIM_OPENS_MAX; i++) {
		if (node->openings[i].used)
			due = min_u64(due, node->openings[i].due_ns);
	}
	LIST_FOR (entry, &node->world->wires)
		due = min_u64(due, sim_wire_due_ns(LIST_ENTRY(entry, struct sim_wire, node),
						   node->number));
	return due;
}

bool sim_net_linked(const struct sim_world *world)
{
	LIST_FOR (entry, &world->wires) {
		if (!LIST_ENTRY(entry, struct sim_wire, node)->broken)
			return true;
	}
	return false;
}

static struct sim_wire *some_wire(struct sim_world *world)
{
	struct sim_wire *pick = NULL;
	unsigned count = 0;

	LIST_FOR (entry, &world->wires) {
		struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);

		if (!wire->broken && rng_below(&world->rng, ++count) == 0)
			pick = wire;
	}
	return pick;
}

void sim_net_fault(struct sim_world *world)
{
	const struct sim_faults *faults = &world->profile.faults;
	uint64_t until = world->now_ns + rng_spread(&world->rng, US(10), MS(20000));
	struct sim_wire *wire;

	sim_crash_fault(world);
	sim_restart_fault(world);
	sim_spell_fault(world);
	wire = some_wire(world);
	if (wire && rng_chance(&world->rng, faults->link_loss)) {
		SIM_NOTE(world, -1, "wire %u breaks", wire->number);
		sim_wire_break(wire, "simulated: the cable is cut");
		world->totals.faults++;
	} else if (wire && rng_chance(&world->rng, faults->link_stall)) {
		SIM_NOTE(world, -1, "wire %u stalls for %u ns", wire->number,
			 until - world->now_ns);
		sim_wire_stall(wire, until);
		world->totals.faults++;
	} else if (rng_chance(&world->rng, faults->pause)) {
		unsigned node = (unsigned)rng_below(&world->rng, SIM_NODES);

		SIM_NOTE(world, (int)node, "does not run for %u ns", until - world->now_ns);
		world->node[node].paused_until_ns = until;
		world->totals.faults++;
	}
}
