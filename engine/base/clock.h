/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Monotonic time for a loop that looks at it in every pass.
 *
 * Mostly that is CLOCK_MONOTONIC, read without a system call.  Where the kernel does not trust the
 * CPU's counter (clocksource hpet or acpi_pm, as in virtual machines) each read is a system call
 * and an access to a slow device, several for each request.  There the time of the last tick
 * (CLOCK_MONOTONIC_COARSE, which costs nothing anywhere) is refined by the counter.  The counter is
 * never believed further than a tick: whatever it does, the error stays within two of them.
 *
 * One thread.
 */
#ifndef LS_BASE_CLOCK_H
#define LS_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock {
	bool refines; /* CLOCK_MONOTONIC is dear here */
	uint64_t step_ns; /* a tick */
	uint64_t last_ns; /* it never goes back */
	/* The same moment by both; the rate is measured from base on. */
	uint64_t base_ns, base_count;
	uint64_t anchor_ns, anchor_count;
	double ns_per_count; /* 0 = not known yet */
};

void clock_init(struct clock *clock);
/* Nanoseconds; never less than what it said before. */
uint64_t clock_now(struct clock *clock);

/* CLOCK_MONOTONIC itself; any thread. */
uint64_t clock_precise(void);

/*
 * The inside, without the machine.  clock_refine(): the time when the last tick was at @tick_ns and
 * the counter stands at @count; 0 = that cannot be said, or is not plausible: read the precise
 * clock, and tell clock_anchor().
 */
uint64_t clock_refine(const struct clock *clock, uint64_t tick_ns, uint64_t count);
void clock_anchor(struct clock *clock, uint64_t ns, uint64_t count);

#endif
