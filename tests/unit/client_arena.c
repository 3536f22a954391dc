/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Property test of the arena: random gets and puts against a map of owners.
 * client_arena [SEED] repeats a run.
 */
#include "engine/client/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define PAGES_MAX 600u

static unsigned seed;

struct block {
	uint32_t first, nr_pages;
};

struct model {
	struct arena *arena;
	uint32_t nr_pages, nr_free, nr_blocks;
	bool used[PAGES_MAX];
	struct block blocks[PAGES_MAX];
};

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)rand_r(&seed) % n;
}

/* The longest run of free pages: a get of up to that many must succeed. */
static uint32_t longest_free(const struct model *m)
{
	uint32_t longest = 0, run = 0;

	for (uint32_t i = 0; i < m->nr_pages; i++) {
		run = m->used[i] ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

static void model_get(struct model *m)
{
	uint32_t n = random_below(4) ? 1 + random_below(20) : 1 + random_below(m->nr_pages);
	uint32_t first = arena_get(m->arena, n);

	assert_int_equal(first == ARENA_NONE, n > longest_free(m));
	if (first == ARENA_NONE)
		return;
	assert_true(first + n <= m->nr_pages);
	for (uint32_t i = first; i < first + n; i++) {
		assert_false(m->used[i]);
		m->used[i] = true;
	}
	m->blocks[m->nr_blocks++] = (struct block){first, n};
	m->nr_free -= n;
}

static void model_put(struct model *m)
{
	struct block *b;

	if (!m->nr_blocks)
		return;
	b = &m->blocks[random_below(m->nr_blocks)];
	arena_put(m->arena, b->first);
	memset(m->used + b->first, 0, b->nr_pages);
	m->nr_free += b->nr_pages;
	*b = m->blocks[--m->nr_blocks];
}

static void test_random(void **state)
{
	struct model m;
	unsigned bias;

	(void)state;
	for (unsigned run = 0; run < 50; run++) {
		memset(&m, 0, sizeof(m));
		m.nr_pages = m.nr_free = 1 + random_below(PAGES_MAX);
		m.arena = arena_create(m.nr_pages);
		assert_non_null(m.arena);
		for (unsigned step = 0; step < 2000; step++) {
			bias = step / 200 % 2 ? 3 : 7; /* Fills and empties in turn. */
			if (random_below(10) < bias)
				model_get(&m);
			else
				model_put(&m);
			assert_int_equal(arena_free_pages(m.arena), m.nr_free);
			if (step % 16 == 0)
				arena_check(m.arena);
		}
		while (m.nr_blocks)
			model_put(&m);
		arena_check(m.arena);
		assert_int_equal(arena_get(m.arena, m.nr_pages), 0); /* All merged again. */
		arena_destroy(m.arena);
	}
}

/* The largest arena, page by page: must not be quadratic. */
static void test_largest(void **state)
{
	const uint32_t nr = 1u << 18;
	struct arena *a = arena_create(nr);

	(void)state;
	assert_non_null(a);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_not_equal(arena_get(a, 1), ARENA_NONE);
	assert_int_equal(arena_get(a, 1), ARENA_NONE);
	for (uint32_t i = 0; i < nr; i += 2)
		arena_put(a, i);
	assert_int_equal(arena_get(a, 2), ARENA_NONE);
	for (uint32_t i = 1; i < nr; i += 2)
		arena_put(a, i);
	assert_int_equal(arena_free_pages(a), nr);
	assert_int_equal(arena_get(a, nr), 0);
	arena_check(a);
	arena_destroy(a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_largest),
	};

	seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);
	printf("seed %u (repeat: %s %u)\n", seed, argv[0], seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
