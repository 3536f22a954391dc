/* SPDX-License-Identifier: BSD-3-Clause */
/* Which way a resync goes: each rule of engine/doc/mirror.md, and that both nodes agree. */
#include "engine/peer/decide.h"
#include "tests/support/seed.h"
#include "tests/support/t.h"

#define A 0x0a
#define B 0x0b

static struct replica_state at(uint64_t node, struct generations g)
{
	return (struct replica_state){.node_address = node, .generations = g, .consistent = true};
}

/* Decides on both sides; the answers must be mirror images. */
static struct decision both(const struct replica_state *a, const struct replica_state *b)
{
	struct decision x = decide(a, b), y = decide(b, a);
	enum verdict opposite = x.verdict == VERDICT_SOURCE   ? VERDICT_TARGET
				: x.verdict == VERDICT_TARGET ? VERDICT_SOURCE
							      : x.verdict;

	assert_int_equal(y.verdict, opposite);
	assert_int_equal(x.everything, y.everything);
	assert_int_equal(x.overridden, y.overridden);
	assert_string_equal(x.reason, y.reason);
	return x;
}

static void one_went_on_alone(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 1});
	struct replica_state b = a;
	struct decision d;

	(void)state;
	b.node_address = B;
	generation_go_alone(&a.generations, 2);
	d = both(&a, &b);
	assert_int_equal(d.verdict, VERDICT_SOURCE);
	assert_false(d.everything);
	/* The peer may have taken the generation in the last moment of a resync, or not. */
	assert_true(generation_alone(&a.generations));
	a.generations.offered = true;
	assert_false(generation_alone(&a.generations));
	generation_go_alone(&a.generations, 3);
	assert_true(generation_alone(&a.generations));
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_false(both(&a, &b).everything);
	b.generations.current = 2;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_false(both(&a, &b).everything);
	/* The role does not matter. */
	b.primary = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
}

static void older_than_the_map(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 3, .history = {2, 1}});
	struct replica_state b = at(B, (struct generations){.current = 1});
	struct decision d = both(&a, &b);

	(void)state;
	assert_int_equal(d.verdict, VERDICT_SOURCE);
	assert_true(d.everything);
}

static void equals(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 1});
	struct replica_state b = at(B, (struct generations){.current = 1});

	(void)state;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE); /* the smaller address */
	b.dirty = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
	b.lost = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	a.lost = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
	b.lost = false;
	a.primary = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	a.consistent = false;
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
	b.consistent = false;
	assert_int_equal(both(&a, &b).verdict, VERDICT_INCOMPLETE);
}

static void split_brain(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 1});
	struct replica_state b = at(B, (struct generations){.current = 1});

	(void)state;
	generation_go_alone(&a.generations, 2);
	generation_go_alone(&b.generations, 3);
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	a.wish = b.wish = WISH_KEEP;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	b.wish = WISH_NONE;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_true(both(&a, &b).overridden);
	assert_false(both(&a, &b).everything);
	a.wish = WISH_YIELD;
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
	/* No common base: everything is copied. */
	a.generations = (struct generations){.current = 2, .history = {1}};
	assert_true(both(&a, &b).everything);
}

static void strangers(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 1, .base = 7});
	struct replica_state b = at(B, (struct generations){.current = 2, .history = {9}});

	(void)state;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	a.wish = WISH_KEEP;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_true(both(&a, &b).everything);
	assert_true(both(&a, &b).overridden);
	a.wish = WISH_NONE;
	/* The target of an initial copy that was begun twice. */
	b.generations = (struct generations){.current = 2};
	b.consistent = false;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_true(both(&a, &b).everything);
	b.consistent = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	b.generations.current = 0;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SOURCE);
	assert_true(both(&a, &b).everything);
}

/* Given up, and promoted by force before the resync had ended: it can still be resolved. */
static void forced_in_the_middle(void **state)
{
	/* A pair of which the target was promoted before the initial copy: B has no base. */
	struct replica_state a = at(A, (struct generations){.current = 1, .base = 2});
	struct replica_state b = at(B, (struct generations){.current = 3, .history = {2}});

	(void)state;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	generation_give_up(&a.generations, &b.generations);
	a.consistent = false;
	assert_int_equal(a.generations.current, 0);
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
	assert_true(both(&a, &b).everything);
	generation_force(&a.generations, 4);
	a.consistent = true;
	assert_int_equal(both(&a, &b).verdict, VERDICT_SPLIT);
	a.wish = WISH_YIELD;
	assert_int_equal(both(&a, &b).verdict, VERDICT_TARGET);
}

static void an_incomplete_copy_is_no_source(void **state)
{
	struct replica_state a = at(A, (struct generations){.current = 2, .base = 1});
	struct replica_state b = at(B, (struct generations){.current = 1});

	(void)state;
	a.consistent = false;
	assert_int_equal(both(&a, &b).verdict, VERDICT_INCOMPLETE);
}

/* Any two states, hostile ones included: both sides agree, and an incomplete one never leads. */
static void both_sides_agree(void **state)
{
	uint64_t seed = seed_start();

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct replica_state s[2];

		for (unsigned k = 0; k < 2; k++) {
			s[k] = at(k ? B : A, (struct generations){0});
			s[k].generations.current = seed_next(&seed) % 5;
			s[k].generations.base = seed_next(&seed) % 5;
			for (unsigned h = 0; h < GENERATION_HISTORY; h++)
				s[k].generations.history[h] = seed_next(&seed) % 6;
			s[k].generations.covered = (uint8_t)(seed_next(&seed) % 5);
			s[k].consistent = seed_next(&seed) % 4;
			s[k].primary = seed_next(&seed) % 2;
			s[k].dirty = seed_next(&seed) % 2;
			s[k].wish = (enum wish)(seed_next(&seed) % 3);
		}
		if (both(&s[0], &s[1]).verdict == VERDICT_SOURCE)
			assert_true(s[0].consistent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_went_on_alone),
		cmocka_unit_test(older_than_the_map),
		cmocka_unit_test(equals),
		cmocka_unit_test(split_brain),
		cmocka_unit_test(strangers),
		cmocka_unit_test(forced_in_the_middle),
		cmocka_unit_test(an_incomplete_copy_is_no_source),
		cmocka_unit_test(both_sides_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
