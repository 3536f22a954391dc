/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.sock: one JSON object on a line asks, one on a line answers; see
 * engine/doc/control.md.  A connection has one request under way at a time.  Control
 * thread.
 */
#ifndef LS_DAEMON_CTL_H
#define LS_DAEMON_CTL_H

#include "engine/base/err.h"

#include <json-c/json.h>

struct control;
struct daemon;
/* One request under way.  Outlives its connection: then the answer goes nowhere. */
struct ctl_conn;

int control_create(struct daemon *d, int listen_fd, struct control **control,
		   struct err *err) MUST_CHECK;
void control_destroy(struct control *control);

struct daemon *ctl_daemon(struct ctl_conn *conn);
/* Exactly one of these two for every request.  @answer (NULL = nothing to add) is consumed. */
void ctl_answer(struct ctl_conn *conn, struct json_object *answer);
void ctl_fail(struct ctl_conn *conn, const struct err *err);
/* A line {"progress":…}, any number of times before; dropped for slow readers.  Consumes. */
void ctl_progress(struct ctl_conn *conn, struct json_object *progress);

/*
 * For a request whose answer comes behind any number of lines, as they come.  next() is called when
 * the reader has taken what was there: the next line, or NULL; then it is called again behind
 * ctl_stream_news().  It may end the stream with ctl_stream_end() and ctl_answer(), and return
 * NULL.  closed(): the reader is gone, and no answer is wanted.
 */
struct ctl_stream {
	struct json_object *(*next)(struct ctl_stream *stream);
	void (*closed)(struct ctl_stream *stream);
};
void ctl_stream_begin(struct ctl_conn *conn, struct ctl_stream *stream);
void ctl_stream_news(struct ctl_conn *conn);
void ctl_stream_end(struct ctl_conn *conn);

/*
 * The request under way is an operation that changes something: its begin and its end are told as
 * events.  @name stays.
 */
void ctl_operation(struct ctl_conn *conn, const char *name, struct json_object *request);

/* commands.c: starts to execute @request. */
void command_run(struct ctl_conn *conn, struct json_object *request);

#endif
