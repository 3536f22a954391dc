/* SPDX-License-Identifier: BSD-3-Clause */
/* Administration: volumes come and go; pairing is handed to peer/. */
#include "engine/control/admin.h"

#include "engine/control/engine.h"
#include "engine/peer/node.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct volume_op {
	struct engine *engine;
	struct job *job;
	struct volume *volume;
	struct leg leg;
	bool zeroed;
	struct pool_commit commit;
	/* Of a delete that failed, until the volume is listed again. */
	uint64_t again_ns;
	struct list node;
};

#define UNDELETE_NS UINT64_C(1000000000)

static void volume_created_admin(struct pool_commit *commit, enum ls_status status)
{
	struct volume_op *op = CONTAINER_OF(commit, struct volume_op, commit);
	struct job *job = op->job;
	struct volume *v = op->volume;

	op->engine->admin_open--;
	if (status != LS_OK) {
		volume_unmake(op->engine, v);
		free(op);
		job_done(job, -EIO, "the pool's volume table could not be written: %s",
			 ls_status_text(status));
		return;
	}
	v->ready = true;
	v->blank = op->zeroed;
	tell_volume(op->engine, v, "created", "by the operator");
	free(op);
	job_done(job, 0, "volume '%s' is ready: %llu MiB in pool '%s'", v->record.name,
		 (unsigned long long)(v->record.size_bytes / MIB(1)), v->pool->name);
}

static void volume_created(struct pool_commit *commit, enum ls_status status)
{
	const struct core *core = &CONTAINER_OF(commit, struct volume_op, commit)->engine->core;

	core_administer(core, true);
	volume_created_admin(commit, status);
	core_administer(core, false);
}

static void volume_record_it(struct volume_op *op)
{
	op->volume->record.unlisted = false;
	op->commit.done = volume_created;
	pool_commit(op->volume->pool, &op->commit);
}

static void volume_zeroed(struct leg *leg);

static void volume_zeroed_admin(struct leg *leg)
{
	struct volume_op *op = CONTAINER_OF(leg, struct volume_op, leg);
	struct job *job = op->job;
	enum ls_status status = leg->status;

	if (leg->op.code == STORE_FLUSH)
		status = volume_flush_end(op->volume, leg, false);
	if (status == LS_OK && leg->op.code == STORE_WRITE_ZEROES) {
		/* A power cut must not bring back what was there before. */
		op->leg = (struct leg){.op.code = STORE_FLUSH, .done = volume_zeroed};
		volume_flush_begin(op->volume, &op->leg, 0);
		leg_start(&op->leg, &op->volume->record, op->volume->pool->stores);
		return;
	}
	if (status == LS_OK) {
		op->zeroed = true;
		volume_record_it(op);
		return;
	}
	op->engine->admin_open--;
	volume_unmake(op->engine, op->volume);
	free(op); /* and the leg in it */
	if (status == LS_SHUTDOWN)
		job_done(job, -ESHUTDOWN, "this node is stopping: the volume was not made");
	else
		job_done(job, -EIO, "writing zeroes to the new volume failed: %s",
			 ls_status_text(status));
}

static void volume_zeroed(struct leg *leg)
{
	const struct core *core = &CONTAINER_OF(leg, struct volume_op, leg)->engine->core;

	core_administer(core, true);
	volume_zeroed_admin(leg);
	core_administer(core, false);
}

static void volume_begin(struct volume_op *op, bool zero)
{
	struct volume *v = op->volume;

	op->engine->admin_open++;
	if (!zero) {
		volume_record_it(op);
		return;
	}
	/* Another volume's commit must not record it before its zeroes are durable. */
	v->record.unlisted = true;
	op->leg = (struct leg){
		.op.code = STORE_WRITE_ZEROES,
		.length = v->record.size_bytes,
		.stop = &op->engine->core.stopping,
		.done = volume_zeroed,
	};
	leg_start(&op->leg, &v->record, v->pool->stores);
}

void engine_volume_create(struct engine *e, struct job *job, const char *pool_name,
			  const char *name, uint64_t size_bytes, bool zero)
{
	struct pool *pool = pool_find(e, pool_name);
	enum ls_status status = LS_NO_SPACE;
	struct volume_op *op;

	if (!name_valid(name, VOLUME_NAME_MAX)) {
		job_done(job, -EINVAL,
			 "'%s' is not a volume name: 1 to %d letters, digits, '.', '_' or '-'",
			 name, VOLUME_NAME_MAX);
	} else if (!pool && pool_name && pool_name[0]) {
		job_done(job, -ENOENT, "there is no pool '%s' on this node", pool_name);
	} else if (!pool) {
		job_done(job, -ENOENT,
			 e->pool_count
				 ? "this node has several pools: name one with --pool"
				 : "this node has no pool: make one with `lockstep pool create`");
	} else if (size_bytes == 0 || size_bytes > MIB(UINT32_MAX)) {
		job_done(job, -EINVAL, "a volume cannot have %llu bytes",
			 (unsigned long long)size_bytes);
	} else if (volume_find(e, name)) {
		job_done(job, -EEXIST, "there is a volume '%s' already", name);
	} else {
		op = calloc(1, sizeof(*op));
		if (op)
			op->volume = volume_make(e, pool, name, size_bytes,
						 e->settings.region_shift, &status);
		if (!op || !op->volume) {
			free(op);
			job_done(job, -ENOSPC,
				 "pool '%s' has no room for %llu MiB: %llu MiB are free",
				 pool->name,
				 (unsigned long long)((size_bytes + MIB(1) - 1) / MIB(1)),
				 (unsigned long long)pool_units_free(pool));
			return;
		}
		op->engine = e;
		op->job = job;
		volume_begin(op, zero);
	}
}

/*
 * A delete that failed.  The table on the device may be the old one or the new, and what a crash
 * leaves of the volume with it: so nobody uses it until it is listed for certain.
 */
static void undelete_later(struct volume_op *op, uint64_t after_ns)
{
	op->volume->record.unlisted = false;
	op->again_ns = op->engine->core.now_ns + after_ns;
	list_add_tail(&op->engine->undeletes, &op->node);
	if (!after_ns)
		op->engine->next_tick_ns = 0;
}

static void undelete_end(struct volume_op *op)
{
	op->engine->admin_open--;
	free(op);
}

static void volume_undeleted(struct pool_commit *commit, enum ls_status status)
{
	struct volume_op *op = CONTAINER_OF(commit, struct volume_op, commit);
	const struct core *core = &op->engine->core;
	struct volume *v = op->volume;

	if (status != LS_OK) {
		undelete_later(op, UNDELETE_NS);
		return;
	}
	core_administer(core, true);
	v->ready = true;
	v->deleting = false;
	tell_volume(op->engine, v, "kept",
		    "the pool's table lists it again after its delete failed");
	undelete_end(op);
	core_administer(core, false);
}

void volumes_undelete(struct engine *e)
{
	struct list all, *node;

	list_init(&all);
	list_splice_tail(&all, &e->undeletes);
	while ((node = list_pop(&all))) {
		struct volume_op *op = LIST_ENTRY(node, struct volume_op, node);

		if (e->stopping) {
			undelete_end(op);
		} else if (e->core.now_ns < op->again_ns) {
			list_add_tail(&e->undeletes, &op->node);
		} else {
			op->commit.done = volume_undeleted;
			pool_commit(op->volume->pool, &op->commit);
		}
	}
}

static void volume_deleted_admin(struct pool_commit *commit, enum ls_status status)
{
	struct volume_op *op = CONTAINER_OF(commit, struct volume_op, commit);
	struct job *job = op->job;
	struct volume *v = op->volume;
	char name[VOLUME_NAME_MAX + 1];

	memcpy(name, v->record.name, sizeof(name));
	if (status != LS_OK) {
		undelete_later(op, 0);
		job_done(job, -EIO,
			 "the pool's volume table could not be written: %s; the volume stays, and "
			 "can be used again when the table could be written",
			 ls_status_text(status));
		return;
	}
	op->engine->admin_open--;
	tell_volume(op->engine, v, "deleted", "by the operator");
	volume_unmake(op->engine, v);
	free(op);
	job_done(job, 0, "volume '%s' is deleted", name);
}

static void volume_deleted(struct pool_commit *commit, enum ls_status status)
{
	const struct core *core = &CONTAINER_OF(commit, struct volume_op, commit)->engine->core;

	core_administer(core, true);
	volume_deleted_admin(commit, status);
	core_administer(core, false);
}

bool volume_may_go(const struct engine *e, struct job *job, const struct volume *v)
{
	const char *name = v->record.name;

	if (v->open_count > 0) {
		job_done(job, -EBUSY, "volume '%s' is in use by %u client%s", name, v->open_count,
			 v->open_count == 1 ? "" : "s");
		return false;
	}
	/* A peer in a session does not learn that it waits for a volume that is gone. */
	if (volume_mirrors(v) || v->pairing || mirror_known(v)) {
		job_done(job, -EBUSY,
			 "volume '%s' is paired with node '%s', which is connected; unpair it "
			 "first",
			 name,
			 v->record.replica_count ? v->record.replicas[0].node_name
						 : v->pairing->peer->name);
		return false;
	}
	if (v->deleting || v->ranges.count > 0 || v->map.busy || mirror_served(e, v) ||
	    (v->peering && (mirror_busy(v->peering) || v->peering->op || v->peering->round_open ||
			    expand_busy(v->peering) || !list_empty(&v->peering->ops)))) {
		job_done(job, -EBUSY, "volume '%s' is busy; try again", name);
		return false;
	}
	return true;
}

void engine_volume_delete(struct engine *e, struct job *job, const char *name)
{
	struct volume *v = volume_find(e, name);
	struct volume_op *op;

	if (!v || !v->ready) {
		job_done(job, -ENOENT, "there is no volume '%s' on this node", name);
		return;
	}
	if (!volume_may_go(e, job, v))
		return;
	op = calloc(1, sizeof(*op));
	if (!op) {
		job_done(job, -ENOMEM, "out of memory");
		return;
	}
	op->engine = e;
	op->job = job;
	op->volume = v;
	op->commit.done = volume_deleted;
	if (v->peering)
		mirror_jobs_done(v->peering, -ECANCELED, "the volume is being deleted");
	v->ready = false;
	v->deleting = true;
	e->admin_open++;
	/* Its space stays taken until the commit has succeeded. */
	v->record.unlisted = true;
	pool_commit(v->pool, &op->commit);
}

void engine_pair(struct engine *e, struct job *job, const char *volume, const char *peer_name,
		 const char *target, const char *target_pool)
{
	struct volume *v = volume_find(e, volume);
	struct peer *peer = peer_find(e, peer_name);

	if (!target || !target[0])
		target = volume;
	if (e->stopping)
		job_done(job, -ESHUTDOWN, "this node is stopping");
	else if (!v || !v->ready)
		job_done(job, -ENOENT, "there is no volume '%s' on this node", volume);
	else if (!peer || peer->removal)
		job_done(job, -ENOENT, "there is no peer '%s': add it with `lockstep peer add`",
			 peer_name);
	else if (!name_valid(target, VOLUME_NAME_MAX) ||
		 (target_pool && target_pool[0] && !name_valid(target_pool, POOL_NAME_MAX)))
		job_done(job, -EINVAL, "the target's name or pool is not a name");
	else if (v->record.role != VOLUME_PRIMARY)
		job_done(job, -EINVAL,
			 v->record.replica_count
				 ? "volume '%s' is itself the target of a mirror from node '%s'"
				 : "volume '%s' is secondary on this node%s: promote it first",
			 volume, v->record.replicas[0].node_name);
	else
		pair_request(e, job, v, peer, target, target_pool);
}

/* NULL, and the job has ended, when there is no such volume. */
static struct volume *volume_for(struct engine *e, struct job *job, const char *name)
{
	struct volume *v = volume_find(e, name);

	if (e->stopping)
		job_done(job, -ESHUTDOWN, "this node is stopping");
	else if (!v || !v->ready || v->deleting)
		job_done(job, -ENOENT, "there is no volume '%s' on this node", name);
	else
		return v;
	return NULL;
}

static void operate(struct engine *e, struct job *job, const char *name, struct mirror_op op)
{
	struct volume *v = volume_for(e, job, name);

	if (v)
		operation_add(e, job, v, &op);
}

void engine_break(struct engine *e, struct job *job, const char *volume)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_break});
}

static enum wish wish_of(enum engine_keep keep)
{
	static const enum wish wishes[] = {
		[ENGINE_KEEP_AHEAD] = WISH_NONE,
		[ENGINE_KEEP_LOCAL] = WISH_KEEP,
		[ENGINE_KEEP_PEER] = WISH_YIELD,
	};

	return wishes[keep];
}

void engine_resume(struct engine *e, struct job *job, const char *volume, enum engine_keep keep)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_resume, .wish = wish_of(keep)});
}

void engine_unpair(struct engine *e, struct job *job, const char *volume)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_unpair});
}

void engine_promote(struct engine *e, struct job *job, const char *volume, bool force)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_promote, .force = force});
}

void engine_demote(struct engine *e, struct job *job, const char *volume)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_demote});
}

void engine_set_policy(struct engine *e, struct job *job, const char *volume, bool fail_closed)
{
	operate(e, job, volume, (struct mirror_op){.run = operation_policy, .force = fail_closed});
}

void engine_set_resync_limit(struct engine *e, struct job *job, const char *volume,
			     uint64_t bytes_per_second)
{
	operate(e, job, volume,
		(struct mirror_op){.run = operation_resync_limit, .bytes = bytes_per_second});
}

void engine_expand(struct engine *e, struct job *job, const char *volume, uint64_t size_bytes)
{
	if (size_bytes == 0 || size_bytes > MIB(UINT32_MAX))
		job_done(job, -EINVAL, "a volume cannot have %llu bytes",
			 (unsigned long long)size_bytes);
	else
		operate(e, job, volume,
			(struct mirror_op){.run = operation_expand, .bytes = size_bytes});
}

void engine_verify(struct engine *e, struct job *job, const char *volume,
		   const struct verify_wish *wish, struct verify_result *result)
{
	struct volume *v = volume_for(e, job, volume);

	if (v)
		verify_request(e, job, v, wish, result);
}

void engine_verify_stop(struct engine *e, struct job *job, const char *volume)
{
	struct volume *v = volume_for(e, job, volume);

	if (v)
		verify_cancel(job, v);
}
