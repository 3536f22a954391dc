/* SPDX-License-Identifier: BSD-3-Clause */
/* Administration: pools and volumes come and go; pairing is handed to peer/. */
#include "engine/control/engine.h"

#include "engine/peer/node.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- pools --- */

struct pool_op {
	struct pool_setup setup;
	struct engine *engine;
	struct job *job;
	unsigned next; /* volume of which the map is read next */
	struct volume *volume;
	struct leg leg;
	struct pool_commit commit;
	bool repair;
};

static bool adopt_records(struct pool_op *op, char *text, size_t bytes)
{
	const struct pool_setup *s = &op->setup;
	struct volume_record r;
	size_t cursor = 0;

	for (unsigned i = 0; i < s->tables[s->chosen].volume_count; i++) {
		struct volume *v;

		if (!pool_next_record(s, &cursor, &r)) {
			snprintf(text, bytes, "record %u of its volume table makes no sense", i);
			return false;
		}
		v = volume_adopt(op->engine, s->pool, &r);
		if (!v) {
			snprintf(text, bytes,
				 "its volume '%s' cannot be opened: the name or number is taken on "
				 "this node, its extents are not on the pool's devices, or their "
				 "blocks are larger than its own",
				 r.name);
			return false;
		}
	}
	return true;
}

static void drop_pool(struct engine *e, struct pool *pool)
{
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at)))
		if (v->pool == pool)
			volume_unmake(e, v);
	pool_destroy(pool);
}

static void pool_ended(struct pool_op *op, int code, const char *why)
{
	struct engine *e = op->engine;
	struct pool *pool = op->setup.pool;
	struct job *job = op->job;
	char name[POOL_NAME_MAX + 1];
	struct volume *v;
	unsigned at = 0;

	e->admin_open--;
	free(op);
	if (code < 0) {
		memcpy(name, pool->name, sizeof(name));
		drop_pool(e, pool);
		job_done(job, code, name[0] ? "pool '%s': %s" : "%s%s", name, why);
		return;
	}
	e->pools[e->pool_count++] = pool;
	e->next_tick_ns = 0; /* a volume that was growing goes on */
	while ((v = volume_next(e, &at)))
		if (v->pool == pool)
			v->ready = true;
	/* A session that is up already has not heard of these volumes. */
	for (unsigned i = 0; i < e->peer_count; i++)
		if (peer_up(&e->peers[i]))
			mirror_connect(e, &e->peers[i]);
	job_done(job, 0, "pool '%s' is ready: %u device%s, %llu MiB free", pool->name,
		 pool->device_count, pool->device_count == 1 ? "" : "s",
		 (unsigned long long)pool_units_free(pool));
}

static void repaired(struct pool_commit *commit, enum ls_status status)
{
	struct pool_op *op = CONTAINER_OF(commit, struct pool_op, commit);
	const struct core *core = &op->engine->core;
	char why[160];

	core_administer(core, true);
	snprintf(why, sizeof(why),
		 "one copy of its volume table is damaged or older, and writing it anew failed: %s",
		 ls_status_text(status));
	pool_ended(op, status == LS_OK ? 0 : -EIO, why);
	core_administer(core, false);
}

static void read_next_map(struct pool_op *op);

static void map_read(struct leg *leg)
{
	struct pool_op *op = CONTAINER_OF(leg, struct pool_op, leg);
	struct volume *v = op->volume;
	const struct core *core = &op->engine->core;

	core_administer(core, true);
	/*
	 * A page that cannot be read: all dirty, and none of it durable, for the next time it may
	 * be readable again, and say less.
	 */
	if (leg->status == LS_OK)
		intent_decode(&v->map.intent, v->record.number, v->map.page);
	else
		intent_dirty_all(&v->map.intent);
	read_next_map(op);
	core_administer(core, false);
}

/* The write-intent maps of the volumes that are, or were, mirrored. */
static void read_next_map(struct pool_op *op)
{
	struct pool *pool = op->setup.pool;

	struct volume *v;

	while ((v = volume_next(op->engine, &op->next))) {
		if (v->pool != pool || !volume_tracks(v))
			continue;
		op->volume = v;
		op->leg = (struct leg){
			.code = LEG_READ,
			.offset = MAP_PAGE_OFFSET(v->record.number),
			.length = MAP_PAGE_BYTES,
			.buf = v->map.page,
			.done = map_read,
		};
		leg_start_raw(&op->leg, pool->stores);
		return;
	}
	if (op->repair) {
		op->commit.done = repaired;
		pool_commit(pool, &op->commit);
		return;
	}
	pool_ended(op, 0, "");
}

static void pool_ready_admin(struct pool_setup *setup, int code, const char *text)
{
	struct pool_op *op = CONTAINER_OF(setup, struct pool_op, setup);
	struct engine *e = op->engine;
	struct pool *pool = setup->pool;
	char why[300];

	snprintf(why, sizeof(why), "%s", text);
	op->repair = setup->repair;
	pool_setup_fini(setup);
	if (code == 0 && pool_find(e, pool->name) &&
	    strcmp(pool_find(e, pool->name)->name, pool->name) == 0) {
		code = -EEXIST;
		snprintf(why, sizeof(why), "a pool of that name is open already");
	}
	if (code == 0 && !setup->make && !adopt_records(op, why, sizeof(why)))
		code = -EINVAL;
	if (code < 0)
		pool_ended(op, code, why);
	else
		read_next_map(op);
}

static void pool_ready(struct pool_setup *setup, int code, const char *text)
{
	const struct core *core = &CONTAINER_OF(setup, struct pool_op, setup)->engine->core;

	core_administer(core, true);
	pool_ready_admin(setup, code, text);
	core_administer(core, false);
}

static void close_stores(struct store *const *stores, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		store_close(stores[i]);
}

static void pool_begin(struct engine *e, struct job *job, const char *name,
		       struct store *const *stores, unsigned store_count, bool make, bool force)
{
	uint8_t uuid[16] = {0};
	struct pool_op *op = calloc(1, sizeof(*op));

	if (!op || e->pool_count + e->admin_open >= ENGINE_POOLS_MAX) {
		free(op);
		close_stores(stores, store_count);
		job_done(job, -ENOSPC, "this node has %u pools, more are not supported",
			 e->pool_count);
		return;
	}
	if (make)
		e->core.env.random(e->core.env.ctx, uuid, sizeof(uuid));
	if (pool_create(name, uuid, stores, store_count, &op->setup.pool) < 0) {
		free(op);
		close_stores(stores, store_count);
		job_done(job, -ENOMEM, "out of memory");
		return;
	}
	op->engine = e;
	op->job = job;
	op->setup.done = pool_ready;
	op->setup.make = make;
	op->setup.force = force;
	op->setup.node_address = e->core.own_address;
	e->core.env.random(e->core.env.ctx, op->setup.device_uuids, sizeof(op->setup.device_uuids));
	e->admin_open++;
	pool_setup_start(&op->setup);
}

int engine_pool_name_check(const char *name, struct err *err)
{
	if (name_valid(name, POOL_NAME_MAX))
		return 0;
	return err_set(err, -EINVAL,
		       "'%s' is not a pool name: 1 to %d letters, digits, '.', '_' or '-'", name,
		       POOL_NAME_MAX);
}

void engine_pool_create(struct engine *e, struct job *job, const char *name,
			struct store *const *stores, unsigned store_count, bool force)
{
	struct err err;

	if (engine_pool_name_check(name, &err)) {
		close_stores(stores, store_count);
		job_done(job, err.code, "%s", err.text);
		return;
	}
	if (store_count == 0 || store_count > POOL_DEVICES_MAX) {
		close_stores(stores, store_count);
		job_done(job, -EINVAL, "a pool has 1 to %d devices, not %u", POOL_DEVICES_MAX,
			 store_count);
		return;
	}
	for (unsigned i = 0; i < e->pool_count; i++) {
		if (strcmp(e->pools[i]->name, name) != 0)
			continue;
		close_stores(stores, store_count);
		job_done(job, -EEXIST, "there is a pool '%s' already", name);
		return;
	}
	pool_begin(e, job, name, stores, store_count, true, force);
}

void engine_pool_open(struct engine *e, struct job *job, struct store *const *stores,
		      unsigned store_count)
{
	assert(store_count > 0 && store_count <= POOL_DEVICES_MAX);
	pool_begin(e, job, "", stores, store_count, false, false);
}

/* --- volumes --- */

struct volume_op {
	struct engine *engine;
	struct job *job;
	struct volume *volume;
	struct leg leg;
	bool zeroed;
	struct pool_commit commit;
};

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

	if (status == LS_OK && leg->code == LEG_WRITE_ZEROES) {
		/* A power cut must not bring back what was there before. */
		op->leg = (struct leg){.code = LEG_FLUSH, .done = volume_zeroed};
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
	job_done(job, -EIO, "writing zeroes to the new volume failed: %s", ls_status_text(status));
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
		.code = LEG_WRITE_ZEROES,
		.length = v->record.size_bytes,
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

static void volume_deleted_admin(struct pool_commit *commit, enum ls_status status)
{
	struct volume_op *op = CONTAINER_OF(commit, struct volume_op, commit);
	struct job *job = op->job;
	struct volume *v = op->volume;
	char name[VOLUME_NAME_MAX + 1];

	op->engine->admin_open--;
	memcpy(name, v->record.name, sizeof(name));
	if (status != LS_OK) {
		/* The table on the device may be the old one or the new. */
		v->record.unlisted = false;
		v->ready = true;
		v->deleting = false;
		free(op);
		job_done(job, -EIO, "the pool's volume table could not be written: %s",
			 ls_status_text(status));
		return;
	}
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

void engine_volume_delete(struct engine *e, struct job *job, const char *name)
{
	struct volume *v = volume_find(e, name);
	struct volume_op *op;

	if (!v || !v->ready) {
		job_done(job, -ENOENT, "there is no volume '%s' on this node", name);
		return;
	}
	if (v->open_count > 0 || v->deleting || v->ranges.count > 0) {
		job_done(job, -EBUSY, "volume '%s' is in use by %u client%s", name, v->open_count,
			 v->open_count == 1 ? "" : "s");
		return;
	}
	/* A peer in a session does not learn that it waits for a volume that is gone. */
	if (volume_mirrors(v) || v->pairing || mirror_known(v)) {
		job_done(job, -EBUSY,
			 "volume '%s' is paired with node '%s', which is connected; unpair it "
			 "first",
			 name,
			 v->record.replica_count ? v->record.replicas[0].node_name
						 : v->pairing->peer->name);
		return;
	}
	if (v->map.busy || mirror_served(e, v) ||
	    (v->peering && (mirror_busy(v->peering) || v->peering->op || v->peering->round_open ||
			    expand_busy(v->peering) || !list_empty(&v->peering->ops)))) {
		job_done(job, -EBUSY, "volume '%s' is busy with its mirror; try again", name);
		return;
	}
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
