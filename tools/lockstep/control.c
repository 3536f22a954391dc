/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DIAL_LIMIT_S 10

struct json_object *control_request(const char *command)
{
	struct json_object *request = json_object_new_object();

	json_set_text(request, "command", command);
	return request;
}

int control_dial(const struct cli *cli)
{
	/* Of connect(): one that takes no connections for long is stopped. */
	const struct timeval limit = {.tv_sec = DIAL_LIMIT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(cli->control) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", cli->control);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

static FILE *dial(const struct cli *cli)
{
	int fd = control_dial(cli);

	if (fd >= 0)
		return fdopen(fd, "r+e");
	if (fd == -ENAMETOOLONG)
		fail("the socket path %s is too long", cli->control);
	else if (fd == -EAGAIN)
		fail("lockstepd at %s takes no connections: it is stopped, or hangs", cli->control);
	else if (fd == -EACCES)
		fail("no permission to use %s: be root or in its group", cli->control);
	else
		fail("no lockstepd answers at %s (%s): start it, or name its directory with --run",
		     cli->control, strerror(-fd));
	return NULL;
}

static int send_request(FILE *f, struct json_object *request)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t length = strlen(text);
	int rc = 0;

	/* Not through the stream: mixing its directions needs seeks. */
	if (send(fileno(f), text, length, MSG_NOSIGNAL) != (ssize_t)length ||
	    send(fileno(f), "\n", 1, MSG_NOSIGNAL) != 1)
		rc = fail("lockstepd took no request: %s", strerror(errno));
	json_object_put(request);
	return rc;
}

void control_print(struct json_object *answer)
{
	puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(answer);
}

static int refused(const struct cli *cli, struct json_object *answer)
{
	fail("%s", json_get_text(answer, "error", "lockstepd refused and did not say why"));
	if (cli->json)
		control_print(answer);
	else
		json_object_put(answer);
	return EXIT_FAILED;
}

static int read_answer(const struct cli *cli, FILE *f,
		       void (*progress)(void *ctx, struct json_object *progress), void *ctx,
		       struct json_object **answer)
{
	struct json_object *json, *part;
	char *line = NULL;
	size_t room = 0;
	int rc = -1;

	while (rc < 0) {
		if (getline(&line, &room, f) <= 0) {
			rc = fail("lockstepd ended before it answered");
			break;
		}
		json = json_tokener_parse(line);
		if (json && json_object_object_get_ex(json, "progress", &part)) {
			if (progress)
				progress(ctx, part);
			json_object_put(json);
		} else if (json && json_object_object_get_ex(json, "event", &part)) {
			if (progress)
				progress(ctx, json);
			json_object_put(json);
		} else if (json && json_get_bool(json, "ok", false)) {
			*answer = json;
			rc = 0;
		} else if (json) {
			rc = refused(cli, json);
		} else {
			rc = fail("lockstepd gave an answer that is not JSON");
		}
	}
	free(line);
	return rc;
}

int control_call(const struct cli *cli, struct json_object *request,
		 void (*progress)(void *ctx, struct json_object *progress), void *ctx,
		 struct json_object **answer)
{
	FILE *f = dial(cli);
	int rc;

	if (!f) {
		json_object_put(request);
		return EXIT_FAILED;
	}
	rc = send_request(f, request);
	if (!rc)
		rc = read_answer(cli, f, progress, ctx, answer);
	fclose(f);
	return rc;
}

struct json_object *control_ask(const struct cli *cli, struct json_object *request,
				unsigned limit_s)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_NOSLASHESCAPE);
	const struct timeval limit = {.tv_sec = limit_s};
	struct json_object *answer = NULL;
	char *line = NULL;
	size_t room = 0;
	int fd = control_dial(cli);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r+e");

	if (f) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		if (dprintf(fd, "%s\n", text) > 0 && getline(&line, &room, f) > 0)
			answer = json_tokener_parse(line);
		fclose(f);
	}
	free(line);
	json_object_put(request);
	if (answer && !json_get_bool(answer, "ok", false)) {
		json_object_put(answer);
		answer = NULL;
	}
	return answer;
}

int control_do(const struct cli *cli, struct json_object *request, const char *done)
{
	struct json_object *answer;
	int rc = control_call(cli, request, NULL, NULL, &answer);

	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
	} else {
		json_object_put(answer);
		puts(done);
	}
	return 0;
}
