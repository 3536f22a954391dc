/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: every backend of the link keeps the contract of verbs/link.h.
 *
 * usage: link_contract URI [bench | only TEST | child ADDRESS], e.g. tcp://127.0.0.1:0
 */
#include "tests/contract/link_suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int suite_run(const char *name, const struct CMUnitTest *tests, size_t count,
		     struct world *world)
{
	struct CMUnitTest copy[64];

	if (count > ARRAY_SIZE(copy))
		return 1;
	memcpy(copy, tests, count * sizeof(*tests));
	for (size_t i = 0; i < count; i++)
		copy[i].initial_state = world;
	return _cmocka_run_group_tests(name, copy, count, NULL, NULL);
}

static void nobody_opened(void *owner, struct link *link, void *cookie)
{
	(void)owner, (void)cookie;
	link_destroy(link);
}

static void nobody_failed(void *owner, void *cookie, const char *reason)
{
	(void)owner, (void)cookie, (void)reason;
}

const struct fabric_handler nobody_handler = {nobody_opened, nobody_failed};

/* 0, or the reason why the world's URI cannot be tested here. */
static int missing(struct world *world, struct err *err)
{
	struct fabric *fabric;
	int rc = fabric_create(world->uri, &world->config, &nobody_handler, NULL, &fabric, err);

	if (rc < 0)
		return rc;
	fabric_destroy(fabric);
	return 0;
}

int main(int argc, char **argv)
{
	struct world world = {
		.uri = argc > 1 ? argv[1] : "tcp://127.0.0.1:0",
		.config = {.slot_count = 32, .slot_bytes = 128 << 10, .timeout_ms = 3000},
	};
	struct err err = {0};
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3 && strcmp(argv[2], "child") == 0)
		return ping_child(&world, argv[3]);
	if (missing(&world, &err) < 0) {
		printf("skipped: %s: %s\n", world.uri, err.text);
		return 77;
	}
	if (argc > 2 && strcmp(argv[2], "memlock") == 0)
		return memlock_child(&world);
	if (argc > 2 && strcmp(argv[2], "bench") == 0)
		return ping_bench(&world);
	if (argc > 3 && strcmp(argv[2], "only") == 0)
		cmocka_set_test_filter(argv[3]);
	failed = suite_run("link basics", link_basic_tests, link_basic_count, &world);
	failed += suite_run("link queued", link_queued_tests, link_queued_count, &world);
	failed += suite_run("link faults", link_fault_tests, link_fault_count, &world);
	failed += suite_run("link ping", link_ping_tests, link_ping_count, &world);
	failed += world_is_rdma(&world)
			  ? suite_run("link rdma", link_rdma_tests, link_rdma_count, &world)
			  : suite_run("link tcp", link_tcp_tests, link_tcp_count, &world);
	return failed ? 1 : 0;
}
