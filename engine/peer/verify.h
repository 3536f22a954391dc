/* SPDX-License-Identifier: BSD-3-Clause */
/* What a verify is asked for, and what it finds; engine/doc/verify.md. */
#ifndef LS_PEER_VERIFY_H
#define LS_PEER_VERIFY_H

#include "engine/base/defs.h"

#include <stdbool.h>

/* Places that are told one by one; what is behind them is only counted. */
#define VERIFY_PLACES_MAX 1024u

/* Which replica is wrong, by the checksum log of this node. */
enum verify_blame { VERIFY_UNKNOWN, VERIFY_LOCAL, VERIFY_PEER, VERIFY_BOTH, VERIFY_BLAMES };

const char *verify_blame_name(enum verify_blame blame); /* "unknown", "local", … */

struct verify_wish {
	uint64_t offset, length; /* bytes; length 0 = up to the end.  Widened to whole 4 KiB */
	bool repair;
};

struct verify_place {
	uint64_t offset, length;
	enum verify_blame blame;
	bool unreadable; /* the side that is blamed cannot be read here */
	bool repaired;
};

/* The caller's, who keeps it until the job is done. */
struct verify_result {
	uint64_t compared_bytes, different_bytes, repaired_bytes, duration_ns;
	uint64_t blamed_bytes[VERIFY_BLAMES];
	unsigned place_count;
	bool more; /* differences that are counted, but not among the places */
	struct verify_place places[VERIFY_PLACES_MAX]; /* by offset */
};

#endif
