/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fetching: what the local devices could not read is read from the peer and written back,
 * so that the local replica is whole again.  engine/doc/mirror.md, "Disk errors".
 *
 *   range (I2) -> a unit -> the region is on the map's page (I3) -> READ, DATA -> write back
 *
 * Who calls it: the core for reads of clients; peer/ for whatever else finds a bad block.
 * The bytes are copied, out of the slot into the unit and from there to the owner: the one
 * place in the engine where a payload is.
 */
#ifndef LS_CORE_FETCH_H
#define LS_CORE_FETCH_H

#include "engine/core/channel.h"
#include "engine/core/map.h"

#define FETCH_UNITS 4u
#define FETCH_BYTES_MAX RANGE_CHUNK_BYTES
#define FETCH_MEMORY_BYTES (FETCH_UNITS * FETCH_BYTES_MAX)

struct core;
struct fetch_unit;

/* Embedded in its owner, who fills the first part and keeps it and the buffer until done(). */
struct fetch {
	struct volume *volume;
	uint64_t offset, length; /* within one chunk of RANGE_CHUNK_BYTES */
	void *buf; /* gets the bytes; NULL = only to be written back */
	bool ranged; /* the owner holds the range, and goes on holding it until done() */
	bool silent; /* it was readable; the owner tells what becomes of it */
	/*
	 * LS_OK: the bytes are in @buf.  LS_PEER_IO: the peer cannot read them either.  Else
	 * nobody is there who has them for certain.  Possibly from within fetch_start().
	 */
	void (*done)(struct fetch *fetch, enum ls_status status);
	bool written_back; /* set before done(): the local devices took them */

	/* The fetch's own. */
	struct core *core;
	struct range range;
	struct list node; /* waits for a unit */
};

/* @memory: FETCH_MEMORY_BYTES inside @region, which links and stores know.  -ENOMEM. */
int fetch_init(struct core *core, const struct region *region, void *memory);
void fetch_fini(struct core *core);

void fetch_start(struct core *core, struct fetch *fetch);
/* Gives free units to who waits.  From core_run(). */
void fetch_run(struct core *core);
/* Could fetch_run() do something? */
bool fetch_waits(const struct core *core);

#endif
