/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight range set of a volume: keeps two operations that overlap from being in
 * flight together (invariant I2).  Exact and first come, first served: a range waits for
 * every overlapping range that came before it, whether that one is in flight or waits
 * itself, so nothing starves.
 *
 * Almost every range is short.  One that lies within a chunk is found in the chunk's
 * bucket; the few that cross a chunk's border (long writes, zeroes) are in one list that
 * everybody looks at.  So the usual cost does not depend on how much is in flight.
 */
#ifndef LS_CORE_RANGE_H
#define LS_CORE_RANGE_H

#include "engine/base/list.h"

#define RANGE_CHUNK_BYTES (128u << 10)
#define RANGE_BUCKETS 256u

struct range {
	struct list node;
	uint64_t offset, end; /* half open */
	uint64_t turn; /* in the order of range_acquire() */
	uint32_t blockers; /* earlier ranges that overlap this one and are not released */
	bool wide;
	/* Called by range_release() of the last blocker.  Must not call back into the set. */
	void (*granted)(struct range *range);
};

struct range_set {
	struct list buckets[RANGE_BUCKETS];
	struct list wide;
	uint64_t turns;
	uint32_t count;
};

void range_set_init(struct range_set *set);

/* True: granted at once.  False: granted() will be called. */
bool range_acquire(struct range_set *set, struct range *range, uint64_t offset, uint64_t length);
/* Gives back a granted range. */
void range_release(struct range_set *set, struct range *range);
/* Does it wait for one that came before it? */
static inline bool range_waits(const struct range *range)
{
	return range->blockers > 0;
}
/* A range that waits waits no more, and will not be granted. */
void range_abandon(struct range_set *set, struct range *range);

#endif
