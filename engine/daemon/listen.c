/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPTS_MAX 64u /* in a tenth of a second; as many as may wait in the kernel */

/* Removes what a dead daemon left at @path; refuses anything else. */
static int make_room(const char *path, const struct sockaddr_un *address, int type, struct err *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s exists and is not a socket: move it away", path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "no socket: %s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return err_set(err, -EADDRINUSE,
			       "another lockstepd answers at %s: stop it, or use another --run",
			       path);
	if (unlink(path))
		return err_set(err, -errno, "cannot remove the stale socket %s: %s", path,
			       strerror(errno));
	return 0;
}

int listen_unix(const char *path, int type, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "the socket path %s is longer than %zu characters", path,
			       sizeof(address.sun_path) - 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	rc = make_room(path, &address, type, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "no socket: %s", strerror(errno));
	/* Never wider than 0660, not for a moment. */
	mask = umask(0117);
	rc = bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, ACCEPTS_MAX)
		     ? -errno
		     : 0;
	umask(mask);
	if (rc) {
		close(fd);
		return err_set(err, rc, "cannot listen at %s: %s", path, strerror(-rc));
	}
	return fd;
}

static int on_clock(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	(void)userdata;
	return 0;
}

int listen_watch(sd_event *event, sd_event_source **source, int fd, sd_event_io_handler_t on_accept,
		 void *userdata)
{
	/* The limit below needs the loop's clock, a descriptor that comes with the first timer. */
	int rc = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, 0, on_clock, NULL);

	if (rc >= 0)
		rc = sd_event_add_io(event, source, fd, EPOLLIN, on_accept, userdata);
	/* Without descriptors a connection stays pending, and epoll would report it for ever. */
	if (rc >= 0)
		rc = sd_event_source_set_ratelimit(*source, 100000, ACCEPTS_MAX);
	if (rc < 0)
		*source = sd_event_source_disable_unref(*source);
	return rc;
}
