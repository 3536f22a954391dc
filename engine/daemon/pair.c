/* SPDX-License-Identifier: BSD-3-Clause */
/* The command `pair`: a long job that tells how far it is. */
#include "engine/daemon/json.h"
#include "engine/daemon/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_US 500000
#define ACCEPTED_US 300000

/*
 * Lives until the task and the snapshot under way (if any) are both back.  The request is
 * answered by the end of the job or, with "wait": false, by the first look at it.
 */
struct pairing {
	struct daemon *d;
	struct ctl_conn *conn; /* NULL: answered */
	sd_event_source *timer;
	bool job_open, looking;
	bool wait;
	char volume[VOLUME_NAME_MAX + 1];
};

static void pairing_put(struct pairing *p)
{
	if (p->job_open || p->looking)
		return;
	sd_event_source_disable_unref(p->timer);
	free(p);
}

static void rearm(struct pairing *p)
{
	uint64_t now;

	sd_event_now(p->d->event, CLOCK_MONOTONIC, &now);
	sd_event_source_set_time(p->timer, now + PROGRESS_US);
	sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void finish_look(struct snapshot *s)
{
	struct pairing *p = s->ctx;

	p->looking = false;
	if (p->conn && p->job_open && s->taken && s->volume_count) {
		struct json_object *volume = volume_json(&s->volumes[0], s->status.engine.now_ns);

		if (p->wait) {
			ctl_progress(p->conn, volume);
		} else {
			struct json_object *answer = json_object_new_object();

			json_set_bool(answer, "running", true);
			json_object_object_add(answer, "volume", volume);
			ctl_answer(p->conn, answer);
			p->conn = NULL;
		}
	}
	if (p->conn && p->job_open)
		rearm(p);
	pairing_put(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct pairing *p = userdata;
	struct err err;

	(void)source;
	(void)usec;
	/* A look that cannot be taken now is taken later. */
	if (snapshot_start(p->d, NULL, p->volume, p, finish_look, &err))
		rearm(p);
	else
		p->looking = true;
	return 0;
}

static void run_pair(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_pair(engine, &t->job, t->name, t->peer, t->target[0] ? t->target : NULL,
		    t->pool[0] ? t->pool : NULL);
}

static void finish_pair(struct task *t)
{
	struct pairing *p = t->ctx;

	p->job_open = false;
	if (p->conn && t->job.err.code)
		ctl_fail(p->conn, &t->job.err);
	else if (p->conn)
		ctl_answer(p->conn, NULL);
	p->conn = NULL;
	sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
	pairing_put(p);
}

static struct pairing *pairing_create(struct daemon *d, struct ctl_conn *conn)
{
	struct pairing *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->d = d;
	p->conn = conn;
	p->job_open = true;
	if (sd_event_add_time_relative(d->event, &p->timer, CLOCK_MONOTONIC, ACCEPTED_US, 10000,
				       on_timer, p) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

void command_pair(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_pair, finish_pair);
	struct pairing *p;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "volume", true, t->name, sizeof(t->name)) ||
	    !arg_text(conn, request, "peer", true, t->peer, sizeof(t->peer)) ||
	    !arg_text(conn, request, "target", false, t->target, sizeof(t->target)) ||
	    !arg_text(conn, request, "target_pool", false, t->pool, sizeof(t->pool))) {
		free(t);
		return;
	}
	p = pairing_create(t->d, conn);
	if (!p) {
		free(t);
		fail_memory(conn);
		return;
	}
	p->wait = json_get_bool(request, "wait", true);
	snprintf(p->volume, sizeof(p->volume), "%s", t->name);
	t->ctx = p;
	task_start(t);
}
