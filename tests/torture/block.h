/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks that say what they are: each 512-byte sector of a 4 KiB block names the run, the volume,
 * the block and the version, and the rest of it follows from these.  So a block that is torn,
 * misplaced, damaged or from another run is told from one that is merely old.  Pure.
 */
#ifndef LS_TORTURE_BLOCK_H
#define LS_TORTURE_BLOCK_H

#include "engine/base/defs.h"

#include <stdbool.h>

#define BLOCK_BYTES 4096u
#define VERSION_ZEROES 0u /* never written, zeroed or discarded */

struct block_id {
	uint64_t seed; /* of the run */
	uint64_t block;
	uint64_t version; /* not 0 */
	uint32_t volume;
};

enum block_verdict {
	BLOCK_WHOLE, /* version is set */
	BLOCK_TORN, /* its sectors are of different versions */
	BLOCK_FOREIGN, /* whole, but of another place, volume or run */
	BLOCK_DAMAGED, /* nothing that was ever written */
};

void block_fill(void *buf, const struct block_id *id);
/* @id: in: what is expected, but for the version; out: what the first sector says. */
enum block_verdict block_look(const void *buf, struct block_id *id);

/* Of a whole volume, which comes in pieces of DIGEST_BYTES; begins with 0. */
#define DIGEST_BYTES KIB(128)
uint32_t digest_add(uint32_t digest, const void *piece, size_t bytes);

#endif
