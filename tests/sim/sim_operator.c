/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operators: break, resume, resolve, promote, demote, policy, unpair and pair, at either node
 * and at any time, whether it makes sense or not.  What each may do to the data is known to
 * sim_check_mirror.c; here is what they ask for, and what they may be told.
 */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_heap.h"

#include <string.h>

static uint64_t draw(struct sim_node *node, uint64_t n)
{
	return rng_below(&node->world->rng, n);
}

/* A break frees nothing: a mirror that is broken is not active. */
void sim_operated(struct sim_volume *v, enum sim_job_kind kind, uint64_t seq)
{
	v->operated_seq = seq;
	if (kind != SIM_BREAK)
		v->freed_seq = seq;
}

struct sim_job *sim_operator_begin(struct sim_node *node, enum sim_job_kind kind,
				   struct sim_volume *v)
{
	struct sim_volume *twin = check_twin(v);
	struct sim_job *job = sim_job_new(node, kind, v, v->name);

	if (!job)
		return NULL;
	sim_operated(v, kind, node->world->seq);
	if (twin)
		sim_operated(twin, kind, node->world->seq);
	node->world->seq++;
	node->world->totals.operations++;
	return job;
}

static void promote(struct sim_node *node, struct sim_volume *v, bool force)
{
	struct sim_job *job = sim_operator_begin(node, SIM_PROMOTE, v);

	if (!job)
		return;
	v->forced |= force;
	engine_promote(node->engine, &job->job, v->name, force);
}

static void demote(struct sim_node *node, struct sim_volume *v)
{
	struct sim_job *job = sim_operator_begin(node, SIM_DEMOTE, v);

	if (!job)
		return;
	/* Most operators know that it must not be in use. */
	if (!v->requests_open && draw(node, 8))
		sim_client_close(v);
	engine_demote(node->engine, &job->job, v->name);
}

static void resume(struct sim_node *node, struct sim_volume *v, enum engine_keep keep)
{
	struct sim_volume *twin = check_twin(v);
	struct sim_job *job = sim_operator_begin(node, SIM_RESUME, v);

	if (!job)
		return;
	job->keep = keep;
	if (v->status.mirror == MIRROR_SPLIT)
		check_listed(node->world, v);
	if (keep == ENGINE_KEEP_PEER)
		v->yields = true;
	else if (keep == ENGINE_KEEP_LOCAL && twin)
		twin->yields = true;
	engine_resume(node->engine, &job->job, v->name, keep);
}

static void set_policy(struct sim_node *node, struct sim_volume *v, bool closed)
{
	struct sim_job *job = sim_operator_begin(node, SIM_POLICY, v);

	if (job)
		engine_set_policy(node->engine, &job->job, v->name, closed);
}

/* Not so slow that the last resync takes longer than everything may take after the faults. */
static void set_limit(struct sim_node *node, struct sim_volume *v)
{
	uint64_t limit = draw(node, 3) ? rng_spread(&node->world->rng, KIB(256), GIB(1)) : 0;
	struct sim_job *job = sim_operator_begin(node, SIM_POLICY, v);

	if (job)
		engine_set_resync_limit(node->engine, &job->job, v->name, limit);
}

static void break_it(struct sim_node *node, struct sim_volume *v)
{
	struct sim_job *job = sim_operator_begin(node, SIM_BREAK, v);

	if (job)
		engine_break(node->engine, &job->job, v->name);
}

static void unpair(struct sim_node *node, struct sim_volume *v)
{
	struct sim_job *job = sim_operator_begin(node, SIM_UNPAIR, v);

	if (job)
		engine_unpair(node->engine, &job->job, v->name);
}

void sim_operator_done(struct sim_job *job, bool ok)
{
	struct sim_node *node = &job->world->node[job->node];

	sim_operated(job->volume, job->kind, job->world->seq++);
	if (ok && job->kind == SIM_PROMOTE && draw(node, 8))
		sim_client_open(node, job->volume);
}

static struct sim_volume *some_volume(struct sim_node *node)
{
	struct sim_volume *pick = NULL;
	unsigned count = 0;

	check_map(node);
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];
		/* Those that are mirrored are worth more visits. */
		unsigned weight = v->status.association == ASSOCIATION_NONE ? 1 : 4;

		if (!v->used || !v->alive || !v->mapped)
			continue;
		count += weight;
		if (draw(node, count) < weight)
			pick = v;
	}
	return pick;
}

static void do_it(struct sim_node *node, struct sim_volume *v, unsigned what)
{
	switch (what) {
	case 0:
		break_it(node, v);
		break;
	case 1:
		resume(node, v, (enum engine_keep)draw(node, 3));
		break;
	case 2:
		promote(node, v, draw(node, 2));
		break;
	case 3:
		demote(node, v);
		break;
	case 4:
		set_policy(node, v, draw(node, 2));
		break;
	case 5:
		unpair(node, v);
		break;
	case 6:
		set_limit(node, v);
		break;
	default:
		sim_admin_pair(node, v);
		break;
	}
}

/* What somebody does who looks at the status first. */
static void sensible(struct sim_node *node, struct sim_volume *v)
{
	const struct volume_status *s = &v->status;
	bool linked = sim_net_linked(node->world);

	if (s->association == ASSOCIATION_NONE) {
		if (s->role == VOLUME_SECONDARY)
			promote(node, v, false);
		else if (!check_twin(v) || draw(node, 2))
			sim_admin_pair(node, v);
		else
			sim_admin_delete(node, v);
	} else if (s->mirror == MIRROR_SPLIT) {
		resume(node, v, draw(node, 2) ? ENGINE_KEEP_LOCAL : ENGINE_KEEP_PEER);
	} else if (s->mirror == MIRROR_BROKEN) {
		if (s->role == VOLUME_SECONDARY && draw(node, 2))
			promote(node, v, false);
		else
			resume(node, v, ENGINE_KEEP_AHEAD);
	} else if (s->role == VOLUME_SECONDARY && (!linked || draw(node, 4) == 0)) {
		promote(node, v, false);
	} else if (s->role == VOLUME_PRIMARY && s->mirror == MIRROR_SYNCED && !draw(node, 3)) {
		demote(node, v);
	} else if (!draw(node, 4)) {
		break_it(node, v);
	}
}

void sim_operator_run(struct sim_node *node)
{
	struct sim_volume *v;

	if (!node->opened || !node->has_pool ||
	    !rng_chance(&node->world->rng, node->world->profile.operators))
		return;
	v = some_volume(node);
	if (!v)
		return;
	check_primaries(node->world);
	if (v->status.mirror == MIRROR_SYNCED ? !draw(node, 3) : !draw(node, 12))
		sim_verify_run(node, v);
	else if (node->world->profile.habit && draw(node, 2))
		do_it(node, v, node->world->profile.habit - 1);
	else if (draw(node, 3))
		sensible(node, v);
	else
		do_it(node, v, (unsigned)draw(node, 10));
}

/* --- after the faults --- */

/* An operator who wants it whole again, and looks at one volume. */
static void mend(struct sim_node *node, struct sim_volume *v)
{
	const struct volume_status *s = &v->status;
	struct sim_world *world = node->world;
	bool lonely = world->profile.faults.wrong_key || sim_orphan(world, node->number, s);

	if (v->jobs_open || s->association == ASSOCIATION_NONE)
		return;
	if (s->policy == POLICY_FAIL_CLOSED && lonely)
		set_policy(node, v, false);
	else if (lonely)
		return;
	else if (s->mirror == MIRROR_SPLIT)
		resume(node, v, draw(node, 2) ? ENGINE_KEEP_LOCAL : ENGINE_KEEP_PEER);
}

void sim_operator_mend(struct sim_world *world)
{
	for (unsigned n = 0; n < SIM_NODES; n++) {
		struct sim_node *node = &world->node[n];

		if (!node->engine || !node->opened || !world->node[!n].engine ||
		    !world->node[!n].opened)
			continue;
		sim_heap_enter(&node->heap);
		engine_tick(node->engine, world->now_ns);
		check_map(node);
		for (unsigned i = 0; i < node->volume_count; i++)
			if (node->volumes[i].used && node->volumes[i].alive &&
			    node->volumes[i].mapped)
				mend(node, &node->volumes[i]);
		sim_wake(world, n, world->now_ns);
	}
}
