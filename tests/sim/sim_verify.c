/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verifies.  In the LOAD phase, at any time: replicas that are in sync differ nowhere, so none
 * may say that they do; what a disk cannot read is another matter.  At the end of HEAL bits rot
 * on one side of a mirror: a verify must find exactly these blocks, blame nobody who is right,
 * and mend them.
 */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define PART_BYTES 4096u
#define ROTS_MAX 4u

/* One for each job; they outlive the engines. */
static struct verify_result results[SIM_NODES][SIM_JOBS_MAX];

static struct rot {
	struct sim_volume *source, *target, *side; /* NULL: nothing is rotten */
	struct sim_job *job;
	bool repair;
	unsigned count;
	uint64_t at[ROTS_MAX];
	uint64_t held[ROTS_MAX][PART_BYTES / sizeof(uint64_t)]; /* before */
} rot;

static uint64_t draw(struct sim_world *world, uint64_t n)
{
	return rng_below(&world->rng, n);
}

static struct verify_result *result_of(const struct sim_job *job)
{
	const struct sim_node *node = &job->world->node[job->node];

	return &results[job->node][job - node->jobs];
}

static struct sim_job *begin(struct sim_node *node, struct sim_volume *v,
			     const struct verify_wish *wish)
{
	struct sim_job *job = sim_job_new(node, SIM_VERIFY, v, v->name);

	if (!job)
		return NULL;
	memset(result_of(job), 0, sizeof(struct verify_result));
	engine_verify(node->engine, &job->job, v->name, wish, result_of(job));
	return job;
}

void sim_verify_run(struct sim_node *node, struct sim_volume *v)
{
	struct sim_world *world = node->world;
	struct verify_wish wish = {.repair = draw(world, 2)};

	if (draw(world, 2)) {
		/* A part of it; sometimes one that reaches too far, which is refused. */
		wish.offset = draw(world, v->status.size_bytes);
		wish.length = 1 + draw(world, v->status.size_bytes - wish.offset + PART_BYTES);
	}
	begin(node, v, &wish);
}

void sim_verify_done(struct sim_job *job, bool ok)
{
	const struct verify_result *r = result_of(job);
	struct sim_world *world = job->world;

	world->totals.verifies += ok;
	for (unsigned i = 0; !rot.source && i < r->place_count; i++) {
		const struct verify_place *p = &r->places[i];

		/* A write that only the device here has failed, and that is not mended yet. */
		if (!p->unreadable && (p->blame != VERIFY_LOCAL || !world->disk_failed))
			sim_fail(world, "verify",
				 "%s: %" PRIu64 " bytes at %" PRIu64 " are said to differ (%s)",
				 job->name, p->length, p->offset, verify_blame_name(p->blame));
		if (!world->disk_failed)
			sim_fail(world, "verify", "%s: byte %" PRIu64 " is said to be unreadable",
				 job->name, p->offset);
	}
}

/* --- rot --- */

static struct sim_disk *disk_of(const struct sim_volume *v, uint64_t offset, uint64_t *at)
{
	check_block(v, offset, at);
	for (unsigned e = 0; e < v->status.extent_count; e++) {
		const struct extent_status *x = &v->status.extents[e];

		if (offset < x->length)
			return &v->owner->disks[x->device];
		offset -= x->length;
	}
	return NULL;
}

static void part_read(const struct sim_volume *v, uint64_t offset, void *buf)
{
	uint64_t at;
	const struct sim_disk *disk = disk_of(v, offset, &at);

	media_read(&disk->media, at, buf, PART_BYTES);
}

static void part_write(const struct sim_volume *v, uint64_t offset, const void *buf)
{
	uint64_t at;
	struct sim_disk *disk = disk_of(v, offset, &at);

	media_write(&disk->media, at, buf, PART_BYTES);
	disk->touched[at / SIM_PAGE_BYTES] = 1;
}

static bool rotten(uint64_t offset)
{
	for (unsigned i = 0; i < rot.count; i++)
		if (rot.at[i] == offset)
			return true;
	return false;
}

static void rot_part(struct sim_world *world, uint64_t offset)
{
	uint64_t bytes[PART_BYTES / sizeof(uint64_t)];

	if (rotten(offset))
		return;
	part_read(rot.side, offset, rot.held[rot.count]);
	memcpy(bytes, rot.held[rot.count], sizeof(bytes));
	bytes[draw(world, ARRAY_SIZE(bytes))] ^= UINT64_C(1) << draw(world, 64);
	part_write(rot.side, offset, bytes);
	SIM_NOTE(world, rot.side->node, "%s: bits rot at %u", SIM_STR(rot.side->name), offset);
	rot.at[rot.count++] = offset;
}

/* A mirror that is in sync, by its primary; NULL = there is none. */
static struct sim_volume *some_mirror(struct sim_world *world)
{
	struct sim_volume *pick = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < SIM_NODES * SIM_VOLUMES_MAX; i++) {
		struct sim_volume *v =
			&world->node[i / SIM_VOLUMES_MAX].volumes[i % SIM_VOLUMES_MAX];

		if (v->used && v->alive && v->mapped && v->status.role == VOLUME_PRIMARY &&
		    v->status.mirror == MIRROR_SYNCED && check_partner(world, v) &&
		    draw(world, ++count) == 0)
			pick = v;
	}
	return pick;
}

bool sim_verify_rot(struct sim_world *world)
{
	struct sim_volume *v = some_mirror(world);
	uint64_t parts, border;

	memset(&rot, 0, sizeof(rot));
	if (!v)
		return false;
	rot.source = v;
	rot.target = check_partner(world, v);
	rot.side = draw(world, 2) ? rot.source : rot.target;
	rot.repair = draw(world, 4);
	parts = v->status.size_bytes / PART_BYTES;
	border = (1 + draw(world, v->status.size_bytes / KIB(128) - 1)) * KIB(128);
	rot_part(world, draw(world, parts) * PART_BYTES);
	if (draw(world, 2))
		rot_part(world, (parts - 1) * PART_BYTES);
	if (draw(world, 2)) {
		rot_part(world, border - PART_BYTES);
		rot_part(world, border);
	}
	sim_heap_enter(&v->owner->heap);
	engine_tick(v->owner->engine, world->now_ns);
	rot.job = begin(v->owner, v, &(struct verify_wish){.repair = rot.repair});
	sim_wake(world, v->node, world->now_ns);
	assert(rot.job);
	return true;
}

static void check_place(struct sim_world *world, const struct verify_place *p)
{
	enum verify_blame right = rot.side == rot.source ? VERIFY_LOCAL : VERIFY_PEER;

	for (uint64_t at = p->offset; at < p->offset + p->length; at += PART_BYTES)
		if (!rotten(at) || p->unreadable)
			sim_fail(world, "verify", "%s: byte %" PRIu64 " is whole, but was reported",
				 rot.source->name, at);
	if (p->blame != VERIFY_UNKNOWN && p->blame != right)
		sim_fail(world, "verify", "%s: at byte %" PRIu64 " %s is blamed, not %s",
			 rot.source->name, p->offset, verify_blame_name(p->blame),
			 verify_blame_name(right));
	if (p->repaired != rot.repair)
		sim_fail(world, "verify", "%s: byte %" PRIu64 " was%s repaired", rot.source->name,
			 p->offset, p->repaired ? "" : " not");
	world->totals.blamed += p->blame != VERIFY_UNKNOWN;
}

/* After a repair both sides hold the same; the right thing if somebody was blamed. */
static void check_mended(struct sim_world *world, const struct verify_place *p)
{
	uint64_t ours[PART_BYTES / sizeof(uint64_t)], theirs[PART_BYTES / sizeof(uint64_t)];

	for (unsigned i = 0; i < rot.count; i++) {
		if (rot.at[i] < p->offset || rot.at[i] >= p->offset + p->length)
			continue;
		part_read(rot.source, rot.at[i], ours);
		part_read(rot.target, rot.at[i], theirs);
		if (memcmp(ours, theirs, PART_BYTES) ||
		    (p->blame != VERIFY_UNKNOWN && memcmp(ours, rot.held[i], PART_BYTES)))
			sim_fail(world, "verify", "%s: byte %" PRIu64 " is not as it was",
				 rot.source->name, rot.at[i]);
	}
}

void sim_verify_found(struct sim_world *world)
{
	const struct verify_result *r = result_of(rot.job);

	if (rot.job->job.err.code)
		sim_fail(world, "verify", "nothing is wrong any more, but: %s",
			 rot.job->job.err.text);
	if (r->different_bytes != (uint64_t)rot.count * PART_BYTES ||
	    r->compared_bytes != rot.source->status.size_bytes)
		sim_fail(world, "verify",
			 "%s: %" PRIu64 " bytes of %" PRIu64 " were found to differ, not %u",
			 rot.source->name, r->different_bytes, r->compared_bytes,
			 rot.count * PART_BYTES);
	for (unsigned i = 0; i < r->place_count; i++) {
		check_place(world, &r->places[i]);
		if (rot.repair)
			check_mended(world, &r->places[i]);
	}
	/* Where nobody was blamed, or nothing repaired, the rot goes as it came. */
	for (unsigned i = 0; i < rot.count; i++) {
		part_write(rot.source, rot.at[i], rot.held[i]);
		part_write(rot.target, rot.at[i], rot.held[i]);
	}
	world->totals.rots += rot.count;
	rot.source = NULL;
}
