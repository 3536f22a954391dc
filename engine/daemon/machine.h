/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon asks of the kernel for itself at start, and what it got; for status. */
#ifndef LS_DAEMON_MACHINE_H
#define LS_DAEMON_MACHINE_H

#include "engine/base/err.h"

#include <stdbool.h>

struct machine {
	char kernel[128];
	char memory[160]; /* "all memory locked", "not locked: …" */
	char io_flusher[160]; /* "on", "off: …" */
	bool lock_unlimited;
	uint64_t lock_limit_bytes;
};

/* Before there are threads: the I/O flusher flag is inherited by them. */
void machine_prepare(struct machine *machine);
/*
 * Whether @need_bytes of memory can be locked for a device.  A sentence with what to do
 * when not.
 */
int machine_lock_check(const struct machine *machine, uint64_t need_bytes, struct err *err);

#endif
