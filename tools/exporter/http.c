/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/exporter/http.h"

#include "engine/json/json.h"
#include "tools/exporter/ask.h"
#include "tools/exporter/page.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEXT_FORMAT "text/plain; version=0.0.4; charset=utf-8"

struct http {
	struct http_config config;
	struct MHD_Daemon *server;
	bool down; /* the engine was, when it was last asked: that is said once */
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One thread answers all connections, so this needs no lock. */
static struct json_object *ask(struct http *h)
{
	struct json_object *status = NULL;
	struct err err;

	if (ask_status(h->config.control, h->config.timeout_ms, &status, &err)) {
		if (!h->down)
			fprintf(stderr, "lockstep-exporter: %s\n", err.text);
		h->down = true;
		return NULL;
	}
	if (h->down)
		fprintf(stderr, "lockstep-exporter: lockstepd answers again\n");
	h->down = false;
	return status;
}

/* To be freed; NULL: no memory. */
static char *make_page(struct http *h, size_t *bytes)
{
	double begun_s = now_s();
	struct json_object *status = ask(h);
	char *text = NULL;
	FILE *page = open_memstream(&text, bytes);
	bool failed;

	if (!page) {
		json_object_put(status);
		return NULL;
	}
	page_write(page, status, now_s() - begun_s);
	json_object_put(status);
	failed = ferror(page);
	failed |= fclose(page) != 0;
	if (failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* Takes @text over when it is @owned. */
static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
			       char *text, size_t bytes, bool owned)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		bytes, text, owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response) {
		if (owned)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return respond(connection, status, "text/plain; charset=utf-8", (char *)text, strlen(text),
		       false);
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **state)
{
	static int begun;
	size_t bytes = 0;
	char *text;

	(void)version;
	(void)data;
	/* First comes the header alone; a body is thrown away. */
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*data_bytes) {
		*data_bytes = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, please.\n");
	if (!strcmp(url, "/"))
		return say(connection, MHD_HTTP_OK, "Lockstep's metrics are at /metrics.\n");
	if (strcmp(url, "/metrics"))
		return say(connection, MHD_HTTP_NOT_FOUND, "There is only /metrics.\n");
	text = make_page(ctx, &bytes);
	if (!text)
		return say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory.\n");
	return respond(connection, MHD_HTTP_OK, TEXT_FORMAT, text, bytes, true);
}

/* The address that @fd got, as a URL has it. */
static void describe(int fd, char *where, size_t bytes)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";

	if (!getsockname(fd, (struct sockaddr *)&address, &length))
		getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port,
			    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(where, bytes,
		 address.ss_family == AF_INET6 ? "http://[%s]:%s/metrics" : "http://%s:%s/metrics",
		 host, port);
}

static int listen_at(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, code;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, HTTP_CONNECTIONS_MAX))
		return fd;
	code = -errno;
	close(fd);
	return code;
}

static int listen_tcp(const struct host_port *at, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	int rc = getaddrinfo(at->host, at->port, &hints, &list), fd;

	if (rc)
		return err_set(err, -EINVAL, "'%s' is no address of this host: %s", at->host,
			       gai_strerror(rc));
	fd = listen_at(list);
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(err, fd, "cannot listen on %s port %s: %s", at->host, at->port,
			       strerror(-fd));
	return fd;
}

int http_start(const struct http_config *config, const struct host_port *at, struct http **http,
	       char *where, size_t where_bytes, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	int fd;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	h->config = *config;
	fd = listen_tcp(at, err);
	if (fd < 0) {
		free(h);
		return fd;
	}
	describe(fd, where, where_bytes);
	h->server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, h,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				     HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				     HTTP_IDLE_S, MHD_OPTION_END);
	if (!h->server) {
		close(fd);
		free(h);
		return err_set(err, -ENOMEM, "libmicrohttpd does not start");
	}
	*http = h;
	return 0;
}

void http_stop(struct http *h)
{
	MHD_stop_daemon(h->server);
	free(h);
}
