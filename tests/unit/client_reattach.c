/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine goes and the next one comes: nothing is lost, told twice, or in another place. */
#include "engine/client/connection.h"
#include "tests/unit/client_engine.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DEPTH 8
#define PATIENCE_MS 20000 /* longer than any test takes */

struct fixture {
	struct fake_engine *engine;
	struct ls_connection *c;
	int volume;
	char *buf[DEPTH]; /* 4096 bytes of their own letter */
};

static void start(struct fixture *x, enum fake_way way, uint32_t reconnect_ms)
{
	struct ls_options o = {
		.size = sizeof(o),
		.queue_depth = DEPTH,
		.arena_bytes = 1 << 20,
		.reconnect_ms = reconnect_ms,
	};

	x->engine = fake_start(way);
	o.socket = x->engine->path;
	assert_int_equal(ls_connect(&o, &x->c, NULL, 0), 0);
	x->volume = ls_volume_open(x->c, FAKE_VOLUME, NULL);
	assert_int_equal(x->volume, 0);
	for (int i = 0; i < DEPTH; i++) {
		x->buf[i] = ls_buf_alloc(x->c, 4096);
		assert_non_null(x->buf[i]);
		memset(x->buf[i], 'a' + i, 4096);
	}
}

static void finish(struct fixture *x)
{
	ls_disconnect(x->c);
	fake_stop(x->engine);
}

static void die(struct fixture *x)
{
	fake_order(x->engine, FAKE_DIE);
}

/* Writes @n times 4096 bytes, each a half behind the one before, tagged from 0. */
static void write_overlapping(struct fixture *x, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(ls_write(x->c, x->volume, x->buf[i], (uint64_t)i * 2048, 4096, 0,
					  (uint64_t)i),
				 0);
}

/* Waits for @n completions, all LS_OK; returns the set of their tags, each told once. */
static unsigned wait_all(struct fixture *x, int n)
{
	struct ls_completion done[DEPTH];
	unsigned told = 0;
	int got;

	for (int taken = 0; taken < n; taken += got) {
		got = ls_wait(x->c, done, DEPTH, PATIENCE_MS);
		if (got <= 0)
			fail_msg("%d of %d: %s", taken, n, ls_error(x->c));
		for (int i = 0; i < got; i++) {
			assert_int_equal(done[i].status, LS_OK);
			assert_true(done[i].tag < 32 && !(told & 1u << done[i].tag));
			told |= 1u << done[i].tag;
		}
	}
	assert_int_equal(ls_poll(x->c, done, DEPTH), 0);
	assert_true(x->engine->served > 0);
	return told;
}

static uint32_t wait_status(struct fixture *x)
{
	struct ls_completion done;

	assert_int_equal(ls_wait(x->c, &done, 1, PATIENCE_MS), 1);
	assert_true(x->engine->served > 0);
	return done.status;
}

/* The old engine did nothing; the next one does all, in the order in which it was queued. */
static void test_replays_in_order(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	write_overlapping(&x, 6);
	assert_int_equal(ls_submit(x.c), 6);
	fake_await(x.engine, 6, false);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, 6), 0x3f);
	assert_int_equal(x.engine->fetched, 6);
	assert_int_equal(x.engine->adopted, 1);
	assert_int_equal(ls_reconnects(x.c), 1);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(x.engine->journal[i].offset, i * 2048);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(x.engine->volume[i * 2048 + 100], 'a' + i);
	finish(&x);
}

/* The old engine did everything and told nothing: the end is the same, and so is a read. */
static void test_done_but_not_told(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_KEEPS_SILENT, 0);
	write_overlapping(&x, 3);
	assert_int_equal(ls_discard(x.c, x.volume, 0, 512, 3), 0);
	assert_int_equal(ls_write_zeroes(x.c, x.volume, 512, 512, LS_FUA, 4), 0);
	assert_int_equal(ls_flush(x.c, x.volume, 5), 0);
	assert_int_equal(ls_read(x.c, x.volume, x.buf[7], 1024, 4096, 6), 0);
	assert_int_equal(ls_submit(x.c), 7);
	fake_await(x.engine, 7, false);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, 7), 0x7f);
	assert_memory_equal(x.buf[7], x.engine->volume + 1024, 4096);
	assert_int_equal(x.engine->volume[1023], 0);
	assert_int_equal(x.engine->volume[1024], 'a');
	assert_int_equal(x.engine->volume[2048], 'b');
	finish(&x);
}

/* What was in the ring is delivered, and only the rest is done again. */
static void test_told_once(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_SERVES, 0);
	die(&x);
	x.engine->completes = 3;
	fake_restart(x.engine, FAKE_SERVES);
	write_overlapping(&x, 6);
	assert_int_equal(ls_submit(x.c),
			 6); /* to the first engine, which is not known to be gone */
	wait_for_session(x.c);
	assert_int_equal(ls_reconnects(x.c), 1);
	fake_await(x.engine, 6, false);
	die(&x);
	x.engine->completes = DEPTH;
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, 6), 0x3f);
	assert_int_equal(x.engine->fetched, 3);
	assert_int_equal(x.engine->journal[0].offset, 3 * 2048);
	assert_int_equal(ls_reconnects(x.c), 2);
	finish(&x);
}

/* Tags are the program's: they need not differ. */
static void test_equal_tags(void **state)
{
	struct ls_completion done[DEPTH];
	struct fixture x;
	int taken = 0;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ls_flush(x.c, x.volume, UINT64_MAX), 0);
	assert_int_equal(ls_submit(x.c), 5);
	fake_await(x.engine, 5, false);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	while (taken < 5)
		taken += ls_wait(x.c, done + taken, DEPTH - taken, PATIENCE_MS);
	assert_int_equal(taken, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(done[i].tag, UINT64_MAX);
	assert_int_equal(ls_poll(x.c, done, DEPTH), 0);
	finish(&x);
}

/* Requests may be queued while no engine is there; what was not submitted stays unseen. */
static void test_queues_while_away(void **state)
{
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	write_overlapping(&x, 2);
	assert_int_equal(ls_submit(x.c), 2);
	die(&x);
	assert_int_equal(ls_wait(x.c, &done, 1, 1), 0);
	assert_int_equal(ls_submit(x.c), 0);
	assert_int_equal(ls_flush(x.c, x.volume, 2), 0);
	assert_int_equal(ls_submit(x.c), 1);
	for (uint64_t i = 3; i < DEPTH; i++)
		assert_int_equal(ls_flush(x.c, x.volume, i), 0);
	assert_int_equal(ls_flush(x.c, x.volume, 9), -EAGAIN);
	fake_restart(x.engine, FAKE_HOLDS);
	while (!ls_reconnects(x.c))
		assert_int_equal(ls_poll(x.c, &done, 1), 0);
	fake_await(x.engine, 3, false);
	assert_int_equal(x.engine->fetched, 3);
	assert_int_equal(ls_submit(x.c), DEPTH - 3);
	fake_await(x.engine, DEPTH, false);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, DEPTH), 0xff);
	finish(&x);
}

/* An orderly stop refuses requests; the next engine does them. */
static void test_engine_stops(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_STOPS, 0);
	write_overlapping(&x, 4);
	assert_int_equal(ls_submit(x.c), 4);
	fake_await(x.engine, 4, false);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, 4), 0xf);
	assert_int_equal(x.engine->journal[0].offset, 0);
	assert_int_equal(x.engine->journal[3].offset, 3 * 2048);
	finish(&x);
}

/* A program that sleeps meanwhile sees a longer wait and nothing else. */
static void test_engine_stops_under_wait(void **state)
{
	const int limit_ms = 100;
	struct ls_completion done;
	struct fixture x;
	uint64_t began;

	(void)state;
	start(&x, FAKE_STOPS, 0);
	assert_int_equal(ls_flush(x.c, x.volume, 1), 0);
	began = clock_ns();
	assert_int_equal(ls_wait(x.c, &done, 1, limit_ms), 0);
	assert_true(clock_ns() - began >= (uint64_t)limit_ms * NS_PER_MS);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(ls_wait(x.c, &done, 1, -1), 1);
	assert_int_equal(done.status, LS_OK);
	finish(&x);
}

/* And without patience that is what the program hears. */
static void test_engine_stops_unreplaced(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_STOPS, LS_RECONNECT_NEVER);
	assert_int_equal(ls_flush(x.c, x.volume, 1), 0);
	assert_int_equal(wait_status(&x), LS_SHUTDOWN);
	finish(&x);
}

static void test_does_not_come_back(void **state)
{
	struct pollfd fd = {.events = POLLIN};
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 60);
	write_overlapping(&x, 2);
	assert_int_equal(ls_submit(x.c), 2);
	die(&x);
	assert_int_equal(ls_wait(x.c, &done, 1, -1), -EPIPE);
	assert_non_null(strstr(ls_error(x.c), "the engine is gone and did not come back within "
					      "60 ms: the engine does not answer at /tmp/"));
	fd.fd = ls_fd(x.c);
	assert_int_equal(poll(&fd, 1, 0), 1);
	/* For good, everywhere, whoever comes. */
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(ls_wait(x.c, &done, 1, 0), -EPIPE);
	assert_int_equal(ls_poll(x.c, &done, 1), -EPIPE);
	assert_int_equal(ls_submit(x.c), -EPIPE);
	assert_int_equal(ls_flush(x.c, x.volume, 2), -EPIPE);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), -EPIPE);
	assert_int_equal(ls_reconnects(x.c), 0);
	finish(&x);
}

/* An engine that lets nobody in: calls keep their own time limits. */
static void test_waits_keep_their_limit(void **state)
{
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 1000);
	write_overlapping(&x, 1);
	assert_int_equal(ls_submit(x.c), 1);
	die(&x);
	fake_restart(x.engine, FAKE_NO_ANSWER);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ls_wait(x.c, &done, 1, 1), 0);
	assert_int_equal(x.c->session, SESSION_LOST);
	assert_int_equal(ls_wait(x.c, &done, 1, -1), -EPIPE);
	finish(&x);
}

/* Each way to go wrong before the session is up leads to another try. */
static void test_next_engine_fails_first(void **state)
{
	static const enum fake_way ways[] = {FAKE_REFUSES, FAKE_NO_MEMORY, FAKE_HANGS_UP,
					     FAKE_NO_ANSWER, FAKE_ENDS_AT_OPEN};
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	write_overlapping(&x, 3);
	assert_int_equal(ls_submit(x.c), 3);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		die(&x);
		fake_restart(x.engine, ways[i]);
		assert_int_equal(ls_wait(x.c, &done, 1, 30), 0);
	}
	die(&x);
	x.engine->busy = 2;
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(wait_all(&x, 3), 7);
	assert_int_equal(x.engine->busy, 0);
	assert_int_equal(ls_reconnects(x.c), 1);
	finish(&x);
}

/* No patience helps against another version. */
static void test_next_engine_of_other_version(void **state)
{
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	assert_int_equal(ls_flush(x.c, x.volume, 1), 0);
	assert_int_equal(ls_submit(x.c), 1);
	die(&x);
	fake_restart(x.engine, FAKE_OTHER_VERSION);
	assert_int_equal(ls_wait(x.c, &done, 1, -1), -EPIPE);
	assert_non_null(strstr(ls_error(x.c), "the engine has 42"));
	finish(&x);
}

/* Not there, another one of that name, or shorter: a clear status; and there again: it goes on. */
static void test_volume_is_another(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	for (int i = 0; i < 4; i++) {
		/* First it dies: the engine of the last round would answer by itself. */
		die(&x);
		write_overlapping(&x, 1);
		assert_int_equal(ls_submit(x.c), 1);
		x.engine->id = i == 0 ? 0 : i == 1 ? 2 : 1;
		x.engine->volume_bytes = i == 2 ? FAKE_VOLUME_BYTES / 2 : FAKE_VOLUME_BYTES;
		fake_restart(x.engine, FAKE_SERVES);
		assert_int_equal(wait_status(&x), i < 3 ? LS_NO_VOLUME : LS_OK);
		assert_int_equal(x.engine->volume[0], i < 3 ? 0 : 'a');
	}
	finish(&x);
}

/* A volume of the same name that was made anew gets a handle of its own when it is opened. */
static void test_handles(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_SERVES, 0);
	die(&x);
	x.engine->handle = 3;
	fake_restart(x.engine, FAKE_SERVES);
	write_overlapping(&x, 1);
	assert_int_equal(wait_status(&x), LS_OK);
	assert_int_equal(x.engine->journal[0].volume, 3);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), x.volume);
	die(&x);
	x.engine->id = 9;
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), x.volume + 1);
	write_overlapping(&x, 1);
	assert_int_equal(wait_status(&x), LS_NO_VOLUME);
	assert_int_equal(ls_flush(x.c, x.volume + 1, 1), 0);
	assert_int_equal(wait_status(&x), LS_OK);
	finish(&x);
}

/* Opening waits for the next engine, and is asked again when that one ends over it. */
static void test_opens_while_away(void **state)
{
	struct fixture x;

	(void)state;
	start(&x, FAKE_SERVES, 200);
	die(&x);
	fake_restart(x.engine, FAKE_SERVES);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), x.volume);
	assert_int_equal(ls_reconnects(x.c), 1);
	die(&x);
	fake_restart(x.engine, FAKE_ENDS_AT_OPEN);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), -EPIPE);
	finish(&x);
}

/* Without any volume open there is no question that fails on the way back. */
static void test_engines_end_at_open(void **state)
{
	struct ls_options o = {.size = sizeof(o), .queue_depth = DEPTH};
	struct fake_engine *f = fake_start(FAKE_ENDS_AT_OPEN);
	struct ls_connection *c;

	(void)state;
	o.socket = f->path;
	assert_int_equal(ls_connect(&o, &c, NULL, 0), 0);
	assert_int_equal(ls_volume_open(c, FAKE_VOLUME, NULL), -ECONNRESET);
	assert_non_null(strstr(ls_error(c), "3 engines ended"));
	/* One that is stopping is about to end as well. */
	ls_disconnect(c);
	fake_order(f, FAKE_DIE);
	fake_restart(f, FAKE_STOPS_AT_OPEN);
	assert_int_equal(ls_connect(&o, &c, NULL, 0), 0);
	assert_int_equal(ls_volume_open(c, FAKE_VOLUME, NULL), -ECONNRESET);
	ls_disconnect(c);
	fake_stop(f);
}

/* An event loop sleeps on nothing but ls_fd(). */
static void test_event_loop(void **state)
{
	struct pollfd fd = {.events = POLLIN};
	struct ls_completion done[DEPTH];
	struct fixture x;
	int n, taken = 0;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	fd.fd = ls_fd(x.c);
	write_overlapping(&x, 4);
	assert_int_equal(ls_submit(x.c), 4);
	for (int round = 0; taken < 4; round++) {
		ls_arm(x.c);
		n = ls_poll(x.c, done, DEPTH);
		assert_true(n >= 0);
		taken += n;
		if (n)
			continue;
		if (round == 0)
			die(&x);
		if (round == 4)
			fake_restart(x.engine, FAKE_SERVES);
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
	}
	assert_int_equal(ls_reconnects(x.c), 1);
	finish(&x);
}

/* Requests that bring down every engine do not do so for ever: what is left of the time counts. */
static void test_patience_ends(void **state)
{
	struct ls_completion done;
	struct fixture x;
	uint64_t left;

	(void)state;
	start(&x, FAKE_HOLDS, PATIENCE_MS);
	left = x.c->patience_left_ns;
	assert_int_equal(ls_flush(x.c, x.volume, 1), 0);
	assert_int_equal(ls_submit(x.c), 1);
	for (int i = 0; i < 5; i++) {
		die(&x);
		assert_int_equal(ls_wait(x.c, &done, 1, 2), 0);
		fake_restart(x.engine, i < 4 ? FAKE_HOLDS : FAKE_SERVES);
		while (ls_reconnects(x.c) <= (uint64_t)i && i < 4)
			assert_int_equal(ls_wait(x.c, &done, 1, 1), 0);
		if (i < 4)
			assert_true(x.c->patience_left_ns < left - 2000000);
		left = x.c->patience_left_ns;
	}
	assert_int_equal(wait_status(&x), LS_OK);
	assert_int_equal(x.c->patience_left_ns, x.c->patience_ns);
	finish(&x);
}

/* A ring that says the same twice is not believed, nor saved. */
static void test_repeated_completion(void **state)
{
	struct ls_completion done[DEPTH];
	struct fixture x;
	int n;

	(void)state;
	start(&x, FAKE_REPEATS, 0);
	write_overlapping(&x, 2);
	assert_int_equal(ls_submit(x.c), 2);
	fake_await(x.engine, 2, false);
	die(&x);
	n = ls_wait(x.c, done, DEPTH, -1);
	assert_int_equal(n, 1);
	assert_int_equal(ls_wait(x.c, done, DEPTH, -1), -EPIPE);
	assert_non_null(strstr(ls_error(x.c), "overwritten"));
	finish(&x);
}

static void test_spoilt_when_lost(void **state)
{
	struct ls_completion done;
	struct fixture x;

	(void)state;
	start(&x, FAKE_HOLDS, 0);
	write_overlapping(&x, 1);
	assert_int_equal(ls_submit(x.c), 1);
	fake_await(x.engine, 1, false);
	die(&x);
	atomic_store(&x.c->header->cq_tail, 7);
	wait_look(x.c);
	assert_int_equal(ls_poll(x.c, &done, 1), -EPIPE);
	assert_non_null(strstr(ls_error(x.c), "overwritten"));
	finish(&x);
}

/* Many lives: what was acknowledged is there, whenever it is read. */
struct lives {
	struct fixture x;
	unsigned seed;
	char expected[DEPTH]; /* letter of each place of the volume */
	enum { IDLE, WRITING, READING } doing[DEPTH];
};

static void lives_issue(struct lives *l, unsigned i)
{
	struct fixture *x = &l->x;
	uint64_t offset = i * 4096;

	if (rand_r(&l->seed) % 2) {
		l->doing[i] = READING;
		memset(x->buf[i], '?', 4096);
		assert_int_equal(ls_read(x->c, x->volume, x->buf[i], offset, 4096, i), 0);
		return;
	}
	l->doing[i] = WRITING;
	l->expected[i] = (char)('A' + rand_r(&l->seed) % 26);
	memset(x->buf[i], l->expected[i], 4096);
	assert_int_equal(ls_write(x->c, x->volume, x->buf[i], offset, 4096, 0, i), 0);
}

static void lives_complete(struct lives *l, const struct ls_completion *done)
{
	uint64_t i = done->tag;

	assert_true(i < DEPTH && l->doing[i] != IDLE);
	assert_int_equal(done->status, LS_OK);
	if (l->doing[i] == READING) {
		assert_int_equal(l->x.buf[i][0], l->expected[i]);
		assert_memory_equal(l->x.buf[i], l->x.buf[i] + 1, 4095);
	}
	l->doing[i] = IDLE;
}

static void lives_change_engine(struct lives *l)
{
	struct fake_engine *f = l->x.engine;

	die(&l->x);
	f->completes = (unsigned)rand_r(&l->seed) % 20;
	f->handle = (unsigned)rand_r(&l->seed) % 9;
	fake_restart(f, FAKE_SERVES);
}

static void test_many_lives(void **state)
{
	struct lives l = {.seed = 7};
	struct ls_completion done[DEPTH];
	int n;

	(void)state;
	start(&l.x, FAKE_SERVES, 0);
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			if (l.doing[i] == IDLE && rand_r(&l.seed) % 3 == 0)
				lives_issue(&l, i);
		assert_true(ls_submit(l.x.c) >= 0);
		if (rand_r(&l.seed) % 10 == 0)
			lives_change_engine(&l);
		n = ls_wait(l.x.c, done, DEPTH, 1);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			lives_complete(&l, &done[i]);
	}
	assert_true(ls_reconnects(l.x.c) > 10);
	print_message("%llu lives\n", (unsigned long long)ls_reconnects(l.x.c));
	finish(&l.x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replays_in_order),
		cmocka_unit_test(test_done_but_not_told),
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_equal_tags),
		cmocka_unit_test(test_queues_while_away),
		cmocka_unit_test(test_engine_stops),
		cmocka_unit_test(test_engine_stops_under_wait),
		cmocka_unit_test(test_engine_stops_unreplaced),
		cmocka_unit_test(test_does_not_come_back),
		cmocka_unit_test(test_waits_keep_their_limit),
		cmocka_unit_test(test_next_engine_fails_first),
		cmocka_unit_test(test_next_engine_of_other_version),
		cmocka_unit_test(test_volume_is_another),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_opens_while_away),
		cmocka_unit_test(test_engines_end_at_open),
		cmocka_unit_test(test_event_loop),
		cmocka_unit_test(test_patience_ends),
		cmocka_unit_test(test_repeated_completion),
		cmocka_unit_test(test_spoilt_when_lost),
		cmocka_unit_test(test_many_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
