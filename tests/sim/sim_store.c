/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_store.h"

#include "tests/sim/sim_check.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define OPS_MAX 256u
#define SECTORS_PER_PAGE (SIM_PAGE_BYTES / SIM_SECTOR_BYTES)

void sim_disk_init(struct sim_disk *disk)
{
	media_map(&disk->media, SIM_DISK_BYTES_MAX);
	media_map(&disk->durable, SIM_DISK_BYTES_MAX);
}

static void settle_page(struct sim_disk *disk, uint64_t page)
{
	memset(disk->written_seq + page * SECTORS_PER_PAGE, 0,
	       SECTORS_PER_PAGE * sizeof(*disk->written_seq));
	memset(disk->doom + page * SECTORS_PER_PAGE, 0, SECTORS_PER_PAGE);
}

void sim_disk_reset(struct sim_disk *disk, const struct store_geometry *geometry, bool loses)
{
	const uint8_t *end = disk->touched + sizeof(disk->touched), *at = disk->touched;

	while ((at = memchr(at, 1, (size_t)(end - at)))) {
		uint64_t i = (uint64_t)(at - disk->touched);

		media_zero(&disk->media, i * SIM_PAGE_BYTES, SIM_PAGE_BYTES);
		settle_page(disk, i);
		disk->touched[i] = 0;
	}
	memset(disk->bad, 0, sizeof(disk->bad));
	disk->bad_count = 0;
	disk->handle = NULL;
	disk->geometry = *geometry;
	disk->flushed_seq = 0;
	disk->loses = loses && geometry->volatile_cache;
}

static struct sim_store *sim_store_of(struct store *store)
{
	return CONTAINER_OF(store, struct sim_store, store);
}

static void touch(struct sim_disk *disk, uint64_t offset, uint64_t length)
{
	for (uint64_t i = offset / SIM_PAGE_BYTES; i <= (offset + length - 1) / SIM_PAGE_BYTES; i++)
		disk->touched[i] = 1;
}

/* Remembers what the sectors hold that are durable now and soon are not. */
static void remember_durable(struct sim_disk *disk, uint64_t offset, uint64_t length)
{
	for (uint64_t at = offset; disk->loses && at < offset + length; at += SIM_SECTOR_BYTES)
		if (!sim_disk_volatile(disk, at))
			media_copy(&disk->durable, &disk->media, at, SIM_SECTOR_BYTES);
}

/* Lets bytes [from, to) of @op happen. */
static void apply(struct sim_store *store, const struct store_op *op, uint64_t from, uint64_t to)
{
	struct sim_disk *disk = store->disk;
	uint8_t *buf = (uint8_t *)op->buf + from;
	uint64_t at = op->offset + from;

	if (from >= to)
		return;
	if (op->code != STORE_READ && op->code != STORE_FLUSH)
		remember_durable(disk, at, to - from);
	switch (op->code) {
	case STORE_READ:
		media_read(&disk->media, at, buf, to - from);
		return;
	case STORE_WRITE:
		media_write(&disk->media, at, buf, to - from);
		break;
	case STORE_DISCARD:
		if (!disk->geometry.discard_zeroes && rng_below(&store->world->rng, 2))
			return;
		media_zero(&disk->media, at, to - from);
		break;
	case STORE_WRITE_ZEROES:
		media_zero(&disk->media, at, to - from);
		break;
	case STORE_FLUSH:
		return;
	}
	touch(disk, at, to - from);
}

static void check_contract(const struct sim_store *store, const struct store_op *op)
{
	const struct store_geometry *g = &store->store.geometry;
	const struct region *region = op->region;
	struct sim_world *world = store->world;
	const uint8_t *buf = op->buf;

	LIST_FOR (node, &store->in_flight) {
		if (LIST_ENTRY(node, struct sim_op, node)->op == op)
			sim_fail(world, "I5", "a store operation was submitted while in flight");
	}
	if (op->code == STORE_DISCARD && !g->can_discard)
		sim_fail(world, "store", "discard on a device that cannot");
	if (region && op->length && (op->code == STORE_READ || op->code == STORE_WRITE) &&
	    (buf < (const uint8_t *)region->base ||
	     buf + op->length > (const uint8_t *)region->base + region->length_bytes))
		sim_fail(world, "store", "the buffer is not inside its region");
}

static uint64_t latency_ns(struct sim_world *world, unsigned node)
{
	if (world->phase == SIM_LOAD && rng_chance(&world->rng, world->profile.faults.disk_stall))
		return rng_spread(&world->rng, MS(1), MS(60000));
	return rng_spread(&world->rng, US(5), world->profile.store_ns_max) +
	       sim_spell_disk_ns(world, node);
}

/* Pages of @op that are bad, and if @mend none of them afterwards. */
static unsigned bad_pages(struct sim_disk *disk, const struct store_op *op, bool mend)
{
	unsigned count = 0;

	for (uint64_t i = op->offset / SIM_PAGE_BYTES;
	     disk->bad_count && op->length && i <= (op->offset + op->length - 1) / SIM_PAGE_BYTES;
	     i++) {
		count += disk->bad[i];
		/* A page that is written in part keeps what cannot be read of the rest. */
		if (!mend || !disk->bad[i] || op->offset > i * SIM_PAGE_BYTES ||
		    op->offset + op->length < (i + 1) * SIM_PAGE_BYTES)
			continue;
		disk->bad[i] = 0;
		disk->bad_count--;
	}
	return count;
}

/* Half of the read errors stay, until the block is written.  The metadata's do not. */
static void go_bad(struct sim_store *store, const struct store_op *op)
{
	struct sim_disk *disk = store->disk;
	uint64_t page = op->offset / SIM_PAGE_BYTES;

	if (op->code != STORE_READ || op->offset < SIM_DATA_OFFSET || disk->bad[page] ||
	    rng_below(&store->world->rng, 2))
		return;
	disk->bad[page] = 1;
	disk->bad_count++;
}

/* What somebody wants to see fail, once. */
static bool fails_by_wish(struct sim_store *store, const struct store_op *op)
{
	unsigned node = 1u << store->node;

	if (op->code == STORE_FLUSH && store->world->flush_fails & node) {
		store->world->flush_fails &= ~node;
		return true;
	}
	if (!(store->world->table_fails & node) || op->code != STORE_WRITE ||
	    op->offset >= SIM_DATA_OFFSET)
		return false;
	store->world->table_fails &= ~node;
	return true;
}

static bool strikes(struct sim_store *store, const struct store_op *op)
{
	struct sim_world *world = store->world;
	const struct sim_faults *faults = &world->profile.faults;
	const struct region *arena = &world->node[store->node].arena;

	if (faults->bad_node == store->node && op->code == STORE_READ && op->region == arena &&
	    rng_chance(&world->rng, faults->read_error))
		return true;
	if (faults->table_error && op->code == STORE_WRITE && op->offset < SIM_DATA_OFFSET &&
	    rng_chance(&world->rng, faults->table_error))
		return true;
	if (op->code == STORE_FLUSH && faults->flush_error &&
	    rng_chance(&world->rng, faults->flush_error))
		return true;
	return rng_chance(&world->rng, faults->disk_error);
}

/* LS_OK, or how the operation will fail. */
static enum ls_status fate(struct sim_store *store, const struct store_op *op)
{
	struct sim_world *world = store->world;

	/* A node without a pool is being set up: let most get through that. */
	if (world->phase != SIM_LOAD ||
	    (!world->node[store->node].has_pool && rng_below(&world->rng, 4)))
		return LS_OK;
	if (op->code == STORE_READ && bad_pages(store->disk, op, false))
		return LS_LOCAL_IO;
	if (!fails_by_wish(store, op) && !strikes(store, op))
		return LS_OK;
	go_bad(store, op);
	world->disk_failed = true;
	return LS_LOCAL_IO;
}

static void submit(struct store *base, struct store_op *op)
{
	struct sim_store *store = sim_store_of(base);
	struct sim_world *world = store->world;
	uint64_t blocks = op->length / base->geometry.block_bytes;
	struct sim_op *flight;

	sim_point_store(world, store->node, store->index, op, SIM_POINT_BEFORE);
	flight = calloc(1, sizeof(*flight));
	assert(flight);
	check_contract(store, op);
	flight->op = op;
	flight->seq = world->seq++;
	flight->fate = fate(store, op);
	flight->due_ns = world->now_ns + latency_ns(world, store->node);
	if (blocks && rng_below(&world->rng, 2))
		flight->early_bytes =
			rng_below(&world->rng, blocks + 1) * base->geometry.block_bytes;
	op->started_ns = world->now_ns;
	check_store_submit(store, flight);
	list_add_tail(&store->in_flight, &flight->node);
	apply(store, op, 0, flight->early_bytes);
	sim_wake(world, store->node, flight->due_ns);
	sim_point_store(world, store->node, store->index, op, SIM_POINT_MIDDLE);
}

/* These sectors were written, as number @seq; 0 = they are durable. */
static void written(struct sim_disk *disk, uint64_t offset, uint64_t length, uint64_t seq)
{
	uint64_t first = offset / SIM_SECTOR_BYTES, end = first + length / SIM_SECTOR_BYTES;

	assert(seq < SIM_LOST);
	for (uint64_t i = first; i < end; i++) {
		disk->written_seq[i] = (uint32_t)seq;
		disk->doom[i] = DOOM_NONE;
	}
	touch(disk, offset, length);
}

/* Which bytes a power cut may take, and which it no longer may. */
static void remember_cache(struct sim_store *store, const struct sim_op *flight)
{
	const struct store_op *op = flight->op;
	struct sim_disk *disk = store->disk;
	bool cached = disk->geometry.volatile_cache && !(op->flags & STORE_FUA);
	uint64_t seq = cached ? store->world->seq++ : 0;

	if (op->code == STORE_FLUSH)
		disk->flushed_seq = max_u64(disk->flushed_seq, flight->seq);
	if (op->code == STORE_READ || op->code == STORE_FLUSH)
		return;
	written(disk, op->offset, op->length, seq);
}

/* Of the volumes' sectors that the flush should have made durable, half of the pages. */
static void doom_cache(struct sim_store *store, uint64_t before)
{
	struct sim_disk *disk = store->disk;

	for (uint64_t page = SIM_DATA_OFFSET / SIM_PAGE_BYTES;
	     disk->geometry.volatile_cache && page < sizeof(disk->touched); page++) {
		uint64_t first = page * SECTORS_PER_PAGE;

		if (!disk->touched[page] || rng_below(&store->world->rng, 2))
			continue;
		for (uint64_t i = first; i < first + SECTORS_PER_PAGE; i++)
			if (disk->written_seq[i] > disk->flushed_seq &&
			    disk->written_seq[i] < before)
				disk->doom[i] = DOOM_UNTOLD;
	}
}

void sim_disk_told(struct sim_disk *disk, uint64_t offset, uint64_t length, enum sim_doom doom)
{
	uint64_t first = offset / SIM_SECTOR_BYTES, end = first + length / SIM_SECTOR_BYTES;

	for (uint64_t i = first; i < end; i++)
		if (disk->doom[i])
			disk->doom[i] = doom;
}

static void finish(struct sim_store *store, struct sim_op *flight)
{
	struct store_op *op = flight->op;
	uint64_t late = flight->fate == LS_OK || rng_below(&store->world->rng, 2) ? op->length : 0;

	apply(store, op, flight->early_bytes, late);
	if (flight->fate == LS_OK) {
		remember_cache(store, flight);
		if (op->code == STORE_WRITE || op->code == STORE_WRITE_ZEROES)
			bad_pages(store->disk, op, true);
	} else if (op->code == STORE_FLUSH && store->world->node[store->node].opened) {
		/* Else the engine has no volumes yet: whoever opens the pool hears of it. */
		doom_cache(store, flight->seq);
	}
	list_del(&flight->node);
	store_op_ends(op, flight->fate);
	check_store_done(store, flight);
	free(flight);
	sim_point_store(store->world, store->node, store->index, op, SIM_POINT_THERE);
	op->done(op);
}

unsigned sim_store_poll(struct sim_store *store)
{
	struct sim_op *due[OPS_MAX];
	unsigned count = 0, left;

	LIST_FOR (node, &store->in_flight) {
		struct sim_op *flight = LIST_ENTRY(node, struct sim_op, node);

		if (flight->due_ns <= store->world->now_ns && count < OPS_MAX)
			due[count++] = flight;
	}
	for (left = count; left; left--) {
		unsigned pick = (unsigned)rng_below(&store->world->rng, left);
		struct sim_op *flight = due[pick];

		due[pick] = due[left - 1];
		finish(store, flight);
	}
	return count;
}

uint64_t sim_store_due_ns(const struct sim_store *store)
{
	uint64_t due = SIM_NEVER;

	LIST_FOR (node, &store->in_flight)
		due = min_u64(due, LIST_ENTRY(node, struct sim_op, node)->due_ns);
	return due;
}

void sim_store_hurry(struct sim_store *store, uint64_t due_ns_max)
{
	LIST_FOR (node, &store->in_flight) {
		struct sim_op *flight = LIST_ENTRY(node, struct sim_op, node);

		flight->due_ns = min_u64(flight->due_ns, due_ns_max);
	}
}

const struct sim_op *sim_store_uses(const struct sim_store *store, const void *base, uint64_t bytes)
{
	const uint8_t *first = base;

	LIST_FOR (node, &store->in_flight) {
		const struct sim_op *flight = LIST_ENTRY(node, struct sim_op, node);
		const uint8_t *buf = flight->op->buf;

		if (flight->op->code != STORE_READ && flight->op->code != STORE_WRITE)
			continue;
		if (buf < first + bytes && first < buf + flight->op->length)
			return flight;
	}
	return NULL;
}

/* What a flush has failed for is not known to the next engine (engine/doc/mirror.md). */
static void spare_cache(struct sim_store *store)
{
	struct sim_disk *disk = store->disk;

	for (uint64_t page = 0; page < sizeof(disk->touched); page++)
		for (unsigned i = 0; disk->touched[page] && i < SECTORS_PER_PAGE; i++) {
			uint64_t sector = page * SECTORS_PER_PAGE + i;

			if (disk->doom[sector])
				disk->written_seq[sector] = (uint32_t)store->world->seq;
			disk->doom[sector] = DOOM_NONE;
		}
}

/* A block of @op that is in flight when the power goes, or its owner dies. */
static void crash_block(struct sim_store *store, const struct sim_op *flight, uint64_t from)
{
	struct sim_rng *rng = &store->world->rng;
	struct sim_disk *disk = store->disk;
	uint64_t at = flight->op->offset + from, bytes = disk->geometry.block_bytes;

	if (from >= flight->early_bytes && rng_below(rng, 2))
		apply(store, flight->op, from, from + bytes);
	else if (from >= flight->early_bytes)
		return;
	if (disk->geometry.volatile_cache)
		written(disk, at, bytes, store->world->seq);
	else
		touch(disk, at, bytes);
}

static void lose_cache(struct sim_store *store)
{
	struct sim_disk *disk = store->disk;
	uint64_t block = disk->geometry.block_bytes;

	for (uint64_t page = 0; page < sizeof(disk->touched); page++) {
		if (!disk->touched[page])
			continue;
		for (uint64_t at = page * SIM_PAGE_BYTES; at < (page + 1) * SIM_PAGE_BYTES;
		     at += block) {
			if (!sim_disk_volatile(disk, at))
				continue;
			if (rng_below(&store->world->rng, 2))
				media_copy(&disk->media, &disk->durable, at, block);
			for (uint64_t s = 0; s < block; s += SIM_SECTOR_BYTES)
				disk->written_seq[(at + s) / SIM_SECTOR_BYTES] = SIM_LOST;
		}
	}
}

void sim_disk_settle(struct sim_disk *disk)
{
	for (uint64_t page = 0; page < sizeof(disk->touched); page++)
		if (disk->touched[page])
			settle_page(disk, page);
}

void sim_store_crash(struct sim_store *store, bool power)
{
	LIST_FOR_SAFE (node, &store->in_flight) {
		struct sim_op *flight = LIST_ENTRY(node, struct sim_op, node);
		enum store_code code = flight->op->code;

		for (uint64_t at = 0; code != STORE_READ && code != STORE_FLUSH &&
				      flight->fate == LS_OK && at < flight->op->length;
		     at += store->store.geometry.block_bytes)
			crash_block(store, flight, at);
		list_del(&flight->node);
		free(flight);
	}
	if (power)
		lose_cache(store);
	else
		spare_cache(store);
	store->disk->handle = NULL;
	store->world->node[store->node].stores[store->index] = NULL;
	store->world->node[store->node].stores_open--;
	free(store);
}

static void close_store(struct store *base)
{
	struct sim_store *store = sim_store_of(base);

	if (!list_empty(&store->in_flight))
		sim_fail(store->world, "I5", "a store was closed with operations in flight");
	spare_cache(store);
	store->disk->handle = NULL;
	store->world->node[store->node].stores[store->index] = NULL;
	store->world->node[store->node].stores_open--;
	free(store);
}

static const struct store_ops store_sim_ops = {.submit = submit, .close = close_store};

struct store *sim_store_open(struct sim_world *world, unsigned node, unsigned index)
{
	struct sim_store *store = calloc(1, sizeof(*store));
	struct sim_disk *disk = &world->node[node].disks[index];

	assert(store && !disk->handle);
	store->store.ops = &store_sim_ops;
	store->store.geometry = disk->geometry;
	store->world = world;
	store->disk = disk;
	store->node = node;
	store->index = index;
	list_init(&store->in_flight);
	disk->handle = store;
	world->node[node].stores[index] = store;
	world->node[node].stores_open++;
	return &store->store;
}
