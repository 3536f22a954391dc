/* SPDX-License-Identifier: BSD-3-Clause */
/* What the store's contract tests share: the store under test, and ways to wait for it. */
#ifndef LS_TESTS_CONTRACT_STORE_SUPPORT_H
#define LS_TESTS_CONTRACT_STORE_SUPPORT_H

#include "nvme/queue_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* After the above, which it needs. */
#include <cmocka.h>

enum { ENV_DEPTH = 32, ENV_SIZE_MIB = 64, WAIT_LIMIT_MS = 20000 };

/* What main() was asked to test; set once. */
struct store_target {
	char uri[256];
	char folder[200]; /* of a file store; empty for a device */
	uint64_t size_bytes;
	enum queue_rung rung;
};

extern struct store_target target;

struct env {
	struct store_queue *queue;
	struct store *store;
	int epoll_fd;
};

/* An operation that counts how often done() came, and where from. */
struct probe {
	struct store_op op;
	unsigned done_count;
	const bool *polling; /* must be true when done() comes, unless NULL */
	struct probe *again; /* submitted from done(), unless NULL */
};

int env_setup(void **state);
int env_teardown(void **state);

bool target_is_file(void);
int target_open(struct store_queue *queue, struct store **store, struct err *err);

/* Memory for I/O, aligned to 4096, filled with @seed's pattern. */
void *buffer_new(size_t bytes, uint32_t seed);
void buffer_fill(void *buf, size_t bytes, uint32_t seed);
void assert_filled(const void *buf, size_t bytes, uint32_t seed);
void assert_zeroes(const void *buf, size_t bytes);

struct probe probe_make(enum store_code code, uint64_t offset, uint64_t length, void *buf);
/* Sleeps in epoll until the probe is done; fails after WAIT_LIMIT_MS. */
void probe_wait(struct env *e, struct probe *p);
/* Submits one operation and waits for it. */
enum ls_status run_probe(struct env *e, struct store *store, struct probe *p);
enum ls_status run(struct env *e, enum store_code code, uint64_t offset, uint64_t length,
		   void *buf);

/* Reads the range, and asserts that it can be read and, with @zeroes, that it is empty. */
void assert_range(struct env *e, uint64_t at, uint64_t bytes, bool zeroes);
/* Writes @total bytes from 0 on with @seed's pattern. */
void lay(struct env *e, uint64_t total, uint32_t seed);

/* Calls of malloc() and its kin by this program, not its shared libraries, so far. */
unsigned long allocations(void);

/* store_refusals.c: what is refused, and with what sentence. */
void missing_path_is_refused(void **state);
void second_open_is_refused(void **state);
void too_small_is_refused(void **state);
void odd_size_is_refused(void **state);
void unknown_option_is_refused(void **state);
void partition_and_controller_are_refused(void **state);
void zero_depth_is_refused(void **state);
void foreign_data_is_named(void **state);
void full_file_system_is_no_space(void **state);
void cut_file_is_local_io(void **state);
void write_that_fails_by_itself_is_no_flush(void **state);
void locked_memory_limit_leaves_region_unregistered(void **state);

/* store_nvme.c: what needs no device, and what a device of the lab does not show by itself. */
void names_of_namespaces_are_understood(void **state);
void answers_of_the_device_are_understood(void **state);
void zeroes_are_written_where_there_is_no_command(void **state);

/* store_faults.c: the store that fails on purpose. */
void nth_write_fails(void **state);
void every_flush_fails(void **state);
void failure_after_the_work_leaves_the_data(void **state);
void held_operations_wait_for_release(void **state);
void fail_path_opens_a_failing_store(void **state);
void fail_file_makes_blocks_bad_and_good(void **state);

#endif
