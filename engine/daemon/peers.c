/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers: those of node.json at start, and new ones. */
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

static void finish_add(struct task *t)
{
	if (t->job.err.code)
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

static void finish_new(struct task *t)
{
	struct state *state = &t->d->state;
	struct state_peer *p = &state->peers[state->peer_count];
	struct err err = t->job.err;

	if (err.code) {
		ctl_fail(t->conn, &err);
		return;
	}
	snprintf(p->name, sizeof(p->name), "%s", t->peer);
	snprintf(p->address, sizeof(p->address), "%s", t->address);
	snprintf(p->key_file, sizeof(p->key_file), "%s", t->key_file);
	state->peer_count++;
	log_line(LOG_LEVEL_INFO, "peer %s was added (%s)", p->name,
		 p->address[0] ? p->address : "it dials us");
	if (state_save(state, &err))
		ctl_fail(t->conn, &err);
	else
		ctl_answer(t->conn, NULL);
}

static int check_new(const struct task *t, struct err *err)
{
	const struct state *state = &t->d->state;

	if (!strcmp(t->peer, state->node_name))
		return err_set(err, -EINVAL, "'%s' is the name of this node itself", t->peer);
	if (state->peer_count == ENGINE_PEERS_MAX)
		return err_set(err, -ENOSPC, "a node has at most %d peers", ENGINE_PEERS_MAX);
	for (unsigned i = 0; i < state->peer_count; i++)
		if (!strcmp(state->peers[i].name, t->peer))
			return err_set(err, -EEXIST, "there is a peer '%s' already", t->peer);
	if (t->key_file[0] != '/')
		return err_set(err, -EINVAL, "key file '%s': the path must begin with /",
			       t->key_file);
	return 0;
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
	    !arg_text(conn, request, "key_file", true, t->key_file, sizeof(t->key_file))) {
		free(t);
		return;
	}
	if (check_new(t, &err) || keyfile_read(t->key_file, &t->key, &err)) {
		ctl_fail(conn, &err);
		free(t);
		return;
	}
	task_start(t);
}
