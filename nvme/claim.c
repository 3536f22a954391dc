/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme/claim.h"
#include "engine/base/clock.h"
#include "nvme/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

/* The kernel has no event for the end of a claim. */
#define PAUSE_MS 5u

static uint64_t now_ms(void)
{
	return clock_precise() / NS_PER_MS;
}

/* False: @until_ms has passed. */
static bool pause_until(uint64_t until_ms)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

	if (now_ms() >= until_ms)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

int claim_device(const char *path, dev_t device, uint32_t wait_ms, struct err *err)
{
	uint64_t until = now_ms() + wait_ms;
	char users[400];
	bool known = false;
	int fd, code;

	do {
		fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
		code = fd < 0 ? -errno : 0;
		if (code == -EBUSY)
			known = sysfs_block_users(device, users, sizeof(users));
	} while (code == -EBUSY && !known && pause_until(until));
	if (code == -EBUSY)
		return err_set(err, code, "%s: in use: %s", path, users);
	return code ? code : fd;
}

bool claim_lock(int fd, uint32_t wait_ms)
{
	uint64_t until = now_ms() + wait_ms;

	do {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
	} while (pause_until(until));
	return false;
}
