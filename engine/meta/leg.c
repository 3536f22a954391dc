/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/leg.h"

#include <assert.h>

/* Where byte @offset of a volume lies, and how many bytes follow it on the same device. */
static struct store *map_extent(const struct leg *leg, uint64_t *device_offset, uint64_t *run)
{
	const struct volume_record *r = leg->record;
	uint64_t at = leg->offset;

	for (unsigned i = 0; i < r->extent_count; i++) {
		const struct extent *e = &r->extents[i];
		uint64_t bytes = e->count * POOL_UNIT_BYTES;

		if (at < bytes) {
			*device_offset = POOL_DATA_OFFSET + e->start * POOL_UNIT_BYTES + at;
			*run = bytes - at;
			return leg->stores[e->device];
		}
		at -= bytes;
	}
	assert(!"the core checks ranges before a leg starts");
	return NULL;
}

static uint64_t command_max(const struct leg *leg, const struct store *store)
{
	return leg->code == LEG_WRITE_ZEROES ? store->geometry.zeroes_max_bytes
					     : store->geometry.io_max_bytes;
}

static void op_done(struct store_op *op);

static void submit(struct leg *leg, struct store *store, uint64_t device_offset, uint64_t length)
{
	static const enum store_code codes[] = {
		[LEG_READ] = STORE_READ,
		[LEG_WRITE] = STORE_WRITE,
		[LEG_FLUSH] = STORE_FLUSH,
		[LEG_WRITE_ZEROES] = STORE_WRITE_ZEROES,
	};

	/* One by one: the rest of it is the store's. */
	leg->op.code = codes[leg->code];
	leg->op.flags = leg->fua ? STORE_FUA : 0;
	leg->op.offset = device_offset;
	leg->op.length = length;
	leg->op.buf = leg->buf;
	leg->op.region = leg->region;
	leg->op.done = op_done;
	store_submit(store, &leg->op);
}

static void step_flush(struct leg *leg)
{
	unsigned device = (unsigned)__builtin_ctz(leg->flush_left);

	leg->flush_left &= leg->flush_left - 1;
	submit(leg, leg->stores[device], 0, 0);
}

static void step(struct leg *leg)
{
	uint64_t device_offset = leg->offset, run = leg->length;
	struct store *store = leg->stores[0];

	if (leg->code == LEG_FLUSH) {
		step_flush(leg);
		return;
	}
	if (leg->record)
		store = map_extent(leg, &device_offset, &run);
	run = min_u64(min_u64(run, leg->length), command_max(leg, store));
	submit(leg, store, device_offset, run);
}

static void op_done(struct store_op *op)
{
	struct leg *leg = CONTAINER_OF(op, struct leg, op);

	leg->status = op->status;
	/* Nearly always one command was all. */
	if (LIKELY(leg->status != LS_OK || (leg->length == op->length && !leg->flush_left))) {
		leg->done(leg);
		return;
	}
	if (leg->stop && *leg->stop) {
		leg->status = LS_SHUTDOWN;
		leg->done(leg);
		return;
	}
	leg->offset += op->length;
	leg->length -= op->length;
	if (leg->buf)
		leg->buf += op->length;
	step(leg);
}

void leg_start(struct leg *leg, const struct volume_record *record, struct store *const *stores)
{
	leg->record = record;
	leg->stores = stores;
	leg->flush_left = 0;
	if (leg->code == LEG_FLUSH) {
		for (unsigned i = 0; i < record->extent_count; i++)
			leg->flush_left |= 1u << record->extents[i].device;
		leg->length = 0;
		leg->buf = NULL;
	}
	step(leg);
}

void leg_start_raw(struct leg *leg, struct store *const *store)
{
	leg->record = NULL;
	leg->stores = store;
	leg->flush_left = leg->code == LEG_FLUSH;
	step(leg);
}
