/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Volumes that a connection has open.  The program's handle is an index here, the engine's may be
 * another one after each re-attachment.
 */
#include "engine/client/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Engines that may go away, one after another, while they are asked for one volume. */
#define OPEN_ATTEMPTS_MAX 3

/* The handle for what the engine calls @engine_handle: that of an earlier open, or a new one. */
static unsigned place_of(const struct ls_connection *c, uint32_t engine_handle)
{
	unsigned i = 0;

	while (i < c->nr_volumes && c->volumes[i].engine_handle != engine_handle)
		i++;
	return i;
}

static int volume_opened(struct ls_connection *c, const char *name,
			 const struct attach_open_reply *reply)
{
	unsigned place = place_of(c, reply->handle);
	struct client_volume *v = &c->volumes[place];

	if (place == ATTACH_VOLUMES_MAX)
		return err_set(&c->err, -EMFILE, "a connection can open %d volumes",
			       ATTACH_VOLUMES_MAX);
	if (place == c->nr_volumes)
		c->nr_volumes++;
	snprintf(v->name, sizeof(v->name), "%s", name);
	memcpy(v->id, reply->id, sizeof(v->id));
	v->size_bytes = reply->size_bytes;
	v->block_bytes = reply->block_bytes;
	v->engine_handle = reply->handle;
	return (int)place;
}

int volume_reopened(struct ls_connection *c, unsigned index, const struct attach_open_reply *reply)
{
	struct client_volume *v = &c->volumes[index];
	int status = reply->reply.status;
	bool same = !status && !memcmp(v->id, reply->id, sizeof(v->id)) &&
		    v->block_bytes == reply->block_bytes && v->size_bytes <= reply->size_bytes;

	if (status && status != -ENOENT)
		return err_set(&c->err, status, "cannot open volume '%s' again: %s", v->name,
			       reply->reply.text);
	/* Not there, or another of that name: its requests are answered, with LS_NO_VOLUME. */
	v->engine_handle = same ? reply->handle : NO_HANDLE;
	if (same)
		v->size_bytes = reply->size_bytes;
	return 0;
}

/* Asks this engine.  What ends the session is -EAGAIN when the next engine may be asked. */
static int open_ask(struct ls_connection *c, const char *name, struct attach_open_reply *reply)
{
	struct err err;
	int rc = dial_open(c, name);

	if (rc == -EINVAL || rc == -ENAMETOOLONG)
		return rc;
	if (!rc)
		rc = dial_open_answer(c, reply);
	if (!rc && reply->reply.status == -ESHUTDOWN) {
		session_lost(c, "the engine is stopping");
		return c->session == SESSION_LOST ? -EAGAIN : session_error(c);
	}
	if (!rc)
		return 0;
	/* A late answer would be taken for that of the next question: so this session ends. */
	err = c->err;
	session_lost(c, err.text);
	if (rc == -EPIPE && c->session == SESSION_LOST)
		return -EAGAIN;
	return err_set(&c->err, rc == -EAGAIN ? -ETIMEDOUT : rc, "%s", err.text);
}

static int open_refused(struct ls_connection *c, const char *name, const struct attach_reply *reply)
{
	return err_set(&c->err, reply->status, "cannot open volume '%s': %s", name,
		       reply->text[0] ? reply->text : strerror(-reply->status));
}

int ls_volume_open(struct ls_connection *c, const char *name, struct ls_volume_info *info)
{
	struct attach_open_reply reply;
	int rc = -EAGAIN;

	for (int i = 0; rc == -EAGAIN && i < OPEN_ATTEMPTS_MAX; i++) {
		wait_for_session(c);
		if (c->session == SESSION_GONE)
			return session_error(c);
		rc = open_ask(c, name, &reply);
	}
	if (rc == -EAGAIN)
		return err_set(&c->err, -ECONNRESET,
			       "%d engines ended while they were asked for volume '%s': see the "
			       "log of lockstepd",
			       OPEN_ATTEMPTS_MAX, name);
	if (rc)
		return rc;
	if (reply.reply.status)
		return open_refused(c, name, &reply.reply);
	if (info)
		*info = (struct ls_volume_info){
			.size_bytes = reply.size_bytes,
			.block_bytes = reply.block_bytes,
			.request_max_bytes = reply.request_max_bytes,
			.mirrored = !!(reply.flags & ATTACH_VOLUME_MIRRORED),
			.primary = !!(reply.flags & ATTACH_VOLUME_PRIMARY),
		};
	return volume_opened(c, name, &reply);
}
