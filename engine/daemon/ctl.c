/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/ctl.h"
#include "engine/daemon/daemon.h"
#include "engine/daemon/log.h"
#include "engine/json/json.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define REQUEST_BYTES_MAX (64u << 10)
#define JSON_DEPTH_MAX 16
#define ANSWER_BYTES_MAX (16u << 20)
/* A reader that is so far behind gets no more progress lines. */
#define PROGRESS_BEHIND_MAX (64u << 10)

struct ctl_conn {
	struct control *control;
	unsigned place; /* in control->conns */
	int fd; /* -1: closed, and only the command under way keeps the memory */
	sd_event_source *io;
	sd_event_source *turn; /* runs conn_turn() once, from the loop */
	bool busy; /* a command is under way */
	bool eof; /* asks no more; may still read */
	bool dead; /* to be closed in the next turn */
	struct ctl_stream *stream; /* of the command under way, or NULL */
	const char *operation; /* the command under way, when it changes something */
	char volume[VOLUME_NAME_MAX + 1], pool[POOL_NAME_MAX + 1], peer[NODE_NAME_MAX + 1];
	size_t in_used;
	char in[REQUEST_BYTES_MAX];
	char *out;
	size_t out_used, out_sent, out_room;
};

struct control {
	struct daemon *d;
	int fd;
	sd_event_source *source;
	struct ctl_conn *conns[CONNECTIONS_MAX];
};

/*
 * Everything about the life of a connection is decided in conn_turn(), which runs from the
 * event loop only.  Others note what happened and ask for a turn, so that no connection is
 * freed under a caller's feet.
 */
static void conn_ask_turn(struct ctl_conn *c)
{
	sd_event_source_set_enabled(c->turn, SD_EVENT_ONESHOT);
}

static void conn_close(struct ctl_conn *c)
{
	c->io = sd_event_source_disable_unref(c->io);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void conn_free(struct ctl_conn *c)
{
	conn_close(c);
	sd_event_source_disable_unref(c->turn);
	c->control->conns[c->place] = NULL;
	free(c->out);
	free(c);
}

static void conn_write(struct ctl_conn *c)
{
	while (c->out_sent < c->out_used) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			c->dead = true;
			return;
		}
		c->out_sent += (size_t)n;
	}
	c->out_used = c->out_sent = 0;
}

static bool conn_append(struct ctl_conn *c, const char *text, size_t bytes)
{
	if (c->out_used + bytes > ANSWER_BYTES_MAX)
		return false;
	if (c->out_used + bytes > c->out_room) {
		size_t room = round_up_u64(c->out_used + bytes, 4096);
		char *out = realloc(c->out, room);

		if (!out)
			return false;
		c->out = out;
		c->out_room = room;
	}
	memcpy(c->out + c->out_used, text, bytes);
	c->out_used += bytes;
	return true;
}

/* Consumes @json. */
static void conn_line(struct ctl_conn *c, struct json_object *json)
{
	const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE);

	if (c->fd >= 0 &&
	    (!text || !conn_append(c, text, strlen(text)) || !conn_append(c, "\n", 1)))
		c->dead = true;
	json_object_put(json);
	conn_ask_turn(c);
}

/* --- operations, as events --- */

static const char *some(const char *text)
{
	return text[0] ? text : NULL;
}

static void tell_operation(struct ctl_conn *c, int level, const char *to, const char *reason)
{
	events_tell(c->control->d->events, &(struct engine_event){
						   .kind = EVENT_OPERATION,
						   .level = level,
						   .volume = some(c->volume),
						   .pool = some(c->pool),
						   .peer = some(c->peer),
						   .what = c->operation,
						   .to = to,
						   .reason = reason,
					   });
}

/* A name that makes no sense is refused later; here it is cut off. */
static void copy_name(char *to, size_t bytes, struct json_object *request, const char *key)
{
	snprintf(to, bytes, "%s", json_get_text(request, key, ""));
}

void ctl_operation(struct ctl_conn *c, const char *name, struct json_object *request)
{
	struct ucred who = {.pid = -1, .uid = (uid_t)-1};
	socklen_t bytes = sizeof(who);
	char by[64];

	c->operation = name;
	copy_name(c->volume, sizeof(c->volume), request,
		  strncmp(name, "volume-", 7) ? "volume" : "name");
	copy_name(c->pool, sizeof(c->pool), request, strncmp(name, "pool-", 5) ? "pool" : "name");
	copy_name(c->peer, sizeof(c->peer), request, strncmp(name, "peer-", 5) ? "peer" : "name");
	/* Who has gone meanwhile is nobody. */
	(void)getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes);
	snprintf(by, sizeof(by), "by uid %d, pid %d", (int)who.uid, (int)who.pid);
	tell_operation(c, LOG_LEVEL_INFO, "begun", by);
}

static void operation_ended(struct ctl_conn *c, struct json_object *answer, const struct err *err)
{
	const char *name = err ? strerrorname_np(-err->code) : NULL;
	char why[sizeof(err->text) + 32];

	if (!c->operation)
		return;
	if (err)
		snprintf(why, sizeof(why), "%s: %s", name ? name : "EIO", err->text);
	if (err)
		tell_operation(c, LOG_LEVEL_WARNING, "failed", why);
	else if (json_get_bool(answer, "running", false))
		tell_operation(c, LOG_LEVEL_INFO, "running", "it goes on by itself");
	else
		tell_operation(c, LOG_LEVEL_INFO, "done", json_get_text(answer, "text", ""));
	c->operation = NULL;
}

void ctl_answer(struct ctl_conn *c, struct json_object *answer)
{
	struct json_object *json = answer ? answer : json_object_new_object();

	assert(c->busy && !c->stream);
	operation_ended(c, json, NULL);
	c->busy = false;
	json_set_bool(json, "ok", true);
	conn_line(c, json);
}

void ctl_fail(struct ctl_conn *c, const struct err *err)
{
	const char *name = strerrorname_np(-err->code);
	struct json_object *json = json_object_new_object();

	assert(c->busy && !c->stream && err->code < 0);
	operation_ended(c, NULL, err);
	c->busy = false;
	json_set_bool(json, "ok", false);
	json_set_text(json, "error", err->text);
	json_set_text(json, "code", name ? name : "EIO");
	conn_line(c, json);
}

void ctl_progress(struct ctl_conn *c, struct json_object *progress)
{
	struct json_object *json;

	if (c->fd < 0 || c->out_used - c->out_sent > PROGRESS_BEHIND_MAX) {
		json_object_put(progress);
		return;
	}
	json = json_object_new_object();
	json_object_object_add(json, "progress", progress);
	conn_line(c, json);
}

/* --- streams --- */

void ctl_stream_begin(struct ctl_conn *c, struct ctl_stream *stream)
{
	assert(c->busy && !c->stream);
	c->stream = stream;
	conn_ask_turn(c);
}

void ctl_stream_news(struct ctl_conn *c)
{
	conn_ask_turn(c);
}

void ctl_stream_end(struct ctl_conn *c)
{
	assert(c->stream);
	c->stream = NULL;
}

/* As much as the reader takes. */
static void conn_stream(struct ctl_conn *c)
{
	struct json_object *line;

	while (c->stream && !c->out_used && !c->dead && (line = c->stream->next(c->stream))) {
		conn_line(c, line);
		conn_write(c);
	}
}

struct daemon *ctl_daemon(struct ctl_conn *c)
{
	return c->control->d;
}

/* One JSON object and nothing behind it, or NULL and @why. */
static struct json_object *parse_line(const char *text, size_t length, const char **why)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *json = NULL;

	*why = "no memory";
	if (!tokener)
		return NULL;
	json = json_tokener_parse_ex(tokener, text, (int)length);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		*why = "it ends too early";
	else if (!json)
		*why = json_tokener_error_desc(json_tokener_get_error(tokener));
	else if (!json_object_is_type(json, json_type_object))
		*why = "this is none";
	else if (json_tokener_get_parse_end(tokener) != length)
		*why = "there is more behind it";
	else
		*why = NULL;
	json_tokener_free(tokener);
	if (!*why)
		return json;
	json_object_put(json);
	return NULL;
}

/* The first whole line of the buffer, parsed; false when there is none. */
static bool take_line(struct ctl_conn *c, struct json_object **json, const char **why)
{
	char *end = memchr(c->in, '\n', c->in_used);
	size_t length;

	if (!end)
		return false;
	length = (size_t)(end - c->in);
	*json = parse_line(c->in, length, why);
	c->in_used -= length + 1;
	memmove(c->in, end + 1, c->in_used);
	return true;
}

/* Starts the next command; false when there is no whole line. */
static bool conn_next(struct ctl_conn *c)
{
	struct json_object *json;
	struct err err;
	const char *why;

	if (!take_line(c, &json, &why))
		return false;
	c->busy = true;
	if (json) {
		command_run(c, json);
	} else {
		err_set(&err, -EINVAL, "a request is one JSON object on a line: %s", why);
		ctl_fail(c, &err);
	}
	json_object_put(json);
	return true;
}

static void conn_refuse_long(struct ctl_conn *c)
{
	struct err err;

	err_set(&err, -EMSGSIZE, "the request is longer than %u bytes", REQUEST_BYTES_MAX);
	c->busy = true;
	c->eof = true;
	c->in_used = 0;
	ctl_fail(c, &err);
}

/* Reads only when nothing is under way: that bounds what one connection can pile up. */
static void conn_watch(struct ctl_conn *c)
{
	uint32_t events = 0;

	if (!c->eof && !c->busy && c->out_used == 0)
		events |= EPOLLIN;
	if (c->out_used)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(c->io, events);
}

/* The request ends here: there is nobody to answer. */
static void conn_drop_stream(struct ctl_conn *c)
{
	struct ctl_stream *stream = c->stream;

	if (!stream)
		return;
	c->stream = NULL;
	c->busy = false;
	stream->closed(stream);
}

static void conn_turn(struct ctl_conn *c)
{
	if (c->fd >= 0 && !c->dead) {
		conn_write(c);
		conn_stream(c);
	}
	if (c->dead)
		conn_close(c);
	if (c->fd < 0) {
		conn_drop_stream(c);
		if (!c->busy)
			conn_free(c);
		return;
	}
	/* Answers first, then the next command. */
	if (!c->busy && !c->out_used && !conn_next(c)) {
		if (c->in_used == sizeof(c->in)) {
			conn_refuse_long(c);
		} else if (c->eof) {
			conn_free(c);
			return;
		}
	}
	conn_watch(c);
}

static int on_turn(sd_event_source *source, void *userdata)
{
	(void)source;
	conn_turn(userdata);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct ctl_conn *c = userdata;

	(void)source;
	if (events & (EPOLLERR | EPOLLHUP))
		c->dead = true;
	if (!c->dead && events & EPOLLIN && c->in_used < sizeof(c->in)) {
		ssize_t n = recv(fd, c->in + c->in_used, sizeof(c->in) - c->in_used, MSG_DONTWAIT);

		if (n > 0)
			c->in_used += (size_t)n;
		else if (n == 0)
			c->eof = true;
		else if (errno != EAGAIN && errno != EINTR)
			c->dead = true;
	}
	conn_turn(c);
	return 0;
}

static int conn_create(struct control *control, unsigned place, int fd)
{
	struct ctl_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->control = control;
	c->place = place;
	c->fd = fd;
	rc = sd_event_add_defer(control->d->event, &c->turn, on_turn, c);
	if (rc >= 0)
		rc = sd_event_add_io(control->d->event, &c->io, fd, EPOLLIN, on_io, c);
	if (rc < 0) {
		sd_event_source_disable_unref(c->turn);
		free(c);
		return rc;
	}
	sd_event_source_set_enabled(c->turn, SD_EVENT_OFF);
	control->conns[place] = c;
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	static const char full[] = "{\"ok\":false,\"error\":\"too many connections to the control "
				   "socket\",\"code\":\"EMFILE\"}\n";
	struct control *control = userdata;
	unsigned place = 0;
	int conn;

	(void)source;
	(void)events;
	conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0)
		return 0;
	while (place < CONNECTIONS_MAX && control->conns[place])
		place++;
	if (place < CONNECTIONS_MAX && !conn_create(control, place, conn))
		return 0;
	(void)!send(conn, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(conn);
	return 0;
}

int control_create(struct daemon *d, int listen_fd, struct control **control, struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return err_set(err, -ENOMEM, "no memory for the control socket");
	c->d = d;
	c->fd = listen_fd;
	rc = listen_watch(d->event, &c->source, listen_fd, on_accept, c);
	if (rc < 0) {
		free(c);
		return err_set(err, rc, "control socket: %s", strerror(-rc));
	}
	*control = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (!c->conns[i])
			continue;
		/* The last words, `shutdown`'s answer among them, as far as the socket takes them.
		 */
		if (c->conns[i]->fd >= 0) {
			conn_write(c->conns[i]);
			conn_stream(c->conns[i]);
			conn_write(c->conns[i]);
		}
		conn_drop_stream(c->conns[i]);
		conn_free(c->conns[i]);
	}
	sd_event_source_disable_unref(c->source);
	free(c);
}
