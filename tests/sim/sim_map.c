/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the engines say that volumes lie.  The map is read again when a job ended, when an
 * operation failed, or when something is not found in it; between those it cannot have
 * changed.
 */
#include "engine/meta/record.h"
#include "tests/sim/sim_check.h"

#include <string.h>

/* The volume that the engine says is its @index-th; mostly it was so the last time. */
static struct sim_volume *named(struct sim_node *node, const char *name, unsigned index)
{
	struct sim_volume *v = index < SIM_VOLUMES_MAX ? node->mapped[index] : NULL;

	return v && v->used && v->alive && !strcmp(v->name, name) ? v : sim_volume_find(node, name);
}

static void take_status(struct sim_node *node, const struct volume_status *status, unsigned index)
{
	struct sim_volume *v = named(node, status->name, index);
	bool first;

	/* The peer's pair request made it. */
	if (!v)
		v = sim_volume_new(node, status->name);
	if (!v || index == SIM_VOLUMES_MAX)
		sim_fail(node->world, "sim", "more volumes than the simulator has room for");
	first = !v->status.extent_count;
	v->status = *status;
	v->mapped = true;
	/* Nobody has promised what a volume holds that was made without zeroes. */
	if (first)
		check_told(v, DOOM_NONE);
	node->mapped[index] = v;
	check_seen(v);
}

void check_map(struct sim_node *node)
{
	struct volume_status status;
	unsigned count = 0, at = 0;

	node->map_stale = false;
	if (!node->engine || !node->opened)
		return;
	for (unsigned i = 0; i < node->volume_count; i++)
		node->volumes[i].mapped = false;
	while (engine_volume_status(node->engine, &at, &status))
		take_status(node, &status, count++);
	node->mapped_count = count;
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used && v->alive && !v->mapped && !v->jobs_open && !v->handle)
			v->alive = false;
	}
}

enum mirror_state check_mirror(struct sim_volume *volume)
{
	struct sim_node *node = volume->owner;

	if (!engine_volume_status_of(node->engine, volume->name, &volume->status))
		check_map(node);
	else
		check_seen(volume);
	return volume->status.mirror;
}

static struct sim_volume *locate(struct sim_node *node, unsigned device, uint64_t offset,
				 uint64_t *volume_offset)
{
	for (unsigned i = 0; i < node->mapped_count; i++) {
		struct sim_volume *v = node->mapped[i];
		uint64_t at = 0;

		for (unsigned e = 0; v->used && v->mapped && e < v->status.extent_count; e++) {
			const struct extent_status *extent = &v->status.extents[e];

			if (extent->device == device && offset >= extent->offset &&
			    offset - extent->offset < extent->length) {
				*volume_offset = at + offset - extent->offset;
				return v;
			}
			at += extent->length;
		}
	}
	return NULL;
}

struct sim_volume *check_locate(struct sim_node *node, unsigned device, uint64_t offset,
				uint64_t *volume_offset)
{
	struct sim_volume *v;

	if (node->map_stale)
		check_map(node);
	v = locate(node, device, offset, volume_offset);
	if (v)
		return v;
	check_map(node);
	return locate(node, device, offset, volume_offset);
}

const struct sim_disk *check_block(const struct sim_volume *volume, uint64_t offset,
				   uint64_t *disk_offset)
{
	uint64_t at = 0;

	for (unsigned e = 0; e < volume->status.extent_count; e++) {
		const struct extent_status *extent = &volume->status.extents[e];

		if (offset - at < extent->length) {
			*disk_offset = extent->offset + offset - at;
			return &volume->owner->disks[extent->device];
		}
		at += extent->length;
	}
	return NULL;
}

bool check_same(const struct sim_volume *a, const struct sim_volume *b, uint64_t offset,
		uint64_t bytes)
{
	uint64_t a_at = 0, b_at = 0;
	const struct sim_disk *a_disk = check_block(a, offset, &a_at);
	const struct sim_disk *b_disk = check_block(b, offset, &b_at);

	return a_disk && b_disk && media_equal(&a_disk->media, a_at, &b_disk->media, b_at, bytes);
}

uint64_t check_differs(const struct sim_volume *a, const struct sim_volume *b, uint64_t from)
{
	uint64_t at = from;

	while (at < a->status.size_bytes) {
		/* Volumes are made of such units: most are equal as a whole. */
		uint64_t bytes = at % POOL_UNIT_BYTES || !check_same(a, b, at, POOL_UNIT_BYTES)
					 ? a->status.block_bytes
					 : POOL_UNIT_BYTES;

		if (bytes < POOL_UNIT_BYTES && !check_same(a, b, at, bytes))
			break;
		at += bytes;
	}
	return at;
}

static struct sim_volume *by_number(struct sim_node *node, uint32_t number)
{
	for (unsigned i = 0; i < node->mapped_count; i++) {
		struct sim_volume *v = node->mapped[i];

		if (v->used && v->mapped && v->status.number == number)
			return v;
	}
	return NULL;
}

struct sim_volume *check_by_number(struct sim_node *node, uint32_t number)
{
	struct sim_volume *v;

	if (node->map_stale)
		check_map(node);
	v = by_number(node, number);
	if (v)
		return v;
	check_map(node);
	return by_number(node, number);
}

static struct sim_volume *partner(struct sim_world *world, const struct sim_volume *volume)
{
	struct sim_node *peer = &world->node[!volume->node];

	for (unsigned i = 0; i < peer->mapped_count; i++) {
		struct sim_volume *v = peer->mapped[i];

		/* Both halves have one name; one word is enough while they are being paired. */
		if (v->used && v->mapped && !strcmp(v->name, volume->name) &&
		    (v->status.association != ASSOCIATION_NONE ||
		     volume->status.association != ASSOCIATION_NONE))
			return v;
	}
	return NULL;
}

struct sim_volume *check_partner(struct sim_world *world, const struct sim_volume *volume)
{
	struct sim_volume *v;

	if (!world->node[0].map_stale && !world->node[1].map_stale) {
		v = partner(world, volume);
		if (v)
			return v;
	}
	check_map(&world->node[0]);
	check_map(&world->node[1]);
	return volume->mapped ? partner(world, volume) : NULL;
}
