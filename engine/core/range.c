/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/range.h"

#include "engine/base/mutant.h"

#include <assert.h>

static bool overlaps(const struct range *a, const struct range *b)
{
	return a->offset < b->end && b->offset < a->end && !MUTANT(OVERLAP);
}

static struct list *bucket_of(struct range_set *set, uint64_t chunk)
{
	return &set->buckets[chunk % RANGE_BUCKETS];
}

static uint64_t first_chunk(const struct range *r)
{
	return r->offset / RANGE_CHUNK_BYTES;
}

/* How many buckets may hold what lies in the chunks of @r. */
static uint64_t buckets_across(const struct range *r)
{
	return min_u64((r->end - 1) / RANGE_CHUNK_BYTES - first_chunk(r) + 1, RANGE_BUCKETS);
}

void range_set_init(struct range_set *set)
{
	for (unsigned i = 0; i < RANGE_BUCKETS; i++)
		list_init(&set->buckets[i]);
	list_init(&set->wide);
	set->turns = 0;
	set->count = 0;
}

static uint32_t count_overlaps(struct list *head, const struct range *r)
{
	uint32_t n = 0;

	LIST_FOR (node, head)
		n += overlaps(LIST_ENTRY(node, struct range, node), r);
	return n;
}

/* What came later waited for @r; what came before, if anything, @r waited for itself. */
static void unblock(struct list *head, const struct range *r)
{
	LIST_FOR_SAFE (node, head) {
		struct range *later = LIST_ENTRY(node, struct range, node);

		if (later->turn < r->turn || !overlaps(later, r))
			continue;
		assert(later->blockers > 0);
		if (--later->blockers == 0)
			later->granted(later);
	}
}

static NOINLINE void acquire_wide(struct range_set *set, struct range *r)
{
	for (uint64_t i = 0, n = buckets_across(r); i < n; i++)
		r->blockers += count_overlaps(bucket_of(set, first_chunk(r) + i), r);
	list_add_tail(&set->wide, &r->node);
}

static NOINLINE void unblock_wide(struct range_set *set, const struct range *r)
{
	for (uint64_t i = 0, n = buckets_across(r); i < n; i++)
		unblock(bucket_of(set, first_chunk(r) + i), r);
}

inline bool range_acquire(struct range_set *set, struct range *r, uint64_t offset, uint64_t length)
{
	r->offset = offset;
	r->end = offset + length;
	/* Not empty, and not across the end of all numbers. */
	assert(r->end > offset);
	r->turn = set->turns++;
	/* They differ above a chunk. */
	r->wide = (offset ^ (r->end - 1)) >= RANGE_CHUNK_BYTES;
	/* Nearly always nothing is that wide. */
	r->blockers = list_empty(&set->wide) ? 0 : count_overlaps(&set->wide, r);
	if (r->wide) {
		acquire_wide(set, r);
	} else {
		r->blockers += count_overlaps(bucket_of(set, first_chunk(r)), r);
		list_add_tail(bucket_of(set, first_chunk(r)), &r->node);
	}
	set->count++;
	return !range_waits(r);
}

static inline void take_out(struct range_set *set, struct range *r)
{
	assert(set->count > 0);
	list_del(&r->node);
	set->count--;
	if (!list_empty(&set->wide))
		unblock(&set->wide, r);
	if (UNLIKELY(r->wide))
		unblock_wide(set, r);
	else if (!list_empty(bucket_of(set, first_chunk(r))))
		unblock(bucket_of(set, first_chunk(r)), r);
}

inline void range_release(struct range_set *set, struct range *r)
{
	assert(!range_waits(r));
	take_out(set, r);
}

void range_abandon(struct range_set *set, struct range *r)
{
	assert(range_waits(r));
	r->blockers = 0;
	take_out(set, r);
}
