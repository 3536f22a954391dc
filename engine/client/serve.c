/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/client/serve.h"

#include "engine/client/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int serve_volume(const char *path, const char *volume, const uint8_t *id, struct err *err)
{
	struct ls_connection c = {.socket = -1};
	int ends[2], rc, buffer = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return err_set(err, -errno, "cannot create a pair of sockets: %s", strerror(errno));
	/* One whole answer, or payload, at a time; the kernel may allow less. */
	for (unsigned i = 0; i < 2; i++)
		(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	rc = dial_path(&c, path);
	if (!rc)
		rc = dial_socket(&c, 0);
	if (!rc)
		rc = dial_serve(&c, volume, id, ends[1]);
	if (c.socket >= 0)
		close(c.socket);
	close(ends[1]); /* the engine has its own copy */
	if (!rc)
		return ends[0];
	close(ends[0]);
	*err = c.err;
	return rc;
}
