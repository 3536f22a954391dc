/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no bytes make the decoders of what is on disk misbehave, with right checksums or wrong:
 * superblock, table of volumes, page of a write-intent map.
 * What is taken is within the bounds that its users index by, and is encoded again the same.
 */
#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "engine/meta/intent.h"
#include "engine/meta/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* engine/doc/ondisk.md, mirror.md */
enum {
	SUPER_CHECKED = 512,
	SUPER_CRC = 508,
	TABLE_LENGTH = 40,
	TABLE_CRC = 44,
	TABLE_HEAD = 64,
	SECTOR_BYTES = 512
};

static void check_record(const struct volume_record *r)
{
	if (r->extent_count > VOLUME_EXTENTS_MAX || r->replica_count > VOLUME_REPLICAS_MAX ||
	    r->number == 0 || !r->name[0] || !memchr(r->name, 0, sizeof(r->name)) ||
	    r->role > VOLUME_SECONDARY || r->generations.covered > GENERATION_HISTORY ||
	    !intent_shift_fits(r->region_shift, r->size_bytes))
		abort();
	for (unsigned i = 0; i < r->replica_count; i++)
		if (!memchr(r->replicas[i].node_name, 0, sizeof(r->replicas[i].node_name)) ||
		    !memchr(r->replicas[i].volume_name, 0, sizeof(r->replicas[i].volume_name)))
			abort();
	for (unsigned i = 0; i < r->extent_count; i++)
		if (r->extents[i].device >= POOL_DEVICES_MAX || r->extents[i].count == 0)
			abort();
}

/* What was taken is taken again when we wrote it. */
static void again(struct volume_record *r)
{
	static uint8_t bytes[TABLE_BYTES_MAX];
	struct table t = {.sequence = 7, .volume_count = 1};
	struct volume_record *records[1] = {r};
	struct volume_record taken;
	size_t cursor = 0, length = table_encode(&t, records, bytes);

	if (!length || table_decode(bytes, length, &t) != META_OK || t.volume_count != 1 ||
	    !table_record(bytes, length, &cursor, &taken) || taken.number != r->number ||
	    taken.size_bytes != r->size_bytes || strcmp(taken.name, r->name) != 0)
		abort();
}

static void walk(const uint8_t *bytes, size_t size)
{
	struct volume_record r;
	struct table t;
	size_t cursor = 0;

	if (table_decode(bytes, size, &t) != META_OK)
		return;
	for (unsigned i = 0; i < t.volume_count; i++) {
		if (!table_record(bytes, size, &cursor, &r))
			break;
		if (cursor > size)
			abort();
		check_record(&r);
		again(&r);
	}
}

static void superblock(uint8_t *bytes)
{
	struct super s, taken;

	(void)super_decode(bytes, &s);
	memcpy(bytes, "LOCKSTEP", 8);
	put_u32(bytes + 8, 1);
	put_u32(bytes + 12, SUPER_CHECKED);
	put_u32(bytes + SUPER_CRC, crc32c(bytes, SUPER_CRC));
	if (super_decode(bytes, &s) != META_OK)
		return;
	if (s.device_count > POOL_DEVICES_MAX || s.device_index >= s.device_count)
		abort();
	super_encode(&s, bytes);
	if (super_decode(bytes, &taken) != META_OK || strcmp(taken.pool_name, s.pool_name) != 0)
		abort();
}

/* The head and the checksum are put right; the records stay what they are. */
static void table(uint8_t *bytes, size_t size)
{
	walk(bytes, size);
	if (size < TABLE_HEAD)
		return;
	memcpy(bytes, "LSTABLE", 8);
	put_u32(bytes + 8, 2);
	put_u32(bytes + 12, bytes[12]);
	put_u32(bytes + TABLE_LENGTH, (uint32_t)size);
	put_u32(bytes + TABLE_CRC, 0);
	put_u32(bytes + TABLE_CRC, crc32c(bytes, size));
	walk(bytes, size);
}

static void map_page(uint8_t *page, const uint8_t *data, size_t size)
{
	uint64_t regions = 1 + (size > 2 ? get_u16(data) : 0) % INTENT_REGIONS_MAX;
	uint8_t bits[INTENT_REGIONS_MAX / 8];
	struct intent map;

	if (intent_init(&map, regions << INTENT_SHIFT_DEFAULT, INTENT_SHIFT_DEFAULT))
		return;
	/* Some sectors whole, the others as they are. */
	for (unsigned i = 0; i < INTENT_SECTORS; i++) {
		uint8_t *sector = page + i * SECTOR_BYTES;

		if (!(sector[11] & 1))
			continue;
		put_u32(sector + 4, 77);
		sector[8] = 1;
		sector[9] = (uint8_t)i;
		sector[10] = INTENT_SHIFT_DEFAULT;
		memset(sector + 11, 0, 5);
		put_u32(sector, crc32c(sector + 4, SECTOR_BYTES - 4));
	}
	intent_decode(&map, 77, page);
	if (map.marked > map.regions || map.dirty_regions > map.regions ||
	    map.dirty_regions != map.marked)
		abort();
	(void)intent_merge(&map, size ? data[size - 1] : 0, data,
			   (uint32_t)(size < sizeof(bits) ? size : sizeof(bits)));
	if (map.dirty_regions > map.regions || intent_export(&map, bits) > sizeof(bits))
		abort();
	for (uint32_t r = intent_next_dirty(&map, 0); r != UINT32_MAX;
	     r = intent_next_dirty(&map, r + 1))
		if (r >= map.regions)
			abort();
	intent_fini(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[8192];
	size_t n = size < sizeof(bytes) ? size : sizeof(bytes);
	uint8_t which;

	if (!size)
		return 0;
	which = data[0];
	data++;
	n--;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, data, n);
	switch (which % 3) {
	case 0:
		superblock(bytes);
		break;
	case 1:
		table(bytes, n);
		break;
	default:
		map_page(bytes, data, n);
	}
	return 0;
}
