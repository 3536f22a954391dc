/* SPDX-License-Identifier: BSD-3-Clause */
/* Administration: pools are made, opened and closed. */
#include "engine/control/admin.h"
#include "engine/control/engine.h"
#include "engine/peer/node.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pool *pool_named(const struct engine *e, const char *name)
{
	for (unsigned i = 0; i < e->pool_count; i++)
		if (strcmp(e->pools[i]->name, name) == 0)
			return e->pools[i];
	return NULL;
}

struct pool_op {
	struct pool_setup setup;
	struct engine *engine;
	struct job *job;
	unsigned next; /* volume of which the map is read next */
	struct volume *volume;
	struct leg leg;
	struct pool_commit commit;
	bool repair, renumber; /* the table is to be written before the pool is used: why */
	char wanted[POOL_NAME_MAX + 1]; /* of an existing pool: its name, as the caller knows it */
};

/* Why @r cannot be a volume of this node, beside those that it has. */
static void explain_clash(struct engine *e, const struct volume_record *r, char *text, size_t bytes)
{
	const struct volume *v = volume_find(e, r->name);

	if (v) {
		snprintf(text, bytes, "there is a volume '%s' in pool '%s' of this node already",
			 r->name, v->pool->name);
		return;
	}
	v = e->volumes[r->number % ENGINE_VOLUMES_MAX];
	if (v)
		snprintf(text, bytes,
			 "its volume '%s', by whose number its peer knows it, has the place of "
			 "volume '%s' in pool '%s': unpair one of both, or close that pool",
			 r->name, v->record.name, v->pool->name);
	else
		snprintf(text, bytes,
			 "its volume '%s' cannot be opened: there is no memory for it, its extents "
			 "are not on the pool's devices, or their blocks are larger than its own",
			 r->name);
}

/* Those that are mirrored, or those that are not. */
static bool adopt(struct pool_op *op, bool mirrored, char *text, size_t bytes)
{
	const struct pool_setup *s = &op->setup;
	struct engine *e = op->engine;
	struct volume_record r;
	size_t cursor = 0;

	for (unsigned i = 0; i < s->tables[s->chosen].volume_count; i++) {
		if (!pool_next_record(s, &cursor, &r)) {
			snprintf(text, bytes, "record %u of its volume table makes no sense", i);
			return false;
		}
		if ((r.association != ASSOCIATION_NONE) != mirrored)
			continue;
		/* Of another node, or the pool was away: only a peer would mind. */
		if (!mirrored && e->volumes[r.number % ENGINE_VOLUMES_MAX])
			op->renumber |= volume_number(e, &r.number);
		if (volume_adopt(e, s->pool, &r))
			continue;
		explain_clash(e, &r, text, bytes);
		return false;
	}
	return true;
}

/* Those that need the number they have come first. */
static bool adopt_records(struct pool_op *op, char *text, size_t bytes)
{
	return adopt(op, true, text, bytes) && adopt(op, false, text, bytes);
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
	e->pools_coming--;
	free(op);
	/* Another one may have come first, while this one read its maps. */
	if (code == 0 && pool_named(e, pool->name)) {
		code = -EEXIST;
		why = "a pool of that name is open already";
	}
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
	snprintf(why, sizeof(why), "%s, and writing its volume table failed: %s",
		 op->repair ? "one copy of its volume table is damaged or older"
			    : "a volume in it needs another number here",
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
			.op.code = STORE_READ,
			.offset = MAP_PAGE_OFFSET(v->record.number),
			.length = MAP_PAGE_BYTES,
			.op.buf = v->map.page,
			.done = map_read,
		};
		leg_start_raw(&op->leg, pool->stores);
		return;
	}
	if (op->repair || op->renumber) {
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
	if (code == 0 && !setup->make && strcmp(op->wanted, pool->name) != 0) {
		code = -EINVAL;
		snprintf(why, sizeof(why), "the devices hold it, and not pool '%s'", op->wanted);
	}
	if (code == 0 && pool_named(e, pool->name)) {
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

	if (!op || e->pool_count + e->pools_coming >= ENGINE_POOLS_MAX) {
		free(op);
		close_stores(stores, store_count);
		job_done(job, -ENOSPC, "this node has %u pools, more are not supported",
			 e->pool_count);
		return;
	}
	if (make)
		e->core.env.random(e->core.env.ctx, uuid, sizeof(uuid));
	if (pool_create(make ? name : "", uuid, stores, store_count, &op->setup.pool) < 0) {
		free(op);
		close_stores(stores, store_count);
		job_done(job, -ENOMEM, "out of memory");
		return;
	}
	snprintf(op->wanted, sizeof(op->wanted), "%s", name);
	for (unsigned i = 0; i < store_count; i++) {
		stores[i]->flush_failed = volumes_flush_failed;
		stores[i]->owner = e;
	}
	op->engine = e;
	op->job = job;
	op->setup.done = pool_ready;
	op->setup.make = make;
	op->setup.force = force;
	op->setup.node_address = e->core.own_address;
	e->core.env.random(e->core.env.ctx, op->setup.device_uuids, sizeof(op->setup.device_uuids));
	e->admin_open++;
	e->pools_coming++;
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
	if (pool_named(e, name)) {
		close_stores(stores, store_count);
		job_done(job, -EEXIST, "there is a pool '%s' already", name);
		return;
	}
	pool_begin(e, job, name, stores, store_count, true, force);
}

void engine_pool_open(struct engine *e, struct job *job, const char *name,
		      struct store *const *stores, unsigned store_count)
{
	assert(store_count > 0 && store_count <= POOL_DEVICES_MAX);
	pool_begin(e, job, name, stores, store_count, false, false);
}

static bool pool_may_go(struct engine *e, struct job *job, const struct pool *pool)
{
	struct volume *v;
	unsigned at = 0;

	if (pool->busy || e->admin_open) {
		job_done(job, -EBUSY, "pool '%s', or another one, is being changed: try again",
			 pool->name);
		return false;
	}
	while ((v = volume_next(e, &at)))
		if (v->pool == pool && !volume_may_go(e, job, v))
			return false;
	return true;
}

void engine_pool_close(struct engine *e, struct job *job, const char *name)
{
	struct pool *pool = pool_named(e, name);
	struct volume *v;
	unsigned at = 0;

	if (!pool && e->pools_coming) {
		job_done(job, -EBUSY, "a pool is being made or opened: try again");
		return;
	}
	if (!pool) {
		job_done(job, -ENOENT, "there is no pool '%s' on this node", name);
		return;
	}
	if (!pool_may_go(e, job, pool))
		return;
	while ((v = volume_next(e, &at)))
		if (v->pool == pool && v->peering)
			mirror_jobs_done(v->peering, -ECANCELED, "the pool is being closed");
	for (unsigned i = 0; i < e->pool_count; i++)
		if (e->pools[i] == pool)
			e->pools[i--] = e->pools[--e->pool_count];
	drop_pool(e, pool);
	job_done(job, 0, "pool '%s' is closed; its devices keep it", name);
}
