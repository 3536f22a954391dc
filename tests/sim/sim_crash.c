/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The death of a node and its coming back.  Killed: its disks keep what they have done, and
 * do some of what was under way.  Power cut: they may also lose, sector by sector, what was
 * written since their last flush.
 */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <stdlib.h>
#include <string.h>

static void crash_requests(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++) {
		struct sim_request *r = &node->requests[i];

		if (!r->open)
			continue;
		/* Nobody was told: it may be there or not. */
		check_forgotten(r);
		r->open = false;
		node->requests_open--;
		if (r->page_count)
			memset(node->pages + r->page_first, 0, r->page_count);
		if (r->volume)
			r->volume->requests_open--;
	}
}

static void crash_jobs(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_JOBS_MAX; i++) {
		struct sim_job *job = &node->jobs[i];

		if (!job->open)
			continue;
		job->open = false;
		node->jobs_open--;
		if (!job->volume)
			continue;
		job->volume->jobs_open--;
		/* It may have been done, or half of it. */
		sim_operated(job->volume, job->kind, node->world->seq++);
	}
}

void sim_crash_links(struct sim_node *node)
{
	memset(node->dials, 0, sizeof(node->dials));
	memset(node->openings, 0, sizeof(node->openings));
	LIST_FOR_SAFE (entry, &node->world->wires)
		sim_wire_kill(LIST_ENTRY(entry, struct sim_wire, node), node->number);
}

static void flip_bit(struct sim_disk *disk, struct sim_rng *rng, uint64_t offset, uint64_t bytes)
{
	_Alignas(uint64_t) uint8_t sector[SIM_SECTOR_BYTES];
	uint64_t at = offset + rng_below(rng, bytes), first = at - at % SIM_SECTOR_BYTES;

	media_read(&disk->media, first, sector, sizeof(sector));
	sector[at - first] ^= (uint8_t)(1u << rng_below(rng, 8));
	media_write(&disk->media, first, sector, sizeof(sector));
}

static bool is_durable(const struct sim_disk *disk, uint64_t offset, uint64_t bytes)
{
	for (uint64_t at = offset; at < offset + bytes; at += SIM_SECTOR_BYTES)
		if (sim_disk_volatile(disk, at))
			return false;
	return true;
}

/* One copy of the table, if the other one is whole and stays so; or the map of a volume. */
static void rot(struct sim_node *node)
{
	struct sim_rng *rng = &node->world->rng;
	const struct sim_volume *v = &node->volumes[rng_below(rng, SIM_VOLUMES_MAX)];
	struct sim_disk *disk = &node->disks[0];
	unsigned copy = (unsigned)rng_below(rng, 2);
	uint64_t offset[2];
	uint32_t bytes[2] = {check_table(disk, 0, &offset[0]), check_table(disk, 1, &offset[1])};

	if (!rng_chance(rng, node->world->profile.faults.rot))
		return;
	if (v->used && v->mapped) {
		SIM_NOTE(node->world, node->number, "the map of %s rots", SIM_STR(v->name));
		flip_bit(disk, rng, check_intent_offset(v), SIM_SECTOR_BYTES);
	} else if (bytes[0] && bytes[1] && is_durable(disk, offset[!copy], bytes[!copy])) {
		SIM_NOTE(node->world, node->number, "copy %u of the table rots", copy);
		flip_bit(disk, rng, offset[copy], bytes[copy]);
	}
}

void sim_crash(struct sim_node *node, bool power)
{
	struct sim_world *world = node->world;

	SIM_NOTE(world, node->number, power ? "loses its power" : "is killed");
	world->totals.crashes++;
	world->session_disturbed = true;
	crash_requests(node);
	crash_jobs(node);
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++)
		if (node->stores[i])
			sim_store_crash(node->stores[i], power);
	rot(node);
	sim_crash_links(node);
	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++)
		node->volumes[i].handle = NULL;
	sim_heap_drop(&node->heap);
	free(node->copy.base);
	node->copy.base = NULL;
	node->engine = NULL;
	node->opened = node->restarting = false;
	node->paused_until_ns = 0;
	node->back_at_ns = world->now_ns + rng_spread(&world->rng, US(100), MS(20000));
	node->wake_ns = node->back_at_ns;
	if (power)
		check_power_cut(node);
}

void sim_crash_fault(struct sim_world *world)
{
	const struct sim_faults *faults = &world->profile.faults;
	unsigned first = (unsigned)rng_below(&world->rng, SIM_NODES);
	bool both = !rng_below(&world->rng, 6);
	bool power = rng_chance(&world->rng, faults->power_cut);

	if (!power && !rng_chance(&world->rng, faults->kill))
		return;
	for (unsigned i = 0; i < 1u + both; i++) {
		struct sim_node *node = &world->node[first ^ i];

		if (node->engine && !node->stopping && node->has_pool)
			sim_crash(node, power);
	}
}
