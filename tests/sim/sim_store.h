/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated store.  A disk is memory that outlives the handles on it; a store is one
 * opened handle.  Operations complete after a random time, so in any order; part of a
 * write's bytes land when it is submitted and the rest when it completes, as a device may
 * do.  It fails operations when the world says so, and it notices when its caller breaks
 * the contract of nvme/store.h.
 *
 * Volatile cache: a block that was written without FUA stays marked until a flush that was
 * submitted later has completed.  Those are the blocks that a power cut may take.  A flush that
 * fails may doom some of them: they read well, but no later flush helps; only to be written again.
 */
#ifndef LS_SIM_STORE_H
#define LS_SIM_STORE_H

#include "engine/base/list.h"
#include "nvme/store.h"
#include "tests/sim/sim_media.h"

#define SIM_DISK_BYTES_MAX MIB(24)
#define SIM_PAGE_BYTES 4096u

struct sim_world;

/* written_seq of a sector that a power cut has taken, or might have. */
#define SIM_LOST UINT32_MAX

enum sim_doom {
	DOOM_NONE,
	DOOM_UNTOLD, /* whoever wrote it does not know */
	DOOM_TOLD,
};

/* Before it is metadata: engine/doc/ondisk.md. */
#define SIM_DATA_OFFSET MIB(8)

struct sim_disk {
	struct sim_media media; /* SIM_DISK_BYTES_MAX, mapped once per process */
	struct sim_media durable; /* of each volatile sector: what it held when it was durable */
	bool loses; /* a power cut may come: @durable is kept */
	uint8_t touched[SIM_DISK_BYTES_MAX / SIM_PAGE_BYTES];
	/* Of each sector: its last write that was not FUA; 0 = durable. */
	uint32_t written_seq[SIM_DISK_BYTES_MAX / SIM_SECTOR_BYTES];
	/* enum sim_doom: what a flush that failed has made of it, until it is written again. */
	uint8_t doom[SIM_DISK_BYTES_MAX / SIM_SECTOR_BYTES];
	/* Cannot be read until it is written, while there are faults. */
	uint8_t bad[SIM_DISK_BYTES_MAX / SIM_PAGE_BYTES];
	unsigned bad_count;
	struct sim_store *handle; /* the store that is open on it, or NULL */
	struct store_geometry geometry;
	uint64_t flushed_seq; /* what was written before this number is durable */
};

/* An operation in flight. */
struct sim_op {
	struct list node;
	struct store_op *op;
	uint64_t due_ns, seq;
	uint64_t early_bytes; /* how much of it happens at submission */
	enum ls_status fate;
	/* Set by the checker: where it lies in a volume, if it does. */
	struct sim_volume *volume;
	uint64_t volume_offset;
};

struct sim_store {
	struct store store;
	struct sim_world *world;
	struct sim_disk *disk;
	unsigned node, index;
	struct list in_flight; /* struct sim_op */
};

/* May a power cut take what was written to this sector? */
static inline bool sim_disk_volatile(const struct sim_disk *disk, uint64_t offset)
{
	return disk->written_seq[offset / SIM_SECTOR_BYTES] > disk->flushed_seq ||
	       disk->doom[offset / SIM_SECTOR_BYTES];
}

/* Maps the memory, once. */
void sim_disk_init(struct sim_disk *disk);
/*
 * Makes it a new disk, all zeroes, of the size, block and cache in @geometry.  @loses: some day
 * its power may be cut.
 */
void sim_disk_reset(struct sim_disk *disk, const struct store_geometry *geometry, bool loses);

/*
 * The store's owner has died.  What is in flight happens block by block, or not; with @power
 * volatile blocks may be lost, and all of them are marked SIM_LOST.
 */
void sim_store_crash(struct sim_store *store, bool power);
/* Nothing is volatile any more. */
void sim_disk_settle(struct sim_disk *disk);
/* What is doomed of these sectors becomes @doom: somebody was told, or nobody cares. */
void sim_disk_told(struct sim_disk *disk, uint64_t offset, uint64_t length, enum sim_doom doom);

struct store *sim_store_open(struct sim_world *world, unsigned node, unsigned index);
/* Calls done() of what is due, in random order.  Returns how many. */
unsigned sim_store_poll(struct sim_store *store);
/* When there will be something to poll; UINT64_MAX = nothing in flight. */
uint64_t sim_store_due_ns(const struct sim_store *store);
/* Makes what is stalled complete soon: the faults have stopped. */
void sim_store_hurry(struct sim_store *store, uint64_t due_ns_max);
/* An operation in flight that may touch this memory, or NULL. */
const struct sim_op *sim_store_uses(const struct sim_store *store, const void *base,
				    uint64_t bytes);

#endif
