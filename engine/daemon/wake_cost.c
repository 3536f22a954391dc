/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads on two CPUs that wake each other by turns; a round is two sleeps and two wake-ups.
 * On one CPU it would be two switches only: what is dear is a CPU that sleeps.
 */
#include "engine/daemon/wake_cost.h"

#include "engine/base/clock.h"
#include "engine/base/defs.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROUNDS 65
#define LIMIT_NS 20000000u
#define LAST 2 /* in place of 1: the other thread ends */

struct turns {
	int to, back;
};

static bool ring(int fd, uint64_t count)
{
	return eventfd_write(fd, count) == 0;
}

static void *answer(void *arg)
{
	const struct turns *t = arg;
	eventfd_t count = 0;

	while (count < LAST && eventfd_read(t->to, &count) == 0 && ring(t->back, 1))
		;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The median: who is interrupted once does not count. */
static uint64_t take_turns(const struct turns *t)
{
	uint64_t took[ROUNDS], begin = clock_precise(), now = begin, before;
	unsigned n = 0;
	bool last = false, ok = true;

	while (ok && !last) {
		eventfd_t count;

		last = n == ROUNDS - 1 || now - begin > LIMIT_NS;
		before = now;
		ok = ring(t->to, last ? LAST : 1) && eventfd_read(t->back, &count) == 0;
		now = clock_precise();
		took[n++] = now - before;
	}
	if (!ok)
		(void)ring(t->to, LAST);
	qsort(took, n, sizeof(took[0]), compare);
	return ok ? took[n / 2] / 2 : 0;
}

static int next_cpu(const cpu_set_t *set, int from)
{
	while (from < CPU_SETSIZE && !CPU_ISSET(from, set))
		from++;
	return from;
}

static bool move(pthread_t thread, int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return pthread_setaffinity_np(thread, sizeof(one), &one) == 0;
}

static uint64_t measure(const struct turns *t, const cpu_set_t *allowed)
{
	int first = next_cpu(allowed, 0), second = next_cpu(allowed, first + 1);
	uint64_t cost = 0;
	pthread_t thread;
	bool moved;

	if (second == CPU_SETSIZE || pthread_create(&thread, NULL, answer, (void *)t))
		return 0;
	moved = move(pthread_self(), first) && move(thread, second);
	cost = take_turns(t);
	pthread_join(thread, NULL);
	return moved ? cost : 0;
}

uint64_t wake_cost_ns(void)
{
	struct turns t = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	uint64_t cost = 0;
	cpu_set_t allowed;

	if (t.to >= 0 && t.back >= 0 &&
	    !pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed)) {
		cost = measure(&t, &allowed);
		(void)pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
	}
	if (t.to >= 0)
		close(t.to);
	if (t.back >= 0)
		close(t.back);
	return cost;
}
