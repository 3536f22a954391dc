/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#define CAP_IPC_LOCK_BIT 14

/* Effective capabilities from /proc: one bit is all we want to know. */
static bool may_lock_any(void)
{
	unsigned long long caps = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	fclose(f);
	return caps >> CAP_IPC_LOCK_BIT & 1;
}

static void raise_lock_limit(struct machine *m)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

	/* Not permitted to everybody: then as far as the hard limit. */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) && !getrlimit(RLIMIT_MEMLOCK, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		limit.rlim_cur = 0;
	m->lock_unlimited = limit.rlim_cur == RLIM_INFINITY || may_lock_any();
	m->lock_limit_bytes = limit.rlim_cur;
}

/* A client has up to three descriptors, a link and a device some more: 1,024 are not enough. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void machine_prepare(struct machine *m)
{
	struct utsname name;

	*m = (struct machine){0};
	if (!uname(&name))
		snprintf(m->kernel, sizeof(m->kernel), "%.30s %.60s %.20s", name.sysname,
			 name.release, name.machine);
	raise_lock_limit(m);
	raise_file_limit();
	/*
	 * Under a limit, MCL_FUTURE makes later mappings fail: worse than a page fault.
	 * ONFAULT: what is never touched need not be there.
	 */
	if (!m->lock_unlimited)
		snprintf(m->memory, sizeof(m->memory), "not locked: the limit is %llu KiB",
			 (unsigned long long)m->lock_limit_bytes >> 10);
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		snprintf(m->memory, sizeof(m->memory), "not locked: %s", strerror(errno));
	else
		snprintf(m->memory, sizeof(m->memory), "locked");
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		snprintf(m->io_flusher, sizeof(m->io_flusher), "off: %s", strerror(errno));
	else
		snprintf(m->io_flusher, sizeof(m->io_flusher), "on");
}

int machine_lock_check(const struct machine *m, uint64_t need_bytes, struct err *err)
{
	if (m->lock_unlimited || m->lock_limit_bytes >= need_bytes)
		return 0;
	return err_set(
		err, -ENOMEM,
		"this process may lock only %llu KiB of memory, but needs about %llu MiB for "
		"the NIC: raise it with LimitMEMLOCK=infinity (systemd), ulimit -l unlimited, "
		"or start as root",
		(unsigned long long)m->lock_limit_bytes >> 10,
		(unsigned long long)(need_bytes + MIB(1) - 1) >> 20);
}
