/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: a write marks exactly the regions that it touches, once. */
#include "engine/core/intent.h"
#include "tests/support/t.h"

static void marks_what_it_touches(void **state)
{
	struct intent m;

	(void)state;
	assert_int_equal(intent_init(&m, 100ull * INTENT_REGION_BYTES), 0);
	intent_mark(&m, 0, 512);
	assert_int_equal(m.marked, 1);
	intent_mark(&m, 4096, 512);
	assert_int_equal(m.marked, 1);
	intent_mark(&m, INTENT_REGION_BYTES - 512, 1024);
	assert_int_equal(m.marked, 2);
	intent_mark(&m, 63ull * INTENT_REGION_BYTES, 3ull * INTENT_REGION_BYTES);
	assert_int_equal(m.marked, 5);
	intent_mark(&m, 100ull * INTENT_REGION_BYTES - 512, 512);
	assert_int_equal(m.marked, 6);
	intent_clear(&m);
	assert_int_equal(m.marked, 0);
	intent_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(marks_what_it_touches)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
