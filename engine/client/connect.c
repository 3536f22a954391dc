/* SPDX-License-Identifier: BSD-3-Clause */
/* The control path: connect, map the queue, open volumes.  Messages: engine/shm/attach.h. */
#include "engine/client/connection.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUE_DEPTH_DEFAULT 128u
#define ARENA_BYTES_DEFAULT MIB(32)
/* An engine that takes longer to answer is taken for dead.  It may have to pin 1 GiB. */
#define REPLY_TIMEOUT_S 30

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

static int socket_fail(const char *path, int error, struct err *err)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return err_set(err, -error,
			       "no permission for the engine's socket %s: run as a member of its "
			       "group, see ls -l",
			       path);
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED:
		return err_set(err, -error,
			       "the engine does not answer at %s: is lockstepd running? (%s)", path,
			       strerror(error));
	case EPROTOTYPE:
		return err_set(err, -error, "%s is a socket, but not the engine's client socket",
			       path);
	case EAGAIN:
		return err_set(err, -ETIMEDOUT,
			       "the engine at %s accepts no connection: is lockstepd stuck?", path);
	default:
		return err_set(err, -error, "cannot connect to %s: %s", path, strerror(error));
	}
}

static int socket_open(struct ls_connection *c, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
	int rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(&c->err, -ENAMETOOLONG,
			       "the socket path %.60s... is longer than %zu", path,
			       sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	c->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->socket < 0)
		return err_set(&c->err, -errno, "cannot create a socket: %s", strerror(errno));
	if (setsockopt(c->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(c->socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return err_set(&c->err, -errno, "cannot set a time limit: %s", strerror(errno));
	do {
		rc = connect(c->socket, (struct sockaddr *)&address, sizeof(address));
	} while (rc && errno == EINTR);
	return rc ? socket_fail(path, errno, &c->err) : 0;
}

/* One question, one answer of @reply_bytes <= ATTACH_MESSAGE_MAX; the length or an error. */
static ssize_t ask(struct ls_connection *c, const void *message, size_t length_bytes, void *reply,
		   int *fds, unsigned nr_fds, unsigned *got_fds)
{
	ssize_t n = attach_send(c->socket, message, length_bytes, NULL, 0);

	if (!n)
		n = attach_receive(c->socket, reply, fds, nr_fds, got_fds);
	if (n > 0)
		return n;
	if (n == -EAGAIN || n == -EWOULDBLOCK) {
		/* A late answer would be taken for that of the next question. */
		wait_gone(c, "the engine did not answer in 30 s: see the log of lockstepd");
		return err_set(&c->err, -ETIMEDOUT, "%s", c->gone);
	}
	if (n == 0 || n == -EPIPE || n == -ECONNRESET)
		return wait_gone(c, "the engine closed the connection: see the log of lockstepd");
	return err_set(&c->err, (int)n, "cannot talk to the engine: %s", strerror((int)-n));
}

static int attach(struct ls_connection *c, const struct ls_options *options,
		  struct attach_hello_reply *reply, int *fds)
{
	struct attach_hello hello;
	char buffer[ATTACH_MESSAGE_MAX];
	unsigned got = 0;
	ssize_t n;
	int rc;

	attach_hello_set(&hello, options->queue_depth, options->arena_bytes);
	/* The engine would say the same; this way the sentence comes without it. */
	rc = attach_hello_check(&hello, sizeof(hello), &hello, &c->err);
	if (rc)
		return rc;
	rc = socket_open(c, options->socket);
	if (rc)
		return rc;
	n = ask(c, &hello, sizeof(hello), buffer, fds, ATTACH_NR_FDS, &got);
	if (n < 0)
		return (int)n;
	rc = attach_hello_reply_check(buffer, (size_t)n, reply, &c->err);
	if (!rc && reply->reply.status)
		rc = err_set(&c->err, reply->reply.status, "the engine refused: %s",
			     reply->reply.text[0] ? reply->reply.text
						  : strerror(-reply->reply.status));
	if (!rc && !got)
		rc = err_set(&c->err, -EPROTO, "the engine sent no shared memory");
	for (unsigned i = 0; rc && i < got; i++)
		close(fds[i]);
	return rc;
}

static int queue_map(struct ls_connection *c, const struct attach_hello_reply *reply, int memory)
{
	struct shmq_layout layout = shmq_layout_of(reply->queue_depth, reply->arena_bytes);
	const struct shmq_header *h;
	struct stat st;
	void *base;

	if (fstat(memory, &st) || st.st_size < 0 || (uint64_t)st.st_size != layout.total_bytes)
		return err_set(&c->err, -EPROTO, "the engine's shared memory has a wrong length");
	base = mmap(NULL, layout.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
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
	if (!c->arena)
		return err_set(&c->err, -ENOMEM, "no memory for a connection");
	return 0;
}

static int epoll_open(struct ls_connection *c)
{
	struct epoll_event event = {.events = EPOLLIN};

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wakeup, &event) ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->socket, &event))
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
	rc = attach(c, &o, &reply, fds);
	if (rc)
		return rc;
	c->doorbell = fds[ATTACH_FD_DOORBELL];
	c->wakeup = fds[ATTACH_FD_WAKEUP];
	rc = queue_map(c, &reply, fds[ATTACH_FD_MEMORY]);
	close(fds[ATTACH_FD_MEMORY]);
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
	c->socket = c->doorbell = c->wakeup = c->epoll = -1;
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
	const int fds[] = {c->epoll, c->wakeup, c->doorbell, c->socket};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (c->header)
		munmap(c->header, c->total_bytes);
	arena_destroy(c->arena);
	free(c);
}

const char *ls_error(const struct ls_connection *c)
{
	return c->err.text;
}

int ls_volume_open(struct ls_connection *c, const char *name, struct ls_volume_info *info)
{
	struct attach_open open;
	struct attach_open_reply reply;
	char buffer[ATTACH_MESSAGE_MAX];
	ssize_t n;
	int rc;

	if (c->gone)
		return wait_gone(c, c->gone);
	rc = attach_open_set(&open, name);
	if (rc)
		return err_set(&c->err, rc, "a volume's name has 1 to %d bytes",
			       ATTACH_NAME_BYTES - 1);
	n = ask(c, &open, sizeof(open), buffer, NULL, 0, NULL);
	if (n < 0)
		return (int)n;
	rc = attach_open_reply_check(buffer, (size_t)n, &reply, &c->err);
	if (rc)
		return rc;
	if (reply.reply.status)
		return err_set(&c->err, reply.reply.status, "cannot open volume '%s': %s", name,
			       reply.reply.text[0] ? reply.reply.text
						   : strerror(-reply.reply.status));
	if (info)
		*info = (struct ls_volume_info){
			.size_bytes = reply.size_bytes,
			.block_bytes = reply.block_bytes,
			.request_max_bytes = reply.request_max_bytes,
			.mirrored = !!(reply.flags & ATTACH_VOLUME_MIRRORED),
			.primary = !!(reply.flags & ATTACH_VOLUME_PRIMARY),
		};
	return (int)reply.handle;
}
