/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/exporter/ask.h"

#include "engine/json/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "{\"command\":\"status\"}\n";

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int dial(const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, code;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "the socket path %s is too long", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "no socket: %s", strerror(errno));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	code = errno;
	close(fd);
	if (code == EACCES)
		return err_set(err, -code, "no permission to use %s: be root or in its group",
			       path);
	return err_set(err, -code, "no lockstepd answers at %s (%s)", path, strerror(code));
}

/* What there is, up to the end of the line; NULL with *@err set. */
static char *read_line(int fd, uint64_t deadline_ms, struct err *err)
{
	size_t room = KIB(64), used = 0;
	char *line = malloc(room);

	while (line) {
		uint64_t now = now_ms();
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (now >= deadline_ms || poll(&poll_fd, 1, (int)(deadline_ms - now)) == 0) {
			err_set(err, -ETIMEDOUT, "lockstepd did not answer in time");
			break;
		}
		got = recv(fd, line + used, room - used - 1, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0) {
			err_set(err, -EPIPE, "lockstepd ended before it answered");
			break;
		}
		used += (size_t)got;
		line[used] = '\0';
		if (line[used - 1] == '\n')
			return line;
		if (used < room - 1)
			continue;
		if (room >= ASK_ANSWER_MAX) {
			err_set(err, -EMSGSIZE, "lockstepd's answer is longer than %llu MiB",
				(unsigned long long)(ASK_ANSWER_MAX >> 20));
			break;
		}
		room *= 2;
		char *more = realloc(line, room);

		if (!more) {
			err_set(err, -ENOMEM, "no memory for lockstepd's answer");
			break;
		}
		line = more;
	}
	if (!line)
		err_set(err, -ENOMEM, "no memory for lockstepd's answer");
	free(line);
	return NULL;
}

static int parse(const char *line, struct json_object **status, struct err *err)
{
	struct json_object *json = json_tokener_parse(line);
	int rc = 0;

	if (!json)
		return err_set(err, -EPROTO, "lockstepd gave an answer that is not JSON");
	if (!json_get_bool(json, "ok", false))
		rc = err_set(err, -EPROTO, "lockstepd refused: %s",
			     json_get_text(json, "error", "it did not say why"));
	if (rc)
		json_object_put(json);
	else
		*status = json;
	return rc;
}

int ask_status(const char *socket_path, unsigned timeout_ms, struct json_object **status,
	       struct err *err)
{
	uint64_t deadline_ms = now_ms() + timeout_ms;
	int fd = dial(socket_path, err), rc;
	char *line;

	if (fd < 0)
		return fd;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1) {
		rc = err_set(err, -EPIPE, "lockstepd took no request: %s", strerror(errno));
		close(fd);
		return rc;
	}
	line = read_line(fd, deadline_ms, err);
	close(fd);
	if (!line)
		return err->code;
	rc = parse(line, status, err);
	free(line);
	return rc;
}
