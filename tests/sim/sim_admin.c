/* SPDX-License-Identifier: BSD-3-Clause */
/* Administrators: pools, volumes, pairs; also what must be refused. */
#include "tests/sim/sim_check.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	"pool create", "pool open", "volume create", "volume delete", "pair",	"break", "resume",
	"unpair",      "promote",   "demote",	     "policy",	      "expand", "verify"};

static uint64_t draw(struct sim_node *node, uint64_t n)
{
	return rng_below(&node->world->rng, n);
}

struct sim_volume *sim_volume_find(struct sim_node *node, const char *name)
{
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used && v->alive && !strcmp(v->name, name))
			return v;
	}
	return NULL;
}

void sim_volume_sweep(struct sim_node *node)
{
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (!v->used || v->alive || v->requests_open || v->jobs_open || v->handle)
			continue;
		if (v->history.heads)
			history_fini(&v->history);
		v->used = false;
	}
}

struct sim_volume *sim_volume_new(struct sim_node *node, const char *name)
{
	sim_volume_sweep(node);
	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used)
			continue;
		memset(v, 0, sizeof(*v));
		v->used = v->alive = true;
		node->volume_count = (unsigned)max_u64(node->volume_count, i + 1);
		v->owner = node;
		v->node = node->number;
		v->uid = ++node->world->uids;
		snprintf(v->name, sizeof(v->name), "%s", name);
		return v;
	}
	return NULL;
}

static void created(struct sim_job *job, bool ok)
{
	struct sim_node *node = &job->world->node[job->node];

	if (!ok) {
		if (job->volume)
			job->volume->alive = false;
		return;
	}
	if (job->volume && draw(node, 5))
		sim_client_open(node, job->volume);
}

static void opened(struct sim_job *job, bool ok)
{
	struct sim_node *node = &job->world->node[job->node];

	if (!ok) {
		/* A disk that fails while the pool is read: tried again. */
		if (!job->world->disk_failed)
			sim_fail(job->world, "I11", "the pool cannot be opened after a crash: %s",
				 job->job.err.text);
		node->open_again = true;
		return;
	}
	node->opened = true;
	check_opened_durable(node);
	check_map(node);
	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used && v->alive && v->mapped)
			check_intent_opened(v);
		if (v->used && v->alive && !v->wild && draw(node, 8))
			sim_client_open(node, v);
	}
	sim_client_again(node);
}

static void deleted(struct sim_job *job, bool ok)
{
	if (!ok || !job->volume)
		return;
	if (job->volume->handle || job->volume->requests_open)
		sim_fail(job->world, "admin", "volume %s was deleted while it is in use",
			 job->volume->name);
	job->volume->alive = false;
}

static void job_done(struct job *base)
{
	struct sim_job *job = CONTAINER_OF(base, struct sim_job, job);
	struct sim_world *world = job->world;
	struct sim_node *node = &world->node[job->node];
	bool ok = base->err.code == 0;
	char line[300];

	if (!job->open)
		sim_fail(world, "once", "a job (%s) ended twice", kind_names[job->kind]);
	snprintf(line, sizeof(line), "job %s %s: %d %s", kind_names[job->kind], job->name,
		 base->err.code, ok ? "" : base->err.text);
	sim_log_text(world->log, world->now_ns, (int)job->node, line);
	if (!ok && !base->err.text[0])
		sim_fail(world, "admin", "a job (%s) failed without a sentence",
			 kind_names[job->kind]);
	job->open = false;
	node->jobs_open--;
	node->map_stale = true;
	if (job->volume)
		job->volume->jobs_open--;
	if (job->kind == SIM_POOL_CREATE)
		node->has_pool = ok;
	else if (job->kind == SIM_POOL_OPEN)
		opened(job, ok);
	else if (job->kind == SIM_VOLUME_CREATE)
		created(job, ok);
	else if (job->kind == SIM_VOLUME_DELETE)
		deleted(job, ok);
	else if (job->kind == SIM_VERIFY)
		sim_verify_done(job, ok);
	else if (job->kind != SIM_PAIR)
		sim_operator_done(job, ok);
	else if (ok)
		world->totals.pairs++;
}

struct sim_job *sim_job_new(struct sim_node *node, enum sim_job_kind kind,
			    struct sim_volume *volume, const char *name)
{
	for (unsigned i = 0; i < SIM_JOBS_MAX; i++) {
		struct sim_job *job = &node->jobs[i];

		if (job->open)
			continue;
		memset(job, 0, sizeof(*job));
		job->open = true;
		job->job.done = job_done;
		job->world = node->world;
		job->kind = kind;
		job->node = node->number;
		job->volume = volume;
		job->at_ns = node->world->now_ns;
		snprintf(job->name, sizeof(job->name), "%s", name);
		if (volume)
			volume->jobs_open++;
		node->jobs_open++;
		SIM_NOTE(node->world, node->number, "job %s of volume %u begins",
			 SIM_STR(kind_names[kind]), volume ? volume->uid : 0);
		return job;
	}
	return NULL;
}

void sim_job_ended(struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES * SIM_JOBS_MAX; i++) {
		const struct sim_job *job = &world->node[i / SIM_JOBS_MAX].jobs[i % SIM_JOBS_MAX];

		if (job->open)
			sim_fail(world, "liveness", "job %s %s at %c of %.3f ms ago never ended",
				 kind_names[job->kind], job->name, 'A' + job->node,
				 (double)(world->now_ns - job->at_ns) / 1e6);
	}
}

void sim_admin_start(struct sim_node *node)
{
	struct sim_job *job = sim_job_new(node, SIM_POOL_CREATE, NULL, "pool");
	unsigned count = node->world->profile.disk_count[node->number];
	struct store *stores[SIM_DISKS_MAX];

	node->pool_tries++;
	for (unsigned i = 0; i < count; i++)
		stores[i] = sim_store_open(node->world, node->number, i);
	engine_pool_create(node->engine, &job->job, "pool", stores, count, node->pool_tries > 1);
}

void sim_admin_open(struct sim_node *node)
{
	struct sim_job *job = sim_job_new(node, SIM_POOL_OPEN, NULL, "pool");
	unsigned count = node->world->profile.disk_count[node->number];
	struct store *stores[SIM_DISKS_MAX];

	node->open_again = false;
	for (unsigned i = 0; i < count; i++)
		stores[i] = sim_store_open(node->world, node->number, i);
	engine_pool_open(node->engine, &job->job, "pool", stores, count);
}

static void create(struct sim_node *node)
{
	bool again = !draw(node, 12);
	struct sim_volume *volume = NULL;
	uint64_t bytes = draw(node, 6) ? MIB(1) : MIB(1) + draw(node, MIB(1));
	struct sim_job *job;
	char name[16];

	snprintf(name, sizeof(name), "%c%u", 'a' + node->number, node->names);
	if (again && node->names) {
		/* The name is taken, or was; then this must fail or make a new one. */
		snprintf(name, sizeof(name), "%c%u", 'a' + node->number, node->names - 1);
		if (sim_volume_find(node, name))
			bytes = 0;
	} else {
		node->names++;
	}
	if (bytes)
		volume = sim_volume_new(node, name);
	job = sim_job_new(node, SIM_VOLUME_CREATE, volume, name);
	if (!job) {
		if (volume)
			volume->alive = false;
		return;
	}
	job->zero = draw(node, 2);
	if (volume)
		volume->zeroed = job->zero;
	engine_volume_create(node->engine, &job->job, draw(node, 2) ? "pool" : NULL, name,
			     bytes ? bytes : MIB(1), job->zero);
}

void sim_admin_delete(struct sim_node *node, struct sim_volume *volume)
{
	struct sim_job *job = sim_job_new(node, SIM_VOLUME_DELETE, volume, volume->name);

	if (job)
		engine_volume_delete(node->engine, &job->job, volume->name);
}

bool sim_admin_pair(struct sim_node *node, struct sim_volume *volume)
{
	struct sim_job *job = sim_job_new(node, SIM_PAIR, volume, volume->name);

	if (!job)
		return false;
	engine_pair(node->engine, &job->job, volume->name, node->number ? "A" : "B", NULL,
		    draw(node, 2) ? "pool" : NULL);
	return true;
}

static struct sim_volume *some_volume(struct sim_node *node, bool lost)
{
	struct sim_volume *pick = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		/* Its own, not one that the peer made here. */
		if (v->used && v->alive && v->name[0] == (char)('a' + node->number) &&
		    (!lost || v->lost_seq) && draw(node, ++count) == 0)
			pick = v;
	}
	return pick;
}

static unsigned count_own(struct sim_node *node)
{
	unsigned count = 0;

	for (unsigned i = 0; i < node->volume_count; i++) {
		const struct sim_volume *v = &node->volumes[i];

		count += v->used && v->alive && v->name[0] == (char)('a' + node->number);
	}
	return count;
}

bool sim_orphan(const struct sim_world *world, unsigned node, const struct volume_status *status)
{
	static struct volume_status other;

	for (unsigned at = 0; engine_volume_status(world->node[!node].engine, &at, &other);)
		if (other.association != ASSOCIATION_NONE &&
		    !strcmp(other.name, status->peer_volume) &&
		    !strcmp(other.peer_volume, status->name))
			return false;
	return true;
}

void sim_admin_run(struct sim_node *node)
{
	struct sim_volume *volume = some_volume(node, false), *lost = some_volume(node, true);
	uint64_t dice = draw(node, 100);

	if (!node->opened)
		return;
	if (!node->has_pool) {
		if (!node->jobs_open && node->pool_tries < 6)
			sim_admin_start(node);
		return;
	}
	if (!volume || dice < 12) {
		/* Few volumes, so that much happens on each. */
		if (count_own(node) < min_u64(1 + draw(node, 3), node->world->profile.volumes))
			create(node);
		return;
	}
	if (lost && dice < 70) {
		lost->lost_seq = 0;
		sim_admin_pair(node, lost);
	} else if (dice < 80) {
		sim_admin_pair(node, volume);
	} else if (dice < 84) {
		sim_admin_delete(node, volume);
	} else if (dice < 90 && !volume->handle) {
		sim_client_open(node, volume);
	}
}
