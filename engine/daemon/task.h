/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A task: a call that runs something of the engine's administration, with its parameters,
 * and its end on the control thread.
 */
#ifndef LS_DAEMON_TASK_H
#define LS_DAEMON_TASK_H

#include "engine/daemon/ctl.h"
#include "engine/daemon/daemon.h"
#include "engine/daemon/keyfile.h"

struct task {
	struct call call;
	struct job job; /* job.err: the outcome */
	struct daemon *d;
	struct ctl_conn *conn; /* to answer, or NULL */
	/* On the shard: starts @job, or sets job.err and calls task_end(). */
	void (*run)(struct task *task, struct engine *engine);
	bool ran; /* it came to the shard */
	/* On the control thread.  The task is freed behind it. */
	void (*finish)(struct task *task);

	/* Parameters, as the command needs them. */
	char name[VOLUME_NAME_MAX + 1];
	char pool[POOL_NAME_MAX + 1];
	char peer[NODE_NAME_MAX + 1];
	char target[VOLUME_NAME_MAX + 1];
	char address[PEER_ADDRESS_MAX + 1];
	char key_file[STATE_PATH_MAX + 1];
	struct key key;
	uint64_t size_bytes;
	unsigned count;
	bool flag;
	enum engine_keep keep;
	struct store *stores[POOL_DEVICES_MAX];
	char paths[POOL_DEVICES_MAX][STATE_PATH_MAX + 1];
	struct captured_frame *frames;
	struct verify_wish verify;
	struct verify_result *found;
	struct volume_regions *regions;
	void *ctx;
};

/* NULL when there is no memory. */
struct task *task_create(struct daemon *d, struct ctl_conn *conn,
			 void (*run)(struct task *, struct engine *),
			 void (*finish)(struct task *));
/* One that was not started. */
void task_free(struct task *task);
/* Sends it; a task that cannot be sent finishes at once with -EBUSY. */
void task_start(struct task *task);
/* On the shard. */
void task_end(struct task *task);
/* Sets job.done to task_end(); before an engine call that takes &task->job. */
void task_arm(struct task *task);

/* A copy of the engine's state, taken on the shard; of many volumes in parts, a pass each. */
struct snapshot {
	struct call call;
	struct daemon *d;
	struct ctl_conn *conn; /* to answer, or NULL */
	void *ctx;
	bool taken; /* all of it; false at the end: the shard has stopped */
	bool more; /* a part was taken, and another one is to come */
	unsigned at; /* of engine_volume_status() */
	char only[VOLUME_NAME_MAX + 1]; /* one volume; "" = all */
	void (*finish)(struct snapshot *snapshot); /* frees nothing; the snapshot goes behind it */
	struct shard_status status;
	unsigned volume_count;
	struct volume_status *volumes; /* ENGINE_VOLUMES_MAX places */
};

/* -ENOMEM or -EBUSY: finish() is not called. */
int snapshot_start(struct daemon *d, struct ctl_conn *conn, const char *only, void *ctx,
		   void (*finish)(struct snapshot *), struct err *err) MUST_CHECK;

/* status.c: what the commands show of it. */
struct json_object *status_json(struct daemon *d, const struct snapshot *s);
struct json_object *pools_json(struct daemon *d, const struct snapshot *s);
struct json_object *volumes_json(const struct snapshot *s);
struct json_object *peers_json(struct daemon *d, const struct snapshot *s);
struct json_object *volume_json(const struct volume_status *v, uint64_t now_ns);
struct json_object *frame_json(const struct captured_frame *frame);
struct json_object *regions_json(const struct volume_regions *regions);

/* Commands in files of their own. */
/* pools.c */
void command_pool_create(struct ctl_conn *conn, struct json_object *request);
void command_pool_open(struct ctl_conn *conn, struct json_object *request);
void command_pool_close(struct ctl_conn *conn, struct json_object *request);
/* peers.c */
void command_peer_add(struct ctl_conn *conn, struct json_object *request);
void command_peer_change(struct ctl_conn *conn, struct json_object *request);
void command_peer_remove(struct ctl_conn *conn, struct json_object *request);
/* mirror.c */
void command_pair(struct ctl_conn *conn, struct json_object *request);
void command_break(struct ctl_conn *conn, struct json_object *request);
void command_resume(struct ctl_conn *conn, struct json_object *request);
void command_resolve(struct ctl_conn *conn, struct json_object *request);
void command_unpair(struct ctl_conn *conn, struct json_object *request);
void command_promote(struct ctl_conn *conn, struct json_object *request);
void command_demote(struct ctl_conn *conn, struct json_object *request);
void command_expand(struct ctl_conn *conn, struct json_object *request);
void command_policy(struct ctl_conn *conn, struct json_object *request);
void command_resync_limit(struct ctl_conn *conn, struct json_object *request);
void command_verify(struct ctl_conn *conn, struct json_object *request);
void command_verify_stop(struct ctl_conn *conn, struct json_object *request);

/* For commands: the text @key of @request into @out; "" when it is absent and not @needed. */
bool arg_text(struct ctl_conn *conn, struct json_object *request, const char *key, bool needed,
	      char *out, size_t bytes);
/* Answers "no memory"; for a task that could not be made. */
void fail_memory(struct ctl_conn *conn);
/* finish() of tasks that have nothing to add: answers ok or the job's error. */
void finish_plain(struct task *task);

#endif
