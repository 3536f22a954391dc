/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kind of world a seed is.  Each fault is on in a quarter of the seeds, so that runs
 * with one fault, with many and with none all come up.
 */
#include "tests/sim/sim_world.h"

#include <stddef.h>
#include <string.h>

static uint32_t maybe(struct sim_rng *rng, uint32_t parts_max)
{
	return rng_below(rng, 4) ? 0 : (uint32_t)rng_between(rng, 1, parts_max);
}

static void draw_faults(struct sim_rng *rng, struct sim_faults *faults)
{
	faults->disk_error = maybe(rng, 150);
	faults->read_error = rng_below(rng, 4) ? 0 : (uint32_t)rng_between(rng, 100, 3000);
	faults->bad_node = (unsigned)rng_below(rng, SIM_NODES);
	faults->flush_error = maybe(rng, 3000);
	faults->disk_stall = maybe(rng, 30);
	faults->table_error = rng_below(rng, 12) ? 0 : (uint32_t)rng_between(rng, 100, 2000);
	faults->echo = maybe(rng, 2000);
	faults->stale = maybe(rng, 1000);
	faults->message_damage = maybe(rng, 120);
	faults->header_damage = maybe(rng, 120);
	faults->payload_damage = maybe(rng, 1200);
	faults->truncation = maybe(rng, 80);
	faults->forgery = maybe(rng, 150);
	faults->dial_failure = maybe(rng, 6000);
	faults->link_loss = maybe(rng, 2500);
	faults->control_loss = rng_below(rng, 6) ? 0 : (uint32_t)rng_between(rng, 100, 3000);
	faults->link_stall = maybe(rng, 600);
	faults->pause = maybe(rng, 600);
	faults->partition = maybe(rng, 500);
	faults->one_way = maybe(rng, 500);
	faults->slow_link = maybe(rng, 500);
	faults->slow_disk = maybe(rng, 500);
	faults->storm = maybe(rng, 300);
	faults->kill = maybe(rng, 800);
	faults->power_cut = maybe(rng, 800);
	faults->restart = maybe(rng, 500);
	faults->rot = maybe(rng, 6000);
	faults->wrong_key = !rng_below(rng, 40);
}

/*
 * Not below 128 KiB: a piece that was cut before its volume was mirrored would not fit
 * into a smaller slot, and channel_send() asserts that it does.
 */
static uint32_t slot_bytes(struct sim_rng *rng)
{
	static const uint32_t sizes[] = {128, 128, 128, 128, 128, 256, 512, 128};

	return (uint32_t)KIB(sizes[rng_below(rng, ARRAY_SIZE(sizes))]);
}

static void draw_node(struct sim_rng *rng, struct sim_profile *p, unsigned node)
{
	static const uint32_t slots[] = {64, 32, 16, 16, 8, 4};

	p->slot_count[node] = slots[rng_below(rng, 6)];
	p->slot_bytes[node] = slot_bytes(rng);
	/* Few: requests wait for each other. */
	p->pieces[node] = (uint32_t)rng_spread(rng, 16, 1024);
	p->disk_count[node] = 1 + (unsigned)rng_below(rng, SIM_DISKS_MAX);
	p->depth[node] = (unsigned)rng_spread(rng, 1, SIM_REQUESTS_MAX);
	p->block_bytes[node] = rng_below(rng, 4) ? 4096 : 512;
}

static void draw_profile(struct sim_rng *rng, struct sim_profile *p)
{
	unsigned dialler = (unsigned)rng_below(rng, 3);

	memset(p, 0, sizeof(*p));
	p->faultless = !rng_below(rng, 8);
	if (!p->faultless)
		draw_faults(rng, &p->faults);
	for (unsigned i = 0; i < SIM_NODES; i++) {
		draw_node(rng, p, i);
		p->dials[i] = dialler == 2 || dialler == i;
	}
	/* Legs of different block sizes are a case of their own; most pairs are alike. */
	if (rng_below(rng, 10))
		p->block_bytes[1] = p->block_bytes[0];
	p->crc = rng_below(rng, 10) != 0;
	p->clear_ms = (uint32_t)rng_spread(rng, 1, 2000);
	/* Half of the worlds clear whatever is quiet. */
	p->map_keep_bytes = rng_below(rng, 2) ? 1 : rng_spread(rng, KIB(64), MIB(16));
	p->region_shift = (uint8_t)rng_spread(rng, 16, 20);
	p->abrupt = !rng_below(rng, 5);
	/* The engine looks at its timers every 100 ms: a shorter peer timeout makes no sense. */
	p->peer_timeout_ms = p->faultless ? 0 : (uint32_t)rng_spread(rng, 400, 10000);
	p->request_timeout_ms = p->faultless ? 0 : (uint32_t)rng_spread(rng, 400, 30000);
	p->client_gap_ns = rng_spread(rng, US(20), US(2000));
	p->rests = rng_below(rng, 3) ? 1250 : 10000;
	p->rest_ns_max = rng_below(rng, 3) ? MS(300) : MS(20000);
	p->store_ns_max = rng_spread(rng, US(20), MS(5));
	p->fault_gap = (unsigned)rng_spread(rng, 5, 200);
	p->admin_gap = (unsigned)rng_spread(rng, 4, 60);
	/* A sixth of the worlds has no operator. */
	p->clients[0] = p->clients[1] = 10000;
	p->volumes = 1 + (uint32_t)rng_below(rng, 3);
	p->operators = rng_below(rng, 6) ? (uint32_t)rng_spread(rng, 100, 6000) : 0;
	/* In half of the worlds they do one thing again and again. */
	p->habit = rng_below(rng, 2) ? 1 + (uint32_t)rng_below(rng, 8) : 0;
	p->hot_blocks = (unsigned)rng_spread(rng, 1, 200);
	p->wire_late = (uint32_t)rng_below(rng, 10001);
	p->batch = (uint32_t)rng_below(rng, 8000);
}

static void draw_disks(struct sim_world *world, struct sim_node *node)
{
	struct sim_rng *rng = &world->rng;

	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		struct store_geometry g = {
			/* Often the first one is soon full, so that data and table are apart. */
			.size_bytes = rng_between(rng, 16, i ? 24 : 17) << 20,
			.block_bytes = world->profile.block_bytes[node->number],
			.io_max_bytes = (uint32_t)KIB(16) << rng_below(rng, 7),
			.zeroes_max_bytes = KIB(64) << rng_below(rng, 6),
			.discard_max_bytes = KIB(64) << rng_below(rng, 6),
			.volatile_cache = rng_below(rng, 2),
			.can_discard = rng_below(rng, 2),
			.discard_zeroes = rng_below(rng, 2),
			.numa_node = -1,
			.backend = "sim",
			.path = "sim",
		};

		g.atomic_bytes = g.block_bytes;
		sim_disk_reset(&node->disks[i], &g, world->profile.faults.power_cut);
	}
}

/* What of a world can be switched off, and how. */
#define FAULT(fault) #fault, offsetof(struct sim_profile, faults.fault), RNG_OFF
static const struct {
	const char *name;
	size_t offset; /* of a uint32_t */
	uint32_t off;
} parts[] = {
	{"operators", offsetof(struct sim_profile, operators), RNG_OFF},
	{"clients-a", offsetof(struct sim_profile, clients[0]), RNG_OFF},
	{"clients-b", offsetof(struct sim_profile, clients[1]), RNG_OFF},
	{"volumes", offsetof(struct sim_profile, volumes), 1},
	{FAULT(disk_error)},
	{FAULT(flush_error)},
	{FAULT(disk_stall)},
	{FAULT(table_error)},
	{FAULT(echo)},
	{FAULT(stale)},
	{FAULT(message_damage)},
	{FAULT(header_damage)},
	{FAULT(payload_damage)},
	{FAULT(truncation)},
	{FAULT(forgery)},
	{FAULT(dial_failure)},
	{FAULT(link_loss)},
	{FAULT(control_loss)},
	{FAULT(link_stall)},
	{FAULT(pause)},
	{FAULT(kill)},
	{FAULT(power_cut)},
	{FAULT(rot)},
	{FAULT(restart)},
	{FAULT(partition)},
	{FAULT(one_way)},
	{FAULT(slow_link)},
	{FAULT(slow_disk)},
	{FAULT(storm)},
};

_Static_assert(ARRAY_SIZE(parts) <= 32, "a bit for each in sim_plan.without");

const char *sim_part_name(unsigned part)
{
	return part < ARRAY_SIZE(parts) ? parts[part].name : NULL;
}

/* As long as it would not have come into play, the story is the same. */
static void switch_off(struct sim_profile *profile, uint32_t without)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		uint32_t *value = (uint32_t *)(void *)((uint8_t *)profile + parts[i].offset);

		if (without & 1u << i && *value)
			*value = parts[i].off;
	}
}

void sim_profile_draw(struct sim_world *world, uint32_t without)
{
	draw_profile(&world->rng, &world->profile);
	switch_off(&world->profile, without);
	for (unsigned i = 0; i < SIM_NODES; i++)
		draw_disks(world, &world->node[i]);
}
