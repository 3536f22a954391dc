/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which way a resync goes.  A pure function of what both nodes say of a volume; each node
 * computes it, and they agree: decide(a, b) is the mirror image of decide(b, a).
 */
#ifndef LS_PEER_DECIDE_H
#define LS_PEER_DECIDE_H

#include "engine/meta/generation.h"

/* What the operator of a node wants when both sides went on alone. */
enum wish { WISH_NONE = 0, WISH_YIELD = 1 /* keep the peer's */, WISH_KEEP = 2 /* keep ours */ };

/* One node's view of its own replica, as STATE carries it. */
struct replica_state {
	uint64_t node_address;
	struct generations generations;
	bool consistent, primary;
	bool dirty; /* its map has a set region */
	bool lost; /* a flush has failed there: it may lack what it reads well */
	enum wish wish;
};

enum verdict {
	VERDICT_SOURCE, /* we are the source */
	VERDICT_TARGET,
	VERDICT_SPLIT,
	VERDICT_INCOMPLETE, /* nobody has a whole copy */
};

struct decision {
	enum verdict verdict;
	bool everything; /* the maps do not cover the difference */
	bool overridden; /* the target's own writes are given up: a wish decided */
	const char *reason; /* a sentence; for people */
};

struct decision decide(const struct replica_state *ours, const struct replica_state *theirs);

#endif
