/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: every backend of the store keeps the promises of nvme/store.h and
 * nvme/store_queue.h, on every rung of kernel features.
 *
 *     file FOLDER OPTIONS RUNG    a file in a new folder in FOLDER; options "default" or a query
 *     device PATH RUNG            DESTROYS what is on the device; "env": $LS_TEST_NVME
 *     open PATH                   opens, and says what it found
 */
#include "tests/contract/store_support.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static void data_reads_back_at_all_alignments(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *in = buffer_new(64 * (size_t)block, 1);
	char *out = buffer_new(64 * (size_t)block, 0);

	for (uint64_t at = 0; at < 9; at++) {
		for (uint64_t blocks = 1; blocks <= 17; blocks++) {
			size_t skew = (at * 3 + blocks) % 11 * block;
			size_t bytes = blocks * block;

			buffer_fill(in + skew, bytes, (uint32_t)(at * 100 + blocks));
			assert_int_equal(run(e, STORE_WRITE, at * block, bytes, in + skew), LS_OK);
			memset(out, 0xee, 64 * (size_t)block);
			assert_int_equal(run(e, STORE_READ, at * block, bytes, out + block), LS_OK);
			assert_memory_equal(out + block, in + skew, bytes);
			/* Nothing behind or in front of it was touched. */
			assert_int_equal((unsigned char)out[block - 1], 0xee);
			assert_int_equal((unsigned char)out[block + bytes], 0xee);
		}
	}
	free(in);
	free(out);
}

static void last_block_is_reachable(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	void *buf = buffer_new(g->block_bytes, 77);

	assert_int_equal(run(e, STORE_WRITE, g->size_bytes - g->block_bytes, g->block_bytes, buf),
			 LS_OK);
	memset(buf, 0, g->block_bytes);
	assert_int_equal(run(e, STORE_READ, g->size_bytes - g->block_bytes, g->block_bytes, buf),
			 LS_OK);
	assert_filled(buf, g->block_bytes, 77);
	free(buf);
}

static void longest_transfer_works_at_any_alignment(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	char *buf = buffer_new((size_t)g->io_max_bytes + g->block_bytes, 0);

	assert_int_equal(g->io_max_bytes & (g->io_max_bytes - 1), 0);
	for (unsigned skew = 0; skew < 2; skew++) {
		char *at = buf + skew * g->block_bytes;

		buffer_fill(at, g->io_max_bytes, 5 + skew);
		assert_int_equal(run(e, STORE_WRITE, g->block_bytes, g->io_max_bytes, at), LS_OK);
		memset(at, 0, g->io_max_bytes);
		assert_int_equal(run(e, STORE_READ, g->block_bytes, g->io_max_bytes, at), LS_OK);
		assert_filled(at, g->io_max_bytes, 5 + skew);
	}
	free(buf);
}

static void fua_and_flush_complete(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 9);
	struct probe p = probe_make(STORE_WRITE, 3 * block, block, buf);

	p.op.flags = STORE_FUA;
	assert_int_equal(run_probe(e, e->store, &p), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	memset(buf, 0, block);
	assert_int_equal(run(e, STORE_READ, 3 * block, block, buf), LS_OK);
	assert_filled(buf, block, 9);
	free(buf);
}

static void write_zeroes_zeroes_its_range_only(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	const uint32_t block = g->block_bytes;
	uint64_t sizes[] = {block, 3 * block, min_u64(g->zeroes_max_bytes, MIB(1) + block),
			    min_u64(g->zeroes_max_bytes, MIB(16))};
	void *edge = buffer_new(block, 0);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct probe p = probe_make(STORE_WRITE_ZEROES, block, sizes[i], NULL);

		p.op.flags = i % 2 ? STORE_FUA : 0;
		lay(e, sizes[i] + 2 * (uint64_t)block, 4);
		assert_int_equal(run_probe(e, e->store, &p), LS_OK);
		assert_range(e, block, sizes[i], true);
		assert_int_equal(run(e, STORE_READ, 0, block, edge), LS_OK);
		assert_filled(edge, block, 4);
		assert_int_equal(run(e, STORE_READ, block + sizes[i], block, edge), LS_OK);
		assert_int_not_equal(*(uint64_t *)edge, 0);
	}
	free(edge);
}

static void discard_leaves_its_neighbours(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	const uint32_t block = g->block_bytes;
	uint64_t bytes = min_u64(g->discard_max_bytes, MIB(2));
	void *edge = buffer_new(block, 0);

	lay(e, bytes + 2 * (uint64_t)block, 6);
	assert_int_equal(run(e, STORE_DISCARD, block, bytes, NULL), LS_OK);
	assert_range(e, block, bytes, g->discard_zeroes);
	assert_int_equal(run(e, STORE_READ, 0, block, edge), LS_OK);
	assert_filled(edge, block, 6);
	assert_int_equal(run(e, STORE_READ, block + bytes, block, edge), LS_OK);
	assert_int_not_equal(*(uint64_t *)edge, 0);
	free(edge);
}

static void more_operations_than_depth_all_complete(void **state)
{
	enum { OPS = 3 * ENV_DEPTH + 5 };
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *buf = buffer_new((size_t)OPS * block, 0);
	struct probe *p = calloc(OPS, sizeof(*p));
	bool polling = false;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < OPS; i++) {
			buffer_fill(buf + (size_t)i * block, block, round ? 0 : i);
			p[i] = probe_make(round ? STORE_READ : STORE_WRITE, (uint64_t)i * block,
					  block, buf + (size_t)i * block);
			p[i].polling = &polling;
			store_submit(e->store, &p[i].op);
		}
		assert_int_equal(e->store->in_flight, OPS);
		store_queue_flush(e->queue);
		/* No flush from here on: poll must bring the waiting ones forward itself. */
		while (e->store->in_flight > 0) {
			polling = true;
			assert_true(store_queue_poll(e->queue, 7) <= 7);
			polling = false;
		}
		for (unsigned i = 0; i < OPS; i++) {
			assert_int_equal(p[i].done_count, 1);
			assert_int_equal(p[i].op.status, LS_OK);
		}
	}
	for (unsigned i = 0; i < OPS; i++)
		assert_filled(buf + (size_t)i * block, block, i);
	free(p);
	free(buf);
}

static void mixed_operations_complete_in_poll_only(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 3);
	bool polling = false;
	struct probe p[] = {
		probe_make(STORE_FLUSH, 0, 0, NULL),
		probe_make(STORE_WRITE, 0, block, buf),
		probe_make(STORE_DISCARD, 8 * block, block, NULL),
		probe_make(STORE_WRITE_ZEROES, 16 * block, block, NULL),
		probe_make(STORE_FLUSH, 0, 0, NULL),
	};

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i].polling = &polling;
		store_submit(e->store, &p[i].op);
	}
	store_queue_flush(e->queue);
	while (e->store->in_flight > 0) {
		(void)store_queue_arm(e->queue);
		store_queue_flush(e->queue);
		polling = true;
		(void)store_queue_poll(e->queue, 64);
		polling = false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		assert_int_equal(p[i].done_count, 1);
		assert_int_equal(p[i].op.status, LS_OK);
	}
	free(buf);
}

static void done_may_submit_again(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 3);
	struct probe second = probe_make(STORE_FLUSH, 0, 0, NULL);
	struct probe first = probe_make(STORE_WRITE, 0, block, buf);

	first.again = &second;
	assert_int_equal(run_probe(e, e->store, &first), LS_OK);
	probe_wait(e, &second);
	assert_int_equal(second.op.status, LS_OK);
	assert_int_equal(e->store->in_flight, 0);
	free(buf);
}

/* epoll_wait() in probe_wait() gives up, and fails, when a wake is lost. */
static void sleeping_loses_no_wake(void **state)
{
	enum { ROUNDS = 3000 };
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *buf = buffer_new(8 * (size_t)block, 3);

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct probe p[4];
		unsigned n = i % 4 + 1;

		for (unsigned k = 0; k < n; k++) {
			p[k] = probe_make((i + k) % 5 == 0 ? STORE_READ : STORE_WRITE,
					  (uint64_t)k * block, block, buf + (size_t)k * block);
			store_submit(e->store, &p[k].op);
		}
		if (i % 50 == 0)
			assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
		for (unsigned k = 0; k < n; k++)
			probe_wait(e, &p[k]);
	}
	free(buf);
}

/* Until the kernel has the completion, or what becomes one; without calling the queue. */
static void spin_until_kernel_is_done(const struct env *e)
{
	const struct io_uring *ring = &e->queue->ring;
	const unsigned flags = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
	const time_t limit = time(NULL) + WAIT_LIMIT_MS / 1000;

	while (io_uring_cq_ready(ring) == 0 && !(IO_URING_READ_ONCE(*ring->sq.kflags) & flags)) {
		assert_true(time(NULL) < limit);
		sched_yield();
	}
}

/* Polls and arms until the descriptor is quiet; fails when it does not become so. */
static void assert_falls_asleep(struct env *e)
{
	struct epoll_event event;
	unsigned wakes = 0;

	do {
		(void)store_queue_poll(e->queue, 64);
		assert_false(store_queue_arm(e->queue));
		assert_true(wakes++ < 5);
	} while (epoll_wait(e->epoll_fd, &event, 1, 0) > 0);
}

/* The moment in which a wake can be lost: complete, and neither polled nor armed. */
static void completion_before_arm_is_seen(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 3);

	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	for (int i = 0; i < 50; i++) {
		struct probe p = probe_make(STORE_WRITE, 0, block, buf);

		store_submit(e->store, &p.op);
		store_queue_flush(e->queue);
		spin_until_kernel_is_done(e);
		assert_true(store_queue_arm(e->queue));
		probe_wait(e, &p);
	}
	free(buf);
}

static void completion_after_arm_makes_the_descriptor_readable(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 3);
	struct epoll_event event;

	for (int i = 0; i < 50; i++) {
		struct probe p = probe_make(STORE_WRITE, 0, block, buf);

		assert_falls_asleep(e);
		store_submit(e->store, &p.op);
		store_queue_flush(e->queue);
		spin_until_kernel_is_done(e);
		if (epoll_wait(e->epoll_fd, &event, 1, 0) == 0)
			assert_true(store_queue_arm(e->queue));
		probe_wait(e, &p);
	}
	assert_falls_asleep(e);
	free(buf);
}

/* A descriptor that stays readable for nothing would spin the shard. */
static void signal_without_work_dies_down(void **state)
{
	struct env *e = *state;

	for (int i = 0; i < 3; i++) {
		assert_falls_asleep(e);
		/* As the kernel does when it signals after the completion was taken. */
		assert_int_equal(eventfd_write(store_queue_fd(e->queue), 1), 0);
	}
	assert_falls_asleep(e);
}

static void idle_queue_makes_no_system_call(void **state)
{
	struct env *e = *state;
	struct store_queue_stats before;

	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	assert_falls_asleep(e);
	before = store_queue_stats(e->queue);
	for (int i = 0; i < 1000; i++) {
		store_queue_flush(e->queue);
		assert_int_equal(store_queue_poll(e->queue, 64), 0);
		assert_false(store_queue_arm(e->queue));
	}
	assert_int_equal(store_queue_stats(e->queue).syscalls, before.syscalls);
}

static void one_flush_is_one_system_call(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *buf = buffer_new((size_t)ENV_DEPTH * block, 3);
	struct probe p[ENV_DEPTH];
	uint64_t before;

	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	before = store_queue_stats(e->queue).syscalls;
	for (unsigned i = 0; i < ENV_DEPTH; i++) {
		p[i] = probe_make(STORE_WRITE, (uint64_t)i * block, block, buf + (size_t)i * block);
		store_submit(e->store, &p[i].op);
	}
	assert_int_equal(store_queue_stats(e->queue).syscalls, before);
	store_queue_flush(e->queue);
	assert_int_equal(store_queue_stats(e->queue).syscalls, before + 1);
	for (unsigned i = 0; i < ENV_DEPTH; i++)
		probe_wait(e, &p[i]);
	assert_true(store_queue_stats(e->queue).slow_ns_max < 60000000000u);
	free(buf);
}

static void registered_region_is_used_and_given_back(void **state)
{
	enum { BUFFERS = 5, BUFFER_BYTES = 65536 };
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	/* The last buffer is a short one. */
	size_t bytes = BUFFERS * BUFFER_BYTES - 4 * (size_t)block;
	char *buf = buffer_new(bytes, 0);
	struct region region = {.base = buf, .length_bytes = bytes};
	uint64_t fixed = store_queue_stats(e->queue).fixed;

	store_queue_region_add(e->queue, &region, BUFFER_BYTES);
	if (region.buffer_first == REGION_NO_BUFFERS) {
		printf("not registered: %s\n", store_queue_describe(e->queue));
		assert_int_equal(target.rung, QUEUE_PLAIN);
	} else {
		assert_int_equal(region.buffer_count, BUFFERS);
		assert_non_null(strstr(store_queue_describe(e->queue), "5 fixed buffers"));
	}
	for (unsigned i = BUFFERS; i-- > 0;) {
		char *at = buf + (size_t)i * BUFFER_BYTES + block;
		struct probe p = probe_make(STORE_WRITE, i * MIB(1), 2 * block, at);

		p.op.region = &region;
		buffer_fill(at, 2 * block, 30 + i);
		assert_int_equal(run_probe(e, e->store, &p), LS_OK);
		memset(at, 0, 2 * block);
		p = probe_make(STORE_READ, i * MIB(1), 2 * block, at);
		p.op.region = &region;
		assert_int_equal(run_probe(e, e->store, &p), LS_OK);
		assert_filled(at, 2 * block, 30 + i);
	}
	if (region.buffer_first != REGION_NO_BUFFERS)
		assert_int_equal(store_queue_stats(e->queue).fixed, fixed + 2 * BUFFERS);
	store_queue_region_remove(e->queue, &region);
	assert_int_equal(region.buffer_first, REGION_NO_BUFFERS);
	assert_int_equal(e->queue->buffer_count, 0);
	free(buf);
}

static void buffer_across_two_fixed_ones_works_unregistered(void **state)
{
	enum { BUFFER_BYTES = 32768 };
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *buf = buffer_new((size_t)4 * BUFFER_BYTES, 0);
	struct region region = {.base = buf, .length_bytes = (size_t)4 * BUFFER_BYTES};
	struct probe p = probe_make(STORE_WRITE, 0, 2 * block, buf + BUFFER_BYTES - block);
	uint64_t fixed;

	store_queue_region_add(e->queue, &region, BUFFER_BYTES);
	fixed = store_queue_stats(e->queue).fixed;
	p.op.region = &region;
	assert_int_equal(run_probe(e, e->store, &p), LS_OK);
	assert_int_equal(store_queue_stats(e->queue).fixed, fixed);
	store_queue_region_remove(e->queue, &region);
	free(buf);
}

/* 6.1 refuses a command whose fixed buffer ends more than 127 pages behind its start. */
static void largest_fixed_buffers_work_from_any_offset(void **state)
{
	const size_t buffer_bytes = 127 * 4096;
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	char *buf = buffer_new(2 * buffer_bytes, 1);
	struct region region = {.base = buf, .length_bytes = 2 * buffer_bytes};

	store_queue_region_add(e->queue, &region, buffer_bytes);
	for (size_t at = 0; at < 2 * buffer_bytes; at += 8 * 4096) {
		size_t room = buffer_bytes - at % buffer_bytes;
		struct probe p =
			probe_make(STORE_WRITE, 0, min_u64(room, g->io_max_bytes), buf + at);

		p.op.region = &region;
		assert_int_equal(run_probe(e, e->store, &p), LS_OK);
	}
	store_queue_region_remove(e->queue, &region);
	free(buf);
}

static void data_path_allocates_and_copies_nothing(void **state)
{
	enum { ROUNDS = 200, BATCH = 50 };
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	char *buf = buffer_new((size_t)BATCH * block, 2);
	struct probe p[BATCH];
	unsigned long before;

	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	before = allocations();
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned i = 0; i < BATCH; i++) {
			p[i] = probe_make(i % 7 == 0 ? STORE_READ : STORE_WRITE,
					  (uint64_t)i * block, block, buf + (size_t)i * block);
			store_submit(e->store, &p[i].op);
		}
		for (unsigned i = 0; i < BATCH; i++)
			probe_wait(e, &p[i]);
	}
	assert_int_equal(allocations(), before);
	assert_int_equal(store_queue_stats(e->queue).bounced, 0);
	free(buf);
}

static void two_stores_share_a_queue(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 8);
	char uri[300];
	struct store *other;
	struct err err;
	struct probe p;

	if (!target_is_file()) {
		skip();
		return;
	}
	snprintf(uri, sizeof(uri), "file:%s/other", target.folder);
	assert_int_equal(store_open(e->queue, uri, MIB(1), &other, &err), 0);
	assert_int_equal(run(e, STORE_WRITE, 0, block, buf), LS_OK);
	p = probe_make(STORE_READ, 0, 4096, buffer_new(4096, 1));
	assert_int_equal(run_probe(e, other, &p), LS_OK);
	assert_zeroes(p.op.buf, 4096);
	free(p.op.buf);
	store_close(other);
	free(buf);
}

static void geometry_is_filled(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;

	printf("%s: %s, block %u, io %u, zeroes %llu, discard %llu (%s%s), atomic %u, cache %s, "
	       "numa %d, '%s' '%s', %s; %s\n",
	       g->path, g->backend, g->block_bytes, g->io_max_bytes,
	       (unsigned long long)g->zeroes_max_bytes, (unsigned long long)g->discard_max_bytes,
	       g->can_discard ? "yes" : "no", g->discard_zeroes ? ", zeroes" : "", g->atomic_bytes,
	       g->volatile_cache ? "volatile" : "none", g->numa_node, g->model, g->serial,
	       g->detail, store_queue_describe(e->queue));
	assert_true(g->block_bytes == 512 || g->block_bytes == 4096);
	assert_true(g->size_bytes >= MIB(ENV_SIZE_MIB));
	assert_true(g->size_bytes % g->block_bytes == 0);
	assert_true(g->io_max_bytes >= 65536);
	assert_true(g->zeroes_max_bytes >= g->block_bytes);
	assert_true(g->zeroes_max_bytes % g->block_bytes == 0);
	assert_true(!g->can_discard || g->discard_max_bytes >= g->block_bytes);
	assert_true(g->atomic_bytes >= g->block_bytes);
	assert_true(strlen(g->detail) > 0 && strlen(g->backend) > 0);
}

#define IN_ENV(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)

static int run_suite(void)
{
	const struct CMUnitTest tests[] = {
		IN_ENV(geometry_is_filled),
		IN_ENV(data_reads_back_at_all_alignments),
		IN_ENV(last_block_is_reachable),
		IN_ENV(longest_transfer_works_at_any_alignment),
		IN_ENV(fua_and_flush_complete),
		IN_ENV(write_zeroes_zeroes_its_range_only),
		IN_ENV(discard_leaves_its_neighbours),
		IN_ENV(more_operations_than_depth_all_complete),
		IN_ENV(mixed_operations_complete_in_poll_only),
		IN_ENV(done_may_submit_again),
		IN_ENV(sleeping_loses_no_wake),
		IN_ENV(completion_before_arm_is_seen),
		IN_ENV(completion_after_arm_makes_the_descriptor_readable),
		IN_ENV(signal_without_work_dies_down),
		IN_ENV(idle_queue_makes_no_system_call),
		IN_ENV(one_flush_is_one_system_call),
		IN_ENV(registered_region_is_used_and_given_back),
		IN_ENV(buffer_across_two_fixed_ones_works_unregistered),
		IN_ENV(largest_fixed_buffers_work_from_any_offset),
		IN_ENV(data_path_allocates_and_copies_nothing),
		IN_ENV(two_stores_share_a_queue),
		IN_ENV(missing_path_is_refused),
		IN_ENV(second_open_is_refused),
		IN_ENV(too_small_is_refused),
		IN_ENV(odd_size_is_refused),
		IN_ENV(unknown_option_is_refused),
		IN_ENV(partition_and_controller_are_refused),
		IN_ENV(foreign_data_is_named),
		IN_ENV(cut_file_is_local_io),
		IN_ENV(write_that_fails_by_itself_is_no_flush),
		IN_ENV(zeroes_are_written_where_there_is_no_command),
		cmocka_unit_test(names_of_namespaces_are_understood),
		cmocka_unit_test(answers_of_the_device_are_understood),
		IN_ENV(nth_write_fails),
		IN_ENV(every_flush_fails),
		IN_ENV(failure_after_the_work_leaves_the_data),
		IN_ENV(held_operations_wait_for_release),
		IN_ENV(fail_path_opens_a_failing_store),
		IN_ENV(fail_file_makes_blocks_bad_and_good),
		cmocka_unit_test(zero_depth_is_refused),
		cmocka_unit_test(full_file_system_is_no_space),
		cmocka_unit_test(locked_memory_limit_leaves_region_unregistered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int suite_on_file(const char *folder, const char *options)
{
	char path[300];
	int rc;

	if (access(folder, W_OK) < 0) {
		printf("skipped: no folder %s to write in\n", folder);
		return 77;
	}
	snprintf(target.folder, sizeof(target.folder), "%.180s/ls-store.XXXXXX", folder);
	if (!mkdtemp(target.folder)) {
		perror(target.folder);
		return 1;
	}
	(void)chmod(target.folder, 0755);
	snprintf(target.uri, sizeof(target.uri), "file:%s/store%s%s", target.folder,
		 strcmp(options, "default") == 0 ? "" : "?",
		 strcmp(options, "default") == 0 ? "" : options);
	target.size_bytes = MIB(ENV_SIZE_MIB);
	rc = run_suite();
	snprintf(path, sizeof(path), "%s/store", target.folder);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/other", target.folder);
	(void)unlink(path);
	(void)rmdir(target.folder);
	return rc;
}

static int suite_on_device(const char *path)
{
	if (strcmp(path, "env") == 0)
		path = getenv("LS_TEST_NVME");
	if (!path) {
		printf("skipped: LS_TEST_NVME names no device whose content may be destroyed\n");
		return 77;
	}
	if (access(strncmp(path, "file:", 5) == 0 ? path + 5 : path, R_OK | W_OK) < 0) {
		printf("skipped: no device %s\n", path);
		return 77;
	}
	snprintf(target.uri, sizeof(target.uri), "%s", path);
	return run_suite();
}

static int open_only(const char *path)
{
	struct store_queue *queue;
	struct store *store;
	struct err err;
	char what[80];

	if (store_queue_create(8, &queue, &err) < 0 ||
	    store_open(queue, path, 0, &store, &err) < 0) {
		printf("%s\n", err.text);
		return 2;
	}
	printf("opened: %s; foreign: %s\n", store->geometry.detail,
	       store_probe_foreign(path, what, sizeof(what)) ? what : "nothing");
	store_close(store);
	store_queue_destroy(queue);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "file") == 0) {
		target.rung = (enum queue_rung)atoi(argv[4]);
		return suite_on_file(argv[2], argv[3]);
	}
	if (argc == 4 && strcmp(argv[1], "device") == 0) {
		target.rung = (enum queue_rung)atoi(argv[3]);
		return suite_on_device(argv[2]);
	}
	if (argc == 3 && strcmp(argv[1], "open") == 0)
		return open_only(argv[2]);
	fprintf(stderr, "usage: %s file FOLDER OPTIONS RUNG | device PATH RUNG | open PATH\n",
		argv[0]);
	return 1;
}
