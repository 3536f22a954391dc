/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void task_on_shard(void *shard, struct call *call)
{
	struct task *t = CONTAINER_OF(call, struct task, call);

	t->job.err = (struct err){0};
	t->ran = true;
	t->run(t, shard_engine(shard));
}

void task_free(struct task *t)
{
	explicit_bzero(&t->key, sizeof(t->key));
	free(t->frames);
	free(t->found);
	free(t->regions);
	free(t);
}

static void task_on_control(struct call *call)
{
	struct task *t = CONTAINER_OF(call, struct task, call);

	t->finish(t);
	task_free(t);
}

struct task *task_create(struct daemon *d, struct ctl_conn *conn,
			 void (*run)(struct task *, struct engine *), void (*finish)(struct task *))
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->call.on_shard = task_on_shard;
	t->call.on_control = task_on_control;
	t->d = d;
	t->conn = conn;
	t->run = run;
	t->finish = finish;
	/* Stands when the shard ends before it comes to this task. */
	err_set(&t->job.err, -ESHUTDOWN, "the engine is stopping");
	return t;
}

void task_start(struct task *t)
{
	if (!t->d->stopping && shard_call(t->d->shard, &t->call))
		return;
	if (!t->d->stopping)
		err_set(&t->job.err, -EBUSY, "too many operations are under way: try again");
	task_on_control(&t->call);
}

void task_end(struct task *t)
{
	shard_return(t->d->shard, &t->call);
}

static void job_done(struct job *job)
{
	task_end(CONTAINER_OF(job, struct task, job));
}

void task_arm(struct task *t)
{
	t->job.done = job_done;
}

/* As many volumes at a time as hold up no client's request: a microsecond or two each. */
#define PART_VOLUMES 32u

static void take_one(struct snapshot *s, const struct engine *engine)
{
	s->volume_count = engine_volume_status_of(engine, s->only, s->volumes);
	s->taken = true;
}

static void take_part(struct snapshot *s, const struct engine *engine)
{
	for (unsigned i = 0; i < PART_VOLUMES && !s->taken; i++) {
		if (engine_volume_status(engine, &s->at, &s->volumes[s->volume_count]))
			s->volume_count++;
		else
			s->taken = true;
	}
}

static void snapshot_on_shard(void *shard, struct call *call)
{
	struct snapshot *s = CONTAINER_OF(call, struct snapshot, call);

	if (s->only[0])
		take_one(s, shard_engine(shard));
	else
		take_part(s, shard_engine(shard));
	s->more = !s->taken;
	/* Last, so that no volume's times are later than its own; and once, for it looks at all. */
	if (s->taken)
		shard_status(shard, &s->status);
	shard_return(shard, call);
}

static void snapshot_on_control(struct call *call)
{
	struct snapshot *s = CONTAINER_OF(call, struct snapshot, call);

	if (s->more) {
		s->more = false; /* should the shard stop before it comes to it */
		if (!s->d->stopping && shard_call(s->d->shard, call))
			return;
	}
	s->finish(s);
	free(s->volumes);
	free(s);
}

int snapshot_start(struct daemon *d, struct ctl_conn *conn, const char *only, void *ctx,
		   void (*finish)(struct snapshot *), struct err *err)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s)
		s->volumes = calloc(ENGINE_VOLUMES_MAX, sizeof(*s->volumes));
	if (!s || !s->volumes) {
		free(s);
		return err_set(err, -ENOMEM, "no memory for the engine's status");
	}
	s->call.on_shard = snapshot_on_shard;
	s->call.on_control = snapshot_on_control;
	s->d = d;
	s->conn = conn;
	s->ctx = ctx;
	s->finish = finish;
	strncpy(s->only, only ? only : "", sizeof(s->only) - 1);
	if (!d->stopping && shard_call(d->shard, &s->call))
		return 0;
	free(s->volumes);
	free(s);
	return d->stopping ? err_set(err, -ESHUTDOWN, "the engine is stopping")
			   : err_set(err, -EBUSY, "too many operations are under way: try again");
}
