/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The time of a loop where the precise clock is dear: as precise as the counter while that runs
 * evenly, within two ticks whatever it does, and never going back.
 */
#include "engine/base/clock.h"
#include "tests/support/t.h"

#define MS UINT64_C(1000000)
#define TICK (4 * MS)

/* A machine: what time it is, and its counter. */
struct machine {
	struct clock clock;
	uint64_t ns, count, precise_reads;
};

static void begin(struct machine *m)
{
	*m = (struct machine){.clock = {.refines = true, .step_ns = TICK}, .ns = 1000 * MS};
}

/* @rate: counts in a microsecond. */
static void pass(struct machine *m, uint64_t ns, uint64_t rate)
{
	m->ns += ns;
	m->count += ns * rate / 1000;
}

static uint64_t look(struct machine *m)
{
	uint64_t ns = clock_refine(&m->clock, m->ns / TICK * TICK, m->count);

	if (ns)
		return ns;
	m->precise_reads++;
	clock_anchor(&m->clock, m->ns, m->count);
	return m->ns;
}

static uint64_t off(struct machine *m)
{
	uint64_t seen = look(m);

	return seen > m->ns ? seen - m->ns : m->ns - seen;
}

static void run(struct machine *m, uint64_t ns, uint64_t rate, uint64_t *worst)
{
	for (uint64_t left = ns; left; left -= 10000) {
		uint64_t now;

		pass(m, 10000, rate);
		now = off(m);
		*worst = now > *worst ? now : *worst;
	}
}

static void it_is_exact_while_the_counter_runs_evenly(void **state)
{
	struct machine m;
	uint64_t worst = 0;

	(void)state;
	begin(&m);
	run(&m, 60 * MS, 2100, &worst);
	assert_true(m.precise_reads > 1000); /* the rate is not known yet */
	m.precise_reads = 0;
	run(&m, 1000 * MS, 2100, &worst);
	assert_true(worst < 1000);
	assert_in_range(m.precise_reads, 15, 25); /* one each 50 ms */
}

/* As while it sleeps, on old CPUs. */
static void a_counter_that_stands_still_is_not_believed(void **state)
{
	struct machine m;
	uint64_t worst = 0;

	(void)state;
	begin(&m);
	run(&m, 100 * MS, 2100, &worst);
	m.ns += 3600 * 1000 * MS;
	assert_true(off(&m) < 2 * TICK);
	worst = 0;
	run(&m, 200 * MS, 2100, &worst);
	assert_true(worst < 1000);
	for (int i = 0; i < 1000; i++) {
		m.ns += MS;
		assert_true(off(&m) < 2 * TICK);
	}
}

static void another_rate_is_learnt(void **state)
{
	struct machine m;
	uint64_t worst = 0;

	(void)state;
	begin(&m);
	run(&m, 100 * MS, 2100, &worst);
	worst = 0;
	run(&m, 100 * MS, 800, &worst);
	assert_true(worst < 2 * TICK);
	run(&m, 100 * MS, 4000, &worst);
	assert_true(worst < 2 * TICK);
	worst = 0;
	run(&m, 100 * MS, 4000, &worst);
	assert_true(worst < MS / 10);
}

/* As between CPUs whose counters differ. */
static void a_counter_that_jumps_is_not_believed(void **state)
{
	struct machine m;
	uint64_t worst = 0;

	(void)state;
	begin(&m);
	run(&m, 100 * MS, 2100, &worst);
	for (int i = 0; i < 20; i++) {
		m.count += i % 2 ? UINT64_C(1) << 40 : -(UINT64_C(1) << 40);
		assert_true(off(&m) < 2 * TICK);
		pass(&m, 7 * MS, 2100);
		assert_true(off(&m) < 2 * TICK);
	}
}

static void on_this_machine_it_never_goes_back(void **state)
{
	struct clock clock;
	uint64_t before, last = 0;

	(void)state;
	clock_init(&clock);
	before = clock_precise();
	for (int i = 0; i < 200000; i++) {
		uint64_t now = clock_now(&clock);

		assert_true(now >= last);
		last = now;
	}
	assert_true(last + 2 * clock.step_ns >= before);
	assert_true(last <= clock_precise() + 2 * clock.step_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_exact_while_the_counter_runs_evenly),
		cmocka_unit_test(a_counter_that_stands_still_is_not_believed),
		cmocka_unit_test(another_rate_is_learnt),
		cmocka_unit_test(a_counter_that_jumps_is_not_believed),
		cmocka_unit_test(on_this_machine_it_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
