/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection between the kernel's nbd and the engine: engine/doc/block-device.md.  For
 * `lockstep attach`; not part of the library.
 */
#ifndef LS_CLIENT_SERVE_H
#define LS_CLIENT_SERVE_H

#include "engine/base/err.h"

/*
 * Has the engine behind the client socket @path serve @volume, which must be the one with the
 * identity @id (16 bytes; NULL: any).  Returns a socket for the kernel, whose next bytes are
 * requests and replies; or -EROFS (secondary here), -ENOENT (no such volume), -ESTALE (another one
 * of that name), -EAGAIN and others.  Waits for the engine's answer, a few seconds at most.
 */
int serve_volume(const char *path, const char *volume, const uint8_t *id,
		 struct err *err) MUST_CHECK;

#endif
