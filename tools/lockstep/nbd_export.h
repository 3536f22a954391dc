/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit with our plugin, as a child process. */
#ifndef LS_TOOLS_NBD_EXPORT_H
#define LS_TOOLS_NBD_EXPORT_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct nbd_export {
	const char *volume;
	const char *socket; /* the daemon's, for clients */
	char path[108]; /* where nbdkit listens; empty: TCP, at @port of 127.0.0.1 */
	uint64_t inode; /* of @path, once it listened */
	uint16_t port;
	unsigned reconnect_s; /* so long requests wait for an engine that went away */
};

/* nbdkit and the plugin, or why there is none; nothing is started. */
int nbd_export_check(struct err *err);

/*
 * Starts nbdkit; returns its pid.  Connections are taken from now on, refused once it has ended.
 * Its words go to our standard error.
 */
pid_t nbd_export_start(struct nbd_export *export, struct err *err);

/* "nbd+unix:///?socket=/run/db.sock" */
void nbd_export_uri(const struct nbd_export *export, char *uri, size_t room);

#endif
