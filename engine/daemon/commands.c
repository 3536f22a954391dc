/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of control.sock; engine/doc/control.md describes each. */
#include "engine/daemon/task.h"
#include "engine/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fail_memory(struct ctl_conn *conn)
{
	struct err err;

	err_set(&err, -ENOMEM, "the daemon has no memory for this");
	ctl_fail(conn, &err);
}

bool arg_text(struct ctl_conn *conn, struct json_object *request, const char *key, bool needed,
	      char *out, size_t bytes)
{
	const char *text = json_get_text(request, key, needed ? NULL : "");
	struct err err;

	if (!text || (needed && !text[0]))
		err_set(&err, -EINVAL, "'%s' is missing", key);
	else if (strlen(text) >= bytes)
		err_set(&err, -ENAMETOOLONG, "'%s' has at most %zu characters", key, bytes - 1);
	else {
		snprintf(out, bytes, "%s", text);
		return true;
	}
	ctl_fail(conn, &err);
	return false;
}

void finish_plain(struct task *t)
{
	if (t->job.err.code)
		ctl_fail(t->conn, &t->job.err);
	else
		ctl_answer(t->conn, NULL);
}

static void command_ping(struct ctl_conn *conn, struct json_object *request)
{
	struct daemon *d = ctl_daemon(conn);
	struct json_object *answer = json_object_new_object();

	(void)request;
	json_set_text(answer, "node", d->state.node_name);
	json_set_hex(answer, "address", d->state.node_address);
	json_set_text(answer, "version", DAEMON_VERSION);
	json_set_int(answer, "pid", getpid());
	json_set_bool(answer, "ready", d->ready);
	ctl_answer(conn, answer);
}

static struct json_object *option_json(const struct daemon *d, enum option_id option)
{
	static const char *const sources[] = {
		[OPTION_DEFAULT] = "default",
		[OPTION_FILE] = "file",
		[OPTION_COMMAND_LINE] = "command line",
	};
	const struct option_given *given = &d->options.given[option];
	struct json_object *json = json_object_new_object();
	const char *value = given->text;

	/* A node keeps the name that it once had. */
	if (option == OPTION_NODE)
		value = d->state.node_name;
	json_set_text(json, "option", option_table[option].name);
	json_set_text(json, "value", value);
	json_set_text(json, "source", sources[given->source]);
	if (given->source == OPTION_FILE)
		json_set_u64(json, "line", given->line);
	if (option_table[option].standard)
		json_set_text(json, "default", option_table[option].standard);
	return json;
}

static void command_config(struct ctl_conn *conn, struct json_object *request)
{
	const struct daemon *d = ctl_daemon(conn);
	struct json_object *answer = json_object_new_object();
	struct json_object *options = json_object_new_array();

	(void)request;
	if (d->config_file[0])
		json_set_text(answer, "file", d->config_file);
	for (unsigned i = 0; i < OPTIONS; i++)
		json_object_array_add(options, option_json(d, (enum option_id)i));
	json_object_object_add(answer, "options", options);
	ctl_answer(conn, answer);
}

static void command_shutdown(struct ctl_conn *conn, struct json_object *request)
{
	(void)request;
	ctl_answer(conn, NULL);
	daemon_stop(ctl_daemon(conn), "by the operator");
}

/* Snapshots */

static void start_snapshot(struct ctl_conn *conn, struct json_object *request,
			   void (*finish)(struct snapshot *))
{
	struct err err;

	if (snapshot_start(ctl_daemon(conn), conn, json_get_text(request, "volume", ""), NULL,
			   finish, &err))
		ctl_fail(conn, &err);
}

static bool snapshot_taken(struct snapshot *s)
{
	struct err err;

	if (s->taken)
		return true;
	err_set(&err, -ESHUTDOWN, "the engine is stopping");
	ctl_fail(s->conn, &err);
	return false;
}

static void finish_status(struct snapshot *s)
{
	struct err err;

	if (!snapshot_taken(s))
		return;
	if (s->only[0] && !s->volume_count) {
		err_set(&err, -ENOENT, "there is no volume '%s' on this node", s->only);
		ctl_fail(s->conn, &err);
		return;
	}
	ctl_answer(s->conn, status_json(s->d, s));
}

static void command_status(struct ctl_conn *conn, struct json_object *request)
{
	start_snapshot(conn, request, finish_status);
}

static void answer_list(struct snapshot *s, const char *key, struct json_object *list)
{
	struct json_object *answer = json_object_new_object();

	json_object_object_add(answer, key, list);
	ctl_answer(s->conn, answer);
}

static void finish_pools(struct snapshot *s)
{
	if (snapshot_taken(s))
		answer_list(s, "pools", pools_json(s->d, s));
}

static void command_pool_list(struct ctl_conn *conn, struct json_object *request)
{
	start_snapshot(conn, request, finish_pools);
}

static void finish_volumes(struct snapshot *s)
{
	if (snapshot_taken(s))
		answer_list(s, "volumes", volumes_json(s));
}

static void command_volume_list(struct ctl_conn *conn, struct json_object *request)
{
	start_snapshot(conn, request, finish_volumes);
}

static void finish_peers(struct snapshot *s)
{
	if (snapshot_taken(s))
		answer_list(s, "peers", peers_json(s->d, s));
}

static void command_peer_list(struct ctl_conn *conn, struct json_object *request)
{
	start_snapshot(conn, request, finish_peers);
}

/* Volumes */

static void run_volume_create(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_volume_create(engine, &t->job, t->pool[0] ? t->pool : NULL, t->name, t->size_bytes,
			     t->flag);
}

static void command_volume_create(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_volume_create, finish_plain);
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "name", true, t->name, sizeof(t->name)) ||
	    !arg_text(conn, request, "pool", false, t->pool, sizeof(t->pool))) {
		free(t);
		return;
	}
	t->size_bytes = json_get_u64(request, "size", 0);
	t->flag = json_get_bool(request, "zero", true);
	if (!t->size_bytes) {
		err_set(&err, -EINVAL, "'size' (in bytes) is missing or 0");
		ctl_fail(conn, &err);
		free(t);
		return;
	}
	task_start(t);
}

static void run_volume_delete(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_volume_delete(engine, &t->job, t->name);
}

static void command_volume_delete(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_volume_delete, finish_plain);

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (arg_text(conn, request, "name", true, t->name, sizeof(t->name)))
		task_start(t);
	else
		free(t);
}

/* Capture */

static void run_capture(struct task *t, struct engine *engine)
{
	engine_capture_start(engine, t->count);
	task_end(t);
}

static void command_capture(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_capture, finish_plain);
	uint64_t count = json_get_u64(request, "count", ENGINE_CAPTURE_MAX);
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!count || count > ENGINE_CAPTURE_MAX) {
		err_set(&err, -EINVAL, "'count' is 1 to %d frames", ENGINE_CAPTURE_MAX);
		ctl_fail(conn, &err);
		free(t);
		return;
	}
	t->count = (unsigned)count;
	task_start(t);
}

static void run_capture_read(struct task *t, struct engine *engine)
{
	t->count = engine_capture_read(engine, t->frames, ENGINE_CAPTURE_MAX);
	task_end(t);
}

static void finish_capture_read(struct task *t)
{
	struct json_object *answer, *frames;

	if (t->job.err.code) {
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	answer = json_object_new_object();
	frames = json_object_new_array();
	for (unsigned i = 0; i < t->count; i++)
		json_object_array_add(frames, frame_json(&t->frames[i]));
	json_object_object_add(answer, "frames", frames);
	ctl_answer(t->conn, answer);
}

static void command_capture_read(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_capture_read, finish_capture_read);

	(void)request;
	if (t)
		t->frames = calloc(ENGINE_CAPTURE_MAX, sizeof(*t->frames));
	if (!t || !t->frames) {
		free(t);
		fail_memory(conn);
		return;
	}
	task_start(t);
}

/* Regions */

static void run_regions(struct task *t, struct engine *engine)
{
	if (engine_volume_regions(engine, t->name, t->regions))
		t->job.err.code = 0;
	else
		err_set(&t->job.err, -ENOENT, "there is no volume '%s' on this node", t->name);
	task_end(t);
}

static void finish_regions(struct task *t)
{
	if (t->job.err.code)
		ctl_fail(t->conn, &t->job.err);
	else
		ctl_answer(t->conn, regions_json(t->regions));
}

static void command_regions(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_regions, finish_regions);

	if (t)
		t->regions = calloc(1, sizeof(*t->regions));
	if (!t || !t->regions) {
		free(t);
		fail_memory(conn);
		return;
	}
	if (arg_text(conn, request, "volume", true, t->name, sizeof(t->name))) {
		task_start(t);
		return;
	}
	free(t->regions);
	free(t);
}

static const struct {
	const char *name;
	void (*run)(struct ctl_conn *conn, struct json_object *request);
	bool early; /* also while the daemon is starting or stopping */
	bool changes; /* an operator's operation: told as an event */
} commands[] = {
	{"ping", command_ping, true, false},
	{"config", command_config, true, false},
	{"status", command_status, false, false},
	{"pool-create", command_pool_create, false, true},
	{"pool-open", command_pool_open, false, true},
	{"pool-close", command_pool_close, false, true},
	{"pool-list", command_pool_list, false, false},
	{"volume-create", command_volume_create, false, true},
	{"volume-list", command_volume_list, false, false},
	{"volume-delete", command_volume_delete, false, true},
	{"peer-add", command_peer_add, false, true},
	{"peer-change", command_peer_change, false, true},
	{"peer-remove", command_peer_remove, false, true},
	{"peer-list", command_peer_list, false, false},
	{"pair", command_pair, false, true},
	{"break", command_break, false, true},
	{"resume", command_resume, false, true},
	{"resolve", command_resolve, false, true},
	{"unpair", command_unpair, false, true},
	{"promote", command_promote, false, true},
	{"demote", command_demote, false, true},
	{"expand", command_expand, false, true},
	{"policy", command_policy, false, true},
	{"resync-limit", command_resync_limit, false, true},
	{"verify", command_verify, false, true},
	{"verify-stop", command_verify_stop, false, true},
	{"regions", command_regions, false, false},
	{"capture", command_capture, false, false},
	{"capture-read", command_capture_read, false, false},
	{"events", command_events, true, false},
	{"shutdown", command_shutdown, true, true},
};

void command_run(struct ctl_conn *conn, struct json_object *request)
{
	const struct daemon *d = ctl_daemon(conn);
	const char *name = json_get_text(request, "command", "");
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		if (commands[i].early || (d->ready && !d->stopping)) {
			if (commands[i].changes)
				ctl_operation(conn, commands[i].name, request);
			commands[i].run(conn, request);
			return;
		}
		err_set(&err, d->stopping ? -ESHUTDOWN : -EAGAIN, "the daemon is %s",
			d->stopping ? "stopping" : "starting");
		ctl_fail(conn, &err);
		return;
	}
	err_set(&err, -ENOSYS, "there is no command '%.40s'", name);
	ctl_fail(conn, &err);
}
