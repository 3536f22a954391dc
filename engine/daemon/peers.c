/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers: those of node.json at start, new ones, and what becomes of them. */
#include "engine/daemon/log.h"
#include "engine/daemon/task.h"
#include "engine/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_add(struct task *t, struct engine *engine)
{
	if (engine_peer_add(engine, t->peer, t->address, t->key.bytes, t->key.length_bytes,
			    &t->job.err) == 0)
		t->job.err.code = 0;
	task_end(t);
}

static struct state_peer *state_peer(struct state *state, const char *name)
{
	for (unsigned i = 0; i < state->peer_count; i++)
		if (!strcmp(state->peers[i].name, name))
			return &state->peers[i];
	return NULL;
}

/* Until it is changed it is a name in node.json, with the reason. */
static void finish_add(struct task *t)
{
	struct state_peer *p = state_peer(&t->d->state, t->peer);

	if (!t->job.err.code)
		return;
	if (p)
		snprintf(p->error, sizeof(p->error), "%s", t->job.err.text);
	log_line(LOG_LEVEL_ERROR, "peer %s: %s", t->peer, t->job.err.text);
}

void peers_start(struct daemon *d)
{
	for (unsigned i = 0; i < d->state.peer_count; i++) {
		const struct state_peer *p = &d->state.peers[i];
		struct task *t = task_create(d, NULL, run_add, finish_add);
		struct err err;

		if (!t)
			return;
		snprintf(t->peer, sizeof(t->peer), "%s", p->name);
		snprintf(t->address, sizeof(t->address), "%s", p->address);
		if (keyfile_read(p->key_file, &t->key, &err)) {
			t->job.err = err;
			t->call.on_control(&t->call);
			continue;
		}
		task_start(t);
	}
}

static void save(struct task *t)
{
	struct err err;

	if (state_save(&t->d->state, &err))
		ctl_fail(t->conn, &err);
	else
		ctl_answer(t->conn, NULL);
}

/* What the engine has goes into node.json, for an old name or a new one. */
static void finish_new(struct task *t)
{
	struct state *state = &t->d->state;
	struct state_peer *p = state_peer(state, t->peer);
	const char *what = p ? "changed" : "added";
	struct err err;

	if (t->job.err.code) {
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	if (!p && state->peer_count == ENGINE_PEERS_MAX) {
		/* Two were added at once, and one of node.json is not in the engine. */
		err_set(&err, -ENOSPC, "a node has at most %d peers; '%s' is gone at a restart",
			ENGINE_PEERS_MAX, t->peer);
		ctl_fail(t->conn, &err);
		return;
	}
	if (!p)
		p = &state->peers[state->peer_count++];
	snprintf(p->name, sizeof(p->name), "%s", t->peer);
	snprintf(p->address, sizeof(p->address), "%s", t->address);
	snprintf(p->key_file, sizeof(p->key_file), "%s", t->key_file);
	p->error[0] = '\0';
	log_line(LOG_LEVEL_INFO, "peer %s was %s (%s)", p->name, what,
		 p->address[0] ? p->address : "it dials us");
	save(t);
}

static int check_new(const struct task *t, struct err *err)
{
	struct state *state = &t->d->state;

	if (!strcmp(t->peer, state->node_name))
		return err_set(err, -EINVAL, "'%s' is the name of this node itself", t->peer);
	if (state_peer(state, t->peer))
		return err_set(err, -EEXIST,
			       "there is a peer '%s' already: `lockstep peer change` changes it",
			       t->peer);
	if (state->peer_count == ENGINE_PEERS_MAX)
		return err_set(err, -ENOSPC, "a node has at most %d peers", ENGINE_PEERS_MAX);
	return 0;
}

static int take_key(struct task *t, struct err *err)
{
	if (t->key_file[0] != '/')
		return err_set(err, -EINVAL, "key file '%s': the path must begin with /",
			       t->key_file);
	return keyfile_read(t->key_file, &t->key, err);
}

static void refuse(struct task *t, const struct err *err)
{
	ctl_fail(t->conn, err);
	task_free(t);
}

void command_peer_add(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_add, finish_new);
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "name", true, t->peer, sizeof(t->peer)) ||
	    !arg_text(conn, request, "address", false, t->address, sizeof(t->address)) ||
	    !arg_text(conn, request, "key_file", true, t->key_file, sizeof(t->key_file)))
		task_free(t);
	else if (check_new(t, &err) || take_key(t, &err))
		refuse(t, &err);
	else
		task_start(t);
}

/* What is not given stays as it is.  The key is read again in any case. */
void command_peer_change(struct ctl_conn *conn, struct json_object *request)
{
	struct daemon *d = ctl_daemon(conn);
	struct task *t = task_create(d, conn, run_add, finish_new);
	const struct state_peer *old;
	struct err err;

	if (!t) {
		fail_memory(conn);
		return;
	}
	if (!arg_text(conn, request, "name", true, t->peer, sizeof(t->peer)) ||
	    !arg_text(conn, request, "address", false, t->address, sizeof(t->address)) ||
	    !arg_text(conn, request, "key_file", false, t->key_file, sizeof(t->key_file))) {
		task_free(t);
		return;
	}
	old = state_peer(&d->state, t->peer);
	if (!old) {
		err_set(&err, -ENOENT, "there is no peer '%s': add it with `lockstep peer add`",
			t->peer);
		refuse(t, &err);
		return;
	}
	if (!json_get(request, "address"))
		snprintf(t->address, sizeof(t->address), "%s", old->address);
	if (!t->key_file[0])
		snprintf(t->key_file, sizeof(t->key_file), "%s", old->key_file);
	if (take_key(t, &err))
		refuse(t, &err);
	else
		task_start(t);
}

static void run_remove(struct task *t, struct engine *engine)
{
	task_arm(t);
	engine_peer_remove(engine, &t->job, t->peer);
}

static void finish_remove(struct task *t)
{
	struct state *state = &t->d->state;
	struct state_peer *p = state_peer(state, t->peer), *end = state->peers + state->peer_count;

	/* Only node.json may have it: its key could not be read at the start. */
	if (t->job.err.code && !(t->job.err.code == -ENOENT && p)) {
		ctl_fail(t->conn, &t->job.err);
		return;
	}
	if (p) {
		memmove(p, p + 1, (size_t)(end - p - 1) * sizeof(*p));
		state->peer_count--;
	}
	log_line(LOG_LEVEL_INFO, "peer %s was removed", t->peer);
	save(t);
}

void command_peer_remove(struct ctl_conn *conn, struct json_object *request)
{
	struct task *t = task_create(ctl_daemon(conn), conn, run_remove, finish_remove);

	if (!t)
		fail_memory(conn);
	else if (!arg_text(conn, request, "name", true, t->peer, sizeof(t->peer)))
		task_free(t);
	else
		task_start(t);
}
