/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events on their way to those who watch: the engine's come by mail (struct event_note), the
 * control thread tells its own.  Each becomes a line in the log; the last EVENTS_KEPT stay, and
 * whoever subscribes is a place among them, so that no reader costs memory: one who is too slow is
 * told how many he missed.  Control thread.
 */
#ifndef LS_DAEMON_EVENTS_H
#define LS_DAEMON_EVENTS_H

#include "engine/daemon/event_note.h"

#define EVENTS_KEPT 256u

struct ctl_conn;
struct json_object;

struct event_log;

struct event_log *events_create(void); /* NULL: no memory */
void events_destroy(struct event_log *log);
/* An event of the control thread's own. */
void events_tell(struct event_log *log, const struct engine_event *event);
/* One of the engine's: what is missing before it was lost on the way. */
void events_take(struct event_log *log, const struct event_note *note);
/* There will be no more: whoever watches is answered. */
void events_end(struct event_log *log);

/* The command. */
void command_events(struct ctl_conn *conn, struct json_object *request);

#endif
