/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What survives of a volume, and the codec of a pool's metadata (engine/doc/ondisk.md).
 * Pure: bytes in, records out.
 */
#ifndef LS_META_RECORD_H
#define LS_META_RECORD_H

#include "engine/base/defs.h"
#include "engine/base/limits.h"
#include "engine/meta/generation.h"

#include <stdbool.h>

/* Space is given out in units; a piece of I/O never crosses one by accident: see leg.h. */
#define POOL_UNIT_BYTES MIB(1)
#define SUPER_BYTES 4096u
#define SUPER_COPY_OFFSET(i) ((i) ? KIB(64) : 0)
#define TABLE_BYTES_MAX MIB(1)
#define TABLE_COPY_OFFSET(i) ((i) ? MIB(2) : MIB(1))
/* The write-intent maps: a page for each volume, by the index in its number. */
#define MAP_PAGE_BYTES 4096u
#define MAP_PAGE_OFFSET(number)                                                                    \
	(MIB(3) + (uint64_t)((number) % ENGINE_VOLUMES_MAX) * MAP_PAGE_BYTES)
#define POOL_DATA_OFFSET MIB(8)
#define POOL_DEVICE_BYTES_MIN MIB(16)

enum volume_role { VOLUME_PRIMARY = 0, VOLUME_SECONDARY = 1 };

/* What a primary does that has lost its peer: goes on alone, or waits for it (I10). */
enum volume_policy { POLICY_FAIL_OPEN = 0, POLICY_FAIL_CLOSED = 1 };

enum association { ASSOCIATION_NONE = 0, ASSOCIATION_ACTIVE = 1, ASSOCIATION_BROKEN = 2 };

struct extent {
	uint16_t device; /* index in the pool */
	uint32_t start; /* in units from the device's data offset */
	uint32_t count; /* in units */
};

struct replica_record {
	uint64_t node_address;
	char node_name[NODE_NAME_MAX + 1];
	uint32_t volume_number; /* at that node */
	char volume_name[VOLUME_NAME_MAX + 1];
};

/*
 * number: how frames name the volume at this node; never 0.  The low ten bits are its index
 * in the node's table, the rest is random, so that a number of a deleted volume misses.
 */
struct volume_record {
	char name[VOLUME_NAME_MAX + 1];
	uint8_t uuid[16];
	uint32_t number;
	uint64_t size_bytes;
	uint32_t block_bytes;
	enum volume_role role;
	/* In memory only: its space is taken, but the table does not say so yet, or any more. */
	bool unlisted;
	bool consistent; /* false: a resync into it has begun and not ended (I8) */
	enum volume_policy policy;
	enum association association; /* NONE if and only if replica_count is 0 */
	/* Of break and resume: the higher one of the two nodes counts. */
	uint32_t association_sequence;
	/* A resync from here copies at most so many KiB a second; 0 = as fast as it can. */
	uint32_t resync_limit_kib;
	uint8_t region_shift; /* log2 of the bytes of a region of the write-intent map */
	struct generations generations;
	unsigned replica_count;
	struct replica_record replicas[VOLUME_REPLICAS_MAX];
	unsigned extent_count;
	struct extent extents[VOLUME_EXTENTS_MAX];
};

/* What its extents hold.  More than its size: an expand has begun and not ended. */
static inline uint64_t record_capacity(const struct volume_record *record)
{
	uint64_t units = 0;

	for (unsigned i = 0; i < record->extent_count; i++)
		units += record->extents[i].count;
	return units * POOL_UNIT_BYTES;
}

struct super {
	uint64_t sequence;
	uint8_t pool_uuid[16];
	uint8_t device_uuid[16];
	uint32_t device_index, device_count;
	uint64_t device_bytes;
	uint32_t block_bytes;
	uint64_t node_address; /* of the node that made it */
	char pool_name[POOL_NAME_MAX + 1];
};

/* A pool's table as it is written: records one after another. */
struct table {
	uint64_t sequence;
	uint8_t pool_uuid[16];
	unsigned volume_count;
};

enum meta_verdict { META_OK, META_FOREIGN, META_VERSION, META_DAMAGED, META_UNREADABLE };
const char *meta_verdict_name(enum meta_verdict verdict);

void super_encode(const struct super *super, uint8_t bytes[SUPER_BYTES]);
enum meta_verdict super_decode(const uint8_t bytes[SUPER_BYTES], struct super *super);

/*
 * Encodes into @bytes (TABLE_BYTES_MAX long); returns the length, a multiple of 4096, or 0
 * when it does not fit.
 */
size_t table_encode(const struct table *table, struct volume_record *const *records,
		    uint8_t *bytes);
/*
 * How much of a copy is to be read to have the whole table, by its first SUPER_BYTES: a multiple
 * of them, TABLE_BYTES_MAX at most; 0 = the head makes no sense, and table_decode() says why.
 */
size_t table_bytes(const uint8_t *bytes);
/*
 * Reads the head of a table copy of @bytes_available bytes and checks all of it.  The
 * records are then taken one by one with table_record().
 */
enum meta_verdict table_decode(const uint8_t *bytes, size_t bytes_available, struct table *table);
/*
 * Decodes the record at *@cursor (start with 0) and moves on; false when it makes no sense.
 * Counts and ranges inside are checked, not only the checksum.
 */
bool table_record(const uint8_t *bytes, size_t bytes_available, size_t *cursor,
		  struct volume_record *record);

#endif
