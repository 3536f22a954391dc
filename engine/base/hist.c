/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/base/hist.h"

#include <string.h>

#define STEPS (1u << HIST_STEP_BITS)
#define EXACT (2u * STEPS)

void hist_reset(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
}

static unsigned place_of(uint64_t value)
{
	unsigned bit;

	if (value < EXACT)
		return (unsigned)value;
	if (value >> HIST_VALUE_BITS)
		return HIST_PLACES - 1;
	/* The leading bit chooses the group, the seven behind it the step. */
	bit = 63u - (unsigned)__builtin_clzll(value);
	return EXACT + (bit - HIST_STEP_BITS - 1) * STEPS +
	       (unsigned)(value >> (bit - HIST_STEP_BITS) & (STEPS - 1));
}

/* The middle of what @place stands for. */
static uint64_t value_of(unsigned place)
{
	unsigned shift;
	uint64_t low;

	if (place < EXACT)
		return place;
	shift = (place - EXACT) / STEPS + 1;
	low = (uint64_t)(STEPS + (place - EXACT) % STEPS) << shift;
	return low + (((uint64_t)1 << shift) >> 1);
}

void hist_add(struct hist *hist, uint64_t value)
{
	hist->count++;
	hist->sum += value;
	hist->max = max_u64(hist->max, value);
	hist->places[place_of(value)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	into->count += from->count;
	into->sum += from->sum;
	into->max = max_u64(into->max, from->max);
	for (unsigned i = 0; i < HIST_PLACES; i++)
		into->places[i] += from->places[i];
}

uint64_t hist_percentile(const struct hist *hist, double percent)
{
	double wanted = (double)hist->count * percent / 100.0;
	uint64_t seen = 0;

	if (!hist->count)
		return 0;
	for (unsigned i = 0; i < HIST_PLACES; i++) {
		seen += hist->places[i];
		if (seen && (double)seen >= wanted)
			return min_u64(value_of(i), hist->max);
	}
	return hist->max;
}
