/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Generations: random numbers that name the data of a volume, so that two replicas can tell
 * which is ahead, or that both went on alone (invariant I6).  See engine/doc/mirror.md.
 */
#ifndef LS_META_GENERATION_H
#define LS_META_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#define GENERATION_HISTORY 4u

struct generations {
	uint64_t current; /* 0 = holds nothing yet */
	/* Not 0: the write-intent map covers every change since this one. */
	uint64_t base;
	uint64_t history[GENERATION_HISTORY]; /* former ones, newest first; 0 = none */
	uint8_t covered; /* so many of the history came after base: the map covers them, too */
	/* The peer may have taken current, at the end of a resync that we did not see end. */
	bool offered;
};

/* Is it certain that the peer does not count as having current? */
static inline bool generation_alone(const struct generations *g)
{
	return g->base && !g->offered;
}

/* Before the first write that the peer will miss; @fresh is random and not 0. */
void generation_go_alone(struct generations *g, uint64_t fresh);
/* An operator chose the other side: what is left here is what both had, or nothing. */
void generation_give_up(struct generations *g, const struct generations *source);
/* An incomplete replica becomes primary: it is nobody's copy, but remembers where it comes from. */
void generation_force(struct generations *g, uint64_t fresh);
/* The peer has everything: the map has nothing to cover any more. */
void generation_synced(struct generations *g);
/* Is @id among the history, newest @count of it?  0 is never. */
bool generation_in_history(const struct generations *g, uint64_t id, unsigned count);

#endif
