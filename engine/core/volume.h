/* SPDX-License-Identifier: BSD-3-Clause */
/* A volume as it runs: its record, its pool, what is in flight on it, and its mirror. */
#ifndef LS_CORE_VOLUME_H
#define LS_CORE_VOLUME_H

#include "engine/core/intent.h"
#include "engine/core/range.h"
#include "engine/meta/pool.h"

struct channel;

enum mirror_state {
	MIRROR_NONE, /* not paired */
	MIRROR_WAITING, /* pair asked, the peer has not agreed yet; writes are local */
	MIRROR_COPYING, /* initial copy runs; writes go to both */
	MIRROR_SYNCED,
	MIRROR_LOST, /* peer lost or restarted: writes are refused until `lockstep pair` again */
};

const char *mirror_state_name(enum mirror_state state);

struct volume_stats {
	uint64_t reads, writes, flushes, discards;
	uint64_t read_bytes, written_bytes;
	uint64_t errors;
};

struct volume {
	struct volume_record record;
	struct pool *pool;
	bool ready; /* created and committed; not ready = unknown to clients */
	bool deleting;
	uint32_t open_count;

	struct range_set ranges;
	struct intent intent;

	enum mirror_state mirror;
	char mirror_error[200]; /* why it is lost */
	/* Same index as record.replicas; NULL = not connected.  Used while COPYING or SYNCED. */
	struct channel *channels[VOLUME_REPLICAS_MAX];

	struct volume_stats stats;

	/* The initial copy and the jobs that wait for it; NULL = none. */
	struct pairing *pairing;
};

/* True when a write must also go to the peers. */
static inline bool volume_mirrors(const struct volume *v)
{
	return v->mirror == MIRROR_COPYING || v->mirror == MIRROR_SYNCED;
}

/*
 * The mirror is broken: from now on writes are refused, because the legs may differ.  The
 * first reason is kept.  No effect on a volume that does not mirror.
 */
void volume_mirror_lost(struct volume *volume, const char *reason);

#endif
