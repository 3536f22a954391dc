/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/record.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/base/wire.h"
#include "engine/meta/intent.h"

#include <assert.h>

#define SUPER_VERSION 1u
/* 2: generations, association, policy.  3: the hand limit of a resync. */
#define TABLE_VERSION 3u

/* clang-format off */
static const uint8_t super_magic[8] = {'L', 'O', 'C', 'K', 'S', 'T', 'E', 'P'};
static const uint8_t table_magic[8] = {'L', 'S', 'T', 'A', 'B', 'L', 'E', 0};

/* Byte offsets; the tables are in engine/doc/ondisk.md. */
enum {
	SUPER_AT_VERSION = 8, SUPER_AT_LENGTH = 12, SUPER_AT_SEQUENCE = 16, SUPER_AT_POOL = 24,
	SUPER_AT_DEVICE = 40, SUPER_AT_INDEX = 56, SUPER_AT_COUNT = 60, SUPER_AT_BYTES = 64,
	SUPER_AT_BLOCK = 72, SUPER_AT_NODE = 80, SUPER_AT_NAME = 88, SUPER_AT_CRC = 508,
	SUPER_CHECKED = 512,
};

enum {
	TABLE_AT_VERSION = 8, TABLE_AT_COUNT = 12, TABLE_AT_SEQUENCE = 16, TABLE_AT_POOL = 24,
	TABLE_AT_LENGTH = 40, TABLE_AT_CRC = 44, TABLE_HEAD = 64,
};

enum {
	RECORD_AT_NAME = 0, RECORD_AT_UUID = 64, RECORD_AT_NUMBER = 80, RECORD_AT_BLOCK = 84,
	RECORD_AT_SIZE = 88, RECORD_AT_ROLE = 96, RECORD_AT_CONSISTENT = 97,
	RECORD_AT_REPLICAS = 98, RECORD_AT_EXTENTS = 100, RECORD_AT_POLICY = 102,
	RECORD_AT_ASSOCIATION = 103, RECORD_AT_SEQUENCE = 104, RECORD_AT_SHIFT = 108,
	RECORD_AT_COVERED = 109, RECORD_AT_OFFERED = 110, RECORD_AT_CURRENT = 112, RECORD_AT_BASE = 120,
	RECORD_AT_HISTORY = 128, RECORD_AT_LIMIT = 160, RECORD_HEAD = 168,
	REPLICA_AT_NODE = 0, REPLICA_AT_NAME = 8, REPLICA_AT_NUMBER = 40, REPLICA_AT_VOLUME = 48,
	REPLICA_BYTES = 112,
	EXTENT_AT_DEVICE = 0, EXTENT_AT_START = 4, EXTENT_AT_COUNT = 8, EXTENT_BYTES = 12,
};
/* clang-format on */

_Static_assert(REPLICA_AT_NAME + NODE_NAME_MAX + 1 == REPLICA_AT_NUMBER, "replica layout");
_Static_assert(REPLICA_AT_VOLUME + VOLUME_NAME_MAX + 1 == REPLICA_BYTES, "replica layout");
_Static_assert(SUPER_AT_NAME + POOL_NAME_MAX + 1 <= SUPER_AT_CRC, "super layout");

const char *meta_verdict_name(enum meta_verdict verdict)
{
	switch (verdict) {
	case META_OK:
		return "ok";
	case META_FOREIGN:
		return "not a Lockstep device";
	case META_VERSION:
		return "a format version that this release does not know";
	case META_DAMAGED:
		return "damaged (checksum or content)";
	case META_UNREADABLE:
		return "Lockstep's metadata cannot be read: the device fails";
	}
	return "?";
}

void super_encode(const struct super *s, uint8_t bytes[SUPER_BYTES])
{
	memset(bytes, 0, SUPER_BYTES);
	memcpy(bytes, super_magic, sizeof(super_magic));
	put_u32(bytes + SUPER_AT_VERSION, SUPER_VERSION);
	put_u32(bytes + SUPER_AT_LENGTH, SUPER_CHECKED);
	put_u64(bytes + SUPER_AT_SEQUENCE, s->sequence);
	memcpy(bytes + SUPER_AT_POOL, s->pool_uuid, 16);
	memcpy(bytes + SUPER_AT_DEVICE, s->device_uuid, 16);
	put_u32(bytes + SUPER_AT_INDEX, s->device_index);
	put_u32(bytes + SUPER_AT_COUNT, s->device_count);
	put_u64(bytes + SUPER_AT_BYTES, s->device_bytes);
	put_u32(bytes + SUPER_AT_BLOCK, s->block_bytes);
	put_u64(bytes + SUPER_AT_NODE, s->node_address);
	put_name(bytes + SUPER_AT_NAME, s->pool_name, POOL_NAME_MAX + 1);
	put_u32(bytes + SUPER_AT_CRC, crc32c(bytes, SUPER_AT_CRC));
}

enum meta_verdict super_decode(const uint8_t bytes[SUPER_BYTES], struct super *super)
{
	struct super s = {0};

	if (memcmp(bytes, super_magic, sizeof(super_magic)) != 0)
		return META_FOREIGN;
	if (get_u32(bytes + SUPER_AT_VERSION) != SUPER_VERSION)
		return META_VERSION;
	if (get_u32(bytes + SUPER_AT_LENGTH) != SUPER_CHECKED ||
	    get_u32(bytes + SUPER_AT_CRC) != crc32c(bytes, SUPER_AT_CRC))
		return META_DAMAGED;
	s.sequence = get_u64(bytes + SUPER_AT_SEQUENCE);
	memcpy(s.pool_uuid, bytes + SUPER_AT_POOL, 16);
	memcpy(s.device_uuid, bytes + SUPER_AT_DEVICE, 16);
	s.device_index = get_u32(bytes + SUPER_AT_INDEX);
	s.device_count = get_u32(bytes + SUPER_AT_COUNT);
	s.device_bytes = get_u64(bytes + SUPER_AT_BYTES);
	s.block_bytes = get_u32(bytes + SUPER_AT_BLOCK);
	s.node_address = get_u64(bytes + SUPER_AT_NODE);
	get_name(bytes + SUPER_AT_NAME, s.pool_name, POOL_NAME_MAX + 1);
	if (s.device_count == 0 || s.device_count > POOL_DEVICES_MAX ||
	    s.device_index >= s.device_count || s.device_bytes < POOL_DEVICE_BYTES_MIN ||
	    (s.block_bytes != 512 && s.block_bytes != 4096) || !s.pool_name[0])
		return META_DAMAGED;
	*super = s;
	return META_OK;
}

static size_t record_bytes(const struct volume_record *r)
{
	return RECORD_HEAD + r->replica_count * REPLICA_BYTES + r->extent_count * EXTENT_BYTES;
}

static void record_encode(const struct volume_record *r, uint8_t *p)
{
	memset(p, 0, record_bytes(r));
	put_name(p + RECORD_AT_NAME, r->name, VOLUME_NAME_MAX + 1);
	memcpy(p + RECORD_AT_UUID, r->uuid, 16);
	put_u32(p + RECORD_AT_NUMBER, r->number);
	put_u32(p + RECORD_AT_BLOCK, r->block_bytes);
	put_u64(p + RECORD_AT_SIZE, r->size_bytes);
	p[RECORD_AT_ROLE] = (uint8_t)r->role;
	p[RECORD_AT_CONSISTENT] = r->consistent;
	p[RECORD_AT_REPLICAS] = (uint8_t)r->replica_count;
	put_u16(p + RECORD_AT_EXTENTS, (uint16_t)r->extent_count);
	p[RECORD_AT_POLICY] = (uint8_t)r->policy;
	p[RECORD_AT_ASSOCIATION] = (uint8_t)r->association;
	put_u32(p + RECORD_AT_SEQUENCE, r->association_sequence);
	p[RECORD_AT_SHIFT] = r->region_shift;
	p[RECORD_AT_COVERED] = r->generations.covered;
	p[RECORD_AT_OFFERED] = r->generations.offered;
	put_u64(p + RECORD_AT_CURRENT, r->generations.current);
	put_u64(p + RECORD_AT_BASE, r->generations.base);
	for (unsigned i = 0; i < GENERATION_HISTORY; i++)
		put_u64(p + RECORD_AT_HISTORY + 8 * i, r->generations.history[i]);
	put_u32(p + RECORD_AT_LIMIT, r->resync_limit_kib);
	p += RECORD_HEAD;
	for (unsigned i = 0; i < r->replica_count; i++, p += REPLICA_BYTES) {
		put_u64(p + REPLICA_AT_NODE, r->replicas[i].node_address);
		put_name(p + REPLICA_AT_NAME, r->replicas[i].node_name, NODE_NAME_MAX + 1);
		put_u32(p + REPLICA_AT_NUMBER, r->replicas[i].volume_number);
		put_name(p + REPLICA_AT_VOLUME, r->replicas[i].volume_name, VOLUME_NAME_MAX + 1);
	}
	for (unsigned i = 0; i < r->extent_count; i++, p += EXTENT_BYTES) {
		put_u16(p + EXTENT_AT_DEVICE, r->extents[i].device);
		put_u32(p + EXTENT_AT_START, r->extents[i].start);
		put_u32(p + EXTENT_AT_COUNT, r->extents[i].count);
	}
}

size_t table_encode(const struct table *table, struct volume_record *const *records, uint8_t *bytes)
{
	size_t at = TABLE_HEAD, padded;
	uint32_t count = 0;

	for (unsigned i = 0; i < table->volume_count; i++) {
		size_t n = record_bytes(records[i]);

		if (records[i]->unlisted)
			continue;
		count++;
		if (at + n > TABLE_BYTES_MAX)
			return 0;
		record_encode(records[i], bytes + at);
		at += n;
	}
	memset(bytes, 0, TABLE_HEAD);
	memcpy(bytes, table_magic, sizeof(table_magic));
	put_u32(bytes + TABLE_AT_VERSION, TABLE_VERSION);
	put_u32(bytes + TABLE_AT_COUNT, count);
	put_u64(bytes + TABLE_AT_SEQUENCE, table->sequence);
	memcpy(bytes + TABLE_AT_POOL, table->pool_uuid, 16);
	put_u32(bytes + TABLE_AT_LENGTH, (uint32_t)at);
	/* The checksum is made with its own field zero. */
	put_u32(bytes + TABLE_AT_CRC, crc32c(bytes, at));
	padded = (at + SUPER_BYTES - 1) / SUPER_BYTES * SUPER_BYTES;
	memset(bytes + at, 0, padded - at);
	return padded;
}

size_t table_bytes(const uint8_t *bytes)
{
	uint32_t length = get_u32(bytes + TABLE_AT_LENGTH);

	if (memcmp(bytes, table_magic, sizeof(table_magic)) != 0 || length > TABLE_BYTES_MAX)
		return 0;
	return round_up_u64(length, SUPER_BYTES);
}

enum meta_verdict table_decode(const uint8_t *bytes, size_t available, struct table *table)
{
	static const uint8_t no_crc[4];
	uint32_t length, crc;
	struct table t;

	if (available < TABLE_HEAD || memcmp(bytes, table_magic, sizeof(table_magic)) != 0)
		return META_FOREIGN;
	if (get_u32(bytes + TABLE_AT_VERSION) != TABLE_VERSION)
		return META_VERSION;
	length = get_u32(bytes + TABLE_AT_LENGTH);
	if (length < TABLE_HEAD || length > available)
		return META_DAMAGED;
	crc = crc32c_join(bytes, TABLE_AT_CRC, no_crc, sizeof(no_crc), bytes + TABLE_AT_CRC + 4,
			  length - TABLE_AT_CRC - 4);
	if (crc != get_u32(bytes + TABLE_AT_CRC) && !MUTANT(TORN_TABLE))
		return META_DAMAGED;
	t.volume_count = get_u32(bytes + TABLE_AT_COUNT);
	t.sequence = get_u64(bytes + TABLE_AT_SEQUENCE);
	memcpy(t.pool_uuid, bytes + TABLE_AT_POOL, 16);
	if (t.volume_count > ENGINE_VOLUMES_MAX)
		return META_DAMAGED;
	*table = t;
	return META_OK;
}

static bool record_plausible(const struct volume_record *r)
{
	uint64_t units = 0;

	for (unsigned i = 0; i < r->extent_count; i++) {
		if (r->extents[i].device >= POOL_DEVICES_MAX || r->extents[i].count == 0)
			return false;
		units += r->extents[i].count;
	}
	return r->name[0] && r->number != 0 && r->size_bytes > 0 &&
	       r->size_bytes <= units * POOL_UNIT_BYTES &&
	       (r->block_bytes == 512 || r->block_bytes == 4096) &&
	       r->size_bytes % r->block_bytes == 0 && r->role <= VOLUME_SECONDARY &&
	       r->policy <= POLICY_FAIL_CLOSED && r->association <= ASSOCIATION_BROKEN &&
	       (r->association == ASSOCIATION_NONE) == (r->replica_count == 0) &&
	       r->generations.covered <= GENERATION_HISTORY &&
	       intent_shift_fits(r->region_shift, r->size_bytes);
}

bool table_record(const uint8_t *bytes, size_t available, size_t *cursor,
		  struct volume_record *record)
{
	struct volume_record r = {0};
	size_t length = get_u32(bytes + TABLE_AT_LENGTH);
	size_t at = *cursor ? *cursor : TABLE_HEAD;
	const uint8_t *p = bytes + at;

	assert(length <= available);
	if (at > length || length - at < RECORD_HEAD)
		return false;
	get_name(p + RECORD_AT_NAME, r.name, VOLUME_NAME_MAX + 1);
	memcpy(r.uuid, p + RECORD_AT_UUID, 16);
	r.number = get_u32(p + RECORD_AT_NUMBER);
	r.block_bytes = get_u32(p + RECORD_AT_BLOCK);
	r.size_bytes = get_u64(p + RECORD_AT_SIZE);
	r.role = p[RECORD_AT_ROLE];
	r.consistent = p[RECORD_AT_CONSISTENT];
	r.replica_count = p[RECORD_AT_REPLICAS];
	r.extent_count = get_u16(p + RECORD_AT_EXTENTS);
	r.policy = p[RECORD_AT_POLICY];
	r.association = p[RECORD_AT_ASSOCIATION];
	r.association_sequence = get_u32(p + RECORD_AT_SEQUENCE);
	r.region_shift = p[RECORD_AT_SHIFT];
	r.generations.covered = p[RECORD_AT_COVERED];
	r.generations.offered = p[RECORD_AT_OFFERED];
	r.generations.current = get_u64(p + RECORD_AT_CURRENT);
	r.generations.base = get_u64(p + RECORD_AT_BASE);
	for (unsigned i = 0; i < GENERATION_HISTORY; i++)
		r.generations.history[i] = get_u64(p + RECORD_AT_HISTORY + 8 * i);
	r.resync_limit_kib = get_u32(p + RECORD_AT_LIMIT);
	if (r.replica_count > VOLUME_REPLICAS_MAX || r.extent_count > VOLUME_EXTENTS_MAX ||
	    length - at < record_bytes(&r))
		return false;
	p += RECORD_HEAD;
	for (unsigned i = 0; i < r.replica_count; i++, p += REPLICA_BYTES) {
		r.replicas[i].node_address = get_u64(p + REPLICA_AT_NODE);
		get_name(p + REPLICA_AT_NAME, r.replicas[i].node_name, NODE_NAME_MAX + 1);
		r.replicas[i].volume_number = get_u32(p + REPLICA_AT_NUMBER);
		get_name(p + REPLICA_AT_VOLUME, r.replicas[i].volume_name, VOLUME_NAME_MAX + 1);
	}
	for (unsigned i = 0; i < r.extent_count; i++, p += EXTENT_BYTES) {
		r.extents[i].device = get_u16(p + EXTENT_AT_DEVICE);
		r.extents[i].start = get_u32(p + EXTENT_AT_START);
		r.extents[i].count = get_u32(p + EXTENT_AT_COUNT);
	}
	if (!record_plausible(&r))
		return false;
	*cursor = at + record_bytes(&r);
	*record = r;
	return true;
}
