/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: commits that were put while another one was written go out together, and what of them
 * failed is in no table that is written afterwards: each has taken its change back by then.
 */
#include "engine/meta/pool.h"
#include "tests/support/t.h"

#include <stdlib.h>
#include <string.h>

static struct {
	struct store store;
	struct store_op *op; /* the command that is under way */
	struct pool *pool;
	struct volume_record record[2];
} w;

/* A change of a volume's role, as whoever makes it has it. */
struct change {
	struct pool_commit commit;
	struct volume_record *record;
	struct change *next; /* put when this one has ended */
	unsigned ended;
	enum ls_status status;
};

static void on_submit(struct store *store, struct store_op *op)
{
	(void)store;
	assert_null(w.op);
	w.op = op;
}

static void command_ends(enum ls_status status)
{
	struct store_op *op = w.op;

	assert_non_null(op);
	w.op = NULL;
	store_op_done(op, status);
}

static void put(struct change *c)
{
	c->record->role = VOLUME_SECONDARY;
	pool_commit(w.pool, &c->commit);
}

static void on_done(struct pool_commit *commit, enum ls_status status)
{
	struct change *c = CONTAINER_OF(commit, struct change, commit);

	c->ended++;
	c->status = status;
	if (status != LS_OK)
		c->record->role = VOLUME_PRIMARY;
	if (c->next)
		put(c->next);
}

/* What the table that is being written has of each volume. */
static void assert_roles(enum volume_role first, enum volume_role second)
{
	const enum volume_role roles[2] = {first, second};
	struct volume_record record;
	struct table table;
	size_t cursor = 0;

	assert_non_null(w.op);
	assert_int_equal(w.op->code, STORE_WRITE);
	assert_int_equal(table_decode(w.op->buf, w.op->length, &table), META_OK);
	assert_int_equal(table.volume_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(table_record(w.op->buf, w.op->length, &cursor, &record));
		assert_int_equal(record.role, roles[i]);
	}
}

static int setup(void **state)
{
	static const struct store_ops ops = {.submit = on_submit};
	static const uint8_t uuid[16] = "a pool of tests";
	struct store *stores[1] = {&w.store};

	(void)state;
	memset(&w, 0, sizeof(w));
	w.store.ops = &ops;
	w.store.geometry = (struct store_geometry){
		.size_bytes = GIB(1),
		.block_bytes = 4096,
		.io_max_bytes = (uint32_t)MIB(2),
		.zeroes_max_bytes = MIB(2),
	};
	assert_int_equal(pool_create("pool", uuid, stores, 1, &w.pool), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct volume_record *r = &w.record[i];

		r->number = i + 1;
		r->name[0] = (char)('u' + i);
		r->block_bytes = 4096;
		r->size_bytes = POOL_UNIT_BYTES;
		r->region_shift = 16;
		r->role = VOLUME_PRIMARY;
		r->extent_count = 1;
		r->extents[0] = (struct extent){.start = i, .count = 1};
		pool_record_add(w.pool, r);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(w.pool->table);
	free(w.pool);
	return 0;
}

/* Both copies and the flush. */
static void commit_ends_well(void)
{
	for (unsigned i = 0; i < 3; i++)
		command_ends(LS_OK);
}

static void what_failed_is_in_no_later_table(void **state)
{
	struct change second = {.commit.done = on_done, .record = &w.record[1]};
	struct change later = {.commit.done = on_done, .record = &w.record[0]};
	struct change first = {.commit.done = on_done, .record = &w.record[0], .next = &later};
	struct change before = {.commit.done = on_done, .record = &w.record[0]};

	(void)state;
	put(&before);
	put(&first);
	put(&second);
	commit_ends_well();
	assert_int_equal(before.ended, 1);
	/* The two together; they fail, and one of them has the next one put. */
	assert_roles(VOLUME_SECONDARY, VOLUME_SECONDARY);
	command_ends(LS_LOCAL_IO);
	assert_int_equal(first.ended + second.ended, 2);
	assert_int_equal(second.status, LS_LOCAL_IO);
	assert_roles(VOLUME_SECONDARY, VOLUME_PRIMARY);
	commit_ends_well();
	assert_int_equal(later.ended, 1);
	assert_int_equal(later.status, LS_OK);
	assert_false(w.pool->busy);
}

static void two_that_fail_leave_the_pool_idle(void **state)
{
	struct change before = {.commit.done = on_done, .record = &w.record[0]};
	struct change first = {.commit.done = on_done, .record = &w.record[0]};
	struct change second = {.commit.done = on_done, .record = &w.record[1]};

	(void)state;
	put(&before);
	put(&first);
	put(&second);
	commit_ends_well();
	command_ends(LS_LOCAL_IO);
	assert_int_equal(first.ended + second.ended, 2);
	assert_false(w.pool->busy);
	assert_null(w.op);
	put(&before);
	assert_roles(VOLUME_SECONDARY, VOLUME_PRIMARY);
	commit_ends_well();
	assert_int_equal(before.ended, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_failed_is_in_no_later_table, setup, teardown),
		cmocka_unit_test_setup_teardown(two_that_fail_leave_the_pool_idle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
