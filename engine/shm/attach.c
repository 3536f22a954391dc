/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"
#include "engine/shm/shmq_layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERRNO_MAX 4095

static void head_set(struct attach_head *head, enum attach_type type, size_t length_bytes)
{
	head->magic = ATTACH_MAGIC;
	head->type = (uint16_t)type;
	head->length_bytes = (uint16_t)length_bytes;
}

/* Of a SERVE without an identity. */
#define SERVE_SHORT_BYTES offsetof(struct attach_serve, id)

/* Another version's message may be longer than ours, so only the start is looked at. */
static int head_check(const void *bytes, size_t length_bytes, enum attach_type type,
		      struct err *err)
{
	if (attach_type(bytes, length_bytes) != (int)type)
		return err_set(err, -EPROTO, "malformed message on the client socket");
	return 0;
}

static int version_check(uint32_t client, uint32_t engine, struct err *err)
{
	if (client == engine)
		return 0;
	return err_set(err, -EPROTONOSUPPORT,
		       "liblockstep has client queue version %u, the engine has %u: "
		       "install the same release of both and restart lockstepd",
		       client, engine);
}

/* Copies @from up to its NUL or its end; what a terminal could obey becomes '?'. */
static void text_copy(char *to, const char *from, size_t bytes)
{
	size_t length = strnlen(from, bytes - 1);

	memset(to, 0, bytes);
	for (size_t i = 0; i < length; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
}

int attach_type(const void *bytes, size_t length_bytes)
{
	struct attach_head head;

	if (length_bytes < sizeof(head) || length_bytes > ATTACH_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != ATTACH_MAGIC || head.length_bytes != length_bytes)
		return -EPROTO;
	return head.type;
}

void attach_hello_set(struct attach_hello *hello, uint32_t queue_depth, uint64_t arena_bytes)
{
	*hello = (struct attach_hello){
		.abi_version = SHMQ_ABI_VERSION,
		.queue_depth = queue_depth,
		.arena_bytes = arena_bytes,
	};
	head_set(&hello->head, ATTACH_HELLO, sizeof(*hello));
}

int attach_hello_check(const void *bytes, size_t length_bytes, struct attach_hello *hello,
		       struct err *err)
{
	struct attach_hello h = {0};
	int rc = head_check(bytes, length_bytes, ATTACH_HELLO, err);

	if (rc)
		return rc;
	if (length_bytes < offsetof(struct attach_hello, queue_depth))
		return err_set(err, -EPROTO, "malformed HELLO on the client socket");
	memcpy(&h, bytes, min_u64(length_bytes, sizeof(h)));
	rc = version_check(h.abi_version, SHMQ_ABI_VERSION, err);
	if (rc)
		return rc;
	if (length_bytes != sizeof(h) || h.flags & ~ATTACH_HELLO_MEMORY || h.reserved)
		return err_set(err, -EPROTO, "malformed HELLO on the client socket");
	if (!h.queue_depth || h.queue_depth > SHMQ_DEPTH_MAX || h.queue_depth & (h.queue_depth - 1))
		return err_set(err, -EINVAL,
			       "queue depth %u: it must be a power of two from 1 to %u",
			       h.queue_depth, SHMQ_DEPTH_MAX);
	if (!h.arena_bytes || h.arena_bytes > SHMQ_ARENA_MAX)
		return err_set(err, -EINVAL, "arena of %llu bytes: it must be 1 to %llu",
			       (unsigned long long)h.arena_bytes,
			       (unsigned long long)SHMQ_ARENA_MAX);
	*hello = h;
	return 0;
}

/* @to is all zeroes. */
static int name_set(char to[ATTACH_NAME_BYTES], const char *name)
{
	size_t length = strnlen(name, ATTACH_NAME_BYTES);

	if (!length)
		return -EINVAL;
	if (length == ATTACH_NAME_BYTES)
		return -ENAMETOOLONG;
	memcpy(to, name, length);
	return 0;
}

/* In place. */
static int name_check(char name[ATTACH_NAME_BYTES], struct err *err)
{
	char copy[ATTACH_NAME_BYTES];

	if (!name[0] || !memchr(name, 0, ATTACH_NAME_BYTES))
		return err_set(err, -EINVAL, "a volume's name has 1 to %d bytes",
			       ATTACH_NAME_BYTES - 1);
	memcpy(copy, name, sizeof(copy));
	text_copy(name, copy, sizeof(copy));
	return 0;
}

int attach_open_set(struct attach_open *open, const char *name)
{
	*open = (struct attach_open){0};
	head_set(&open->head, ATTACH_OPEN, sizeof(*open));
	return name_set(open->name, name);
}

int attach_open_check(const void *bytes, size_t length_bytes, struct attach_open *open,
		      struct err *err)
{
	struct attach_open o;
	int rc = head_check(bytes, length_bytes, ATTACH_OPEN, err);

	if (rc)
		return rc;
	if (length_bytes != sizeof(o))
		return err_set(err, -EPROTO, "malformed OPEN on the client socket");
	memcpy(&o, bytes, sizeof(o));
	rc = name_check(o.name, err);
	if (!rc)
		*open = o;
	return rc;
}

int attach_serve_set(struct attach_serve *serve, const char *name,
		     const uint8_t id[ATTACH_ID_BYTES])
{
	*serve = (struct attach_serve){.abi_version = SHMQ_ABI_VERSION};
	head_set(&serve->head, ATTACH_SERVE, id ? sizeof(*serve) : SERVE_SHORT_BYTES);
	if (id)
		memcpy(serve->id, id, sizeof(serve->id));
	return name_set(serve->name, name);
}

int attach_serve_check(const void *bytes, size_t length_bytes, struct attach_serve *serve,
		       struct err *err)
{
	struct attach_serve s = {0};
	int rc = head_check(bytes, length_bytes, ATTACH_SERVE, err);

	if (rc)
		return rc;
	if (length_bytes < offsetof(struct attach_serve, reserved))
		return err_set(err, -EPROTO, "malformed SERVE on the client socket");
	memcpy(&s, bytes, min_u64(length_bytes, sizeof(s)));
	rc = version_check(s.abi_version, SHMQ_ABI_VERSION, err);
	if (rc)
		return rc;
	if ((length_bytes != sizeof(s) && length_bytes != SERVE_SHORT_BYTES) || s.reserved)
		return err_set(err, -EPROTO, "malformed SERVE on the client socket");
	rc = name_check(s.name, err);
	if (!rc)
		*serve = s;
	return rc;
}

static void reply_set(struct attach_reply *reply, enum attach_type type, size_t length_bytes)
{
	memset(reply, 0, length_bytes);
	head_set(&reply->head, type, length_bytes);
	reply->abi_version = SHMQ_ABI_VERSION;
}

static void reply_fail(struct attach_reply *reply, const struct err *err)
{
	reply->status = err->code < 0 ? err->code : -EIO;
	text_copy(reply->text, err->text, sizeof(reply->text));
}

/*
 * Copies @bytes to @reply, of @reply_bytes.  A failed reply of another version or length is
 * fine: its start is the same for ever, and all that the caller looks at.
 */
static int reply_check(const void *bytes, size_t length_bytes, enum attach_type type,
		       struct attach_reply *reply, size_t reply_bytes, struct err *err)
{
	struct attach_reply start;
	int rc = head_check(bytes, length_bytes, type, err);

	if (rc)
		return rc;
	if (length_bytes < sizeof(start))
		return err_set(err, -EPROTO, "the engine's reply is too short");
	memcpy(&start, bytes, sizeof(start));
	if (start.status > 0 || start.status < -ERRNO_MAX)
		return err_set(err, -EPROTO, "the engine's reply has no valid status");
	if (!start.status) {
		rc = version_check(SHMQ_ABI_VERSION, start.abi_version, err);
		if (rc)
			return rc;
		if (length_bytes != reply_bytes)
			return err_set(err, -EPROTO, "the engine's reply has a wrong length");
	}
	memset(reply, 0, reply_bytes);
	memcpy(reply, bytes, min_u64(length_bytes, reply_bytes));
	text_copy(reply->text, start.text, sizeof(reply->text));
	return 0;
}

void attach_hello_reply_set(struct attach_hello_reply *reply, uint32_t queue_depth,
			    uint64_t arena_bytes)
{
	struct shmq_layout layout = shmq_layout_of(queue_depth, arena_bytes);

	reply_set(&reply->reply, ATTACH_HELLO_REPLY, sizeof(*reply));
	reply->queue_depth = queue_depth;
	reply->arena_offset = layout.arena_offset;
	reply->arena_bytes = layout.arena_bytes;
	reply->total_bytes = layout.total_bytes;
}

void attach_hello_reply_fail(struct attach_hello_reply *reply, const struct err *err)
{
	reply_set(&reply->reply, ATTACH_HELLO_REPLY, sizeof(*reply));
	reply_fail(&reply->reply, err);
}

int attach_hello_reply_check(const void *bytes, size_t length_bytes,
			     struct attach_hello_reply *reply, struct err *err)
{
	struct attach_hello_reply r;
	struct shmq_layout layout;
	uint32_t depth;
	int rc = reply_check(bytes, length_bytes, ATTACH_HELLO_REPLY, &r.reply, sizeof(r), err);

	if (rc)
		return rc;
	if (!r.reply.status) {
		depth = r.queue_depth;
		if (!depth || depth > SHMQ_DEPTH_MAX || depth & (depth - 1) || !r.arena_bytes ||
		    r.arena_bytes > SHMQ_ARENA_MAX)
			return err_set(err, -EPROTO, "the engine's reply has impossible sizes");
		layout = shmq_layout_of(depth, r.arena_bytes);
		if (r.arena_offset != layout.arena_offset || r.arena_bytes != layout.arena_bytes ||
		    r.total_bytes != layout.total_bytes)
			return err_set(err, -EPROTO, "the engine's reply has impossible sizes");
	}
	*reply = r;
	return 0;
}

void attach_open_reply_set(struct attach_open_reply *reply, uint32_t handle,
			   const struct ls_volume_info *info, const uint8_t id[ATTACH_ID_BYTES])
{
	reply_set(&reply->reply, ATTACH_OPEN_REPLY, sizeof(*reply));
	reply->handle = handle;
	reply->size_bytes = info->size_bytes;
	reply->block_bytes = info->block_bytes;
	reply->request_max_bytes = info->request_max_bytes;
	reply->flags = (info->mirrored ? ATTACH_VOLUME_MIRRORED : 0) |
		       (info->primary ? ATTACH_VOLUME_PRIMARY : 0);
	memcpy(reply->id, id, sizeof(reply->id));
}

void attach_open_reply_fail(struct attach_open_reply *reply, const struct err *err)
{
	reply_set(&reply->reply, ATTACH_OPEN_REPLY, sizeof(*reply));
	reply_fail(&reply->reply, err);
}

int attach_open_reply_check(const void *bytes, size_t length_bytes, struct attach_open_reply *reply,
			    struct err *err)
{
	struct attach_open_reply r;
	int rc = reply_check(bytes, length_bytes, ATTACH_OPEN_REPLY, &r.reply, sizeof(r), err);

	if (rc)
		return rc;
	if (!r.reply.status &&
	    (r.handle > INT32_MAX || (r.block_bytes != 512 && r.block_bytes != 4096)))
		return err_set(err, -EPROTO, "the engine's reply has an impossible volume");
	*reply = r;
	return 0;
}

void attach_serve_reply_set(struct attach_reply *reply, const struct err *err)
{
	reply_set(reply, ATTACH_SERVE_REPLY, sizeof(*reply));
	if (err->code)
		reply_fail(reply, err);
}

int attach_serve_reply_check(const void *bytes, size_t length_bytes, struct attach_reply *reply,
			     struct err *err)
{
	return reply_check(bytes, length_bytes, ATTACH_SERVE_REPLY, reply, sizeof(*reply), err);
}
