/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no message on the client's socket makes either side's checks misbehave, and what they
 * take is within the bounds that its users rely on.
 */
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"
#include "engine/shm/shmq_layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t bytes)
{
	if (!memchr(text, 0, bytes))
		abort();
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			abort();
}

static void check_err(int rc, const struct err *err)
{
	if (rc < 0 && (err->code != rc || !memchr(err->text, 0, sizeof(err->text))))
		abort();
}

static void as_engine(const void *bytes, size_t length)
{
	struct attach_hello hello;
	struct attach_serve serve;
	struct attach_open open;
	struct err err;
	int rc = attach_hello_check(bytes, length, &hello, &err);

	check_err(rc, &err);
	if (!rc && (hello.queue_depth == 0 || hello.queue_depth > SHMQ_DEPTH_MAX ||
		    hello.queue_depth & (hello.queue_depth - 1) || hello.arena_bytes == 0 ||
		    hello.arena_bytes > SHMQ_ARENA_MAX))
		abort();
	rc = attach_open_check(bytes, length, &open, &err);
	check_err(rc, &err);
	if (!rc)
		check_text(open.name, sizeof(open.name));
	rc = attach_serve_check(bytes, length, &serve, &err);
	check_err(rc, &err);
	if (!rc)
		check_text(serve.name, sizeof(serve.name));
}

static void as_client(const void *bytes, size_t length)
{
	struct attach_hello_reply hello;
	struct attach_open_reply open;
	struct attach_reply serve;
	struct err err;
	int rc = attach_hello_reply_check(bytes, length, &hello, &err);

	check_err(rc, &err);
	if (!rc)
		check_text(hello.reply.text, sizeof(hello.reply.text));
	if (!rc && !hello.reply.status &&
	    (hello.arena_offset > hello.total_bytes ||
	     hello.arena_bytes > hello.total_bytes - hello.arena_offset ||
	     hello.queue_depth * sizeof(struct shmq_descriptor) > hello.arena_offset))
		abort();
	rc = attach_open_reply_check(bytes, length, &open, &err);
	check_err(rc, &err);
	if (!rc)
		check_text(open.reply.text, sizeof(open.reply.text));
	rc = attach_serve_reply_check(bytes, length, &serve, &err);
	check_err(rc, &err);
	if (!rc)
		check_text(serve.text, sizeof(serve.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As long as the message is, so that AddressSanitizer sees a step beyond it. */
	uint8_t *bytes = malloc(size ? size : 1);
	struct attach_head head = {.magic = ATTACH_MAGIC};

	if (!bytes)
		return 0;
	if (size)
		memcpy(bytes, data, size);
	as_engine(bytes, size);
	as_client(bytes, size);
	/* Again with a right start, so that what is behind it is reached. */
	if (size >= sizeof(head)) {
		head.type = data[4];
		head.length_bytes = (uint16_t)size;
		memcpy(bytes, &head, sizeof(head));
		as_engine(bytes, size);
		as_client(bytes, size);
	}
	free(bytes);
	return 0;
}
