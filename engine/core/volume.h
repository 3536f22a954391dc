/* SPDX-License-Identifier: BSD-3-Clause */
/* A volume as it runs: its record, its pool, what is in flight on it, and its mirror. */
#ifndef LS_CORE_VOLUME_H
#define LS_CORE_VOLUME_H

#include "engine/base/mutant.h"
#include "engine/core/map.h"
#include "engine/core/range.h"
#include "engine/core/sumlog.h"
#include "engine/meta/pool.h"

struct channel;

/* engine/doc/mirror.md says what is true in each, and what writes do. */
enum mirror_state {
	MIRROR_NONE, /* not paired */
	MIRROR_WAITING, /* for the peer, or for state to be exchanged; writes are held */
	MIRROR_ALONE, /* it is durable that the peer is stale; writes are local */
	MIRROR_COPYING, /* resync runs; writes go to both */
	MIRROR_SYNCED,
	MIRROR_SPLIT, /* both sides have writes that the other lacks; nothing is merged */
	MIRROR_BROKEN, /* by `lockstep break`, until `lockstep resume` */
};

const char *mirror_state_name(enum mirror_state state);

struct volume_stats {
	uint64_t reads, writes, flushes, discards;
	uint64_t read_bytes, written_bytes;
	uint64_t errors;
	uint64_t read_errors; /* local legs of reads that failed */
	uint64_t fetched_bytes; /* read from the peer instead, and copied */
	uint64_t repairs, repair_failures; /* of the write-backs of those */
};

struct mirror;

/* What a failed flush of its devices could have lost of a volume. */
enum volume_flush {
	VOLUME_UNFLUSHED, /* something may have been changed since the last flush of it began */
	VOLUME_FLUSHING, /* nothing has, and that flush is under way */
	VOLUME_FLUSHED, /* nothing: that flush has ended well */
};

struct volume {
	struct volume_record record;
	struct pool *pool;
	bool ready; /* created and committed; not ready = unknown to clients */
	bool deleting;
	uint32_t open_count;
	/* What requests may touch.  While an expand is recorded, the record's is larger. */
	uint64_t size_bytes;

	struct range_set ranges;
	/* Zeroed when it was created, primary and not written since, all in this run. */
	bool blank;
	/* Pieces, and requests of the peer, that the local device is changing blocks for. */
	uint32_t changing;
	struct map map;
	struct sumlog sums; /* of what was written to both replicas of late */

	enum mirror_state mirror;
	bool unpairing; /* that it is not paired any more is being written; it may fail */
	bool promoting; /* so is that this node is primary: writes are held until it is */
	/*
	 * The current generation is this node's alone, and that is durable: a write may be
	 * acknowledged without the peer.  See generation_alone().
	 */
	bool alone_durable;
	/*
	 * A primary that is to be the target of a resync, which its peer begins when nothing of
	 * its own is on its way to the device: new writes are held, or there would always be one.
	 */
	bool yields;
	char mirror_reason[240]; /* why the mirror is in its state; "" = nothing to say */
	/* Same index as record.replicas; NULL = not connected.  Used while COPYING or SYNCED. */
	struct channel *channels[VOLUME_REPLICAS_MAX];
	/*
	 * What waits for the mirror's state to change: requests, of which the next piece would be
	 * held; and pieces, where that is too late, because the local leg has ended, say.
	 */
	struct list held_requests, held;
	uint32_t active; /* pieces in use, but those that wait for a peer */
	struct list uncut; /* struct request: with one more of those too few were left for others */

	/*
	 * Of a device that has something of this volume, while there was something to lose: so many
	 * flushes failed; of so many its clients were told; there were so many when the copy began
	 * that was to make this replica whole, and it was made whole.
	 */
	uint32_t flushes_failed, flushes_told, flushes_copied, flushes_mended;
	bool zeroing; /* what it grows by is being written */
	enum volume_flush flush;

	struct volume_stats stats;

	/* What peer/ keeps of the mirror; NULL = never paired since the engine began. */
	struct mirror *peering;
	struct pairing *pairing; /* NULL = no pair is being made */
};

static inline bool volume_holds(const struct volume *v)
{
	return !list_empty(&v->held) || !list_empty(&v->held_requests);
}

/* Something is changed on the local device. */
static inline void volume_unflushed(struct volume *v)
{
	v->flush = VOLUME_UNFLUSHED;
}

/* A piece begins to change blocks on the local device; its end counts @changing down. */
static inline void volume_changes(struct volume *v)
{
	v->changing++;
	v->blank = MUTANT(BLANK_KEPT) && v->blank;
	volume_unflushed(v);
}

/* A flush of all of its devices begins, with @leg; who asks knows of @known failures. */
void volume_flush_begin(struct volume *v, struct leg *leg, uint32_t known);
/*
 * It has ended.  Returns the outcome for @v: a flush that failed and that who asked did not know
 * of, its own or another volume's on the same device, counts, if there was something to lose.
 * @tells: its clients hear of it.
 */
enum ls_status volume_flush_end(struct volume *v, const struct leg *leg, bool tells);
/* On one of its devices. */
void volume_flush_failed(struct volume *v);
/* It has, or has again, what the first @flushes that failed could have lost. */
void volume_whole(struct volume *v, uint32_t flushes);
/* Its clients lost nothing by those: they need not hear of them. */
void volume_untold(struct volume *v, uint32_t flushes);
/* This replica may read well what a flush that failed has lost: nothing in it settles. */
static inline bool volume_lost(const struct volume *v)
{
	return v->flushes_failed != v->flushes_mended;
}

/* True when a write must also go to the peers. */
static inline bool volume_mirrors(const struct volume *v)
{
	return v->mirror == MIRROR_COPYING || v->mirror == MIRROR_SYNCED;
}

/* True when the write-intent map must cover each write. */
static inline bool volume_tracks(const struct volume *v)
{
	return v->record.association != ASSOCIATION_NONE || v->unpairing;
}

/* True when a write is acknowledged without the peer. */
static inline bool volume_alone(const struct volume *v)
{
	return v->mirror == MIRROR_NONE ||
	       (v->alone_durable && (v->mirror == MIRROR_ALONE || v->mirror == MIRROR_SPLIT ||
				     v->mirror == MIRROR_BROKEN));
}

#endif
