/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An orderly restart, as an upgrade is: the engine of a node is stopped with its clients at work,
 * destroyed when it says so, and another opens the pool.  What the clients had not got an answer
 * for is asked for again, as the client library does; see sim_client_again().
 */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <stdlib.h>

void sim_restart_begin(struct sim_node *node)
{
	struct sim_world *world = node->world;

	if (!node->engine || !node->opened || !node->has_pool || node->stopping || node->restarting)
		return;
	SIM_NOTE(world, node->number, "is to be restarted");
	world->session_disturbed = true;
	world->totals.faults++;
	node->restarting = true;
	node->paused_until_ns = 0;
	sim_heap_enter(&node->heap);
	engine_tick(node->engine, world->now_ns);
	engine_stop(node->engine);
	sim_wake(world, node->number, world->now_ns);
}

void sim_restart_fault(struct sim_world *world)
{
	struct sim_node *node = &world->node[rng_below(&world->rng, SIM_NODES)];

	if (rng_chance(&world->rng, world->profile.faults.restart))
		sim_restart_begin(node);
}

/* Everything but what the clients wait for has ended, and nothing is left behind. */
static void check_left(const struct sim_node *node)
{
	struct sim_world *world = node->world;

	for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++)
		if (node->requests[i].open && !node->requests[i].parked)
			sim_fail(world, "once", "%c has stopped with request %llx unanswered",
				 'A' + node->number, (unsigned long long)node->requests[i].id);
	if (node->jobs_open)
		sim_fail(world, "once", "%c has stopped with %u jobs unanswered",
			 'A' + node->number, node->jobs_open);
	LIST_FOR (entry, &world->wires) {
		const struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);

		if (wire->end[node->number].attached && !wire->end[node->number].released)
			sim_fail(world, "leak", "%c has stopped and left link %u",
				 'A' + node->number, wire->number);
	}
}

void sim_restart_run(struct sim_node *node)
{
	struct sim_world *world = node->world;

	if (!node->restarting || !engine_stopped(node->engine))
		return;
	check_left(node);
	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++)
		if (node->volumes[i].used)
			sim_client_close(&node->volumes[i]);
	engine_destroy(node->engine);
	if (node->stores_open || !list_empty(&node->heap))
		sim_fail(world, "leak", "%c has stopped and left stores open or memory",
			 'A' + node->number);
	sim_crash_links(node);
	free(node->copy.base);
	node->copy.base = NULL;
	node->engine = NULL;
	node->opened = node->restarting = false;
	node->back_at_ns = world->now_ns + rng_spread(&world->rng, US(100), MS(2000));
	node->wake_ns = node->back_at_ns;
	SIM_NOTE(world, node->number, "has stopped for a restart");
}
