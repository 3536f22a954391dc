/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool: one or more devices, the space on them, and the table of volumes, which lives
 * twice on the first device.  Every change is one commit: the whole table, with the next
 * sequence number, over one copy, then over the other, then a flush.  A crash at any point
 * leaves a whole table, the old one or the new; and a copy that cannot be read any more
 * takes nothing away that was told to anybody.
 */
#ifndef LS_META_POOL_H
#define LS_META_POOL_H

#include "engine/base/list.h"
#include "engine/meta/leg.h"

struct pool {
	char name[POOL_NAME_MAX + 1];
	uint8_t uuid[16];
	uint32_t block_bytes; /* of its volumes: the largest of its devices */
	unsigned device_count;
	struct store *stores[POOL_DEVICES_MAX];
	uint32_t units[POOL_DEVICES_MAX]; /* data units of each device */

	/* The records that the next commit writes; they belong to the volumes. */
	unsigned record_count;
	struct volume_record *records[ENGINE_VOLUMES_MAX];

	/* Table writer. */
	uint64_t sequence; /* of the last table of which the writing began, or that was read */
	unsigned copy; /* the copy that is written next, 0 or 1 */
	unsigned copies_written; /* by this commit */
	size_t table_bytes;
	uint8_t *table; /* TABLE_BYTES_MAX, page-aligned; also the buffer for reading */
	struct leg leg;
	bool busy;
	struct list committing, waiting; /* struct pool_commit */
};

struct pool_commit {
	void (*done)(struct pool_commit *commit, enum ls_status status);
	struct list node;
};

/* Opens or makes a pool on @stores, which it owns from then on (pool_destroy closes them). */
struct pool_setup {
	struct pool *pool;
	void (*done)(struct pool_setup *setup, int code, const char *text);

	/* For a new pool. */
	bool make, force;
	uint64_t node_address;
	uint8_t device_uuids[POOL_DEVICES_MAX][16];

	/* Its own. */
	unsigned device, copy, step;
	struct super supers[POOL_DEVICES_MAX];
	unsigned order[POOL_DEVICES_MAX];
	enum meta_verdict verdicts[2];
	struct table tables[2];
	unsigned chosen;
	/*
	 * Outcome for an existing pool: the copies are not the same.  The owner commits once,
	 * when it has taken the records and before anything follows from them.
	 */
	bool repair;
	uint8_t *buf;
	struct leg leg;
	struct pool_commit commit;
};

/* -ENOMEM.  @name is for a new pool; an existing one tells its own. */
int pool_create(const char *name, const uint8_t uuid[16], struct store *const *stores,
		unsigned store_count, struct pool **pool) MUST_CHECK;
void pool_destroy(struct pool *pool);

/* Writes superblocks and an empty table (setup->make), or reads them. */
void pool_setup_start(struct pool_setup *setup);
/* Frees what the setup allocated; in done() or later. */
void pool_setup_fini(struct pool_setup *setup);
/*
 * After an existing pool was set up: its records one by one, as table_record().  The bytes
 * stay valid until the first commit.
 */
bool pool_next_record(const struct pool_setup *setup, size_t *cursor, struct volume_record *record);

/* Writes the table with all records as they are when the writing begins. */
void pool_commit(struct pool *pool, struct pool_commit *commit);

void pool_record_add(struct pool *pool, struct volume_record *record);
void pool_record_remove(struct pool *pool, struct volume_record *record);

/*
 * Space, in units.  pool_allocate() adds to the end of record->extents; false = no room, or too
 * many extents: nothing changed.  pool_give_back() takes from the end.
 */
uint64_t pool_units_total(const struct pool *pool);
uint64_t pool_units_free(const struct pool *pool);
bool pool_allocate(const struct pool *pool, uint64_t units, struct volume_record *record);
void pool_give_back(struct volume_record *record, uint64_t units);

#endif
