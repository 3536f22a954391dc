/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/control/peers.h"

#include "engine/control/engine.h"
#include "engine/peer/node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int check(const struct engine *e, const char *name, const char *address, size_t key_bytes,
		 struct err *err)
{
	if (!name_valid(name, NODE_NAME_MAX))
		return err_set(err, -EINVAL,
			       "'%s' is not a node name: 1 to %d letters, digits, '.', '_' or '-'",
			       name, NODE_NAME_MAX);
	if (strcmp(name, e->settings.node_name) == 0)
		return err_set(err, -EINVAL, "'%s' is this node's own name", name);
	if (strlen(address) > PEER_ADDRESS_MAX)
		return err_set(err, -EINVAL, "the address is longer than %d characters",
			       PEER_ADDRESS_MAX);
	if (key_bytes < PEER_KEY_BYTES_MIN || key_bytes > PEER_KEY_BYTES_MAX)
		return err_set(err, -EINVAL, "the key has %zu bytes; %d to %d are needed",
			       key_bytes, PEER_KEY_BYTES_MIN, PEER_KEY_BYTES_MAX);
	return 0;
}

/* An empty place, with its channel. */
static struct peer *take_place(struct engine *e, struct err *err)
{
	struct peer *p;

	for (unsigned i = 0; i < e->peer_count; i++)
		if (!e->peers[i].name[0] && session_none_with(e, &e->peers[i]))
			return &e->peers[i];
	if (e->peer_count == ENGINE_PEERS_MAX) {
		err_set(err, -ENOSPC, "this node has %d peers, more are not supported",
			ENGINE_PEERS_MAX);
		return NULL;
	}
	p = &e->peers[e->peer_count];
	if (channel_init(&p->channel, &e->core, e->settings.slot_count) < 0) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	p->engine = e;
	e->peer_count++;
	return p;
}

int engine_peer_add(struct engine *e, const char *name, const char *address, const void *key,
		    size_t key_bytes, struct err *err)
{
	struct peer *p;
	int rc = check(e, name, address, key_bytes, err);

	if (rc)
		return rc;
	p = peer_find(e, name);
	if (p && p->removal)
		return err_set(err, -EBUSY, "the peer '%s' is being removed: try again", name);
	if (!p)
		p = take_place(e, err);
	if (!p)
		return err->code;
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->address, sizeof(p->address), "%s", address);
	memset(p->key, 0, sizeof(p->key));
	memcpy(p->key, key, key_bytes);
	p->key_bytes = key_bytes;
	p->dial_at_ns = 0;
	e->next_tick_ns = 0;
	return 0;
}

/* Has @v to do with @p?  Then @job ends. */
static bool volume_minds(const struct volume *v, const struct peer *p, struct job *job)
{
	const struct mirror *m = v->peering;

	if (v->record.replica_count && strcmp(v->record.replicas[0].node_name, p->name) == 0)
		job_done(job, -EBUSY,
			 "volume '%s' is mirrored with '%s': end that first, with `lockstep unpair "
			 "%s`",
			 v->record.name, p->name, v->record.name);
	else if (v->pairing && v->pairing->peer == p)
		job_done(job, -EBUSY, "volume '%s' is being paired with '%s'", v->record.name,
			 p->name);
	/* Being unpaired, which may fail. */
	else if (m && m->peer == p && (m->committing || m->calling))
		job_done(job, -EBUSY, "volume '%s' is busy with its mirror; try again",
			 v->record.name);
	else
		return false;
	return true;
}

void engine_peer_remove(struct engine *e, struct job *job, const char *name)
{
	struct peer *p = peer_find(e, name);
	const struct volume *v;
	unsigned at = 0;

	if (!p) {
		job_done(job, -ENOENT, "there is no peer '%s'", name);
		return;
	}
	if (p->removal) {
		job_done(job, -EBUSY, "the peer '%s' is being removed already", name);
		return;
	}
	while ((v = volume_next(e, &at)))
		if (volume_minds(v, p, job))
			return;
	p->removal = job;
	session_fail_all(e, p, "the operator removed this peer");
	e->next_tick_ns = 0;
}

/* The place is empty.  Nobody may keep a way to who was there. */
static void leave_place(struct engine *e, struct peer *p)
{
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at)))
		if (v->peering && v->peering->peer == p)
			v->peering->peer = NULL;
	explicit_bzero(p->key, sizeof(p->key));
	p->key_bytes = 0;
	p->name[0] = p->address[0] = p->last_error[0] = '\0';
	p->node_address = p->sessions = p->dial_at_ns = 0;
	p->backoff_ms = 0;
	p->removal = NULL;
}

void peers_tick(struct engine *e)
{
	for (unsigned i = 0; i < e->peer_count; i++) {
		struct peer *p = &e->peers[i];
		struct job *job = p->removal;

		if (!job || !session_none_with(e, p))
			continue;
		leave_place(e, p);
		job_done(job, 0, "the peer is removed");
	}
}
