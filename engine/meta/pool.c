/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/pool.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pool_create(const char *name, const uint8_t uuid[16], struct store *const *stores,
		unsigned store_count, struct pool **pool)
{
	struct pool *p = calloc(1, sizeof(*p));

	assert(store_count > 0 && store_count <= POOL_DEVICES_MAX);
	if (!p)
		return -ENOMEM;
	p->table = aligned_alloc(SUPER_BYTES, TABLE_BYTES_MAX);
	if (!p->table) {
		free(p);
		return -ENOMEM;
	}
	strncpy(p->name, name, POOL_NAME_MAX);
	memcpy(p->uuid, uuid, sizeof(p->uuid));
	p->device_count = store_count;
	for (unsigned i = 0; i < store_count; i++) {
		const struct store_geometry *g = &stores[i]->geometry;

		p->stores[i] = stores[i];
		p->block_bytes = (uint32_t)max_u64(p->block_bytes, g->block_bytes);
		if (g->size_bytes > POOL_DATA_OFFSET)
			p->units[i] = (uint32_t)min_u64(
				(g->size_bytes - POOL_DATA_OFFSET) / POOL_UNIT_BYTES, UINT32_MAX);
	}
	list_init(&p->committing);
	list_init(&p->waiting);
	*pool = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	assert(!p->busy);
	for (unsigned i = 0; i < p->device_count; i++)
		store_close(p->stores[i]);
	free(p->table);
	free(p);
}

void pool_record_add(struct pool *p, struct volume_record *record)
{
	assert(p->record_count < ENGINE_VOLUMES_MAX);
	p->records[p->record_count++] = record;
}

void pool_record_remove(struct pool *p, struct volume_record *record)
{
	for (unsigned i = 0; i < p->record_count; i++) {
		if (p->records[i] != record)
			continue;
		p->records[i] = p->records[--p->record_count];
		return;
	}
	assert(!"removing a record that the pool does not have");
}

uint64_t pool_units_total(const struct pool *p)
{
	uint64_t units = 0;

	for (unsigned i = 0; i < p->device_count; i++)
		units += p->units[i];
	return units;
}

uint64_t pool_units_free(const struct pool *p)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < p->record_count; i++)
		for (unsigned k = 0; k < p->records[i]->extent_count; k++)
			used += p->records[i]->extents[k].count;
	return pool_units_total(p) - used;
}

/* The first free run on @device at or behind @from; returns its length, 0 = none. */
static uint32_t next_free_run(const struct pool *p, unsigned device, uint32_t from, uint32_t *start)
{
	uint32_t end = p->units[device];
	bool moved = true;

	/* Step over every extent that covers @from, until none does. */
	while (moved) {
		moved = false;
		for (unsigned i = 0; i < p->record_count; i++) {
			const struct volume_record *r = p->records[i];

			for (unsigned k = 0; k < r->extent_count; k++) {
				const struct extent *e = &r->extents[k];

				if (e->device == device && e->start <= from &&
				    from < e->start + e->count) {
					from = e->start + e->count;
					moved = true;
				}
			}
		}
	}
	if (from >= end)
		return 0;
	/* It ends where the next extent begins. */
	for (unsigned i = 0; i < p->record_count; i++) {
		const struct volume_record *r = p->records[i];

		for (unsigned k = 0; k < r->extent_count; k++) {
			const struct extent *e = &r->extents[k];

			if (e->device == device && e->start > from && e->start < end)
				end = e->start;
		}
	}
	*start = from;
	return end - from;
}

/* Takes a run at the end of @x; false when the list is full. */
static bool extent_append(struct extent *x, unsigned *n, unsigned device, uint32_t start,
			  uint32_t count)
{
	struct extent *last = *n ? &x[*n - 1] : NULL;

	if (last && last->device == device && last->start + last->count == start) {
		last->count += count;
		return true;
	}
	if (*n == VOLUME_EXTENTS_MAX)
		return false;
	x[(*n)++] = (struct extent){.device = (uint16_t)device, .start = start, .count = count};
	return true;
}

/* From the first free runs of at least @run_min units. */
static bool allocate(const struct pool *p, uint64_t units, uint32_t run_min,
		     struct volume_record *record)
{
	struct extent x[VOLUME_EXTENTS_MAX];
	unsigned n = record->extent_count;

	/* A copy: whoever looks for free space below must not see half of it. */
	memcpy(x, record->extents, sizeof(x));
	for (unsigned device = 0; device < p->device_count && units > 0; device++) {
		uint32_t from = 0, run;

		while (units > 0 && (run = next_free_run(p, device, from, &from)) > 0) {
			uint32_t taken = run < run_min ? 0 : (uint32_t)min_u64(run, units);

			if (taken && !extent_append(x, &n, device, from, taken))
				return false;
			units -= taken;
			from += run;
		}
	}
	if (units > 0)
		return false;
	memcpy(record->extents, x, sizeof(x));
	record->extent_count = n;
	return true;
}

/* What is in front first; small holes are left out when a volume can't have that many extents. */
bool pool_allocate(const struct pool *p, uint64_t units, struct volume_record *record)
{
	for (uint64_t run_min = 1; run_min <= units; run_min *= 2)
		if (allocate(p, units, (uint32_t)run_min, record))
			return true;
	return false;
}

void pool_give_back(struct volume_record *record, uint64_t units)
{
	while (units > 0) {
		struct extent *last = &record->extents[record->extent_count - 1];
		uint32_t n = (uint32_t)min_u64(units, last->count);

		assert(record->extent_count > 0);
		last->count -= n;
		units -= n;
		if (last->count == 0)
			record->extent_count--;
	}
}

/* --- commits --- */

static void commit_begin(struct pool *p);

static void commit_finish(struct pool *p, enum ls_status status)
{
	struct list done;
	struct list *node;
	bool more;

	list_init(&done);
	list_splice_tail(&done, &p->committing);
	more = !list_empty(&p->waiting) || done.next->next != &done;
	/* First the outcome, of all: what failed must not be in the table that is written next. */
	p->busy = more;
	while ((node = list_pop(&done))) {
		struct pool_commit *c = LIST_ENTRY(node, struct pool_commit, node);

		c->done(c, status);
	}
	/* A pool that nobody else waits for may be gone by now: its setup has failed. */
	if (more && list_empty(&p->waiting))
		p->busy = false;
	else if (more)
		commit_begin(p);
}

static void commit_flushed(struct leg *leg)
{
	commit_finish(CONTAINER_OF(leg, struct pool, leg), leg->status);
}

static void commit_write(struct pool *p);

static void commit_written(struct leg *leg)
{
	struct pool *p = CONTAINER_OF(leg, struct pool, leg);

	/* The next commit begins with the copy that failed: the other is the only whole one. */
	if (leg->status != LS_OK) {
		commit_finish(p, leg->status);
		return;
	}
	if (!MUTANT(SAME_COPY))
		p->copy = !p->copy;
	if (++p->copies_written < 2) {
		commit_write(p);
		return;
	}
	*leg = (struct leg){.op.code = STORE_FLUSH, .done = commit_flushed};
	leg_start_raw(leg, p->stores);
}

/* One copy after the other, never both at once: a power cut tears at most one. */
static void commit_write(struct pool *p)
{
	p->leg = (struct leg){
		.op.code = STORE_WRITE,
		.op.flags = STORE_FUA,
		.offset = TABLE_COPY_OFFSET(p->copy),
		.length = p->table_bytes,
		.op.buf = p->table,
		.done = commit_written,
	};
	leg_start_raw(&p->leg, p->stores);
}

static void commit_begin(struct pool *p)
{
	struct table table = {.sequence = p->sequence + 1, .volume_count = p->record_count};

	memcpy(table.pool_uuid, p->uuid, sizeof(p->uuid));
	p->table_bytes = table_encode(&table, p->records, p->table);
	/* ENGINE_VOLUMES_MAX full records are more than the table holds: admission checks it. */
	assert(p->table_bytes > 0);
	p->sequence++;
	p->busy = true;
	list_splice_tail(&p->committing, &p->waiting);
	p->copies_written = 0;
	commit_write(p);
}

void pool_commit(struct pool *p, struct pool_commit *commit)
{
	list_add_tail(&p->waiting, &commit->node);
	if (!p->busy)
		commit_begin(p);
}
