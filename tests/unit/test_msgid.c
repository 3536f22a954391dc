/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: a message ID finds its owner while it is out, and nothing before or after. */
#include "engine/core/msgid.h"
#include "tests/support/t.h"

static int owners[8];

static int setup(void **state)
{
	static struct msgid_table t;

	if (msgid_init(&t, 8) < 0)
		return -1;
	msgid_reset(&t, 7, 8);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	msgid_fini(*state);
	return 0;
}

static void an_id_finds_its_owner(void **state)
{
	struct msgid_table *t = *state;
	uint64_t ids[8];

	for (int i = 0; i < 8; i++)
		ids[i] = msgid_take(t, &owners[i]);
	assert_int_equal(t->free_count, 0);
	for (int i = 0; i < 8; i++) {
		assert_ptr_equal(msgid_find(t, ids[i]), &owners[i]);
		assert_int_equal(msgid_epoch(ids[i]), 7);
	}
}

static void a_released_id_misses_the_next_owner(void **state)
{
	struct msgid_table *t = *state;
	uint64_t old = msgid_take(t, &owners[0]), new;

	msgid_release(t, old);
	assert_null(msgid_find(t, old));
	new = msgid_take(t, &owners[1]);
	assert_int_equal(msgid_slot(old), msgid_slot(new));
	assert_null(msgid_find(t, old));
	assert_ptr_equal(msgid_find(t, new), &owners[1]);
}

static void an_id_of_another_session_misses(void **state)
{
	struct msgid_table *t = *state;
	uint64_t old = msgid_take(t, &owners[0]);

	msgid_release(t, old);
	msgid_reset(t, 8, 8);
	msgid_take(t, &owners[1]);
	assert_null(msgid_find(t, old));
}

static void an_invented_id_misses(void **state)
{
	struct msgid_table *t = *state;

	assert_null(msgid_find(t, 0));
	assert_null(msgid_find(t, UINT64_MAX));
	assert_null(msgid_find(t, (uint64_t)7 << 32 | 1u << 16 | 8));
	assert_null(msgid_find(t, (uint64_t)7 << 32 | 1u << 16 | 3));
}

static void one_that_was_never_sent_comes_again(void **state)
{
	struct msgid_table *t = *state;
	uint64_t id = msgid_take(t, &owners[0]);

	msgid_return(t, id);
	assert_null(msgid_find(t, id));
	assert_int_equal(t->free_count, 8);
	/* The receiver has counted nothing. */
	assert_int_equal(msgid_take(t, &owners[1]), id);
	assert_ptr_equal(msgid_find(t, id), &owners[1]);
	msgid_release(t, id);
	assert_int_not_equal(msgid_take(t, &owners[2]), id);
}

static void the_tag_wraps(void **state)
{
	struct msgid_table *t = *state;

	msgid_reset(t, 9, 1);
	for (int i = 0; i < 70000; i++) {
		uint64_t id = msgid_take(t, &owners[i % 8]);

		assert_ptr_equal(msgid_find(t, id), &owners[i % 8]);
		msgid_release(t, id);
		assert_null(msgid_find(t, id));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_id_finds_its_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(a_released_id_misses_the_next_owner, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_id_of_another_session_misses, setup, teardown),
		cmocka_unit_test_setup_teardown(an_invented_id_misses, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_was_never_sent_comes_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_tag_wraps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
