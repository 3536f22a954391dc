/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's log: lines on standard error; where that is the journal, entries with fields
 * (`journalctl VOLUME=db`).  For the control and CM threads.  The shard never writes: it sends
 * notes.
 */
#ifndef LS_DAEMON_LOG_H
#define LS_DAEMON_LOG_H

#include "engine/base/defs.h"
#include "engine/config/options.h"

/* What a line is about: fields of the journal.  "" or NULL: it says nothing of that. */
struct log_fields {
	const char *message_id; /* 32 hexadecimal digits: the kind of message */
	const char *event; /* name of the kind */
	const char *volume, *pool, *peer, *client;
	const char *from, *to;
};

/* Call once, before there are threads. */
void log_init(int level);
void log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_with(int level, const struct log_fields *fields, const char *text);

#endif
