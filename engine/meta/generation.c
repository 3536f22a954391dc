/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/generation.h"

#include <string.h>

static void push(struct generations *g, uint64_t id)
{
	memmove(g->history + 1, g->history, sizeof(g->history) - sizeof(g->history[0]));
	g->history[0] = id;
}

void generation_go_alone(struct generations *g, uint64_t fresh)
{
	if (!g->base) {
		g->base = g->current;
		g->covered = 0;
	} else if (g->offered) {
		push(g, g->current);
		if (g->covered < GENERATION_HISTORY)
			g->covered++;
	}
	g->current = fresh;
	g->offered = false;
}

void generation_give_up(struct generations *g, const struct generations *source)
{
	bool ancestor = g->base && g->base == source->base;

	/* Promoted by force before the resync has ended, it is still a relative of its source. */
	if (g->base && !ancestor)
		push(g, g->base);
	g->current = ancestor ? g->base : 0;
	g->base = 0;
	g->covered = 0;
	g->offered = false;
}

void generation_force(struct generations *g, uint64_t fresh)
{
	if (g->base)
		push(g, g->base);
	if (g->current)
		push(g, g->current);
	g->current = fresh;
	g->base = 0;
	g->covered = 0;
	g->offered = false;
}

void generation_synced(struct generations *g)
{
	if (g->base)
		push(g, g->base);
	g->base = 0;
	g->covered = 0;
	g->offered = false;
}

bool generation_in_history(const struct generations *g, uint64_t id, unsigned count)
{
	for (unsigned i = 0; i < count && i < GENERATION_HISTORY; i++)
		if (id && g->history[i] == id)
			return true;
	return false;
}
