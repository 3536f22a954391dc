/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults that last for a while: a partition in both directions or in one, a slow network, a slow
 * disk, a storm of lost connections.  Each has an end on the clock; in CALM all are over.
 */
#include "tests/sim/sim_check.h"

#include <string.h>

/* How many steps a connection lasts in a storm, on average. */
#define STORM_STEPS 30u

static bool lasts(const struct sim_world *world, uint64_t until_ns)
{
	return world->phase == SIM_LOAD && world->now_ns < until_ns;
}

static uint64_t some_time(struct sim_world *world)
{
	/* Up to twice the longest patience of a peer. */
	return world->now_ns + rng_spread(&world->rng, MS(1), MS(20000));
}

/* Nothing that @sides say arrives, and nobody can be dialled. */
static void partition(struct sim_world *world, unsigned sides)
{
	struct sim_spells *spells = &world->spells;
	uint64_t until = some_time(world);

	SIM_NOTE(world, -1, "nothing from%s%s arrives for %u ns", SIM_STR(sides & 1 ? " A" : ""),
		 SIM_STR(sides & 2 ? " B" : ""), until - world->now_ns);
	for (unsigned i = 0; i < SIM_NODES; i++) {
		if (!(sides & 1u << i))
			continue;
		spells->silent_until_ns[i] = until;
		LIST_FOR (entry, &world->wires)
			sim_wire_delay(LIST_ENTRY(entry, struct sim_wire, node), i, until);
	}
}

void sim_spell_fault(struct sim_world *world)
{
	const struct sim_faults *faults = &world->profile.faults;
	struct sim_spells *spells = &world->spells;
	unsigned node = (unsigned)rng_below(&world->rng, SIM_NODES);

	if (rng_chance(&world->rng, faults->partition)) {
		partition(world, 3);
	} else if (rng_chance(&world->rng, faults->one_way)) {
		partition(world, 1u << node);
	} else if (rng_chance(&world->rng, faults->slow_link)) {
		SIM_NOTE(world, -1, "the network is slow");
		spells->slow_link_until_ns = some_time(world);
	} else if (rng_chance(&world->rng, faults->slow_disk)) {
		SIM_NOTE(world, (int)node, "the disks are slow");
		spells->slow_disk_until_ns[node] = some_time(world);
	} else if (rng_chance(&world->rng, faults->storm)) {
		SIM_NOTE(world, -1, "connections do not last");
		spells->storm_until_ns = some_time(world);
	} else {
		return;
	}
	world->session_disturbed = true;
	world->totals.faults++;
}

uint64_t sim_spell_disk_ns(struct sim_world *world, unsigned node)
{
	if (!lasts(world, world->spells.slow_disk_until_ns[node]))
		return 0;
	return rng_spread(&world->rng, MS(1), MS(500));
}

uint64_t sim_spell_wire_ns(struct sim_world *world)
{
	if (!lasts(world, world->spells.slow_link_until_ns))
		return 0;
	return rng_spread(&world->rng, MS(1), MS(200));
}

uint64_t sim_spell_silent_until_ns(const struct sim_world *world, unsigned side)
{
	return world->phase == SIM_LOAD ? world->spells.silent_until_ns[side] : 0;
}

bool sim_spell_dial_fails(const struct sim_world *world)
{
	return lasts(world, world->spells.silent_until_ns[0]) ||
	       lasts(world, world->spells.silent_until_ns[1]);
}

void sim_spell_step(struct sim_world *world)
{
	if (!lasts(world, world->spells.storm_until_ns))
		return;
	LIST_FOR_SAFE (entry, &world->wires) {
		struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);

		if (wire->broken || rng_below(&world->rng, STORM_STEPS))
			continue;
		SIM_NOTE(world, -1, "wire %u breaks in the storm", wire->number);
		sim_wire_break(wire, "simulated: the connection does not last");
	}
}

void sim_spells_end(struct sim_world *world)
{
	/* Those that stall a wire stall it no longer. */
	for (unsigned i = 0; i < SIM_NODES; i++)
		LIST_FOR (entry, &world->wires)
			sim_wire_hurry(LIST_ENTRY(entry, struct sim_wire, node), i,
				       world->now_ns + MS(20));
	memset(&world->spells, 0, sizeof(world->spells));
}
