/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations; engine/doc/mirror.md says what a crash in each may leave. */
#include "tests/sim/sim_steps.h"

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- asking --- */

static void call(struct engine *engine, const struct steps *steps, enum sim_job_kind kind,
		 enum engine_keep keep)
{
	struct job *job = &steps->job->job;

	switch (kind) {
	case SIM_PAIR:
		engine_pair(engine, job, STEPS_NAME, "B", NULL, NULL);
		break;
	case SIM_BREAK:
		engine_break(engine, job, STEPS_NAME);
		break;
	case SIM_RESUME:
		engine_resume(engine, job, STEPS_NAME, keep);
		break;
	case SIM_UNPAIR:
		engine_unpair(engine, job, STEPS_NAME);
		break;
	case SIM_PROMOTE:
		engine_promote(engine, job, STEPS_NAME, false);
		break;
	case SIM_DEMOTE:
		engine_demote(engine, job, STEPS_NAME);
		break;
	case SIM_POLICY:
		engine_set_policy(engine, job, STEPS_NAME, true);
		break;
	case SIM_EXPAND:
		engine_expand(engine, job, STEPS_NAME, MIB(2));
		break;
	default:
		engine_volume_delete(engine, job, STEPS_NAME);
	}
}

static void ask(struct steps *steps, unsigned n, enum sim_job_kind kind, enum engine_keep keep)
{
	struct sim_node *node = &steps->world.node[n];
	struct sim_volume *v = sim_volume_find(node, STEPS_NAME), *twin;

	sim_heap_enter(&node->heap);
	engine_tick(node->engine, steps->world.now_ns);
	if (v && (kind == SIM_DEMOTE || kind == SIM_VOLUME_DELETE))
		sim_client_close(v);
	twin = v ? check_twin(v) : NULL;
	if (v && keep == ENGINE_KEEP_PEER)
		v->yields = true;
	else if (twin && keep == ENGINE_KEEP_LOCAL)
		twin->yields = true;
	if (v && kind != SIM_PAIR && kind != SIM_VOLUME_DELETE)
		steps->job = sim_operator_begin(node, kind, v);
	else
		steps->job = sim_job_new(node, kind, v, STEPS_NAME);
	if (!steps->job)
		sim_fail(&steps->world, "steps", "no room for a job");
	steps->job_start = node->starts;
	sim_wake(&steps->world, n, steps->world.now_ns);
	call(node->engine, steps, kind, keep);
}

void steps_ask(struct steps *steps)
{
	const struct steps_operation *o = steps->operation;

	steps_load(steps);
	ask(steps, o->node, o->kind, o->keep);
}

/* --- what is before --- */

static bool job_ended(struct steps *steps)
{
	return !steps->job->open;
}

static void must(struct steps *steps, bool (*over)(struct steps *steps), const char *what)
{
	if (!steps_until(steps, over))
		sim_fail(&steps->world, "steps", "before the operation: %s did not come", what);
}

static void do_now(struct steps *steps, unsigned n, enum sim_job_kind kind)
{
	ask(steps, n, kind, ENGINE_KEEP_AHEAD);
	must(steps, job_ended, "the end of a job");
	if (steps->job->job.err.code)
		sim_fail(&steps->world, "steps", "before the operation: %s",
			 steps->job->job.err.text);
}

static void pair(struct steps *steps)
{
	do_now(steps, 0, SIM_PAIR);
	/* The first clearing round: from now on there is none. */
	must(steps, steps_clear, "the end of the clearing round");
	/* The writer's first region is marked: that write goes out at once, others do not. */
	steps_write(steps, 0, 0, 1, 1);
}

static void pair_fail_closed(struct steps *steps)
{
	pair(steps);
	do_now(steps, 0, SIM_POLICY);
}

static void pair_and_demote(struct steps *steps)
{
	pair(steps);
	/* In A's map; in B's cache. */
	steps_write(steps, 0, 40, 8, 5);
	do_now(steps, 0, SIM_DEMOTE);
}

static bool both_lost(struct steps *steps)
{
	return steps->world.steps % 16 == 0 && steps_look(steps) &&
	       steps->now[0].mirror != MIRROR_SYNCED && steps->now[1].mirror != MIRROR_SYNCED;
}

static void pair_and_part(struct steps *steps)
{
	pair(steps);
	steps_part(steps);
	must(steps, both_lost, "the loss of the session");
}

static void pair_and_break(struct steps *steps)
{
	pair(steps);
	do_now(steps, 0, SIM_BREAK);
	steps_write(steps, 0, 40, 5, 3);
}

static void break_and_promote(struct steps *steps)
{
	pair(steps);
	do_now(steps, 0, SIM_BREAK);
	do_now(steps, 1, SIM_PROMOTE);
	steps_write(steps, 1, 40, 5, 3);
}

static bool split(struct steps *steps)
{
	return steps->world.steps % 16 == 0 && steps_look(steps) &&
	       steps->now[0].mirror == MIRROR_SPLIT && steps->now[1].mirror == MIRROR_SPLIT;
}

static void split_brain(struct steps *steps)
{
	pair_and_part(steps);
	steps_write(steps, 0, 40, 5, 3);
	do_now(steps, 1, SIM_PROMOTE);
	steps_write(steps, 1, 50, 5, 3);
	steps_join(steps);
	must(steps, split, "the split brain");
}

/* --- what is done, and what is recorded --- */

static bool both_in(const struct steps *steps, enum mirror_state state)
{
	return steps->now[0].mirror == state && steps->now[1].mirror == state;
}

static bool is_pair(const struct steps *steps, unsigned primary)
{
	return both_in(steps, MIRROR_SYNCED) && steps->now[0].consistent &&
	       steps->now[1].consistent && steps->now[primary].role == VOLUME_PRIMARY &&
	       steps->now[!primary].role == VOLUME_SECONDARY;
}

static bool pair_of_a(const struct steps *steps)
{
	return is_pair(steps, 0);
}

static bool pair_of_b(const struct steps *steps)
{
	return is_pair(steps, 1);
}

static bool source_paired(const struct steps *steps)
{
	return steps->now[0].association == ASSOCIATION_ACTIVE;
}

static bool both_broken(const struct steps *steps)
{
	return both_in(steps, MIRROR_BROKEN);
}

static bool one_broken(const struct steps *steps)
{
	return steps->now[0].association == ASSOCIATION_BROKEN ||
	       steps->now[1].association == ASSOCIATION_BROKEN;
}

static bool one_active(const struct steps *steps)
{
	return steps->now[0].association == ASSOCIATION_ACTIVE ||
	       steps->now[1].association == ASSOCIATION_ACTIVE;
}

static bool gave_up(const struct steps *steps, unsigned loser)
{
	return steps->now[loser].generations.current != steps->before[loser].generations.current;
}

static bool a_gave_up(const struct steps *steps)
{
	return gave_up(steps, 0);
}

static bool b_gave_up(const struct steps *steps)
{
	return gave_up(steps, 1);
}

static bool both_alone(const struct steps *steps)
{
	return both_in(steps, MIRROR_NONE);
}

static bool never(const struct steps *steps)
{
	(void)steps;
	return false;
}

static bool b_primary(const struct steps *steps)
{
	return steps->now[1].role == VOLUME_PRIMARY;
}

static bool a_secondary(const struct steps *steps)
{
	return steps->now[0].role == VOLUME_SECONDARY;
}

static bool no_primary(const struct steps *steps)
{
	return both_in(steps, MIRROR_SYNCED) && a_secondary(steps) && !b_primary(steps);
}

static bool both_larger(const struct steps *steps)
{
	return is_pair(steps, 0) && steps->now[0].size_bytes == MIB(2) &&
	       steps->now[1].size_bytes == MIB(2) && !steps->now[0].growing_bytes;
}

static bool grows(const struct steps *steps)
{
	return steps->now[0].growing_bytes || steps->now[0].size_bytes == MIB(2);
}

static bool closed(const struct steps *steps)
{
	return steps->now[0].policy == POLICY_FAIL_CLOSED;
}

static bool deleted(const struct steps *steps)
{
	return !steps->now[0].name[0];
}

/* --- a way out --- */

static bool nothing_waits(struct steps *steps)
{
	const struct sim_node *node = &steps->world.node[0];

	return !node->jobs_open && !node->requests_open;
}

void steps_free(struct steps *steps)
{
	struct sim_node *node = &steps->world.node[0];
	struct sim_job *job;

	sim_heap_enter(&node->heap);
	engine_tick(node->engine, steps->world.now_ns);
	job = sim_operator_begin(node, SIM_POLICY, sim_volume_find(node, STEPS_NAME));
	if (!job)
		sim_fail(&steps->world, "steps", "no room for a job");
	sim_wake(&steps->world, 0, steps->world.now_ns);
	engine_set_policy(node->engine, &job->job, STEPS_NAME, false);
	if (!steps_until(steps, nothing_waits))
		sim_fail(&steps->world, "liveness",
			 "fail-open, and without its peer, A has %u requests and %u jobs that wait",
			 node->requests_open, node->jobs_open);
}

/* --- the table --- */

#define F(command) (1ull << FRAME_##command)
#define TABLE (1ull << SIM_POINT_TABLE_1 | 1ull << SIM_POINT_TABLE_2 | 1ull << SIM_POINT_FLUSH)
#define MAP (1ull << SIM_POINT_MAP)
#define DATA (1ull << SIM_POINT_DATA)
#define RESYNC (F(STATE) | F(BEGIN) | F(CHECK) | F(WRITE) | F(FLUSH) | F(SYNCED))
#define PAIR_SENDS (F(PAIR) | F(STATE) | F(BEGIN) | F(WRITE) | F(FLUSH) | F(SYNCED))
#define ZEROES (1ull << SIM_POINT_ZEROES)

const struct steps_operation steps_operations[] = {
	{
		.name = "pair",
		.kind = SIM_PAIR,
		.done = pair_of_a,
		.recorded = source_paired,
		.half = STEPS_HALF_B,
		.sends = {PAIR_SENDS, F(STATE)},
		.stores = {TABLE | MAP | DATA, TABLE | MAP | DATA},
	},
	{
		.name = "break",
		.kind = SIM_BREAK,
		.prepare = pair,
		.done = both_broken,
		.recorded = one_broken,
		.sends = {F(BREAK) | F(WRITE), 0},
		.stores = {TABLE | MAP | DATA, TABLE | DATA},
	},
	/*
	 * The primary serves it; until it is recorded there, nothing is acknowledged alone.  B
	 * takes no write any more from where it asks.
	 */
	{
		.name = "break, asked at B",
		.node = 1,
		.kind = SIM_BREAK,
		.prepare = pair_fail_closed,
		.done = both_broken,
		.recorded = one_broken,
		.sends = {F(WRITE), F(BREAK)},
		.stores = {TABLE | MAP | DATA, TABLE},
	},
	{
		.name = "resume, A ahead",
		.kind = SIM_RESUME,
		.prepare = pair_and_break,
		.done = pair_of_a,
		.recorded = one_active,
		.sends = {RESYNC, F(STATE)},
		.stores = {TABLE | MAP | DATA, TABLE | MAP | DATA},
	},
	{
		.name = "resume, B ahead",
		.kind = SIM_RESUME,
		.writer = 1,
		.prepare = break_and_promote,
		.done = pair_of_b,
		.recorded = one_active,
		.sends = {F(STATE), RESYNC},
		.stores = {TABLE | MAP | DATA, TABLE | MAP | DATA},
	},
	{
		.name = "resolve --keep local",
		.kind = SIM_RESUME,
		.keep = ENGINE_KEEP_LOCAL,
		.prepare = split_brain,
		.done = pair_of_a,
		.recorded = b_gave_up,
		.sends = {RESYNC, F(STATE)},
		.stores = {TABLE | MAP | DATA, TABLE | MAP | DATA},
	},
	{
		.name = "resolve --keep peer",
		.kind = SIM_RESUME,
		.keep = ENGINE_KEEP_PEER,
		.writer = 1,
		.prepare = split_brain,
		.done = pair_of_b,
		.recorded = a_gave_up,
		.sends = {F(STATE), RESYNC},
		.stores = {TABLE | MAP | DATA, TABLE | MAP | DATA},
	},
	/* What the loser writes between its STATE and BEGIN is given up, too. */
	{
		.name = "resolve, loser writes",
		.kind = SIM_RESUME,
		.keep = ENGINE_KEEP_PEER,
		.writer = 0,
		.prepare = split_brain,
		.done = pair_of_b,
		.recorded = a_gave_up,
		.sends = {F(STATE), RESYNC},
		/* The source's round at the end clears what it had written alone. */
		.stores = {TABLE | MAP | DATA, TABLE | MAP},
	},
	{
		.name = "promote, connected",
		.node = 1,
		.kind = SIM_PROMOTE,
		.writer = SIM_NODES,
		.prepare = pair_and_demote,
		.done = pair_of_b,
		.recorded = b_primary,
		.sends = {0, F(PROMOTE)},
		.stores = {0, TABLE},
	},
	{
		.name = "promote, alone",
		.node = 1,
		.kind = SIM_PROMOTE,
		.apart = true,
		.writer = SIM_NODES,
		.prepare = pair_and_part,
		.done = pair_of_b,
		.recorded = b_primary,
		.sends = {F(STATE), F(STATE) | F(BEGIN) | F(CHECK) | F(FLUSH) | F(SYNCED)},
		.stores = {TABLE | MAP, TABLE},
	},
	{
		.name = "demote",
		.kind = SIM_DEMOTE,
		.writer = SIM_NODES,
		.prepare = pair,
		.done = no_primary,
		.recorded = a_secondary,
		.sends = {0, 0},
		.stores = {TABLE, 0},
	},
	{
		.name = "expand",
		.kind = SIM_EXPAND,
		.prepare = pair,
		.done = both_larger,
		.recorded = grows,
		.half = STEPS_HALF_B,
		.sends = {F(EXPAND) | F(WRITE), 0},
		.stores = {TABLE | MAP | DATA | ZEROES, TABLE | DATA | ZEROES},
	},
	{
		.name = "expand, fail-closed",
		.kind = SIM_EXPAND,
		.closed = true,
		.prepare = pair_fail_closed,
		.done = both_larger,
		.recorded = grows,
		.half = STEPS_HALF_B,
		.sends = {F(EXPAND) | F(WRITE), 0},
		.stores = {TABLE | MAP | DATA | ZEROES, TABLE | DATA | ZEROES},
	},
	{
		.name = "unpair",
		.kind = SIM_UNPAIR,
		.prepare = pair,
		.done = both_alone,
		.recorded = never,
		.half = STEPS_HALF_A | STEPS_HALF_B,
		.sends = {F(UNPAIR) | F(WRITE), 0},
		.stores = {TABLE | MAP | DATA, TABLE | DATA},
	},
	{
		.name = "policy",
		.kind = SIM_POLICY,
		.prepare = pair,
		.done = closed,
		.recorded = closed,
		.sends = {F(WRITE), 0},
		.stores = {TABLE | MAP | DATA, DATA},
	},
	{
		.name = "delete",
		.kind = SIM_VOLUME_DELETE,
		.writer = SIM_NODES,
		.done = deleted,
		.recorded = deleted,
		.again = -ENOENT,
		.sends = {0, 0},
		.stores = {TABLE, 0},
	},
};
const unsigned steps_operation_count = ARRAY_SIZE(steps_operations);
