/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a volume gets space wherever there is enough of it that its list of extents can name: what
 * is in front first, and nothing that another volume has.
 */
#include "engine/meta/pool.h"
#include "tests/support/t.h"

#include <string.h>

#define UNITS 1000u

static struct {
	struct pool pool;
	struct volume_record record[4], wanted;
} w;

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.pool.device_count = 1;
	w.pool.units[0] = UNITS;
	return 0;
}

static void take(struct volume_record *r, uint32_t start, uint32_t count)
{
	if (!r->extent_count)
		pool_record_add(&w.pool, r);
	r->extents[r->extent_count++] = (struct extent){.start = start, .count = count};
}

/* So many holes of one unit in front, in the middle of what others have. */
static void make_holes(unsigned holes)
{
	for (unsigned i = 0; i < holes; i++)
		take(&w.record[i / VOLUME_EXTENTS_MAX], 2 * i, 1);
}

static uint64_t total(const struct volume_record *r)
{
	uint64_t units = 0;

	for (unsigned i = 0; i < r->extent_count; i++) {
		units += r->extents[i].count;
		for (unsigned k = 0; k < w.pool.record_count; k++)
			for (unsigned e = 0; e < w.pool.records[k]->extent_count; e++) {
				const struct extent *x = &w.pool.records[k]->extents[e];

				assert_true(x->start + x->count <= r->extents[i].start ||
					    r->extents[i].start + r->extents[i].count <= x->start);
			}
	}
	return units;
}

static void what_is_in_front_comes_first(void **state)
{
	(void)state;
	make_holes(10);
	assert_true(pool_allocate(&w.pool, 5, &w.wanted));
	assert_int_equal(w.wanted.extent_count, 5);
	assert_int_equal(w.wanted.extents[0].start, 1);
	assert_int_equal(total(&w.wanted), 5);
}

static void many_small_holes_are_left_out(void **state)
{
	(void)state;
	make_holes(VOLUME_EXTENTS_MAX + 10);
	assert_true(pool_allocate(&w.pool, UNITS / 2, &w.wanted));
	assert_int_equal(total(&w.wanted), UNITS / 2);
	assert_int_equal(w.wanted.extent_count, 1);
}

/* A record that has some grows, or stays as it was. */
static void what_does_not_fit_changes_nothing(void **state)
{
	struct volume_record before;

	(void)state;
	make_holes(VOLUME_EXTENTS_MAX + 10);
	assert_true(pool_allocate(&w.pool, 3, &w.wanted));
	before = w.wanted;
	pool_record_add(&w.pool, &w.wanted);
	assert_false(pool_allocate(&w.pool, UNITS, &w.wanted));
	assert_memory_equal(&before, &w.wanted, sizeof(before));
	assert_true(pool_allocate(&w.pool, UNITS / 2, &w.wanted));
	pool_give_back(&w.wanted, UNITS / 2);
	assert_int_equal(w.wanted.extent_count, before.extent_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_in_front_comes_first, setup),
		cmocka_unit_test_setup(many_small_holes_are_left_out, setup),
		cmocka_unit_test_setup(what_does_not_fit_changes_nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
