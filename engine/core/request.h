/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request: what one client asked for, from fetch to completion.
 *
 * Owned by the edge (the shard keeps one array per client; the simulator its own), which
 * fills the first part and calls engine_submit().  The core gives it back through done(),
 * exactly once, possibly from within engine_submit() when it is refused.
 */
#ifndef LS_CORE_REQUEST_H
#define LS_CORE_REQUEST_H

#include "engine/base/list.h"
#include "engine/base/region.h"
#include "engine/core/range.h"
#include "engine/include/lockstep.h"

struct core;
struct volume;

enum request_op {
	REQUEST_READ = 1, /* same numbers as enum shmq_op */
	REQUEST_WRITE,
	REQUEST_FLUSH,
	REQUEST_DISCARD,
	REQUEST_WRITE_ZEROES,
};

/* Longest read or write.  Longer discards and zeroes are cut as they go. */
#define REQUEST_MAX_BYTES (1u << 20)

struct request {
	struct volume *volume; /* NULL is answered with LS_NO_VOLUME */
	uint16_t op; /* enum request_op, unchecked */
	uint16_t flags; /* LS_FUA, unchecked */
	uint64_t offset; /* bytes, unchecked */
	uint64_t length; /* bytes, unchecked */
	void *buf; /* length bytes inside region, checked by the edge; NULL = LS_BAD_BUFFER */
	const struct region *region;
	void (*done)(struct request *request);

	/* Set by the core before done(). */
	enum ls_status status;
	uint32_t failed_legs;
	uint64_t submitted_ns;

	/* The core's own. */
	struct core *core;
	struct list node; /* in a list of requests that still have pieces to cut; or empty */
	struct range range; /* all of it, from core_submit() to its end; not of reads and flushes */
	uint64_t cut; /* bytes of it that are cut into pieces so far */
	uint32_t pieces_open;
	bool ranged;
	bool begun; /* some piece of it reached a device or the wire */
};

#endif
