/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sampler follows one piece at a time from where it took its place to its end, tells the hops
 * apart, rests between two of them, and leaves out what failed or what it cannot know.
 */
#include "engine/control/sample.h"
#include "engine/peer/node.h"
#include "tests/support/t.h"

#include <stdlib.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define PIECES 200u

struct world {
	struct engine *engine;
	struct core *core;
	struct sampler sampler;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->engine = calloc(1, sizeof(*w->engine));
	assert_non_null(w->engine);
	w->core = &w->engine->core;
	w->core->pieces = calloc(PIECES, sizeof(*w->core->pieces));
	assert_non_null(w->core->pieces);
	w->core->piece_count = PIECES;
	w->core->now_ns = 1000 * MS;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	free(w->core->pieces);
	free(w->engine);
	free(w);
	return 0;
}

static void look(struct world *w)
{
	if (w->core->now_ns >= w->sampler.due_ns)
		sample_look(&w->sampler, w->engine);
}

/* What the core does, as far as a sampler sees it. */
static struct piece *begin(struct world *w, unsigned place, enum store_code code)
{
	struct piece *p = &w->core->pieces[place];

	*p = (struct piece){.state = PIECE_INTENT, .code = code, .started_ns = w->core->now_ns};
	w->core->in_use++;
	return p;
}

static void fly(struct piece *p, bool mirrored)
{
	p->state = PIECE_FLIGHT;
	p->legs_open = 1u + mirrored;
	p->remotes = mirrored;
	p->remote[0].open = mirrored;
}

static void finish(struct world *w, struct piece *p)
{
	p->state = PIECE_FREE;
	w->core->in_use--;
}

static void local_over(struct world *w, struct piece *p)
{
	if (!--p->legs_open)
		finish(w, p);
}

static void remote_over(struct world *w, struct piece *p, uint64_t device_ns)
{
	p->remote[0].open = false;
	w->core->stats.write_remote_ns_sum += w->core->now_ns - p->started_ns;
	w->core->stats.write_peer_device_ns_sum += device_ns;
	if (!--p->legs_open)
		finish(w, p);
}

static const struct sample_histogram *of(const struct world *w, enum sample_op op,
					 enum sample_hop hop)
{
	return &w->sampler.histograms[op][hop];
}

static void one(const struct world *w, enum sample_op op, enum sample_hop hop, uint64_t ns)
{
	assert_int_equal(of(w, op, hop)->count, 1);
	assert_int_equal(of(w, op, hop)->sum_ns, ns);
	for (unsigned i = 0; i <= SAMPLE_BOUNDS; i++) {
		bool below = i == SAMPLE_BOUNDS || ns <= sample_bounds_ns[i];
		bool above = i == 0 || ns > sample_bounds_ns[i - 1];

		assert_int_equal(of(w, op, hop)->buckets[i], below && above);
	}
}

static void pass(struct world *w, uint64_t later)
{
	look(w);
	w->core->now_ns += later;
}

static void test_hops(void **state)
{
	struct world *w = *state;
	struct piece *p;

	pass(w, US); /* nothing is there */
	p = begin(w, 150, STORE_WRITE); /* further on than one look goes */
	for (unsigned i = 0; i < 3; i++)
		look(w);
	assert_ptr_equal(w->sampler.piece, p);
	pass(w, 3 * US);
	fly(p, true);
	pass(w, 7 * US);
	local_over(w, p); /* 10 us */
	pass(w, 20 * US);
	pass(w, 0);
	remote_over(w, p, 4 * US); /* 30 us */
	pass(w, US);
	one(w, SAMPLE_WRITE, SAMPLE_TOTAL, 30 * US);
	one(w, SAMPLE_WRITE, SAMPLE_LOCAL, 10 * US);
	one(w, SAMPLE_WRITE, SAMPLE_REMOTE, 30 * US);
	one(w, SAMPLE_WRITE, SAMPLE_PEER_DEVICE, 4 * US);
	one(w, SAMPLE_WRITE, SAMPLE_WIRE, 26 * US);
	assert_int_equal(of(w, SAMPLE_READ, SAMPLE_TOTAL)->count, 0);
}

static void test_local_alone(void **state)
{
	struct world *w = *state;
	struct piece *p = begin(w, 0, STORE_READ);

	fly(p, false);
	pass(w, 20000 * MS);
	local_over(w, p);
	look(w);
	one(w, SAMPLE_READ, SAMPLE_TOTAL, 20000 * MS);
	one(w, SAMPLE_READ, SAMPLE_LOCAL, 20000 * MS);
	assert_int_equal(of(w, SAMPLE_READ, SAMPLE_REMOTE)->count, 0);
	assert_int_equal(of(w, SAMPLE_READ, SAMPLE_PEER_DEVICE)->count, 0);
}

static void test_rests(void **state)
{
	struct world *w = *state;
	uint64_t first = w->core->now_ns;

	for (unsigned i = 0; w->core->now_ns < first + 10 * SAMPLE_EVERY_NS; i++) {
		struct piece *p = begin(w, 0, STORE_FLUSH);

		fly(p, false);
		pass(w, 50 * US);
		local_over(w, p);
		pass(w, US);
	}
	assert_in_range(of(w, SAMPLE_FLUSH, SAMPLE_TOTAL)->count, 9, 10);
}

/* Several answers in one pass: what the device took cannot be told; the rest can. */
static void test_answers_together(void **state)
{
	struct world *w = *state;
	struct piece *p = begin(w, 0, STORE_WRITE), *other = begin(w, 1, STORE_WRITE);

	fly(p, true);
	fly(other, true);
	pass(w, 9 * US);
	remote_over(w, other, 3 * US);
	remote_over(w, p, 5 * US);
	local_over(w, p);
	look(w);
	one(w, SAMPLE_WRITE, SAMPLE_REMOTE, 9 * US);
	one(w, SAMPLE_WRITE, SAMPLE_LOCAL, 9 * US);
	assert_int_equal(of(w, SAMPLE_WRITE, SAMPLE_PEER_DEVICE)->count, 0);
}

/* The piece is another request's in the pass in which it became free. */
static void test_used_again(void **state)
{
	struct world *w = *state;
	struct piece *p = begin(w, 0, STORE_WRITE);

	fly(p, true);
	pass(w, 5 * US);
	local_over(w, p);
	pass(w, 5 * US);
	remote_over(w, p, US);
	p = begin(w, 0, STORE_READ);
	look(w);
	one(w, SAMPLE_WRITE, SAMPLE_TOTAL, 10 * US);
	one(w, SAMPLE_WRITE, SAMPLE_LOCAL, 5 * US);
	assert_int_equal(of(w, SAMPLE_READ, SAMPLE_TOTAL)->count, 0);
}

static void test_leaves_out(void **state)
{
	struct world *w = *state;
	struct piece *p;

	/* Old ones: they are here because they are slow. */
	p = begin(w, 0, STORE_WRITE);
	w->core->now_ns += US;
	look(w);
	assert_null(w->sampler.piece);
	finish(w, p);

	p = begin(w, 0, STORE_WRITE_ZEROES);
	look(w);
	assert_null(w->sampler.piece);
	finish(w, p);

	/* A leg that failed, and a piece that is held for it. */
	p = begin(w, 0, STORE_WRITE);
	fly(p, true);
	pass(w, US);
	p->remote_status = LS_PEER_LOST;
	p->local_ended = true;
	p->state = PIECE_HELD;
	pass(w, SAMPLE_EVERY_NS);
	assert_null(w->sampler.piece);
	finish(w, p);

	p = begin(w, 0, STORE_READ);
	fly(p, false);
	pass(w, US);
	p->local_status = LS_LOCAL_IO;
	local_over(w, p);
	look(w);
	for (unsigned op = 0; op < SAMPLE_OPS; op++)
		for (unsigned hop = 0; hop < SAMPLE_HOPS; hop++)
			assert_int_equal(of(w, op, hop)->count, 0);
}

static void test_bounds_rise(void **state)
{
	(void)state;
	for (unsigned i = 1; i < SAMPLE_BOUNDS; i++)
		assert_true(sample_bounds_ns[i] > sample_bounds_ns[i - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_local_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_out, setup, teardown),
		cmocka_unit_test(test_bounds_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
