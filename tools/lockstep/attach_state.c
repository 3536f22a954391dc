/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/attach.h"

#include "engine/json/json.h"
#include "tools/lockstep/nbd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel takes its time with one that is writing out its memory. */
#define KILL_LIMIT_MS 5000

void attach_place_init(struct attach_place *p, const struct cli *cli, const char *volume)
{
	snprintf(p->folder, sizeof(p->folder), "%s-attach", cli->run);
	snprintf(p->lock, sizeof(p->lock), "%s/%s.lock", p->folder, volume);
	snprintf(p->state, sizeof(p->state), "%s/%s.json", p->folder, volume);
	snprintf(p->log, sizeof(p->log), "%s/%s.log", p->folder, volume);
	snprintf(p->link, sizeof(p->link), "/dev/lockstep/%s", volume);
	snprintf(p->backend, sizeof(p->backend), "lockstep/%s", volume);
}

bool attach_id(const char *uuid, uint8_t id[16])
{
	if (!uuid || strlen(uuid) != 32 || strspn(uuid, "0123456789abcdef") != 32)
		return false;
	for (unsigned i = 0; i < 16; i++)
		if (sscanf(uuid + 2 * i, "%2hhx", &id[i]) != 1)
			return false;
	return true;
}

/* --- one keeper for each volume --- */

/* A lock of fcntl() tells who holds it, and no child inherits it. */
int attach_lock(const struct attach_place *p, pid_t *holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd, rc;

	*holder = 0;
	if (mkdir(p->folder, 0755) && errno != EEXIST)
		return -errno;
	fd = open(p->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_SETLK, &lock))
		return fd;
	rc = errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	if (!fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK)
		*holder = lock.l_pid;
	close(fd);
	return rc;
}

pid_t attach_holder(const struct attach_place *p)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(p->lock, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock))
		lock.l_type = F_UNLCK;
	close(fd);
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

/* --- notes --- */

struct json_object *attach_state_load(const struct attach_place *p)
{
	struct json_object *state = access(p->state, R_OK) ? NULL : json_object_from_file(p->state);

	if (state && !json_get_bool(state, "ok", false)) {
		json_object_put(state);
		state = NULL;
	}
	return state;
}

int attach_state_save(const struct attach_place *p, struct json_object *state)
{
	char new[sizeof(p->state) + 4];

	snprintf(new, sizeof(new), "%s.new", p->state);
	if (json_object_to_file_ext(new, state,
				    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE) ||
	    rename(new, p->state))
		return -EIO;
	return 0;
}

void attach_link(const struct attach_place *p, const char *device)
{
	char new[sizeof(p->link) + 1];

	/* No volume's name begins with a dot: one may be called "VOLUME.new". */
	snprintf(new, sizeof(new), "/dev/lockstep/.%s", strrchr(p->link, '/') + 1);
	mkdir("/dev/lockstep", 0755);
	unlink(new);
	if (!symlink(device, new))
		rename(new, p->link);
}

void attach_unlink(const struct attach_place *p)
{
	unlink(p->link);
	rmdir("/dev/lockstep"); /* unless there are others */
}

void attach_forget(const struct attach_place *p, const char *socket, uint64_t inode)
{
	struct stat there;

	unlink(p->state);
	if (socket && *socket && !lstat(socket, &there) && there.st_ino == inode)
		unlink(socket);
	/* The lock's file stays: one that is removed would be two. */
}

/* Another lockstepd of this host may have a volume of that name: only what was noted is ours. */
int attach_device(const struct attach_place *p, struct json_object *state)
{
	const char *device = json_get_text(state, "device", NULL);
	int index = -1;

	return device && sscanf(device, "/dev/nbd%d", &index) == 1 &&
			       nbd_device_has(index, p->backend)
		       ? index
		       : -1;
}

/* --- processes --- */

pid_t attach_nbdkit(struct json_object *state)
{
	pid_t pid = (pid_t)json_get_u64(state, "nbdkit", 0);
	char path[64], words[4096], want[128];
	size_t length;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	snprintf(want, sizeof(want), "volume=%s", json_get_text(state, "volume", ""));
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return 0;
	length = fread(words, 1, sizeof(words), f);
	fclose(f);
	/* Numbers come again: only a process that was called like that. */
	return memmem(words, length, want, strlen(want) + 1) && memmem(words, length, "nbdkit", 6)
		       ? pid
		       : 0;
}

void attach_end_process(pid_t pid, int patience_ms)
{
	struct pollfd fd = {.events = POLLIN};

	if (pid <= 0)
		return;
	fd.fd = pidfd_open(pid, 0);
	if (fd.fd < 0)
		return;
	if (patience_ms)
		pidfd_send_signal(fd.fd, SIGTERM, NULL, 0);
	if (!patience_ms || poll(&fd, 1, patience_ms) == 0) {
		pidfd_send_signal(fd.fd, SIGKILL, NULL, 0);
		poll(&fd, 1, KILL_LIMIT_MS);
	}
	close(fd.fd);
	waitpid(pid, NULL, WNOHANG);
}
