/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: no two overlapping ranges are ever granted together, first come first served, none lost. */
#include "engine/core/range.h"
#include "tests/support/seed.h"
#include "tests/support/t.h"

#define RANGES 200
#define SPACE (4ull << 20)

struct item {
	struct range range;
	uint64_t order;
	bool used, granted;
};

static struct item items[RANGES];

static void on_granted(struct range *r)
{
	struct item *it = CONTAINER_OF(r, struct item, range);

	assert_true(it->used && !it->granted);
	it->granted = true;
}

static bool overlap(const struct item *a, const struct item *b)
{
	return a->range.offset < b->range.end && b->range.offset < a->range.end;
}

/* The truth by brute force: granted if and only if no earlier one that overlaps is left. */
static void check_all(void)
{
	for (int i = 0; i < RANGES; i++) {
		bool blocked = false;

		if (!items[i].used)
			continue;
		for (int k = 0; k < RANGES; k++)
			blocked |= items[k].used && items[k].order < items[i].order &&
				   overlap(&items[i], &items[k]);
		assert_int_equal(items[i].granted, !blocked);
	}
}

static void random_ranges_agree_with_brute_force(void **state)
{
	uint64_t seed = seed_start(), order = 0;
	struct range_set set;

	(void)state;
	range_set_init(&set);
	for (int step = 0; step < 20000; step++) {
		struct item *it = &items[seed_below(&seed, RANGES)];

		if (it->used && it->granted) {
			it->used = false;
			range_release(&set, &it->range);
		} else if (it->used && seed_below(&seed, 4) == 0) {
			it->used = false;
			range_abandon(&set, &it->range);
		} else if (!it->used) {
			bool wide = seed_below(&seed, 8) == 0;
			uint64_t length = 512 * (1 + seed_below(&seed, wide ? 4000 : 64));
			uint64_t offset = 512 * seed_below(&seed, (SPACE - length) / 512);

			*it = (struct item){.used = true, .order = ++order};
			it->range.granted = on_granted;
			it->granted = range_acquire(&set, &it->range, offset, length);
		}
		if (step % 16 == 0)
			check_all();
	}
	check_all();
	/* Nothing starves: releasing what is granted ends with an empty set. */
	for (bool any = true; any;) {
		any = false;
		for (int i = 0; i < RANGES; i++) {
			if (!items[i].used || !items[i].granted)
				continue;
			items[i].used = false;
			range_release(&set, &items[i].range);
			any = true;
		}
	}
	assert_int_equal(set.count, 0);
}

static void neighbours_do_not_wait(void **state)
{
	struct range a = {.granted = on_granted}, b = {.granted = on_granted};
	struct range_set set;

	(void)state;
	range_set_init(&set);
	assert_true(range_acquire(&set, &a, 0, 4096));
	assert_true(range_acquire(&set, &b, 4096, 4096));
	range_release(&set, &a);
	range_release(&set, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_do_not_wait),
		cmocka_unit_test(random_ranges_agree_with_brute_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
