/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/leg.h"

#include <assert.h>

/* The extent with byte *@at of the volume, which becomes that of the extent. */
static NOINLINE const struct extent *find_extent(const struct volume_record *r, uint64_t *at)
{
	uint64_t left = *at;

	for (const struct extent *e = r->extents, *end = e + r->extent_count; e < end; e++) {
		uint64_t bytes = e->count * POOL_UNIT_BYTES;

		if (left < bytes) {
			*at = left;
			return e;
		}
		left -= bytes;
	}
	assert(!"the core checks ranges before a leg starts");
	return NULL;
}

/* Where byte @offset of a volume lies, and how many bytes follow it on the same device. */
static struct store *map_extent(const struct leg *leg, uint64_t *device_offset, uint64_t *run)
{
	const struct extent *e = leg->record->extents;
	uint64_t at = leg->offset;

	/* Most volumes have one extent. */
	if (UNLIKELY(at >= e->count * POOL_UNIT_BYTES))
		e = find_extent(leg->record, &at);
	*device_offset = POOL_DATA_OFFSET + e->start * POOL_UNIT_BYTES + at;
	*run = e->count * POOL_UNIT_BYTES - at;
	return leg->stores[e->device];
}

static void op_done(struct store_op *op);

static NOINLINE void submit(struct leg *leg, struct store *store, uint64_t device_offset,
			    uint64_t length)
{
	leg->op.offset = device_offset;
	leg->op.length = length;
	leg->op.done = op_done;
	store_submit(store, &leg->op);
}

static void flush_next(struct leg *leg)
{
	unsigned device = (unsigned)__builtin_ctz(leg->flush_left);

	leg->flush_left &= leg->flush_left - 1;
	submit(leg, leg->stores[device], 0, 0);
}

/* The next command of what is left, @run bytes of which lie at @device_offset of @store. */
static inline void step(struct leg *leg, struct store *store, uint64_t device_offset, uint64_t run)
{
	uint64_t max = leg->op.code == STORE_WRITE_ZEROES ? store->geometry.zeroes_max_bytes
							  : store->geometry.io_max_bytes;

	submit(leg, store, device_offset, min_u64(min_u64(run, leg->length), max));
}

static inline void step_volume(struct leg *leg)
{
	uint64_t device_offset, run;
	struct store *store = map_extent(leg, &device_offset, &run);

	step(leg, store, device_offset, run);
}

static void step_raw(struct leg *leg)
{
	step(leg, leg->stores[0], leg->offset, leg->length);
}

/* Some command of it was done, and was not all. */
static NOINLINE void go_on(struct leg *leg)
{
	uint64_t bytes = leg->op.length;

	if (leg->stop && *leg->stop) {
		leg->status = LS_SHUTDOWN;
		leg->done(leg);
		return;
	}
	leg->offset += bytes;
	leg->length -= bytes;
	if (leg->op.buf)
		leg->op.buf = (uint8_t *)leg->op.buf + bytes;
	if (leg->flush_left)
		flush_next(leg);
	else if (leg->record)
		step_volume(leg);
	else
		step_raw(leg);
}

static void op_done(struct store_op *op)
{
	struct leg *leg = CONTAINER_OF(op, struct leg, op);
	uint64_t left = (leg->length - op->length) | leg->flush_left;

	leg->status = op->status;
	/* Nearly always one command was all. */
	if (LIKELY(left == 0 || leg->status != LS_OK))
		leg->done(leg);
	else
		go_on(leg);
}

static NOINLINE void start_flush(struct leg *leg)
{
	for (unsigned i = 0; i < leg->record->extent_count; i++)
		leg->flush_left |= 1u << leg->record->extents[i].device;
	leg->length = 0;
	leg->op.buf = NULL;
	flush_next(leg);
}

inline void leg_start(struct leg *leg, const struct volume_record *record,
		      struct store *const *stores)
{
	leg->record = record;
	leg->stores = stores;
	leg->flush_left = 0;
	if (UNLIKELY(leg->op.code == STORE_FLUSH))
		start_flush(leg);
	else
		step_volume(leg);
}

void leg_start_raw(struct leg *leg, struct store *const *store)
{
	leg->record = NULL;
	leg->stores = store;
	leg->flush_left = leg->op.code == STORE_FLUSH;
	if (leg->flush_left)
		flush_next(leg);
	else
		step_raw(leg);
}
