/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where time goes: histograms of how long reads, writes and flushes take, hop by hop.
 *
 * Nothing is counted on the data path.  A sampler follows one piece of a request at a time: it
 * picks one that has just come, looks at it at the end of each pass until it is done, and
 * then rests for SAMPLE_EVERY_NS.  So what it costs does not depend on how many requests there
 * are, and the histograms are those of a sample: at most a hundred pieces a second.  What
 * must be exact (how many, how long on average) is in engine_status.
 *
 * All calls come from the engine's thread.  Pure, as the engine is.
 */
#ifndef LS_CONTROL_SAMPLE_H
#define LS_CONTROL_SAMPLE_H

#include "engine/base/defs.h"

#include <stdbool.h>

struct engine;
struct piece;

enum sample_op { SAMPLE_READ, SAMPLE_WRITE, SAMPLE_FLUSH, SAMPLE_OPS };

/* The first three are counted from where the piece took its place, as the sums of status are. */
enum sample_hop {
	SAMPLE_TOTAL, /* until all of it was done */
	SAMPLE_LOCAL, /* until the local devices had done it */
	SAMPLE_REMOTE, /* until the peer's answer was here; pieces that go to a peer */
	SAMPLE_PEER_DEVICE, /* the peer's own device, as the peer says, where that is known */
	SAMPLE_WIRE, /* there, what else the peer's answer took: both engines and the wire */
	SAMPLE_HOPS
};

/* Upper bounds of the buckets: 2, 5, 10 us, and so on, up to 10 s; one more has the rest. */
#define SAMPLE_BOUNDS 21u
extern const uint64_t sample_bounds_ns[SAMPLE_BOUNDS];

#define SAMPLE_EVERY_NS UINT64_C(10000000)

struct sample_histogram {
	uint64_t count, sum_ns;
	uint64_t buckets[SAMPLE_BOUNDS + 1]; /* each on its own, not those below it */
};

struct sampler {
	uint64_t due_ns; /* when sample_look() is to be called again */
	struct sample_histogram histograms[SAMPLE_OPS][SAMPLE_HOPS];

	/* The sampler's own. */
	uint32_t place; /* where to look for the next piece */
	const struct piece *piece; /* NULL = none is followed */
	enum sample_op op;
	uint64_t started_ns;
	bool remote; /* it goes to a peer, too */
	bool ended[SAMPLE_HOPS];
	uint64_t ns[SAMPLE_HOPS];
	uint64_t remote_sum_ns, device_sum_ns; /* the engine's sums at the last look */
};

/* At the end of a pass, when engine's time has come to @sampler->due_ns. */
void sample_look(struct sampler *sampler, const struct engine *engine);

const char *sample_op_name(enum sample_op op);
const char *sample_hop_name(enum sample_hop hop);

#endif
