/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of the link's contract suite; each test's state is the struct world. */
#ifndef LS_TESTS_LINK_SUITE_H
#define LS_TESTS_LINK_SUITE_H

#include "tests/contract/link_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const struct CMUnitTest link_basic_tests[], link_ping_tests[], link_tcp_tests[],
	link_rdma_tests[], link_fault_tests[], link_queued_tests[];
extern const size_t link_basic_count, link_ping_count, link_tcp_count, link_rdma_count,
	link_fault_count, link_queued_count;

/* The world's open link, both sides granted, and each end on its own thread. */
int ping_bench(struct world *world);
/* The peer that the test kills: sends requests to ADDRESS for ever. */
int ping_child(struct world *world, const char *address);

/* For fabrics that should never come to be. */
extern const struct fabric_handler nobody_handler;

/* Run as a process of its own: registers more than its limit of locked memory allows. */
int memlock_child(struct world *world);

/* Calls of malloc and friends by any code that is linked into the test. */
unsigned long alloc_count(void);

/* A page-aligned buffer that link_write() may send from. */
void region_open(struct end *end, struct region *region, size_t length_bytes);
void region_close(struct end *end, struct region *region);

int world_setup(void **state);
int world_teardown(void **state);
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
