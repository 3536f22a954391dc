/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's log: lines on standard error; under systemd with the journal's "<6>"
 * prefix.  For the control and CM threads.  The shard never writes: it sends notes.
 */
#ifndef LS_DAEMON_LOG_H
#define LS_DAEMON_LOG_H

#include "engine/base/defs.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* "error", "warning", "info", "debug"; returns the level or -1. */
int log_level_parse(const char *name);
/* Call once, before there are threads. */
void log_init(int level);
void log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
