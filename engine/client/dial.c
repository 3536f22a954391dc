/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's socket: the first talk with an engine, and that with its successor. */
#include "engine/client/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

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

int dial_path(struct ls_connection *c, const char *path)
{
	if (strlen(path) >= sizeof(c->socket_path))
		return err_set(&c->err, -ENAMETOOLONG,
			       "the socket path %.60s... is longer than %zu", path,
			       sizeof(c->socket_path) - 1);
	memcpy(c->socket_path, path, strlen(path));
	return 0;
}

int dial_socket(struct ls_connection *c, int flags)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
	int rc;

	_Static_assert(sizeof(c->socket_path) == sizeof(address.sun_path), "a path fits");
	memcpy(address.sun_path, c->socket_path, sizeof(address.sun_path));
	c->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	if (c->socket < 0)
		return err_set(&c->err, -errno, "cannot create a socket: %s", strerror(errno));
	if (setsockopt(c->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(c->socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return err_set(&c->err, -errno, "cannot set a time limit: %s", strerror(errno));
	do {
		rc = connect(c->socket, (struct sockaddr *)&address, sizeof(address));
	} while (rc && errno == EINTR);
	return rc ? socket_fail(c->socket_path, errno, &c->err) : 0;
}

/* The sentence for @n of attach_send() or attach_receive(); the end of the socket is -EPIPE. */
static int talk_failed(struct ls_connection *c, ssize_t n)
{
	if (n == -EAGAIN || n == -EWOULDBLOCK)
		return err_set(&c->err, -EAGAIN,
			       "the engine did not answer in %d s: see the log "
			       "of lockstepd",
			       REPLY_TIMEOUT_S);
	if (n == 0 || n == -EPIPE || n == -ECONNRESET)
		return err_set(&c->err, -EPIPE,
			       "the engine closed the connection: see the log of lockstepd");
	return err_set(&c->err, (int)n, "cannot talk to the engine: %s", strerror((int)-n));
}

int dial_hello(struct ls_connection *c, uint32_t depth, uint64_t arena_bytes)
{
	bool again = c->memory >= 0;
	struct attach_hello hello;
	int rc;

	attach_hello_set(&hello, depth, arena_bytes);
	hello.flags = again ? ATTACH_HELLO_MEMORY : 0;
	rc = attach_send(c->socket, &hello, sizeof(hello), &c->memory, again);
	return rc ? talk_failed(c, rc) : 0;
}

static int hello_refused(struct ls_connection *c, const struct attach_reply *reply)
{
	return err_set(&c->err, reply->status, "the engine refused: %s",
		       reply->text[0] ? reply->text : strerror(-reply->status));
}

int dial_hello_answer(struct ls_connection *c, struct attach_hello_reply *reply, int *fds)
{
	char buffer[ATTACH_MESSAGE_MAX];
	unsigned got = 0;
	ssize_t n = attach_receive(c->socket, buffer, fds, ATTACH_NR_FDS, &got);
	int rc = n > 0 ? attach_hello_reply_check(buffer, (size_t)n, reply, &c->err)
		       : talk_failed(c, n);

	if (!rc && reply->reply.status)
		rc = hello_refused(c, &reply->reply);
	if (!rc && !got)
		rc = err_set(&c->err, -EPROTO, "the engine sent no shared memory");
	for (unsigned i = 0; rc && i < got; i++)
		close(fds[i]);
	return rc;
}

static int bad_name(struct ls_connection *c, int rc)
{
	return err_set(&c->err, rc, "a volume's name has 1 to %d bytes", ATTACH_NAME_BYTES - 1);
}

int dial_open(struct ls_connection *c, const char *name)
{
	struct attach_open open;
	int rc = attach_open_set(&open, name);

	if (rc)
		return bad_name(c, rc);
	rc = attach_send(c->socket, &open, sizeof(open), NULL, 0);
	return rc ? talk_failed(c, rc) : 0;
}

int dial_open_answer(struct ls_connection *c, struct attach_open_reply *reply)
{
	char buffer[ATTACH_MESSAGE_MAX];
	ssize_t n = attach_receive(c->socket, buffer, NULL, 0, NULL);

	return n > 0 ? attach_open_reply_check(buffer, (size_t)n, reply, &c->err)
		     : talk_failed(c, n);
}

int dial_serve(struct ls_connection *c, const char *name, const uint8_t *id, int with)
{
	char buffer[ATTACH_MESSAGE_MAX];
	struct attach_serve serve;
	struct attach_reply reply;
	int rc = attach_serve_set(&serve, name, id);
	ssize_t n;

	if (rc)
		return bad_name(c, rc);
	rc = attach_send(c->socket, &serve, serve.head.length_bytes, &with, 1);
	if (rc)
		return talk_failed(c, rc);
	n = attach_receive(c->socket, buffer, NULL, 0, NULL);
	rc = n > 0 ? attach_serve_reply_check(buffer, (size_t)n, &reply, &c->err)
		   : talk_failed(c, n);
	if (!rc && reply.status)
		rc = err_set(&c->err, reply.status, "%s", reply.text);
	return rc;
}
