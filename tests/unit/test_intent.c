/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/base/defs.h"
#include "engine/meta/intent.h"
#include "tests/support/t.h"

#include <string.h>

#define VOLUME (GIB_BYTES + 12345 * 512)
#define GIB_BYTES (UINT64_C(1) << 30)
#define REGION (UINT64_C(1) << INTENT_SHIFT_DEFAULT)

static void make(struct intent *m)
{
	assert_int_equal(intent_init(m, VOLUME, intent_shift_for(VOLUME, INTENT_SHIFT_DEFAULT)), 0);
}

static void write_page(struct intent *m, uint8_t *page)
{
	intent_encode(m, 77, page);
	intent_written(m, true);
}

static void waits_once_for_each_region(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	assert_false(intent_begin(&m, REGION - 512, 1024));
	assert_true(m.any_wanted);
	assert_false(intent_durable(&m, REGION - 512, 1024));
	write_page(&m, page);
	assert_true(intent_durable(&m, REGION - 512, 1024));
	assert_int_equal(m.marked, 2);
	assert_true(intent_begin(&m, REGION, 4096));
	assert_false(m.any_wanted);
	intent_fini(&m);
}

static void a_page_that_failed_is_wanted_again(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	assert_false(intent_begin(&m, 0, 512));
	intent_encode(&m, 77, page);
	assert_false(m.any_wanted);
	intent_written(&m, false);
	assert_true(m.any_wanted);
	assert_int_equal(m.marked, 0);
	intent_fini(&m);
}

static void a_round_clears_what_was_quiet(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	/* 0: ended before.  1: in flight.  2: written during the round.  3: dirty. */
	for (unsigned i = 0; i < 4; i++)
		intent_begin(&m, i * REGION, 512);
	write_page(&m, page);
	intent_end(&m, 0, 512);
	intent_end(&m, 2 * REGION, 512);
	intent_end(&m, 3 * REGION, 512);
	intent_dirty(&m, 3 * REGION, 512);
	intent_round_begin(&m);
	assert_true(intent_begin(&m, 2 * REGION, 512));
	intent_end(&m, 2 * REGION, 512);
	assert_int_equal(intent_round_end(&m, true), 1);
	assert_false(intent_durable(&m, 0, 512));
	for (unsigned i = 1; i < 4; i++)
		assert_true(intent_durable(&m, i * REGION, 512));
	/* A region that is copied in the middle of a round was not flushed by it. */
	intent_round_begin(&m);
	intent_clean(&m, 3);
	intent_round_end(&m, true);
	assert_true(intent_durable(&m, 3 * REGION, 512));
	intent_fini(&m);
}

static void what_has_settled_is_not_in_doubt(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	/* 0: ended before.  1: in flight.  2: written again afterwards.  3: copied afterwards. */
	for (unsigned i = 0; i < 4; i++)
		intent_begin(&m, i * REGION, 512);
	write_page(&m, page);
	for (unsigned i = 0; i < 4; i++)
		if (i != 1)
			intent_end(&m, i * REGION, 512);
	intent_round_begin(&m);
	assert_int_equal(intent_round_end(&m, false), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(intent_durable(&m, i * REGION, 512));
	/* No page write for a region that is still set. */
	assert_true(intent_begin(&m, 2 * REGION, 512));
	intent_end(&m, 2 * REGION, 512);
	intent_dirty(&m, 3 * REGION, 512);
	intent_clean(&m, 3);
	intent_dirty_marked(&m);
	assert_false(intent_dirty_in(&m, 0, 512));
	for (unsigned i = 1; i < 4; i++)
		assert_true(intent_dirty_in(&m, i * REGION, 512));
	/* After a crash of this node, only the page counts. */
	write_page(&m, page);
	intent_decode(&m, 77, page);
	assert_int_equal(m.dirty_regions, 4);
	intent_fini(&m);
}

static void what_is_lacking_stays_in_doubt(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	/* 0: settled before the flush that fails.  1, 2: not.  3: a write that fails later. */
	for (unsigned i = 0; i < 3; i++)
		intent_begin(&m, i * REGION, 512);
	write_page(&m, page);
	intent_end(&m, 0, 512);
	intent_round_begin(&m);
	for (unsigned i = 1; i < 3; i++)
		intent_end(&m, i * REGION, 512);
	intent_round_end(&m, false);
	intent_begin(&m, REGION, 512);
	intent_end(&m, REGION, 512);
	intent_begin(&m, 2 * REGION, 512);
	intent_lack_marked(&m);
	assert_int_equal(m.lacking_regions, 2);
	intent_end(&m, 2 * REGION, 512);
	intent_begin(&m, 3 * REGION, 512);
	write_page(&m, page);
	intent_lack(&m, 3 * REGION, 512);
	intent_end(&m, 3 * REGION, 512);
	assert_int_equal(m.lacking_regions, 3);
	assert_int_equal(intent_next_lacking(&m), 1);
	/* No round settles or clears it. */
	intent_round_begin(&m);
	intent_round_end(&m, true);
	for (unsigned i = 1; i < 4; i++)
		assert_true(intent_durable(&m, i * REGION, 512));
	intent_filled(&m, 1);
	assert_int_equal(intent_next_lacking(&m), 2);
	/* The peer is lost: what was filled is not flushed, the rest is lacking. */
	intent_dirty_marked(&m);
	assert_int_equal(m.lacking_regions, 0);
	assert_false(intent_dirty_in(&m, 0, 512));
	for (unsigned i = 1; i < 4; i++)
		assert_true(intent_dirty_in(&m, i * REGION, 512));
	intent_fini(&m);
}

static void comes_back_from_its_page(void **state)
{
	uint8_t page[4096], bits[INTENT_REGIONS_MAX / 8];
	struct intent m, n;

	(void)state;
	make(&m);
	make(&n);
	intent_begin(&m, 5 * REGION, 512);
	intent_begin(&m, 700 * REGION, REGION + 1);
	write_page(&m, page);
	intent_decode(&n, 77, page);
	assert_int_equal(n.dirty_regions, 3);
	assert_int_equal(n.marked, 3);
	assert_int_equal(intent_next_dirty(&n, 0), 5);
	assert_int_equal(intent_next_dirty(&n, 6), 700);
	assert_int_equal(intent_next_dirty(&n, 701), 701);
	assert_int_equal(intent_next_dirty(&n, 702), UINT32_MAX);
	/* The peer's map adds to ours. */
	assert_int_equal(intent_export(&n, bits), (n.regions + 7) / 8);
	intent_reset(&m);
	intent_dirty(&m, 0, 1);
	assert_true(intent_merge(&m, n.shift, bits, (n.regions + 7) / 8));
	assert_int_equal(m.dirty_regions, 4);
	intent_fini(&m);
	intent_fini(&n);
}

/* A bad sector, or one of another volume, counts as all set; the others count as they are. */
static void a_bad_sector_is_all_dirty(void **state)
{
	uint64_t volume = REGION * (INTENT_SECTOR_REGIONS + 10);
	uint8_t page[4096];
	struct intent m;

	(void)state;
	assert_int_equal(intent_init(&m, volume, INTENT_SHIFT_DEFAULT), 0);
	write_page(&m, page);
	page[512 + 100] ^= 1;
	intent_decode(&m, 77, page);
	assert_int_equal(m.dirty_regions, 10);
	assert_int_equal(intent_next_dirty(&m, 0), INTENT_SECTOR_REGIONS);
	intent_decode(&m, 78, page);
	assert_int_equal(m.dirty_regions, m.regions);
	memset(page, 0, sizeof(page));
	intent_decode(&m, 77, page);
	assert_int_equal(m.dirty_regions, m.regions);
	intent_fini(&m);
}

static void a_lost_session_makes_all_that_is_set_dirty(void **state)
{
	uint8_t page[4096];
	struct intent m;

	(void)state;
	make(&m);
	intent_begin(&m, 0, 512);
	intent_begin(&m, 9 * REGION, 512);
	write_page(&m, page);
	intent_end(&m, 0, 512);
	intent_dirty_marked(&m);
	assert_int_equal(m.dirty_regions, 2);
	intent_fini(&m);
}

static void large_volumes_have_large_regions(void **state)
{
	(void)state;
	assert_int_equal(intent_shift_for(GIB_BYTES, INTENT_SHIFT_DEFAULT), 20);
	assert_int_equal(intent_shift_for(31 * GIB_BYTES, INTENT_SHIFT_DEFAULT), 20);
	assert_int_equal(intent_shift_for(32 * GIB_BYTES, INTENT_SHIFT_DEFAULT), 21);
	assert_false(intent_shift_fits(20, 32 * GIB_BYTES));
	assert_false(intent_shift_fits(0, GIB_BYTES));
}

static void a_larger_map_inherits(void **state)
{
	uint8_t page[4096];
	struct intent m, larger;

	(void)state;
	make(&m);
	intent_begin(&m, 0, 512);
	intent_begin(&m, 9 * REGION, 512);
	write_page(&m, page);
	intent_end(&m, 0, 512);
	intent_end(&m, 9 * REGION, 512);
	intent_dirty(&m, 9 * REGION, 512);

	/* Regions as large as before. */
	assert_int_equal(intent_init(&larger, (uint64_t)(m.regions + 5) * REGION, m.shift), 0);
	intent_inherit(&larger, &m);
	assert_true(intent_durable(&larger, 0, 512));
	assert_false(intent_durable(&larger, REGION, 512));
	assert_int_equal(larger.marked, 2);
	assert_int_equal(larger.dirty_regions, 1);
	assert_int_equal(intent_next_dirty(&larger, 0), 9);
	/* A round that began on the smaller map clears nothing. */
	assert_int_equal(intent_round_end(&larger, true), 0);
	intent_fini(&larger);

	/* Twice as large: region 9 is in 4. */
	assert_int_equal(intent_init(&larger, (uint64_t)(m.regions + 5) * REGION, m.shift + 1), 0);
	intent_inherit(&larger, &m);
	assert_int_equal(larger.marked, 2);
	assert_int_equal(intent_next_dirty(&larger, 0), 4);
	assert_true(intent_durable(&larger, 8 * REGION, 2 * REGION));
	intent_fini(&larger);
	intent_fini(&m);
}

static void says_where_it_is_dirty(void **state)
{
	struct intent m;
	uint8_t bits[INTENT_REGIONS_MAX / 8];
	uint32_t bytes;

	(void)state;
	assert_int_equal(intent_init(&m, 20 * REGION, INTENT_SHIFT_DEFAULT), 0);
	intent_dirty(&m, 9 * REGION, 512);
	bytes = intent_export(&m, bits);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(intent_dirty_in(&m, i * REGION, REGION), i == 9);
		assert_int_equal(intent_bits_in(bits, bytes, m.shift, i * REGION + 4096, 512),
				 i == 9);
	}
	assert_true(intent_dirty_in(&m, 9 * REGION - 512, 1024));
	assert_false(intent_dirty_in(&m, 9 * REGION - 512, 512));
	assert_true(intent_bits_in(bits, bytes, m.shift, 9 * REGION - 512, 1024));
	/* Behind the end of the other side's map nothing is known. */
	assert_true(intent_bits_in(bits, bytes, m.shift, (uint64_t)bytes * 8 * REGION, 512));
	intent_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_once_for_each_region),
		cmocka_unit_test(a_page_that_failed_is_wanted_again),
		cmocka_unit_test(a_round_clears_what_was_quiet),
		cmocka_unit_test(what_has_settled_is_not_in_doubt),
		cmocka_unit_test(what_is_lacking_stays_in_doubt),
		cmocka_unit_test(comes_back_from_its_page),
		cmocka_unit_test(a_bad_sector_is_all_dirty),
		cmocka_unit_test(a_lost_session_makes_all_that_is_set_dirty),
		cmocka_unit_test(large_volumes_have_large_regions),
		cmocka_unit_test(a_larger_map_inherits),
		cmocka_unit_test(says_where_it_is_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
