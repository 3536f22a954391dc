/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file with a key that two nodes share.  Hex digits (as `lockstep key create` writes
 * them), or any other bytes taken as they are; white space at the end does not count.
 */
#ifndef LS_DAEMON_KEYFILE_H
#define LS_DAEMON_KEYFILE_H

#include "engine/base/err.h"
#include "engine/base/limits.h"

#include <stdint.h>

struct key {
	uint8_t bytes[PEER_KEY_BYTES_MAX];
	size_t length_bytes;
};

/* The file must be regular, and not readable by group or others. */
int keyfile_read(const char *path, struct key *key, struct err *err) MUST_CHECK;

#endif
