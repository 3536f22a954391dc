/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/nbd_export.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16
#define FIRST_PASSED_FD 3 /* of systemd's socket activation, which nbdkit understands */

#ifndef LS_NBDKIT_PLUGINS
#error "LS_NBDKIT_PLUGINS: nbdkit's folder of plugins below the prefix"
#endif

/* The plugin that belongs to this program: in the build folder, or below the same prefix. */
static const char *plugin_path(char *out, size_t room)
{
	static const char *const places[] = {
		"/../nbdkit/nbdkit-lockstep-plugin.so",
		"/../" LS_NBDKIT_PLUGINS "/nbdkit-lockstep-plugin.so",
	};
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		return NULL;
	self[length] = 0;
	*strrchr(self, '/') = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(out, room, "%s%s", self, places[i]);
		if (!access(out, R_OK))
			return out;
	}
	return NULL;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char copy[4096], full[PATH_MAX], *rest = copy, *folder;

	snprintf(copy, sizeof(copy), "%s", path ? path : "/usr/sbin:/usr/bin");
	while ((folder = strsep(&rest, ":"))) {
		snprintf(full, sizeof(full), "%s/%s", folder, program);
		if (!access(full, X_OK))
			return true;
	}
	return false;
}

int nbd_export_check(struct err *err)
{
	char path[PATH_MAX];

	if (!in_path("nbdkit"))
		return err_set(err, -ENOENT,
			       "nbdkit is not installed: `apt install nbdkit` (a program that uses "
			       "liblockstep itself needs none)");
	if (!plugin_path(path, sizeof(path)))
		return err_set(
			err, -ENOENT,
			"nbdkit's plugin for Lockstep is not installed: the Debian package is "
			"nbdkit-lockstep-plugin");
	return 0;
}

/* --- where it listens --- */

static int address_of(const struct nbd_export *e, struct sockaddr_storage *out, socklen_t *length)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct sockaddr_in port = {
		.sin_family = AF_INET,
		.sin_port = htons(e->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	if (e->path[0])
		snprintf(path.sun_path, sizeof(path.sun_path), "%s", e->path);
	*length = e->path[0] ? sizeof(path) : sizeof(port);
	memcpy(out, e->path[0] ? (void *)&path : (void *)&port, *length);
	return socket(out->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int listen_at(struct nbd_export *e, struct err *err)
{
	struct sockaddr_storage address;
	struct stat there;
	socklen_t length;
	const int one = 1;
	int fd = address_of(e, &address, &length), rc;

	if (fd < 0)
		return err_set(err, -errno, "no socket: %s", strerror(errno));
	/* One that an earlier nbdkit left; not a file, nor a socket that somebody serves. */
	if (e->path[0] && !lstat(e->path, &there) && S_ISSOCK(there.st_mode)) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		if (!connect(fd, (struct sockaddr *)&address, length) || errno != ECONNREFUSED) {
			close(fd);
			return err_set(err, -EADDRINUSE,
				       "somebody listens at %s already: name another path",
				       e->path);
		}
		fcntl(fd, F_SETFL, 0);
		unlink(e->path);
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	rc = bind(fd, (struct sockaddr *)&address, length);
	if (!rc)
		rc = listen(fd, BACKLOG);
	if (!rc && !e->path[0] && !e->port) {
		rc = getsockname(fd, (struct sockaddr *)&address, &length);
		e->port = ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
	}
	if (!rc && e->path[0] && !lstat(e->path, &there))
		e->inode = there.st_ino;
	if (rc) {
		char uri[256];

		nbd_export_uri(e, uri, sizeof(uri));
		rc = err_set(err, -errno, "nothing can listen at %s: %s", uri, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}

void nbd_export_uri(const struct nbd_export *e, char *uri, size_t room)
{
	if (e->path[0])
		snprintf(uri, room, "nbd+unix:///?socket=%s", e->path);
	else
		snprintf(uri, room, "nbd://127.0.0.1:%u", e->port);
}

/* --- nbdkit --- */

/* In the child. */
static _Noreturn void become_nbdkit(const struct nbd_export *e, int listener)
{
	char plugin[PATH_MAX], volume[128], socket_path[600], wait[40], pid[24];
	const char *argv[] = {"nbdkit", "-f", plugin, volume, socket_path, wait, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (!plugin_path(plugin, sizeof(plugin)))
		_exit(126);
	snprintf(volume, sizeof(volume), "volume=%s", e->volume);
	snprintf(socket_path, sizeof(socket_path), "socket=%s", e->socket);
	snprintf(wait, sizeof(wait), "reconnect=%u", e->reconnect_s);
	if (dup2(listener, FIRST_PASSED_FD) < 0)
		_exit(126);
	if (listener == FIRST_PASSED_FD)
		fcntl(listener, F_SETFD, 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	unsetenv("LISTEN_FDNAMES");
	unsetenv("NOTIFY_SOCKET");
	execvp("nbdkit", (char *const *)argv);
	dprintf(STDERR_FILENO, "lockstep: nbdkit cannot be started: %s\n", strerror(errno));
	_exit(127);
}

pid_t nbd_export_start(struct nbd_export *e, struct err *err)
{
	int listener = listen_at(e, err);
	pid_t pid;

	if (listener < 0)
		return listener;
	pid = fork();
	if (!pid)
		become_nbdkit(e, listener);
	if (pid < 0)
		pid = err_set(err, -errno, "no process for nbdkit: %s", strerror(errno));
	/* Only nbdkit has it now: who waits to be accepted hears when it ends. */
	close(listener);
	return pid;
}
