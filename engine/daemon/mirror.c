/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands on a volume's mirror.  `pair`, `resume` and `resolve` are long jobs, which tell
 * how far they are; the others answer once.
 */
#include "engine/daemon/task.h"
#include "engine/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_US 500000
#define ACCEPTED_US 300000

/*
 * A long job on a volume.  Lives until the task and the snapshot under way (if any) are both
 * back.  The request is answered by the end of the job or, with "wait": false, by the first
 * look at it.
 */
struct long_job {
	struct daemon *d;
	struct ctl_conn *conn; /* NULL: answered */
	sd_event_source *timer;
	bool open, looking;
	bool wait;
	char volume[VOLUME_NAME_MAX + 1];
};

static void long_job_put(struct long_job *j)
{
	if (j->open || j->looking)
		return;
	sd_event_source_disable_unref(j->timer);
	free(j);
}

static void rearm(struct long_job *j)
{
	uint64_t now;

	sd_event_now(j->d->event, CLOCK_MONOTONIC, &now);
	sd_event_source_set_time(j->timer, now + PROGRESS_US);
	sd_event_source_set_enabled(j->timer, SD_EVENT_ONESHOT);
}

static void finish_look(struct snapshot *s)
{
	struct long_job *j = s->ctx;

	j->looking = false;
	if (j->conn && j->open && s->taken && s->volume_count) {
		struct json_object *volume = volume_json(&s->volumes[0], s->status.engine.now_ns);

		if (j->wait) {
			ctl_progress(j->conn, volume);
		} else {
			struct json_object *answer = json_object_new_object();

			json_set_bool(answer, "running", true);
			json_object_object_add(answer, "volume", volume);
			ctl_answer(j->conn, answer);
			j->conn = NULL;
		}
	}
	if (j->conn && j->open)
		rearm(j);
	long_job_put(j);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct long_job *j = userdata;
	struct err err;

	(void)source;
	(void)usec;
	/* A look that cannot be taken now is taken later. */
	if (snapshot_start(j->d, NULL, j->volume, j, finish_look, &err))
		rearm(j);
	else
		j->looking = true;
	return 0;
}

/* The job's error, or ok and the engine's sentence on what is now. */
static void answer_job(struct ctl_conn *conn, const struct job *job)
{
	struct json_object *answer;

	if (job->err.code) {
		ctl_fail(conn, &job->err);
		return;
	}
	answer = json_object_new_object();
	json_set_text(answer, "text", job->err.text);
	ctl_answer(conn, answer);
}

static struct json_object *place_json(const struct verify_place *place)
{
	struct json_object *json = json_object_new_object();

	json_set_u64(json, "offset", place->offset);
	json_set_u64(json, "length", place->length);
	json_set_text(json, "blame", verify_blame_name(place->blame));
	json_set_bool(json, "unreadable", place->unreadable);
	json_set_bool(json, "repaired", place->repaired);
	return json;
}

static struct json_object *found_json(const struct task *t)
{
	const struct verify_result *found = t->found;
	struct json_object *json = json_object_new_object(), *places = json_object_new_array();
	struct json_object *blamed = json_object_new_object();

	json_set_text(json, "text", t->job.err.text);
	json_set_u64(json, "compared_bytes", found->compared_bytes);
	json_set_u64(json, "different_bytes", found->different_bytes);
	json_set_u64(json, "repaired_bytes", found->repaired_bytes);
	json_set_u64(json, "duration_ns", found->duration_ns);
	for (unsigned i = 0; i < VERIFY_BLAMES; i++)
		json_set_u64(blamed, verify_blame_name((enum verify_blame)i),
			     found->blamed_bytes[i]);
	json_object_object_add(json, "blamed_bytes", blamed);
	for (unsigned i = 0; i < found->place_count; i++)
		json_object_array_add(places, place_json(&found->places[i]));
	json_object_object_add(json, "differences", places);
	json_set_bool(json, "more", found->more);
	return json;
}

static void finish_long(struct task *t)
{
	struct long_job *j = t->ctx;

	j->open = false;
	if (j->conn && t->found && !t->job.err.code)
		ctl_answer(j->conn, found_json(t));
	else if (j->conn)
		answer_job(j->conn, &t->job);
	j->conn = NULL;
	sd_event_source_set_enabled(j->timer, SD_EVENT_OFF);
	long_job_put(j);
}

/* Starts @t, whose finish() is finish_long(). */
static void start_long(struct task *t, struct json_object *request)
{
	struct long_job *j = calloc(1, sizeof(*j));

	if (!j || sd_event_add_time_relative(t->d->event, &j->timer, CLOCK_MONOTONIC, ACCEPTED_US,
					     10000, on_timer, j) < 0) {
		fail_memory(t->conn);
		free(j);
		free(t->found);
		free(t);
		return;
	}
	j->d = t->d;
	j->conn = t->conn;
	j->open = true;
	j->wait = json_get_bool(request, "wait", true);
	snprintf(j->volume, sizeof(j->volume), "%s", t->name);
	t->ctx = j;
	task_start(t);
}

/* A task on the volume that @request names; NULL: that was answered. */
static struct task *volume_task(struct ctl_conn *conn, struct json_object *request,
				void (*run)(struct task *, struct engine *),
				void (*finish)(struct task *))
{
	struct task *t = task_create(ctl_daemon(conn), conn, run, finish);

	if (!t) {
		fail_memory(conn);
		return NULL;
	}
	if (arg_text(conn, request, "volume", true, t->name, sizeof(t->name)))
		return t;
	free(t);
	return NULL;
}

/* pair */

static void run_pair(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_pair(engine, &t->job, t->name, t->peer, t->target[0] ? t->target : NULL,
		    t->pool[0] ? t->pool : NULL);
}

void command_pair(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_pair, finish_long);

	if (!t)
		return;
	if (arg_text(conn, request, "peer", true, t->peer, sizeof(t->peer)) &&
	    arg_text(conn, request, "target", false, t->target, sizeof(t->target)) &&
	    arg_text(conn, request, "target_pool", false, t->pool, sizeof(t->pool)))
		start_long(t, request);
	else
		free(t);
}

/* resume, resolve */

static void run_resume(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_resume(engine, &t->job, t->name, t->keep);
}

static bool parse_keep(const char *text, bool needed, enum engine_keep *keep)
{
	*keep = ENGINE_KEEP_AHEAD;
	if (!strcmp(text, "local"))
		*keep = ENGINE_KEEP_LOCAL;
	else if (!strcmp(text, "peer"))
		*keep = ENGINE_KEEP_PEER;
	else
		return !needed && !text[0];
	return true;
}

static void resume(struct ctl_conn *conn, struct json_object *request, bool keep_needed)
{
	struct task *t = volume_task(conn, request, run_resume, finish_long);
	struct err err;

	if (!t)
		return;
	if (parse_keep(json_get_text(request, "keep", ""), keep_needed, &t->keep)) {
		start_long(t, request);
		return;
	}
	err_set(&err, -EINVAL, "'keep' is \"local\" or \"peer\": whose writes are kept");
	ctl_fail(conn, &err);
	free(t);
}

void command_resume(struct ctl_conn *conn, struct json_object *request)
{
	resume(conn, request, false);
}

void command_resolve(struct ctl_conn *conn, struct json_object *request)
{
	resume(conn, request, true);
}

/* What answers once */

static void finish_once(struct task *t)
{
	answer_job(t->conn, &t->job);
}

static void run_break(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_break(engine, &t->job, t->name);
}

void command_break(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_break, finish_once);

	if (t)
		task_start(t);
}

static void run_unpair(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_unpair(engine, &t->job, t->name);
}

void command_unpair(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_unpair, finish_once);

	if (t)
		task_start(t);
}

static void run_promote(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_promote(engine, &t->job, t->name, t->flag);
}

void command_promote(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_promote, finish_once);

	if (!t)
		return;
	t->flag = json_get_bool(request, "force", false);
	task_start(t);
}

static void run_demote(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_demote(engine, &t->job, t->name);
}

void command_demote(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_demote, finish_once);

	if (t)
		task_start(t);
}

static void run_expand(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_expand(engine, &t->job, t->name, t->size_bytes);
}

void command_expand(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_expand, finish_long);
	struct err err;

	if (!t)
		return;
	t->size_bytes = json_get_u64(request, "size", 0);
	if (t->size_bytes) {
		start_long(t, request);
		return;
	}
	err_set(&err, -EINVAL, "'size' (in bytes, of the whole volume) is missing or 0");
	ctl_fail(conn, &err);
	free(t);
}

static void run_verify(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_verify(engine, &t->job, t->name, &t->verify, t->found);
}

void command_verify(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_verify, finish_long);

	if (!t)
		return;
	t->verify = (struct verify_wish){
		.offset = json_get_u64(request, "offset", 0),
		.length = json_get_u64(request, "length", 0),
		.repair = json_get_bool(request, "repair", false),
	};
	t->found = calloc(1, sizeof(*t->found));
	if (t->found) {
		start_long(t, request);
		return;
	}
	fail_memory(conn);
	free(t);
}

static void run_verify_stop(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_verify_stop(engine, &t->job, t->name);
}

void command_verify_stop(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_verify_stop, finish_once);

	if (t)
		task_start(t);
}

static void run_policy(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_set_policy(engine, &t->job, t->name, t->flag);
}

static void run_resync_limit(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_set_resync_limit(engine, &t->job, t->name, t->size_bytes);
}

void command_resync_limit(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_resync_limit, finish_once);
	struct err err;

	if (!t)
		return;
	t->size_bytes = json_get_u64(request, "bytes_per_second", UINT64_MAX);
	if (t->size_bytes != UINT64_MAX) {
		task_start(t);
		return;
	}
	err_set(&err, -EINVAL, "'bytes_per_second' is missing; 0 = no limit");
	ctl_fail(conn, &err);
	free(t);
}

void command_policy(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = volume_task(conn, request, run_policy, finish_once);
	const char *policy = json_get_text(request, "policy", "");
	struct err err;

	if (!t)
		return;
	t->flag = !strcmp(policy, "fail-closed");
	if (t->flag || !strcmp(policy, "fail-open")) {
		task_start(t);
		return;
	}
	err_set(&err, -EINVAL, "'policy' is \"fail-open\" or \"fail-closed\"");
	ctl_fail(conn, &err);
	free(t);
}
