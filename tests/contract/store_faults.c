/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: the store that fails on purpose fails what it should, and keeps the contract. */
#include "nvme/fault.h"
#include "tests/contract/store_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Wraps the environment's store; teardown closes both. */
static void wrap(struct env *e, const struct store_fault_plan *plan)
{
	e->store = store_fault_wrap(e->store, plan);
	assert_non_null(e->store);
}

void nth_write_fails(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 1);
	struct store_fault_plan plan = {.nr_rules = 1};

	wrap(e, NULL);
	for (uint64_t n = 1; n <= 4; n++) {
		plan.rules[0] = (struct store_fault_rule){STORE_WRITE, n, LS_LOCAL_IO, false};
		store_fault_plan_set(e->store, &plan);
		for (uint64_t i = 1; i <= 5; i++) {
			assert_int_equal(run(e, STORE_WRITE, 0, block, buf),
					 i == n ? LS_LOCAL_IO : LS_OK);
			assert_int_equal(run(e, STORE_READ, 0, block, buf), LS_OK);
		}
	}
	free(buf);
}

void every_flush_fails(void **state)
{
	struct env *e = *state;
	const struct store_fault_plan plan = {.nr_rules = 1,
					      .rules = {{STORE_FLUSH, 0, LS_NO_SPACE, false}}};

	wrap(e, &plan);
	for (int i = 0; i < 3; i++)
		assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_NO_SPACE);
}

void failure_after_the_work_leaves_the_data(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 2);
	struct store_fault_plan plan = {.nr_rules = 1,
					.rules = {{STORE_WRITE, 2, LS_LOCAL_IO, false}}};

	wrap(e, &plan);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	buffer_fill(buf, block, 3);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_READ, 0, block, buf), LS_OK);
	assert_filled(buf, block, 2);

	plan.rules[0] = (struct store_fault_rule){STORE_WRITE, 1, LS_LOCAL_IO, true};
	store_fault_plan_set(e->store, &plan);
	buffer_fill(buf, block, 3);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_LOCAL_IO);
	memset(buf, 0, block);
	assert_int_equal(run(e, STORE_READ, 0, block, buf), LS_OK);
	assert_filled(buf, block, 3);
	free(buf);
}

void held_operations_wait_for_release(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 4);
	const struct store_fault_plan plan = {.hold = 1u << STORE_WRITE};
	struct probe p[3];

	wrap(e, &plan);
	for (unsigned i = 0; i < 3; i++) {
		p[i] = probe_make(STORE_WRITE, (uint64_t)i * block, block, buf);
		store_submit(e->store, &p[i].op);
	}
	/* Others pass by meanwhile. */
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	assert_int_equal(store_fault_held(e->store), 3);
	assert_int_equal(e->store->in_flight, 3);

	assert_true(store_fault_release(e->store, &p[1].op));
	probe_wait(e, &p[1]);
	assert_int_equal(p[0].done_count + p[2].done_count, 0);
	assert_false(store_fault_release(e->store, &p[1].op));
	assert_true(store_fault_release(e->store, NULL));
	probe_wait(e, &p[0]);
	assert_true(store_fault_release(e->store, NULL));
	probe_wait(e, &p[2]);
	assert_false(store_fault_release(e->store, NULL));
	free(buf);
}

void fail_path_opens_a_failing_store(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 4);
	char path[300];
	struct store *store;
	struct err err;

	snprintf(path, sizeof(path), "fail:sneeze:2:%s", target.uri);
	assert_int_equal(store_open(e->queue, path, 0, &store, &err), -EINVAL);
	assert_non_null(strstr(err.text, "fail:CODE:NTH:PATH"));

	store_close(e->store);
	snprintf(path, sizeof(path), "fail:write:2:%s", target.uri);
	assert_int_equal(store_open(e->queue, path, 0, &e->store, &err), 0);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	free(buf);
}

static void say(FILE *file, const char *text)
{
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	rewind(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fflush(file), 0);
}

void fail_file_makes_blocks_bad_and_good(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 5);
	char name[] = "/tmp/ls-fail.XXXXXX", path[400], line[64];
	FILE *file = fdopen(mkstemp(name), "w");
	struct probe held;
	struct err err;

	assert_non_null(file);
	store_close(e->store);
	snprintf(path, sizeof(path), "fail:%s:%s", name, target.uri);
	assert_int_equal(store_open(e->queue, path, 0, &e->store, &err), 0);
	assert_int_equal(run(e, STORE_WRITE, block, block, buf), LS_OK);

	snprintf(line, sizeof(line), "write 0 1\nread %u %u\n", block, block);
	say(file, line);
	assert_int_equal(run(e, STORE_READ, 0, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_READ, block, block, buf), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_WRITE, block, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	say(file, "flush 0 0\n");
	assert_int_equal(run(e, STORE_READ, block, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_LOCAL_IO);
	snprintf(line, sizeof(line), "flush 0 %u\n", block);
	say(file, line);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_WRITE_ZEROES, block, block, NULL), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	assert_int_equal(run(e, STORE_WRITE_ZEROES, 0, block, NULL), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_LOCAL_IO);
	say(file, "");
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	say(file, line);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);

	snprintf(line, sizeof(line), "hold-write %u %u\n", block, block);
	say(file, line);
	buffer_fill(buf, block, 6);
	held = probe_make(STORE_WRITE, block, block, buf);
	store_submit(e->store, &held.op);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	assert_int_equal(held.done_count, 0);
	say(file, "");
	probe_wait(e, &held);
	assert_int_equal(held.op.status, LS_OK);
	buffer_fill(buf, block, 0);
	assert_int_equal(run(e, STORE_READ, block, block, buf), LS_OK);
	assert_filled(buf, block, 6);
	fclose(file);
	unlink(name);
	free(buf);
}
