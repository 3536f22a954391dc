/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Latency histogram of fixed size: log-linear, 128 steps for each power of two, so that a
 * percentile is off by less than 0.8 %.  Values from 0 to 2^40 ns (18 minutes); longer ones
 * count as that.  Pure; no allocation.
 */
#ifndef LS_BASE_HIST_H
#define LS_BASE_HIST_H

#include "engine/base/defs.h"

#define HIST_STEP_BITS 7u
#define HIST_VALUE_BITS 40u
/* Values below 2^8 each have their own place; then 128 for every further bit. */
#define HIST_PLACES                                                                                \
	((2u << HIST_STEP_BITS) + (HIST_VALUE_BITS - HIST_STEP_BITS - 1) * (1u << HIST_STEP_BITS))

struct hist {
	uint64_t count, sum, max;
	uint64_t places[HIST_PLACES];
};

void hist_reset(struct hist *hist);
void hist_add(struct hist *hist, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The smallest value that @percent (0..100) of all do not exceed; 0 when there is none. */
uint64_t hist_percentile(const struct hist *hist, double percent);

#endif
