/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast a resync may go: all there is without clients, what they hardly feel with them, never
 * nothing, and never more than an operator allows.
 */
#include "engine/peer/pace.h"
#include "tests/support/t.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)
#define WINDOW MIB(2)
#define CHUNK KIB(128)
#define CHUNKS_MAX 128
#define START S

/* A machine: chunks, and clients that have one request each under way, always. */
struct world {
	struct pace pace;
	uint64_t now, limit;
	uint64_t chunk_end[CHUNKS_MAX], chunk_bytes[CHUNKS_MAX]; /* 0 = free */
	unsigned clients;
	uint64_t began[8], end[8];
	uint64_t copied, client_count, client_ns;
	/* What a chunk of so many bytes takes, and a request with so much of the copy under way. */
	uint64_t (*chunk_ns)(uint64_t bytes);
	uint64_t (*request_ns)(uint64_t under_way);
};

static uint64_t chunk_usual(uint64_t bytes)
{
	return 200 * US + bytes * 10; /* 100 MB/s */
}

/* Each 64 KiB under way doubles what a request takes. */
static uint64_t request_feels(uint64_t under_way)
{
	return MS + under_way * MS / KIB(64);
}

static uint64_t request_indifferent(uint64_t under_way)
{
	(void)under_way;
	return MS;
}

/* Anything at all of the copy makes it ten times as long. */
static uint64_t request_suffers(uint64_t under_way)
{
	return under_way ? 10 * MS : MS;
}

static void world_init(struct world *w, unsigned clients)
{
	*w = (struct world){
		.now = START,
		.clients = clients,
		.chunk_ns = chunk_usual,
		.request_ns = request_indifferent,
	};
	pace_init(&w->pace, WINDOW, CHUNK);
}

static void ask(struct world *w)
{
	for (unsigned i = 0; i < CHUNKS_MAX; i++) {
		uint64_t bytes;

		if (w->chunk_end[i])
			continue;
		bytes = pace_grant(&w->pace, w->now, w->clients > 0, w->limit);
		assert_true(bytes <= CHUNK);
		if (!bytes)
			return;
		pace_begin(&w->pace, w->now, bytes, w->limit);
		w->chunk_bytes[i] = bytes;
		w->chunk_end[i] = w->now + w->chunk_ns(bytes);
	}
}

/* The next thing that happens. */
static uint64_t next(const struct world *w)
{
	uint64_t at = w->pace.wake_ns;

	for (unsigned i = 0; i < CHUNKS_MAX; i++)
		if (w->chunk_end[i])
			at = min_u64(at, w->chunk_end[i]);
	for (unsigned i = 0; i < w->clients; i++)
		at = min_u64(at, w->end[i]);
	return at;
}

static void requests(struct world *w)
{
	for (unsigned i = 0; i < w->clients; i++) {
		if (w->end[i] > w->now)
			continue;
		if (w->end[i]) {
			pace_client(&w->pace, w->now, PACE_MIRRORED, w->began[i]);
			w->client_count++;
			w->client_ns += w->now - w->began[i];
		}
		w->began[i] = w->now;
		w->end[i] = w->now + w->request_ns(w->pace.under_way);
	}
}

static void run(struct world *w, uint64_t ns)
{
	uint64_t until = w->now + ns;

	requests(w);
	ask(w);
	while (next(w) < until) {
		bool ended = next(w) == w->pace.wake_ns;

		w->now = max_u64(w->now, next(w));
		for (unsigned i = 0; i < CHUNKS_MAX; i++) {
			if (!w->chunk_end[i] || w->chunk_end[i] > w->now)
				continue;
			pace_end(&w->pace, w->now, w->chunk_bytes[i], MS, 2 * MS);
			w->copied += w->chunk_bytes[i];
			w->chunk_end[i] = 0;
			ended = true;
		}
		requests(w);
		if (ended || w->now >= w->pace.wake_ns)
			ask(w);
	}
	w->now = until;
}

/* The mean of a request over @ns, in percent of 1 ms. */
static uint64_t felt(struct world *w, uint64_t ns)
{
	w->client_count = w->client_ns = 0;
	run(w, ns);
	return w->client_ns / w->client_count * 100 / MS;
}

static void alone_it_gets_everything(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 0);
	run(&w, MS);
	assert_int_equal(w.pace.under_way, WINDOW);
	assert_int_equal(w.pace.chunks, WINDOW / CHUNK);
	assert_int_equal(w.pace.bound, PACE_NOTHING);
	run(&w, 10 * S);
	assert_int_equal(w.pace.under_way, WINDOW);
	/* 2 MiB each 1.51 ms. */
	assert_in_range(pace_rate(&w.pace, w.now), 1300000000, 1500000000);
}

static void beside_clients_it_begins_small(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1);
	run(&w, 10 * US);
	assert_int_equal(w.pace.under_way, PACE_WINDOW_FIRST);
	assert_int_equal(w.pace.bound, PACE_CLIENTS);
}

static void clients_that_feel_it_are_spared(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1);
	w.request_ns = request_feels;
	run(&w, 5 * S);
	assert_in_range(felt(&w, 20 * S), 105, 150);
	/* And it is no slower than that asks for. */
	assert_true(w.copied > 25 * MIB(20));
	/* More of them, and slower ones: what counts is the difference. */
	world_init(&w, 8);
	w.request_ns = request_feels;
	run(&w, 5 * S);
	assert_in_range(felt(&w, 20 * S), 105, 150);
}

static void clients_that_do_not_feel_it_cost_little(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 4);
	run(&w, 10 * S);
	w.copied = 0;
	run(&w, 10 * S);
	assert_int_equal(w.pace.window, WINDOW);
	assert_int_equal(felt(&w, S), 100);
	/* Pauses: an eighth at most, and what runs dry around them. */
	assert_true(w.copied > 10 * UINT64_C(1100000000));
}

static void it_always_gets_on(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.request_ns = request_suffers;
	run(&w, 10 * S);
	assert_int_equal(w.pace.window, PACE_WINDOW_MIN);
	w.copied = 0;
	run(&w, 10 * S);
	/* A chunk of 16 KiB takes 364 us; a pause is a ninth of the time at most. */
	assert_true(w.copied > 10 * KIB(16) * 2400);
}

static void what_was_learnt_is_used_again(void **state)
{
	struct world w;
	uint64_t window;

	(void)state;
	world_init(&w, 1);
	w.request_ns = request_indifferent;
	run(&w, 5 * S);
	window = w.pace.window;
	assert_true(window > PACE_WINDOW_FIRST);
	/* They go: everything at once, as soon as that is certain; they come back: as it was. */
	w.clients = 0;
	run(&w, 100 * MS);
	assert_int_equal(w.pace.under_way, WINDOW);
	w.clients = 1;
	w.end[0] = 0;
	run(&w, 100 * MS);
	assert_true(w.pace.under_way <= max_u64(window, w.pace.window));
}

static void a_hand_limit_holds(void **state)
{
	static const uint64_t limits[] = {PACE_LIMIT_MIN, MIB(1), MIB(50), MIB(500)};
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned clients = 0; clients < 2; clients++) {
			world_init(&w, clients);
			w.limit = limits[i];
			run(&w, 20 * S);
			assert_true(w.copied <= 20 * w.limit + w.limit / 10 + 2 * CHUNK);
			/* One that the window beside clients allows, is reached. */
			if (!clients || limits[i] <= MIB(1)) {
				assert_true(w.copied + WINDOW + w.limit / 5 >= 20 * w.limit);
				assert_int_equal(w.pace.bound, PACE_LIMIT);
			}
		}
	}
}

static void a_limit_is_no_debt(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 0);
	w.limit = MIB(1);
	run(&w, S);
	/* Nobody copied for a minute: that may not be made up for. */
	w.now += 60 * S;
	w.copied = 0;
	run(&w, S);
	assert_true(w.copied <= MIB(1) + 3 * CHUNK);
	/* Lifted: at once. */
	w.limit = 0;
	w.copied = 0;
	run(&w, S);
	assert_true(w.copied > MIB(1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_it_gets_everything),
		cmocka_unit_test(beside_clients_it_begins_small),
		cmocka_unit_test(clients_that_feel_it_are_spared),
		cmocka_unit_test(clients_that_do_not_feel_it_cost_little),
		cmocka_unit_test(it_always_gets_on),
		cmocka_unit_test(what_was_learnt_is_used_again),
		cmocka_unit_test(a_hand_limit_holds),
		cmocka_unit_test(a_limit_is_no_debt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
