/* SPDX-License-Identifier: BSD-3-Clause */
/* Many threads over one connection: nobody waits for ever, nobody gets another's bytes. */
#include "tools/nbdkit/shared.h"

#include "tests/support/seed.h"
#include "tests/unit/client_engine.h"

#include "tests/support/t.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 8u
#define PART_BYTES (FAKE_VOLUME_BYTES / THREADS)
#define BLOCK 4096u
#define REQUESTS 300

struct client {
	struct shared *shared;
	pthread_t thread;
	uint64_t seed, at; /* its part of the volume */
	unsigned done;
	uint8_t *want, *got;
	const char *wrong;
};

static struct shared *open_shared(const struct fake_engine *f, unsigned slots,
				  uint32_t reconnect_ms)
{
	struct shared_options options = {
		.socket = f->path,
		.volume = FAKE_VOLUME,
		.slots = slots,
		.reconnect_ms = reconnect_ms,
	};
	char message[SHARED_MESSAGE_BYTES];
	struct shared *s = shared_open(&options, message);

	if (!s)
		fail_msg("%s", message);
	return s;
}

static const char *one_request(struct client *c)
{
	uint64_t from = seed_below(&c->seed, PART_BYTES / BLOCK) * BLOCK;
	uint64_t length = (1 + seed_below(&c->seed, (PART_BYTES - from) / BLOCK)) * BLOCK;
	struct shared_request r = {.offset = c->at + from, .length = length};

	switch (seed_below(&c->seed, 8)) {
	case 0:
		return shared_do(c->shared, &(struct shared_request){.op = SHARED_FLUSH})
			       ? "a flush failed"
			       : NULL;
	case 1:
		r.op = SHARED_ZERO;
		memset(c->want + from, 0, length);
		return shared_do(c->shared, &r) ? "zeroing failed" : NULL;
	case 2:
	case 3:
	case 4:
		r.op = SHARED_READ;
		r.data = c->got;
		if (shared_do(c->shared, &r))
			return "a read failed";
		return memcmp(c->got, c->want + from, length) ? "read what was not written" : NULL;
	default:
		r.op = SHARED_WRITE;
		r.data = c->want + from;
		memset(r.data, (int)seed_next(&c->seed), length);
		return shared_do(c->shared, &r) ? "a write failed" : NULL;
	}
}

static void *client_run(void *arg)
{
	struct client *c = arg;

	for (c->done = 0; c->done < REQUESTS && !c->wrong; c->done++)
		c->wrong = one_request(c);
	return NULL;
}

static void clients_start(struct client *clients, struct shared *s, uint64_t seed)
{
	for (unsigned i = 0; i < THREADS; i++) {
		clients[i] = (struct client){
			.shared = s,
			.seed = seed + i,
			.at = (uint64_t)i * PART_BYTES,
			.want = calloc(1, PART_BYTES),
			.got = calloc(1, PART_BYTES),
		};
		assert_non_null(clients[i].want);
		assert_non_null(clients[i].got);
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]),
				 0);
	}
}

static void clients_join(struct client *clients)
{
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(clients[i].thread, NULL);
		free(clients[i].want);
		free(clients[i].got);
	}
}

static void clients_all_good(const struct client *clients)
{
	for (unsigned i = 0; i < THREADS; i++) {
		if (clients[i].wrong)
			fail_msg("thread %u, request %u: %s", i, clients[i].done, clients[i].wrong);
		assert_int_equal(clients[i].done, REQUESTS);
	}
}

/* More threads than slots, and as many. */
static void test_threads(void **state)
{
	static const unsigned slots[] = {1, 2, THREADS, 64};
	uint64_t seed = seed_start();

	(void)state;
	for (unsigned i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		struct fake_engine *f = fake_start(FAKE_SERVES);
		struct shared *s = open_shared(f, slots[i], 0);
		struct client clients[THREADS];

		clients_start(clients, s, seed + 100 * i);
		clients_join(clients);
		clients_all_good(clients);
		assert_null(shared_gone(s));
		shared_close(s);
		fake_stop(f);
	}
}

/* The engine goes three times while they work, and the next one comes. */
static void test_engine_goes_and_comes(void **state)
{
	uint64_t seed = seed_start();
	struct fake_engine *f = fake_start(FAKE_SERVES);
	struct shared *s = open_shared(f, 4, 60000);
	struct client clients[THREADS];

	(void)state;
	clients_start(clients, s, seed);
	for (unsigned i = 0; i < 3; i++) {
		fake_await(f, 100, false);
		fake_order(f, FAKE_DIE);
		fake_restart(f, FAKE_SERVES);
	}
	clients_join(clients);
	clients_all_good(clients);
	shared_close(s);
	fake_stop(f);
}

/* It goes for good: every thread is told, those that wait for a slot included. */
static void test_engine_gone(void **state)
{
	struct fake_engine *f = fake_start(FAKE_HOLDS);
	struct shared *s = open_shared(f, 2, LS_RECONNECT_NEVER);
	struct client clients[THREADS];

	(void)state;
	clients_start(clients, s, seed_start());
	fake_await(f, 2, false);
	fake_order(f, FAKE_DIE);
	clients_join(clients);
	for (unsigned i = 0; i < THREADS; i++)
		assert_non_null(clients[i].wrong);
	assert_non_null(shared_gone(s));
	assert_non_null(strstr(shared_gone(s), "engine"));
	shared_close(s);
	fake_stop(f);
}

/* One request that is longer than all of the slots. */
static void test_long_request(void **state)
{
	struct fake_engine *f = fake_start(FAKE_SERVES);
	struct shared *s = open_shared(f, 2, 0);
	uint8_t *data = malloc(FAKE_VOLUME_BYTES), *back = calloc(1, FAKE_VOLUME_BYTES);
	struct shared_request r = {.op = SHARED_WRITE, .data = data, .length = FAKE_VOLUME_BYTES};
	uint64_t seed = seed_start();

	(void)state;
	assert_non_null(data);
	assert_non_null(back);
	for (size_t i = 0; i < FAKE_VOLUME_BYTES; i++)
		data[i] = (uint8_t)seed_next(&seed);
	assert_int_equal(shared_do(s, &r), LS_OK);
	r.op = SHARED_READ;
	r.data = back;
	assert_int_equal(shared_do(s, &r), LS_OK);
	assert_memory_equal(data, back, FAKE_VOLUME_BYTES);
	/* Its end lies behind the volume's: an error, and the connection goes on. */
	r.offset = BLOCK;
	assert_int_equal(shared_do(s, &r), LS_OUT_OF_RANGE);
	r.offset = 0;
	assert_int_equal(shared_do(s, &r), LS_OK);
	shared_close(s);
	fake_stop(f);
	free(data);
	free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_engine_goes_and_comes),
		cmocka_unit_test(test_engine_gone),
		cmocka_unit_test(test_long_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
