/* SPDX-License-Identifier: BSD-3-Clause */
/* The control path: connect, map the queue.  Messages: engine/shm/attach.h. */
#include "engine/client/connection.h"
#include "engine/shm/shmq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define QUEUE_DEPTH_DEFAULT 128u
#define ARENA_BYTES_DEFAULT MIB(32)
/* Longer than an engine waits for devices that still work for a killed one (75 s). */
#define RECONNECT_MS_DEFAULT 90000u

/* Smaller structs are of older programs; larger ones are fine while what we lack is zero. */
static int options_copy(struct ls_options *to, const struct ls_options *from, struct err *err)
{
	const unsigned char *bytes = (const unsigned char *)from;

	*to = (struct ls_options){0};
	if (from) {
		if (from->size < offsetof(struct ls_options, spin_us) || from->size > 4096)
			return err_set(err, -EINVAL,
				       "ls_options.size is %u: set it to sizeof(struct ls_options)",
				       from->size);
		for (uint32_t i = sizeof(*to); i < from->size; i++) {
			if (bytes[i])
				return err_set(err, -E2BIG,
					       "ls_options has a field that this liblockstep is "
					       "too old for: install a newer one");
		}
		memcpy(to, from, min_u64(from->size, sizeof(*to)));
	}
	if (to->reserved)
		return err_set(err, -EINVAL, "ls_options.reserved is not 0");
	if (!to->reconnect_ms)
		to->reconnect_ms = RECONNECT_MS_DEFAULT;
	if (!to->queue_depth)
		to->queue_depth = QUEUE_DEPTH_DEFAULT;
	if (!to->arena_bytes)
		to->arena_bytes = ARENA_BYTES_DEFAULT;
	if (!to->socket)
		to->socket = secure_getenv(ATTACH_SOCKET_ENV);
	if (!to->socket || !to->socket[0])
		to->socket = ATTACH_SOCKET_DEFAULT;
	return 0;
}

static int attach(struct ls_connection *c, const struct ls_options *options,
		  struct attach_hello_reply *reply, int *fds)
{
	struct attach_hello hello;
	int rc;

	attach_hello_set(&hello, options->queue_depth, options->arena_bytes);
	/* The engine would say the same; this way the sentence comes without it. */
	rc = attach_hello_check(&hello, sizeof(hello), &hello, &c->err);
	if (!rc)
		rc = dial_path(c, options->socket);
	if (!rc)
		rc = dial_socket(c, 0);
	if (!rc)
		rc = dial_hello(c, options->queue_depth, options->arena_bytes);
	if (!rc)
		rc = dial_hello_answer(c, reply, fds);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

static int queue_map(struct ls_connection *c, const struct attach_hello_reply *reply)
{
	struct shmq_layout layout = shmq_layout_of(reply->queue_depth, reply->arena_bytes);
	const struct shmq_header *h;
	struct stat st;
	void *base;

	if (fstat(c->memory, &st) || st.st_size < 0 || (uint64_t)st.st_size != layout.total_bytes)
		return err_set(&c->err, -EPROTO, "the engine's shared memory has a wrong length");
	base = mmap(NULL, layout.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory, 0);
	if (base == MAP_FAILED)
		return err_set(&c->err, -errno,
			       "cannot map %llu MiB of shared memory: %s (see ulimit -v, -l)",
			       (unsigned long long)(layout.total_bytes >> 20), strerror(errno));
	h = c->header = base;
	c->total_bytes = layout.total_bytes;
	if (h->magic != SHMQ_MAGIC || h->abi_version != SHMQ_ABI_VERSION ||
	    h->depth != reply->queue_depth || h->cq_offset != layout.cq_offset ||
	    h->arena_offset != layout.arena_offset || h->arena_bytes != layout.arena_bytes ||
	    h->total_bytes != layout.total_bytes)
		return err_set(&c->err, -EPROTO, "the engine's shared memory is not a queue");
	c->depth = reply->queue_depth;
	c->sq = (void *)((char *)base + SHMQ_PAGE_BYTES);
	c->cq = (void *)((char *)base + layout.cq_offset);
	c->arena_base = (char *)base + layout.arena_offset;
	c->arena_bytes = layout.arena_bytes;
	c->arena = arena_create((uint32_t)(layout.arena_bytes / ARENA_PAGE_BYTES));
	if (queue_init(c) || !c->arena)
		return err_set(&c->err, -ENOMEM, "no memory for a connection");
	return 0;
}

static int epoll_open(struct ls_connection *c)
{
	struct epoll_event event = {.events = EPOLLIN};

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->epoll < 0 || c->timer < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wakeup, &event) ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->socket, &event) ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->timer, &event))
		return err_set(&c->err, -errno, "cannot create an epoll: %s", strerror(errno));
	return 0;
}

static int connection_open(struct ls_connection *c, const struct ls_options *options)
{
	struct ls_options o;
	struct attach_hello_reply reply;
	int fds[ATTACH_NR_FDS];
	int rc = options_copy(&o, options, &c->err);

	if (rc)
		return rc;
	c->spin_us = o.spin_us;
	if (o.reconnect_ms != LS_RECONNECT_NEVER)
		c->patience_ns = c->patience_left_ns = (uint64_t)o.reconnect_ms * 1000000;
	rc = attach(c, &o, &reply, fds);
	if (rc)
		return rc;
	c->doorbell = fds[ATTACH_FD_DOORBELL];
	c->wakeup = fds[ATTACH_FD_WAKEUP];
	c->memory = fds[ATTACH_FD_MEMORY];
	rc = queue_map(c, &reply);
	return rc ? rc : epoll_open(c);
}

int ls_connect(const struct ls_options *options, struct ls_connection **connection, char *message,
	       size_t message_bytes)
{
	struct ls_connection *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		if (message && message_bytes)
			snprintf(message, message_bytes, "no memory for a connection");
		return -ENOMEM;
	}
	c->socket = c->doorbell = c->wakeup = c->memory = c->timer = c->epoll = -1;
	rc = connection_open(c, options);
	if (rc) {
		if (message && message_bytes)
			snprintf(message, message_bytes, "%s", c->err.text);
		ls_disconnect(c);
		return rc;
	}
	*connection = c;
	return 0;
}

void ls_disconnect(struct ls_connection *c)
{
	if (!c)
		return;
	const int fds[] = {c->epoll, c->timer, c->wakeup, c->doorbell, c->socket, c->memory};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (c->header)
		munmap(c->header, c->total_bytes);
	arena_destroy(c->arena);
	free(c->requests);
	free(c);
}

const char *ls_error(const struct ls_connection *c)
{
	return c->err.text;
}

uint64_t ls_reconnects(const struct ls_connection *c)
{
	return c->nr_reattached;
}
