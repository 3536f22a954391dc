/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No wake-up is lost.  Two threads; each goes to sleep whenever it finds nothing, as fast as
 * it can; a sleep that lasts SLEEP_MAX_MS is a lost wake-up.  Bursts of random length, and a
 * client that sometimes only looks, move the two across each other in every order.
 */
#include "tests/unit/shm_peer.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLEEP_MAX_MS 20000
#define DEPTH 16u

struct run {
	struct shm_peer peer;
	uint64_t requests;
	bool sleeps; /* else both spin */
	bool engine_failed;
	uint64_t engine_sleeps;
	unsigned engine_spins, client_spins;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Spins, but not for a whole time slice when the other side has no core. */
static void spin(unsigned *spins)
{
	if (++*spins % 4096 == 0)
		sched_yield();
}

/* True when there is, or soon may be, something to fetch; false for a lost wake-up. */
static bool engine_idle(struct run *run)
{
	bool woken;

	if (!run->sleeps) {
		spin(&run->engine_spins);
		return true;
	}
	shm_quiet(run->peer.fds.doorbell);
	if (shmq_arm(run->peer.queue))
		return true;
	run->engine_sleeps++;
	woken = shm_readable(run->peer.fds.doorbell, SLEEP_MAX_MS);
	shmq_disarm(run->peer.queue);
	return woken;
}

static void *engine_main(void *arg)
{
	struct run *run = arg;
	struct shmq *q = run->peer.queue;
	struct shmq_request r[DEPTH];
	uint64_t done = 0;
	int n;

	while (done < run->requests) {
		n = shmq_fetch(q, r, DEPTH);
		if (n < 0 || (n == 0 && !engine_idle(run))) {
			run->engine_failed = true;
			break;
		}
		for (int i = 0; i < n; i++) {
			shmq_complete(q, r[i].tag, LS_OK, 0, 0);
			/* One by one or together. */
			if (r[i].tag & 1)
				shmq_publish(q);
		}
		shmq_publish(q);
		done += (uint64_t)n;
	}
	return NULL;
}

/* Takes at least one completion; false for a lost wake-up. */
static bool client_wait(struct run *run, uint64_t *taken)
{
	struct shm_peer *p = &run->peer;
	uint64_t before = *taken, tag;
	char bytes[64];

	for (;;) {
		while ((tag = shm_peer_take(p)) != UINT64_MAX) {
			if (tag != *taken)
				return false;
			++*taken;
		}
		if (*taken != before)
			return true;
		if (!run->sleeps)
			spin(&run->client_spins);
		if (!run->sleeps || shm_peer_arm(p))
			continue;
		if (!shm_readable(p->fds.wakeup, SLEEP_MAX_MS))
			return false;
		assert_true(read(p->fds.wakeup, bytes, sizeof(bytes)) > 0);
	}
}

static int64_t run_both(struct run *run, unsigned burst_max)
{
	struct shm_peer *p = &run->peer;
	uint64_t queued = 0, taken = 0, seed = 88172645463325252ull;
	pthread_t thread;
	int64_t start;
	unsigned burst;

	shm_peer_init(p, DEPTH, 4096);
	assert_int_equal(pthread_create(&thread, NULL, engine_main, run), 0);
	start = now_ns();
	while (taken < run->requests) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		burst = 1 + (unsigned)(seed % burst_max);
		while (burst-- && queued < run->requests && queued - taken < DEPTH)
			shm_peer_queue(p, queued++);
		shm_peer_show(p);
		if (!client_wait(run, &taken))
			fail_msg("lost wake-up or wrong order: %llu of %llu taken",
				 (unsigned long long)taken, (unsigned long long)queued);
	}
	start = now_ns() - start;
	pthread_join(thread, NULL);
	assert_false(run->engine_failed);
	assert_int_equal(shmq_in_flight(p->queue), 0);
	print_message("%llu requests, bursts up to %u: %lld ns each; engine slept %llu times, "
		      "%llu rings, %llu wake-ups\n",
		      (unsigned long long)run->requests, burst_max,
		      (long long)(start / (int64_t)run->requests),
		      (unsigned long long)run->engine_sleeps, (unsigned long long)p->rings,
		      (unsigned long long)shmq_wakeups(p->queue));
	shm_peer_fini(p);
	return start;
}

static void test_each_sleeps(void **state)
{
	struct run run = {.requests = 200000, .sleeps = true};

	(void)state;
	run_both(&run, 1);
}

static void test_bursts_sleep(void **state)
{
	struct run run = {.requests = 200000, .sleeps = true};

	(void)state;
	run_both(&run, DEPTH);
}

static void test_both_spin(void **state)
{
	struct run run = {.requests = 20000};

	(void)state;
	run_both(&run, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_sleeps),
		cmocka_unit_test(test_bursts_sleep),
		cmocka_unit_test(test_both_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
