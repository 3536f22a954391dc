/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The service manager's watchdog: it hears of us only while both threads turn, for the control
 * thread asks the shard each time.  Control thread.
 */
#ifndef LS_DAEMON_WATCHDOG_H
#define LS_DAEMON_WATCHDOG_H

#include "engine/daemon/daemon.h"

/* Without a watchdog (nobody asks for one): does nothing. */
int watchdog_start(struct daemon *d, struct err *err) MUST_CHECK;
/* No call of it is with the shard any more. */
void watchdog_stop(struct daemon *d);

#endif
