/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own ring and the engine's, on one mapping: so that ThreadSanitizer sees both
 * at the same addresses.
 *
 * Litmus: one side goes to sleep while the other shows something, both started by a barrier
 * and shifted towards each other until they meet; one of the two must notice.  On two free
 * cores this fails within seconds when any of the four stores is weaker than seq_cst.
 */
#include "engine/client/connection.h"
#include "tests/unit/shm_peer.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 300000
#define SKEW_MAX 4000
#define LITMUS_MAX_S 8 /* enough rounds, when the machine has no two cores for us */
#define ROUND_TRIPS 100000
#define DEPTH 4u

struct race {
	struct shm_peer peer;
	struct ls_connection c;
	_Atomic uint32_t arrived; /* barrier: two arrivals for each step */
	_Atomic bool stop;
	_Atomic bool engine_saw;
	bool engine_arms; /* else the engine publishes */
	unsigned engine_shift, client_shift;
};

static void race_init(struct race *r)
{
	shm_peer_init(&r->peer, DEPTH, 4096);
	r->c = (struct ls_connection){
		.header = r->peer.header,
		.sq = r->peer.sq,
		.cq = r->peer.cq,
		.depth = DEPTH,
		.socket = -1,
		.doorbell = r->peer.fds.doorbell,
		.wakeup = r->peer.fds.wakeup,
		.timer = -1,
		.epoll = -1,
	};
	assert_int_equal(queue_init(&r->c), 0);
}

static void race_fini(struct race *r)
{
	free(r->c.requests);
	shm_peer_fini(&r->peer);
}

static void barrier(struct race *r, uint32_t *step)
{
	*step += 2;
	r->arrived++;
	for (unsigned i = 0; (int32_t)(r->arrived - *step) < 0; i++) {
		if (i > 1000)
			sched_yield();
	}
}

static void shift(unsigned n)
{
	for (volatile unsigned i = 0; i < n; i++)
		;
}

/* Three steps a round: start, act, look; the client's thread looks and sets the next up. */
static void *litmus_engine(void *arg)
{
	struct race *r = arg;
	uint32_t step = 0;

	for (;;) {
		barrier(r, &step);
		if (r->stop)
			return NULL;
		shift(r->engine_shift);
		r->engine_saw = false;
		if (r->engine_arms)
			r->engine_saw = shmq_arm(r->peer.queue);
		else
			shmq_publish(r->peer.queue);
		barrier(r, &step);
	}
}

/* Brings one request to where the race starts. */
static void round_start(struct race *r)
{
	struct shmq_request request;

	assert_int_equal(ls_flush(&r->c, 0, 1), 0);
	if (r->engine_arms)
		return;
	queue_show(&r->c);
	assert_int_equal(shmq_fetch(r->peer.queue, &request, 1), 1);
	shmq_complete(r->peer.queue, request.tag, LS_OK, 0, 0);
}

/* And from there to its end. */
static void round_finish(struct race *r)
{
	struct shmq_request request;
	struct ls_completion done;

	queue_disarm(&r->c);
	shmq_disarm(r->peer.queue);
	if (r->engine_arms) {
		assert_int_equal(shmq_fetch(r->peer.queue, &request, 1), 1);
		shmq_complete(r->peer.queue, request.tag, LS_OK, 0, 0);
		shmq_publish(r->peer.queue);
	}
	assert_int_equal(queue_take(&r->c, &done, 1), 1);
}

/* Both sides act at once.  Returns -1 when the engine alone noticed, 1 the client, 0 both. */
static int round_race(struct race *r, uint32_t *step)
{
	uint64_t rung = r->c.rung, wakeups = shmq_wakeups(r->peer.queue);
	bool client_saw = false, engine_saw;

	barrier(r, step);
	shift(r->client_shift);
	if (r->engine_arms)
		queue_show(&r->c);
	else
		client_saw = queue_arm(&r->c);
	barrier(r, step);
	client_saw = client_saw || r->c.rung != rung;
	engine_saw = r->engine_saw || shmq_wakeups(r->peer.queue) != wakeups;
	if (!client_saw && !engine_saw)
		fail_msg("nobody noticed");
	return (int)client_saw - (int)engine_saw;
}

static void one_way(struct race *r, bool engine_arms)
{
	uint32_t step = 0;
	unsigned seed = 1;
	pthread_t thread;
	time_t end = time(NULL) + LITMUS_MAX_S;
	int round, who, skew = 0, both = 0;

	race_init(r);
	r->engine_arms = engine_arms;
	assert_int_equal(pthread_create(&thread, NULL, litmus_engine, r), 0);
	for (round = 0; round < ROUNDS && (round % 1024 || time(NULL) < end); round++) {
		r->client_shift = (unsigned)(rand_r(&seed) % 32 + (skew > 0 ? skew : 0));
		r->engine_shift = (unsigned)(rand_r(&seed) % 32 + (skew < 0 ? -skew : 0));
		round_start(r);
		who = round_race(r, &step);
		round_finish(r);
		/* Who alone noticed came last: towards both at once, where the danger is. */
		skew = abs(skew - who) < SKEW_MAX ? skew - who : 0;
		both += who == 0;
	}
	r->stop = true;
	barrier(r, &step);
	pthread_join(thread, NULL);
	print_message("%d rounds, in %d both noticed, skew %d\n", round, both, skew);
	race_fini(r);
}

static void test_engine_arms(void **state)
{
	static struct race r;

	(void)state;
	one_way(&r, true);
}

static void test_client_arms(void **state)
{
	static struct race r;

	(void)state;
	one_way(&r, false);
}

/* A look for the engine's death must not take the ring that an armed program will sleep for. */
static void test_look_leaves_the_bell(void **state)
{
	static struct race r;

	(void)state;
	race_init(&r);
	round_start(&r);
	assert_false(queue_arm(&r.c));
	shmq_publish(r.peer.queue);
	wait_look(&r.c);
	assert_int_equal(r.c.session, SESSION_UP);
	assert_true(shm_readable(r.c.wakeup, 0));
	ls_arm(&r.c);
	assert_false(shm_readable(r.c.wakeup, 0));
	round_finish(&r);
	race_fini(&r);
}

static void *serving_engine(void *arg)
{
	struct race *r = arg;
	struct shmq_request request[DEPTH];
	int n;

	while (!r->stop) {
		n = shmq_fetch(r->peer.queue, request, DEPTH);
		for (int i = 0; i < n; i++)
			shmq_complete(r->peer.queue, request[i].tag, LS_OK, 0, 0);
		shmq_publish(r->peer.queue);
		if (n)
			continue;
		shm_quiet(r->peer.fds.doorbell);
		if (shmq_arm(r->peer.queue))
			continue;
		shm_readable(r->peer.fds.doorbell, -1);
		shmq_disarm(r->peer.queue);
	}
	return NULL;
}

/* Every ls_wait() sleeps, and so does the engine. */
static void test_wait_sleeps(void **state)
{
	static struct race r;
	struct ls_completion done;
	uint64_t one = 1;
	pthread_t thread;

	(void)state;
	race_init(&r);
	assert_int_equal(pthread_create(&thread, NULL, serving_engine, &r), 0);
	for (uint64_t i = 0; i < ROUND_TRIPS; i++) {
		assert_int_equal(ls_flush(&r.c, 0, i), 0);
		assert_int_equal(ls_wait(&r.c, &done, 1, 20000), 1);
		assert_int_equal(done.tag, i);
	}
	print_message("%d round trips, %llu wake-ups\n", ROUND_TRIPS,
		      (unsigned long long)shmq_wakeups(r.peer.queue));
	r.stop = true;
	assert_int_equal(write(r.peer.fds.doorbell, &one, sizeof(one)), sizeof(one));
	pthread_join(thread, NULL);
	race_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_arms),
		cmocka_unit_test(test_client_arms),
		cmocka_unit_test(test_look_leaves_the_bell),
		cmocka_unit_test(test_wait_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
