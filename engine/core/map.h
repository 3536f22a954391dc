/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeps the page of a volume's write-intent map: writes wait here until their regions are
 * durable, and share the page write that makes them so (invariant I3).
 */
#ifndef LS_CORE_MAP_H
#define LS_CORE_MAP_H

#include "engine/base/list.h"
#include "engine/meta/intent.h"
#include "engine/meta/leg.h"

struct volume;

struct map_wait {
	struct list node;
	uint64_t offset, length;
	/* The regions are durable, or (@ok false) the page could not be written. */
	void (*done)(struct map_wait *wait, bool ok);
};

struct map {
	struct intent intent;
	uint8_t *page; /* MAP_PAGE_BYTES, aligned */
	struct leg leg;
	bool busy, again;
	bool failed; /* the last page that was written */
	struct list waiting; /* struct map_wait */
	uint64_t writes; /* page writes */
	uint64_t marks; /* writes of clients that had to wait for one */
};

int map_init(struct map *map, uint64_t volume_bytes, uint8_t shift); /* -ENOMEM */
void map_fini(struct map *map);

/* Calls @wait->done later, never from within. */
void map_wait(struct volume *volume, struct map_wait *wait, uint64_t offset, uint64_t length);
/* Nothing may differ any more; who waits for the page goes on waiting.  The page is written. */
void map_reset(struct volume *volume);
/* Writes the page as it is now, soon; nobody is told. */
void map_write(struct volume *volume);

#endif
