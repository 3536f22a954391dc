/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of one shard: gives each request its place behind the earlier ones that overlap
 * it, cuts it into pieces, sends the remote legs of a piece first and its local leg then, and
 * completes the request once, when all of that is done.  No lock, no allocation, no system call.
 *
 *   FREE -> INTENT (waits until its regions are in the durable write-intent map)
 *        -> HELD (waits until the mirror's state says what to do)
 *        -> CREDIT (waits for a slot at a peer)
 *        -> FLIGHT (legs open) -> FREE
 *
 * A write that would only be held is not cut: its request waits, and costs no piece.
 *
 * A read whose local leg failed stays in FLIGHT while it is fetched from the peer (fetch.h).
 *
 * A piece whose remote leg was lost goes from FLIGHT to HELD: it is acknowledged when it is
 * durable that the peer is stale, or when the leg was done again in the next session.
 */
#ifndef LS_CORE_CORE_H
#define LS_CORE_CORE_H

#include "engine/core/channel.h"
#include "engine/core/env.h"
#include "engine/core/event.h"
#include "engine/core/fetch.h"
#include "engine/core/request.h"
#include "engine/core/volume.h"

#define CORE_PIECES 1024u
/* Reads, writes: a piece never crosses a border of this size, so it lies in one extent. */
#define PIECE_BYTES_MAX RANGE_CHUNK_BYTES
/* Discards, zeroes. */
#define PIECE_SPAN_MAX MIB(16)
#define CORE_CAPTURE_MAX 64u

enum piece_state { PIECE_FREE, PIECE_INTENT, PIECE_HELD, PIECE_CREDIT, PIECE_FLIGHT };

struct piece;

struct remote_leg {
	struct call call;
	struct piece *piece;
	bool open;
};

struct piece {
	struct list node; /* in the core's ready list, or a volume's */
	struct piece *next_free;
	enum piece_state state;
	struct core *core;
	struct volume *volume;
	struct request *request;

	enum store_code code;
	bool changes; /* blocks: a write, or zeroes */
	bool marked; /* counted in the write-intent map */
	bool local_ended; /* the local leg is done; a remote one is to be done again */
	uint64_t offset, length;
	uint8_t *buf;
	uint32_t crc; /* of the payload, if that is checked; else 0 */

	struct map_wait map;
	struct leg local;
	struct fetch fetch; /* of a read that the local devices could not do */
	struct remote_leg remote[VOLUME_REPLICAS_MAX];
	uint32_t remotes; /* bits of the replicas that this piece goes to */
	uint32_t credits; /* bits of those whose credit is there */
	unsigned legs_open;

	enum ls_status local_status, remote_status;
	uint64_t started_ns;
};

struct core_stats {
	uint64_t write_count, write_ns_sum, write_local_ns_sum, write_remote_ns_sum,
		write_peer_device_ns_sum;
};

struct core_capture {
	uint64_t at_ns;
	bool sent;
	uint8_t bytes[FRAME_BYTES];
};

struct core {
	uint64_t now_ns; /* set once per pass; never 0, which is "not" in many places */
	uint64_t own_address;
	bool payload_crc;
	bool stopping;
	struct engine_env env;

	struct piece *pieces;
	uint32_t piece_count;
	struct piece *free; /* a stack: what ended last is in the cache */
	struct list ready; /* pieces that are decided anew */
	struct list cutting, reading; /* requests with something left to cut; reads are apart */
	uint32_t requests; /* that have not ended */
	uint32_t in_use, reads_in_use; /* pieces */
	uint32_t flying; /* pieces of which a leg is open */

	/* Writes are held: the node should go on alone, if the volume's policy lets it. */
	void (*writes_held)(void *engine, struct volume *volume);
	/* A leg failed though the session is up: the replicas differ where the map says. */
	void (*leg_failed)(void *engine, struct volume *volume, const char *reason);
	/*
	 * The local leg of a write failed, and the peer's did not: from now on the local replica
	 * lacks it.  @length 0: a flush; whatever is not durable may be lacking.
	 */
	void (*write_failed_here)(void *engine, struct volume *volume, uint64_t offset,
				  uint64_t length, const char *reason);
	/*
	 * A read or a write of a client has ended; it took its place at @since_ns.  Nobody is told
	 * of what ends after @sampled_until_ns.
	 */
	uint64_t sampled_until_ns;
	void (*piece_ended)(void *engine, bool mirrored, uint64_t since_ns);
	/* May the peer read here?  Not where this replica may be older than the peer's (I8). */
	bool (*readable)(void *engine, const struct volume *volume, uint64_t offset,
			 uint64_t length);
	void *engine;
	/* The engine's table, by the low ten bits of their numbers. */
	struct volume *const *volumes;

	uint64_t events; /* told so far */

	struct fetch_unit *fetch_units; /* FETCH_UNITS */
	const struct region *fetch_region;
	struct list fetches; /* struct fetch: have their range, wait for a unit */
	uint64_t fetch_told_at_ns;

	struct core_stats stats;
	unsigned capture_left, captured;
	struct core_capture capture[CORE_CAPTURE_MAX];
};

/* NULL: there is none with this number. */
static inline struct volume *core_volume(const struct core *core, uint32_t number)
{
	struct volume *v = core->volumes[number % ENGINE_VOLUMES_MAX];

	return v && v->record.number == number ? v : NULL;
}

int core_init(struct core *core, const struct engine_env *env, uint32_t pieces); /* -ENOMEM */
void core_fini(struct core *core);

void core_submit(struct core *core, struct request *request);
/* Goes on with what became possible: granted ranges, freed pieces.  At the end of each pass. */
void core_run(struct core *core);

/* The mirror's state has changed: what was held is decided again, at the end of the pass. */
void core_release(struct core *core, struct volume *volume);

void core_log(const struct core *core, int level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Tells @event; its sequence number and time are put in. */
void core_event(struct core *core, const struct engine_event *event);
/* See engine_env.administering. */
void core_administer(const struct core *core, bool begin);
void core_capture(struct core *core, bool sent, const uint8_t bytes[FRAME_BYTES]);

#endif
