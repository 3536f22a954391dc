/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's log: lines on standard error; under systemd with the journal's "<6>"
 * prefix.  For the control and CM threads.  The shard never writes: it sends notes.
 */
#ifndef LS_DAEMON_LOG_H
#define LS_DAEMON_LOG_H

#include "engine/base/defs.h"
#include "engine/config/options.h"

/* Call once, before there are threads. */
void log_init(int level);
void log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
