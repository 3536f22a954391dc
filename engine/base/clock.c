/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/base/clock.h"

#include "engine/base/defs.h"

#include <time.h>

#define DEAR_READS 32
#define DEAR_NS 300
#define ANCHOR_READS 3
/* The rate is known after this, and looked at again as often. */
#define MEASURE_NS 50000000u

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_precise(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

#if defined(__x86_64__)
static uint64_t counter(void)
{
	return __builtin_ia32_rdtsc();
}

static bool is_dear(void)
{
	uint64_t begin = clock_precise();

	for (int i = 0; i < DEAR_READS; i++)
		(void)clock_precise();
	return clock_precise() - begin > (uint64_t)DEAR_READS * DEAR_NS;
}
#else
/* Elsewhere the kernel reads the counter itself. */
static uint64_t counter(void)
{
	return 0;
}

static bool is_dear(void)
{
	return false;
}
#endif

void clock_init(struct clock *c)
{
	struct timespec step;

	*c = (struct clock){.refines = is_dear()};
	clock_getres(CLOCK_MONOTONIC_COARSE, &step);
	c->step_ns = (uint64_t)step.tv_sec * 1000000000u + (uint64_t)step.tv_nsec;
}

static double counted_ns(const struct clock *c, uint64_t count)
{
	return (double)(count - c->anchor_count) * c->ns_per_count;
}

uint64_t clock_refine(const struct clock *c, uint64_t tick_ns, uint64_t count)
{
	double passed = counted_ns(c, count);
	uint64_t ns;

	if (c->ns_per_count == 0 || passed > MEASURE_NS)
		return 0;
	ns = c->anchor_ns + (uint64_t)passed;
	/* Or it stood still, jumped, or has another rate; or the tick is late. */
	return ns >= tick_ns && ns - tick_ns < 2 * c->step_ns ? ns : 0;
}

void clock_anchor(struct clock *c, uint64_t ns, uint64_t count)
{
	double off = (double)(ns - c->anchor_ns) - counted_ns(c, count);
	double limit = (double)c->step_ns / 8;

	/* Not what it was: the rate is measured anew. */
	if (!c->base_ns || count <= c->base_count ||
	    (c->ns_per_count != 0 && (off < -limit || off > limit))) {
		c->base_ns = ns;
		c->base_count = count;
		c->ns_per_count = 0;
	} else if (ns - c->base_ns >= MEASURE_NS) {
		c->ns_per_count = (double)(ns - c->base_ns) / (double)(count - c->base_count);
	}
	c->anchor_ns = ns;
	c->anchor_count = count;
}

/* The moment of both readings: who is interrupted between them tries again. */
static uint64_t anchor(struct clock *c)
{
	uint64_t best = UINT64_MAX, best_ns = 0, middle = 0;

	for (int i = 0; i < ANCHOR_READS; i++) {
		uint64_t before = counter(), ns = clock_precise(), took = counter() - before;

		if (took < best) {
			best = took;
			best_ns = ns;
			middle = before + took / 2;
		}
	}
	clock_anchor(c, best_ns, middle);
	/* Not that of the best reading, which may be long ago. */
	return c->ns_per_count == 0 ? clock_precise() : best_ns;
}

uint64_t clock_now(struct clock *c)
{
	uint64_t ns = 0;

	if (c->refines)
		ns = clock_refine(c, read_clock(CLOCK_MONOTONIC_COARSE), counter());
	if (!ns)
		ns = c->refines ? anchor(c) : clock_precise();
	c->last_ns = max_u64(c->last_ns, ns);
	return c->last_ns;
}
