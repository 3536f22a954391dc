/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening the devices of pools: blocking, so on the control thread. */
#include "engine/base/clock.h"
#include "engine/daemon/log.h"
#include "engine/daemon/task.h"
#include "engine/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_WAIT_MS 2000u
/*
 * For all devices, at start.  The kernel's NVMe driver gives a command 30 s and, when it is aborted
 * in vain, as much again, before it resets the controller and ends it.
 */
#define CLAIM_START_MS 75000u

static void close_all(struct store *const *stores, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		store_close(stores[i]);
}

static void tell(struct daemon *d, const char *name, int level, const char *to, const char *reason)
{
	events_tell(d->events, &(struct engine_event){
				       .kind = EVENT_POOL,
				       .level = level,
				       .pool = name,
				       .to = to,
				       .reason = reason,
			       });
}

static struct state_pool *state_pool(struct state *state, const char *name)
{
	for (unsigned i = 0; i < state->pool_count; i++)
		if (!strcmp(state->pools[i].name, name))
			return &state->pools[i];
	return NULL;
}

static void pool_failed(struct daemon *d, struct state_pool *p, const char *why)
{
	snprintf(p->error, sizeof(p->error), "%s", why);
	tell(d, p->name, LOG_LEVEL_ERROR, "failed", why);
}

static uint64_t now_ms(void)
{
	return clock_precise() / NS_PER_MS;
}

/*
 * A device on which the last engine's commands are still under way, because it was killed, is in
 * use until they end.
 */
static int open_store(struct daemon *d, const char *path, uint64_t until_ms, struct store **store,
		      struct err *err)
{
	int rc = store_open(d->store_queue, path, 0, store, err);
	uint64_t now = now_ms();

	if (rc != -EBUSY || now >= until_ms)
		return rc;
	log_line(LOG_LEVEL_WARNING, "%s; I wait up to %llu s for it", err->text,
		 (unsigned long long)((until_ms - now) / 1000));
	store_queue_claim_wait(d->store_queue, (uint32_t)(until_ms - now));
	rc = store_open(d->store_queue, path, 0, store, err);
	store_queue_claim_wait(d->store_queue, CLAIM_WAIT_MS);
	return rc;
}

static int open_stores(struct daemon *d, const char (*devices)[STATE_PATH_MAX + 1], unsigned count,
		       uint64_t until_ms, struct store **stores, struct err *err)
{
	for (unsigned i = 0; i < count; i++) {
		if (!open_store(d, devices[i], until_ms, &stores[i], err))
			continue;
		close_all(stores, i);
		return err->code;
	}
	placement_add_devices(d, stores, count);
	return 0;
}

void pools_open_stores(struct daemon *d)
{
	uint64_t until_ms = now_ms() + CLAIM_START_MS;
	struct err err;

	for (unsigned i = 0; i < d->state.pool_count; i++) {
		struct state_pool *p = &d->state.pools[i];

		if (open_stores(d, p->devices, p->device_count, until_ms, d->pool_stores[i].stores,
				&err))
			pool_failed(d, p, err.text);
		else
			d->pool_stores[i].count = p->device_count;
	}
}

static void run_open(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_pool_open(engine, &t->job, t->pool, t->stores, t->count);
}

/* The pool is there, or its name is, with the reason. */
static void opened(struct task *t, struct state_pool *p)
{
	if (!t->ran)
		close_all(t->stores, t->count);
	if (t->job.err.code) {
		pool_failed(t->d, p, t->job.err.text);
		return;
	}
	p->error[0] = '\0';
	tell(t->d, p->name, LOG_LEVEL_INFO, "open", t->job.err.text);
}

static void finish_start(struct task *t)
{
	t->d->opening--;
	opened(t, state_pool(&t->d->state, t->pool));
}

void pools_start(struct daemon *d)
{
	for (unsigned i = 0; i < d->state.pool_count; i++) {
		struct state_pool *p = &d->state.pools[i];
		struct pool_stores *s = &d->pool_stores[i];
		struct task *t;

		if (!s->count)
			continue;
		t = task_create(d, NULL, run_open, finish_start);
		if (!t) {
			close_all(s->stores, s->count);
			pool_failed(d, p, "no memory to open it");
			continue;
		}
		memcpy(t->stores, s->stores, sizeof(t->stores));
		snprintf(t->pool, sizeof(t->pool), "%s", p->name);
		t->count = s->count;
		s->count = 0;
		d->opening++;
		task_start(t);
	}
}

static int check_foreign(const char *path, struct err *err)
{
	char what[128];

	if (store_probe_foreign(path, what, sizeof(what)) <= 0)
		return 0;
	return err_set(err, -EEXIST,
		       "%s holds something that is not ours: %s; nothing was written (--force "
		       "destroys it)",
		       path, what);
}

/* @pool may have it already. */
static int check_path(struct daemon *d, const char *path, const char *pool, struct err *err)
{
	const char *plain = strncmp(path, "file:", 5) ? path : path + 5;

	if (plain[0] != '/')
		return err_set(err, -EINVAL, "device '%s': the path must begin with /", path);
	if (strlen(path) > STATE_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "a device path has at most %d characters",
			       STATE_PATH_MAX);
	for (unsigned i = 0; i < d->state.pool_count; i++)
		for (unsigned k = 0; k < d->state.pools[i].device_count; k++)
			if (!strcmp(d->state.pools[i].devices[k], path) &&
			    strcmp(d->state.pools[i].name, pool))
				return err_set(err, -EBUSY, "%s belongs to pool '%s' of this node",
					       path, d->state.pools[i].name);
	return 0;
}

int pools_open_new(struct daemon *d, const char *const *paths, unsigned count, uint64_t size_bytes,
		   bool force, struct store **stores, struct err *err)
{
	unsigned opened = 0;
	int rc = 0;

	/* All are looked at before the first is touched. */
	for (unsigned i = 0; !rc && i < count; i++) {
		rc = check_path(d, paths[i], "", err);
		if (!rc && !force)
			rc = check_foreign(paths[i], err);
	}
	while (!rc && opened < count) {
		rc = store_open(d->store_queue, paths[opened], size_bytes, &stores[opened], err);
		if (!rc)
			opened++;
	}
	if (rc)
		close_all(stores, opened);
	return rc;
}

static void run_create(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_pool_create(engine, &t->job, t->pool, t->stores, t->count, t->flag);
}

/* What the engine has goes into node.json. */
static void keep(struct task *t)
{
	struct state *state = &t->d->state;
	struct state_pool *p = state_pool(state, t->pool);
	struct err err;

	if (!p && state->pool_count == ENGINE_POOLS_MAX) {
		/* Another one came first, and one of node.json is not open. */
		err_set(&err, -ENOSPC, "a node has at most %d pools; '%s' is gone at a restart",
			ENGINE_POOLS_MAX, t->pool);
		ctl_fail(t->conn, &err);
		return;
	}
	if (!p)
		p = &state->pools[state->pool_count++];
	snprintf(p->name, sizeof(p->name), "%s", t->pool);
	p->device_count = t->count;
	memcpy(p->devices, t->paths, sizeof(p->devices));
	p->error[0] = '\0';
	if (state_save(state, &err))
		ctl_fail(t->conn, &err);
	else
		ctl_answer(t->conn, NULL);
}

static void finish_create(struct task *t)
{
	if (!t->ran)
		close_all(t->stores, t->count);
	if (t->job.err.code) {
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	tell(t->d, t->pool, LOG_LEVEL_INFO, "created", t->job.err.text);
	keep(t);
}

/* The paths of @request into @t; 0 or a failure that says what is wrong. */
static int take_paths(struct task *t, struct json_object *request, struct err *err)
{
	struct json_object *devices = json_get_array(request, "devices");
	size_t count = devices ? json_object_array_length(devices) : 0;

	if (!count || count > POOL_DEVICES_MAX)
		return err_set(err, -EINVAL, "a pool needs 1 to %d devices", POOL_DEVICES_MAX);
	for (size_t i = 0; i < count; i++) {
		struct json_object *text = json_object_array_get_idx(devices, i);
		const char *path = json_object_get_string(text);

		if (!json_object_is_type(text, json_type_string))
			return err_set(err, -EINVAL, "'devices' is a list of paths");
		if (strlen(path) > STATE_PATH_MAX)
			return err_set(err, -ENAMETOOLONG,
				       "a device path has at most %d characters", STATE_PATH_MAX);
		snprintf(t->paths[i], sizeof(t->paths[i]), "%s", path);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(t->paths[k], path))
				return err_set(err, -EINVAL, "%s is named twice", path);
	}
	t->count = (unsigned)count;
	return 0;
}

static int prepare_create(struct task *t, struct json_object *request, struct err *err)
{
	struct state *state = &t->d->state;
	const char *paths[POOL_DEVICES_MAX];
	int rc = take_paths(t, request, err);

	/* Before a file is made. */
	if (!rc)
		rc = engine_pool_name_check(t->pool, err);
	if (rc)
		return rc;
	if (state->pool_count == ENGINE_POOLS_MAX)
		return err_set(err, -ENOSPC, "a node has at most %d pools", ENGINE_POOLS_MAX);
	if (state_pool(state, t->pool))
		return err_set(err, -EEXIST, "there is a pool '%s' already", t->pool);
	for (unsigned i = 0; i < t->count; i++)
		paths[i] = t->paths[i];
	t->flag = json_get_bool(request, "force", false);
	return pools_open_new(t->d, paths, t->count, json_get_u64(request, "size", 0), t->flag,
			      t->stores, err);
}

void command_pool_create(struct ctl_conn *conn, struct json_object *request)
{
	struct daemon *d = ctl_daemon(conn);
	struct task *t = task_create(d, conn, run_create, finish_create);
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "name", true, t->pool, sizeof(t->pool))) {
		free(t);
		return;
	}
	if (prepare_create(t, request, &err)) {
		ctl_fail(conn, &err);
		free(t);
		return;
	}
	placement_add_devices(d, t->stores, t->count);
	task_start(t);
}

/* --- one that exists, now --- */

static void finish_open(struct task *t)
{
	struct state_pool *p = state_pool(&t->d->state, t->pool);

	if (!t->ran)
		close_all(t->stores, t->count);
	if (t->job.err.code) {
		/* That another one was opened meanwhile is no fault of it. */
		if (p && t->job.err.code != -EEXIST)
			pool_failed(t->d, p, t->job.err.text);
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	tell(t->d, t->pool, LOG_LEVEL_INFO, "open", t->job.err.text);
	keep(t);
}

/* By the paths of @request, or else of node.json. */
static int prepare_open(struct task *t, struct json_object *request, struct err *err)
{
	const struct state_pool *p = state_pool(&t->d->state, t->pool);
	int rc = engine_pool_name_check(t->pool, err);

	if (rc)
		return rc;
	if (p && !p->error[0])
		return err_set(err, -EEXIST, "pool '%s' is open", t->pool);
	if (!json_get(request, "devices")) {
		if (!p)
			return err_set(err, -ENOENT,
				       "this node does not know pool '%s': name its devices",
				       t->pool);
		t->count = p->device_count;
		memcpy(t->paths, p->devices, sizeof(t->paths));
	} else {
		rc = take_paths(t, request, err);
		for (unsigned i = 0; !rc && i < t->count; i++)
			rc = check_path(t->d, t->paths[i], t->pool, err);
		if (rc)
			return rc;
	}
	return open_stores(t->d, t->paths, t->count, 0, t->stores, err);
}

void command_pool_open(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_open, finish_open);
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "name", true, t->pool, sizeof(t->pool))) {
		task_free(t);
	} else if (prepare_open(t, request, &err)) {
		ctl_fail(conn, &err);
		task_free(t);
	} else {
		task_start(t);
	}
}

static void run_close(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_pool_close(engine, &t->job, t->pool);
}

static void finish_close(struct task *t)
{
	struct state *state = &t->d->state;
	struct state_pool *p = state_pool(state, t->pool), *end = state->pools + state->pool_count;
	struct err err;

	/* One that is not open is only a name in node.json. */
	if (t->job.err.code && !(t->job.err.code == -ENOENT && p)) {
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	if (p) {
		memmove(p, p + 1, (size_t)(end - p - 1) * sizeof(*p));
		state->pool_count--;
	}
	tell(t->d, t->pool, LOG_LEVEL_INFO, "closed", "by the operator");
	if (state_save(state, &err))
		ctl_fail(t->conn, &err);
	else
		ctl_answer(t->conn, NULL);
}

void command_pool_close(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_close, finish_close);

	if (!t)
		fail_memory(conn);
	else if (!arg_text(conn, request, "name", true, t->pool, sizeof(t->pool)))
		task_free(t);
	else
		task_start(t);
}
