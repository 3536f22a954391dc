/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast a copy beside clients may go; engine/doc/mirror.md, "Resync rate".
 *
 * One pace for each engine: whoever reads or copies chunks in the background (a resync) asks it
 * before each chunk, tells it of each begin and end, and tells it how long clients' requests
 * took.  Without clients everything is granted.  With clients only a window of bytes is under
 * way at once; now and then the copy stands still for a moment, so that it is known how fast
 * clients are without it; and the window grows and shrinks by comparing the two.
 *
 * Pure; no timer of its own: after a refusal with nothing under way, ask again at wake_ns.
 */
#ifndef LS_PEER_PACE_H
#define LS_PEER_PACE_H

#include "engine/base/defs.h"

#include <stdbool.h>

/* The window beside clients is never smaller, and never closed: the copy always gets on. */
#define PACE_WINDOW_MIN KIB(16)
/* Where it begins, before anything was measured. */
#define PACE_WINDOW_FIRST KIB(32)
/* A hand limit below this would be a copy that never ends. */
#define PACE_LIMIT_MIN KIB(64)

/* Nobody has asked for so long: nobody copies, and samples are of no use. */
#define PACE_UNASKED_NS NS_PER_S

/* Requests that cost alike. */
enum pace_class { PACE_LOCAL, PACE_MIRRORED, PACE_CLASSES };

/* What holds the copy back. */
enum pace_bound {
	PACE_NOTHING, /* the devices and the wire give what they have */
	PACE_CLIENTS,
	PACE_LIMIT, /* the operator's */
};

struct pace_latency {
	uint64_t base_ns; /* without the copy; 0 = not known yet */
	uint64_t quiet_sum_ns, beside_sum_ns;
	uint32_t quiet, beside; /* samples since the last judgement */
};

struct pace {
	uint64_t window_max, chunk_max; /* bytes */
	uint64_t window; /* bytes that may be under way beside clients */
	uint64_t under_way; /* bytes */
	uint32_t chunks; /* under way */
	struct pace_latency latency[PACE_CLASSES];
	uint64_t asked_ns, client_ns; /* last question; last request of a client that ended */

	bool pausing;
	uint64_t run_ns; /* when the copy last went on after a pause */
	uint64_t quiet_ns; /* when the last chunk ended */
	uint64_t pause_ns; /* how long the pause may last */

	uint64_t limit_at_ns; /* the hand limit allows the next chunk */
	uint64_t wake_ns; /* ask again; UINT64_MAX = when a chunk ends */
	enum pace_bound bound; /* of the last question */

	uint64_t rate; /* bytes a second, over the last whole second */
	uint64_t second_ns, second_bytes;
	uint64_t local_ns, remote_ns; /* where chunks spend their time; the newer counts more */
};

void pace_init(struct pace *pace, uint64_t window_max, uint64_t chunk_max);

/*
 * How many bytes the next chunk may have; 0 = not now.  @clients: some of their requests are
 * under way.  @limit: bytes a second, 0 = none.
 */
uint64_t pace_grant(struct pace *pace, uint64_t now_ns, bool clients, uint64_t limit);
void pace_begin(struct pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t limit);
/* @local_ns, @remote_ns: what the chunk spent at the own device, and at the wire and the peer. */
void pace_end(struct pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t local_ns,
	      uint64_t remote_ns);
/* A client's request that was begun at @since_ns has ended. */
void pace_client(struct pace *pace, uint64_t now_ns, enum pace_class class, uint64_t since_ns);

/* Bytes a second, now. */
uint64_t pace_rate(const struct pace *pace, uint64_t now_ns);

#endif
