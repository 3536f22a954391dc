/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP side (libmicrohttpd, a thread of its own): GET /metrics, and a word on / of where. */
#ifndef LS_EXPORTER_HTTP_H
#define LS_EXPORTER_HTTP_H

#include "engine/base/err.h"
#include "engine/base/host_port.h"

struct http;

struct http_config {
	const char *control; /* the engine's socket */
	unsigned timeout_ms; /* for its answer */
};

/* Connections at once; Prometheus needs one. */
#define HTTP_CONNECTIONS_MAX 16u
/* An idle one is closed after so long. */
#define HTTP_IDLE_S 30u

/* @listen's port may be 0: then @where says which one it became. */
int http_start(const struct http_config *config, const struct host_port *listen, struct http **http,
	       char *where, size_t where_bytes, struct err *err) MUST_CHECK;
void http_stop(struct http *http);

#endif
