/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a leg does all of its operation, command by command, wherever the volume's extents lie and
 * however little a device takes at once; and it ends with the first that fails, or when it is
 * told to.
 */
#include "engine/meta/leg.h"
#include "tests/support/t.h"

#include <string.h>

#define UNIT POOL_UNIT_BYTES
#define IO_MAX KIB(512)

static struct {
	struct store store[2];
	struct store *stores[2];
	struct store_op *op; /* the command that is under way */
	struct store *where;
	struct volume_record record;
	struct leg leg;
	unsigned ended;
	_Alignas(4096) uint8_t buffer[MIB(2)];
} w;

static void on_submit(struct store *store, struct store_op *op)
{
	assert_null(w.op);
	w.op = op;
	w.where = store;
}

static void on_done(struct leg *leg)
{
	assert_ptr_equal(leg, &w.leg);
	w.ended++;
}

static int setup(void **state)
{
	static const struct store_ops ops = {.submit = on_submit};

	(void)state;
	memset(&w, 0, offsetof(typeof(w), buffer));
	for (unsigned i = 0; i < 2; i++) {
		w.store[i].ops = &ops;
		w.store[i].geometry = (struct store_geometry){
			.size_bytes = GIB(1),
			.block_bytes = 512,
			.io_max_bytes = IO_MAX,
			.zeroes_max_bytes = MIB(64),
		};
		w.stores[i] = &w.store[i];
	}
	/* Three units: one on the second device, two on the first. */
	w.record.extent_count = 2;
	w.record.extents[0] = (struct extent){.device = 1, .start = 7, .count = 1};
	w.record.extents[1] = (struct extent){.device = 0, .start = 3, .count = 2};
	return 0;
}

static void command_ends(enum ls_status status)
{
	struct store_op *op = w.op;

	assert_non_null(op);
	w.op = NULL;
	store_op_done(op, status);
}

/* The next command is this one; it ends well. */
static void expect(enum store_code code, unsigned device, uint64_t unit, uint64_t in_unit,
		   uint64_t length)
{
	assert_non_null(w.op);
	assert_int_equal(w.op->code, code);
	assert_ptr_equal(w.where, w.stores[device]);
	assert_int_equal(w.op->offset, POOL_DATA_OFFSET + unit * UNIT + in_unit);
	assert_int_equal(w.op->length, length);
	command_ends(LS_OK);
}

static void start(enum store_code code, uint64_t offset, uint64_t length)
{
	bool data = code == STORE_READ || code == STORE_WRITE;

	w.leg.op.code = code;
	w.leg.offset = offset;
	w.leg.length = length;
	w.leg.op.buf = data ? w.buffer : NULL;
	w.leg.done = on_done;
	leg_start(&w.leg, &w.record, w.stores);
}

static void it_goes_through_extents_and_limits(void **state)
{
	(void)state;
	start(STORE_WRITE, UNIT - KIB(64), KIB(640));
	expect(STORE_WRITE, 1, 7, UNIT - KIB(64), KIB(64));
	assert_ptr_equal(w.op->buf, w.buffer + KIB(64));
	expect(STORE_WRITE, 0, 3, 0, IO_MAX);
	expect(STORE_WRITE, 0, 3, IO_MAX, KIB(64));
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.leg.status, LS_OK);
}

static void the_first_failure_ends_it(void **state)
{
	(void)state;
	start(STORE_READ, 0, UNIT);
	expect(STORE_READ, 1, 7, 0, IO_MAX);
	command_ends(LS_LOCAL_IO);
	assert_null(w.op);
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.leg.status, LS_LOCAL_IO);
}

static void a_flush_is_for_each_device(void **state)
{
	struct store *first;

	(void)state;
	start(STORE_FLUSH, 0, 0);
	first = w.where;
	assert_int_equal(w.op->code, STORE_FLUSH);
	command_ends(LS_OK);
	assert_true(w.where != first);
	assert_int_equal(w.op->code, STORE_FLUSH);
	command_ends(LS_OK);
	assert_null(w.op);
	assert_int_equal(w.ended, 1);
}

/* What a stopping engine would have to wait for is one command. */
static void it_stops_between_two_commands(void **state)
{
	bool stop = false;

	(void)state;
	w.leg.stop = &stop;
	start(STORE_WRITE_ZEROES, 0, 3 * UNIT);
	expect(STORE_WRITE_ZEROES, 1, 7, 0, UNIT);
	stop = true;
	expect(STORE_WRITE_ZEROES, 0, 3, 0, 2 * UNIT);
	/* That was all of it: nothing was cut short. */
	assert_int_equal(w.leg.status, LS_OK);
	assert_int_equal(w.ended, 1);
	stop = false;
	start(STORE_WRITE_ZEROES, 0, 3 * UNIT);
	stop = true;
	expect(STORE_WRITE_ZEROES, 1, 7, 0, UNIT);
	assert_null(w.op);
	assert_int_equal(w.leg.status, LS_SHUTDOWN);
	assert_int_equal(w.ended, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_goes_through_extents_and_limits, setup),
		cmocka_unit_test_setup(the_first_failure_ends_it, setup),
		cmocka_unit_test_setup(a_flush_is_for_each_device, setup),
		cmocka_unit_test_setup(it_stops_between_two_commands, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
