/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Metadata, read from the disk as engine/doc/ondisk.md and mirror.md say, by code of our own.
 *
 * The write-intent map (I3, I4): what its page says must cover whatever may differ.
 */
#include "tests/sim/sim_check.h"

#include "engine/base/crc32c.h"

#include <inttypes.h>
#include <string.h>

#define TABLE_AT_LENGTH 40u
#define TABLE_AT_CRC 44u
#define TABLE_HEAD 64u
#define TABLE_BYTES_MAX MIB(1)
#define PAGES_AT MIB(3)
#define PAGES 1024u
#define PAGE_BYTES 4096u
#define REGION_BYTES_MIN KIB(64)

/* The first sector of a map's page: the volumes here have no more regions than it holds. */
struct intent_page {
	_Alignas(uint64_t) uint8_t bytes[SIM_SECTOR_BYTES];
	bool whole;
};

_Static_assert(SIM_VOLUME_BYTES_MAX / REGION_BYTES_MIN <= (SIM_SECTOR_BYTES - 16) * 8,
	       "one sector");

uint32_t check_table(const struct sim_disk *disk, unsigned copy, uint64_t *offset)
{
	static _Alignas(uint64_t) uint8_t table[TABLE_BYTES_MAX];
	static const uint8_t no_crc[4];
	uint32_t length, crc;

	*offset = copy ? MIB(2) : MIB(1);
	media_read(&disk->media, *offset, table, SIM_SECTOR_BYTES);
	memcpy(&length, table + TABLE_AT_LENGTH, sizeof(length));
	memcpy(&crc, table + TABLE_AT_CRC, sizeof(crc));
	if (memcmp(table, "LSTABLE", 8) != 0 || length < TABLE_HEAD || length > TABLE_BYTES_MAX)
		return 0;
	media_read(&disk->media, *offset, table, round_up_u64(length, SIM_SECTOR_BYTES));
	if (crc != crc32c_join(table, TABLE_AT_CRC, no_crc, sizeof(no_crc),
			       table + TABLE_AT_CRC + 4, length - TABLE_AT_CRC - 4))
		return 0;
	return length;
}

uint64_t check_intent_offset(const struct sim_volume *v)
{
	return PAGES_AT + (uint64_t)(v->status.number % PAGES) * PAGE_BYTES;
}

static void page_take(const struct sim_volume *v, const void *bytes, struct intent_page *map)
{
	uint32_t crc, number;

	memcpy(map->bytes, bytes, sizeof(map->bytes));
	memcpy(&crc, map->bytes, sizeof(crc));
	memcpy(&number, map->bytes + 4, sizeof(number));
	map->whole = crc == crc32c(map->bytes + 4, sizeof(map->bytes) - 4) &&
		     number == v->status.number && map->bytes[8] == 1 &&
		     UINT64_C(1) << map->bytes[10] == v->status.region_bytes;
}

static void page_read(const struct sim_volume *v, struct intent_page *map)
{
	_Alignas(uint64_t) uint8_t bytes[SIM_SECTOR_BYTES];

	media_read(&v->owner->disks[0].media, check_intent_offset(v), bytes, sizeof(bytes));
	page_take(v, bytes, map);
}

static bool bit(const struct intent_page *map, uint64_t region)
{
	return map->bytes[16 + region / 8] >> (region % 8) & 1;
}

/* May the replicas differ in this region?  A sector that is not whole says so of all. */
static bool marked(const struct intent_page *map, uint64_t region)
{
	return !map->whole || bit(map, region);
}

static uint64_t region_count(const struct sim_volume *v)
{
	return (v->status.size_bytes + v->status.region_bytes - 1) / v->status.region_bytes;
}

/* Must each write of its clients be in the map? */
static bool tracked(const struct sim_volume *v)
{
	return v->status.association != ASSOCIATION_NONE && v->status.role == VOLUME_PRIMARY;
}

static bool covered(const struct sim_volume *v, uint64_t offset, uint64_t length)
{
	uint64_t last = (offset + length - 1) / v->status.region_bytes;
	struct intent_page map;

	page_read(v, &map);
	for (uint64_t r = offset / v->status.region_bytes; r <= last; r++)
		if (!marked(&map, r))
			return false;
	return true;
}

void check_intent_write(struct sim_volume *v, uint64_t offset, uint64_t length)
{
	/* Behind its end it is the zeroing of an expand. */
	if (!tracked(v) || offset >= v->status.size_bytes || covered(v, offset, length))
		return;
	/* What is known of it may be old. */
	check_mirror(v);
	if (tracked(v) && !covered(v, offset, length))
		sim_fail(v->owner->world, "I3",
			 "%c writes %" PRIu64 "+%" PRIu64
			 " of %s, which its durable map does not cover",
			 'A' + v->node, offset, length, v->name);
}

/* Is a device or the wire still at work in it? */
static bool in_flight(const struct sim_volume *v, uint64_t offset, uint64_t bytes)
{
	const struct sim_node *node = v->owner;

	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (!node->stores[i])
			continue;
		LIST_FOR (entry, &node->stores[i]->in_flight) {
			const struct sim_op *op = LIST_ENTRY(entry, struct sim_op, node);

			if (op->volume == v && op->op->code != STORE_READ &&
			    op->volume_offset < offset + bytes &&
			    offset < op->volume_offset + op->op->length)
				return true;
		}
	}
	LIST_FOR (entry, &node->world->wires) {
		const struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);
		const struct sim_end *end = &wire->end[v->node];

		for (uint32_t i = 0; i < end->link.granted_count; i++) {
			const struct sim_call *call = &end->calls[i];

			if (call->busy && call->volume == v && sim_frame_changes(&call->sent) &&
			    call->sent.offset < offset + bytes &&
			    offset < call->sent.offset + call->sent.length)
				return true;
		}
	}
	return false;
}

/* I4: whatever a replica may lose is dirty again when it does. */
static void check_flushed(const struct sim_volume *v, const struct sim_volume *replica,
			  uint64_t region)
{
	uint64_t from = region * v->status.region_bytes;
	uint64_t to = min_u64(from + v->status.region_bytes, v->status.size_bytes);

	for (uint64_t offset = from; offset < to; offset += SIM_SECTOR_BYTES) {
		uint64_t at;
		const struct sim_disk *disk = check_block(replica, offset, &at);

		if (disk && sim_disk_volatile(disk, at))
			sim_fail(v->owner->world, "I4",
				 "%c clears region %" PRIu64
				 " of %s, but a power cut at %c may take sector %" PRIu64 " of it",
				 'A' + v->node, region, v->name, 'A' + replica->node,
				 (offset - from) / SIM_SECTOR_BYTES);
	}
}

static struct sim_volume *volume_of_page(struct sim_node *node, uint64_t offset)
{
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used && v->alive && v->mapped && check_intent_offset(v) == offset)
			return v;
	}
	return NULL;
}

void check_intent_page(struct sim_store *store, const struct store_op *op)
{
	struct sim_world *world = store->world;
	struct sim_volume *v = volume_of_page(&world->node[store->node], op->offset), *twin;
	struct intent_page old, new, theirs = {0};

	if (store->index || op->length != PAGE_BYTES || !v)
		return;
	check_mirror(v);
	if (!v->mapped || !tracked(v))
		return;
	page_read(v, &old);
	page_take(v, op->buf, &new);
	twin = check_partner(world, v);
	if (twin)
		page_read(twin, &theirs);
	for (uint64_t r = 0; r < region_count(v); r++) {
		if (marked(&new, r))
			continue;
		if (in_flight(v, r * v->status.region_bytes, v->status.region_bytes))
			sim_fail(world, "I3",
				 "%c clears region %" PRIu64
				 " of %s while a write in it is in flight",
				 'A' + v->node, r, v->name);
		/* Elsewhere a page still has to say what a resync had cleared. */
		if (v->status.mirror != MIRROR_SYNCED || !marked(&old, r))
			continue;
		check_flushed(v, v, r);
		/* Who was primary before a promotion has marked it in its own map. */
		if (twin && !marked(&theirs, r))
			check_flushed(v, twin, r);
	}
}

/*
 * When the generations say that only what the maps have is to be copied, that must be enough.
 * The peer is up; where its page was never written its map has nothing.
 */
static void check_differences(const struct sim_volume *v)
{
	struct sim_volume *twin = check_twin(v);
	const struct generations *mine = &v->status.generations, *its;
	uint64_t bytes = v->status.region_bytes;
	struct intent_page map, theirs;

	if (!twin || !twin->owner->engine || !twin->owner->opened ||
	    v->owner->world->profile.faults.rot)
		return;
	check_mirror(twin);
	its = &twin->status.generations;
	if (!twin->mapped || twin->status.size_bytes != v->status.size_bytes ||
	    twin->status.region_bytes != bytes || !v->status.consistent ||
	    twin->status.association == ASSOCIATION_NONE ||
	    (its->current != mine->current && its->current != mine->base))
		return;
	page_read(v, &map);
	page_read(twin, &theirs);
	for (uint64_t offset = 0; offset < v->status.size_bytes; offset += SIM_SECTOR_BYTES) {
		uint64_t r = offset / bytes;

		if (!marked(&map, r) && !(theirs.whole && bit(&theirs, r)) &&
		    !check_same(v, twin, offset, SIM_SECTOR_BYTES))
			sim_fail(v->owner->world, "I3",
				 "%s at %c was opened: byte %" PRIu64
				 " differs from the peer's, and neither map says so",
				 v->name, 'A' + v->node, offset);
	}
}

void check_opened_durable(const struct sim_node *node)
{
	for (uint64_t at = 0; at < SIM_DATA_OFFSET; at += SIM_SECTOR_BYTES)
		if (sim_disk_volatile(&node->disks[0], at))
			sim_fail(node->world, "I11",
				 "%c has opened its pool, and a power cut can take what is at "
				 "%" PRIu64,
				 'A' + node->number, at);
}

void check_intent_opened(const struct sim_volume *v)
{
	uint64_t count = 0;
	struct intent_page map;

	if (v->status.association == ASSOCIATION_NONE)
		return;
	page_read(v, &map);
	for (uint64_t r = 0; r < region_count(v); r++)
		count += marked(&map, r);
	if (v->status.dirty_regions < count)
		sim_fail(v->owner->world, "I3",
			 "%s at %c was opened with %u dirty regions, but its map says %" PRIu64,
			 v->name, 'A' + v->node, v->status.dirty_regions, count);
	check_differences(v);
}
