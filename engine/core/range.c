/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/range.h"

#include "engine/base/mutant.h"

#include <assert.h>

static bool overlaps(const struct range *a, const struct range *b)
{
	return a->offset < b->end && b->offset < a->end && !MUTANT(OVERLAP);
}

static struct list *bucket_of(struct range_set *set, const struct range *r)
{
	return &set->buckets[r->offset / RANGE_CHUNK_BYTES % RANGE_BUCKETS];
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

bool range_acquire(struct range_set *set, struct range *r, uint64_t offset, uint64_t length)
{
	assert(length > 0 && offset + length > offset);
	r->offset = offset;
	r->end = offset + length;
	r->turn = set->turns++;
	r->wide = offset / RANGE_CHUNK_BYTES != (r->end - 1) / RANGE_CHUNK_BYTES;
	/* Nearly always nothing is that wide. */
	r->blockers = list_empty(&set->wide) ? 0 : count_overlaps(&set->wide, r);
	if (r->wide) {
		for (unsigned i = 0; i < RANGE_BUCKETS; i++)
			r->blockers += count_overlaps(&set->buckets[i], r);
		list_add_tail(&set->wide, &r->node);
	} else {
		r->blockers += count_overlaps(bucket_of(set, r), r);
		list_add_tail(bucket_of(set, r), &r->node);
	}
	set->count++;
	return !range_waits(r);
}

static void take_out(struct range_set *set, struct range *r)
{
	assert(set->count > 0);
	list_del(&r->node);
	set->count--;
	if (!list_empty(&set->wide))
		unblock(&set->wide, r);
	if (!r->wide) {
		if (!list_empty(bucket_of(set, r)))
			unblock(bucket_of(set, r), r);
		return;
	}
	for (unsigned i = 0; i < RANGE_BUCKETS; i++)
		unblock(&set->buckets[i], r);
}

void range_release(struct range_set *set, struct range *r)
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
