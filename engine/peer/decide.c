/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/peer/decide.h"

#include "engine/base/mutant.h"

static struct decision say(bool we_lead, bool everything, const char *reason)
{
	return (struct decision){
		.verdict = we_lead ? VERDICT_SOURCE : VERDICT_TARGET,
		.everything = everything,
		.reason = reason,
	};
}

/*
 * Equal generations: who was primary has what was in flight; who may have lost something has it
 * from the other one; else any choice, but the same.
 */
static bool leads_among_equals(const struct replica_state *a, const struct replica_state *b)
{
	if (a->primary != b->primary)
		return a->primary;
	if (a->lost != b->lost)
		return b->lost;
	if (a->dirty != b->dirty)
		return a->dirty;
	return a->node_address < b->node_address;
}

/* Does @ahead's map cover everything since what @behind has? */
static bool covers(const struct generations *ahead, const struct generations *behind)
{
	return (ahead->base && behind->current == ahead->base) ||
	       generation_in_history(ahead, behind->current, ahead->covered);
}

static bool knew(const struct generations *g, uint64_t id)
{
	return id && (g->current == id || g->base == id ||
		      generation_in_history(g, id, GENERATION_HISTORY));
}

static bool related(const struct generations *a, const struct generations *b)
{
	bool any = knew(b, a->current) || knew(b, a->base);

	for (unsigned i = 0; i < GENERATION_HISTORY; i++)
		any |= knew(b, a->history[i]);
	return any;
}

static struct decision conflict(const struct replica_state *a, const struct replica_state *b)
{
	const struct generations *ga = &a->generations, *gb = &b->generations;
	bool ancestor = ga->base && ga->base == gb->base;
	struct decision d = {
		.verdict = VERDICT_SPLIT,
		.everything = !ancestor,
		.reason = "both sides have writes that the other lacks",
	};

	/* Promoted by force before its first copy had ended, say: only an operator knows better. */
	if (!related(ga, gb))
		d.reason = "the two replicas have no generation in common";
	if (MUTANT(SPLIT_MERGED))
		return say(ga->current > gb->current, !ancestor, "the larger number wins");
	if (a->wish == b->wish || (a->wish == WISH_NONE && b->wish == WISH_NONE))
		return d;
	d = say(a->wish == WISH_KEEP || b->wish == WISH_YIELD, !ancestor,
		"the operator chose which side is kept");
	d.overridden = true;
	return d;
}

/* The target of an initial copy that has not ended: nothing in it counts. */
static bool holds_nothing(const struct replica_state *s)
{
	const struct generations *g = &s->generations;

	return !g->current || (!s->consistent && !g->base && !g->history[0]);
}

/* What an honest peer cannot say (each ahead of the other) counts as a conflict. */
static struct decision between(const struct replica_state *a, const struct replica_state *b)
{
	const struct generations *ga = &a->generations, *gb = &b->generations;
	bool a_older = generation_in_history(gb, ga->current, GENERATION_HISTORY);
	bool b_older = generation_in_history(ga, gb->current, GENERATION_HISTORY);

	if (!ga->current != !gb->current)
		return say(ga->current != 0, true, "one side holds nothing yet");
	if (ga->current == gb->current) {
		if (a->consistent != b->consistent)
			return say(a->consistent, false, "an earlier resync had not ended");
		return say(leads_among_equals(a, b), false, "both have the same generation");
	}
	if (covers(ga, gb) != covers(gb, ga))
		return say(covers(ga, gb), false, "one side went on alone since they were equal");
	if (a_older != b_older && !(ga->base && ga->base == gb->base))
		return say(b_older, true, "one side is older than what the map covers");
	if (holds_nothing(a) != holds_nothing(b))
		return say(holds_nothing(b), true, "one side holds nothing yet");
	return conflict(a, b);
}

struct decision decide(const struct replica_state *ours, const struct replica_state *theirs)
{
	struct decision d = between(ours, theirs);
	bool we = d.verdict == VERDICT_SOURCE, they = d.verdict == VERDICT_TARGET;

	if ((we && !ours->consistent) || (they && !theirs->consistent)) {
		d.verdict = VERDICT_INCOMPLETE;
		d.reason = "the side that is ahead is not a whole copy: a resync into it had not "
			   "ended";
	}
	return d;
}
