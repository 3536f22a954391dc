/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The write-intent map of a volume: one bit for each region that may differ between the
 * replicas.  Pure: bits and the codec of their page; who writes the page, and when, is
 * core/map.c.  engine/doc/mirror.md has the byte table and the argument.
 */
#ifndef LS_META_INTENT_H
#define LS_META_INTENT_H

#include "engine/base/defs.h"

#include <stdbool.h>

#define INTENT_SHIFT_MIN 16u
#define INTENT_SHIFT_DEFAULT 20u
#define INTENT_SHIFT_MAX 40u
#define INTENT_SECTORS 8u
#define INTENT_SECTOR_REGIONS (496u * 8u)
#define INTENT_REGIONS_MAX (INTENT_SECTORS * INTENT_SECTOR_REGIONS)

struct intent {
	uint32_t regions;
	uint8_t shift; /* log2 of a region's bytes */
	uint64_t *durable; /* set on the page */
	uint64_t *wanted; /* to be set by the next page */
	uint64_t *going; /* being set by the page that is written now */
	uint64_t *dirty; /* to be resynced; always durable, or wanted, or going */
	uint64_t *recent; /* written since the clearing round began */
	uint64_t *settled; /* equal and flushed: not in doubt when the peer is lost */
	uint64_t *lacking; /* the peer has what the local device failed to write; always durable */
	uint16_t *writing; /* writes in flight */
	uint32_t marked; /* durable regions */
	uint32_t dirty_regions;
	uint32_t lacking_regions;
	bool any_wanted;
};

/* The smallest shift, at least @shift, that a volume of @bytes can have. */
uint8_t intent_shift_for(uint64_t bytes, uint8_t shift);
bool intent_shift_fits(uint8_t shift, uint64_t bytes);

int intent_init(struct intent *intent, uint64_t volume_bytes, uint8_t shift); /* -ENOMEM */
void intent_fini(struct intent *intent);
/*
 * Takes over what @from knows; this one, fresh from intent_init(), is at least as long and its
 * regions are at least as large.  No write may be in flight.  When the regions have another
 * size, the page is to be written.
 */
void intent_inherit(struct intent *intent, const struct intent *from);

/*
 * A write begins.  True: its regions are durable.  False: they are wanted, and the write
 * must wait until intent_durable().
 */
bool intent_begin(struct intent *intent, uint64_t offset, uint64_t length);
bool intent_durable(const struct intent *intent, uint64_t offset, uint64_t length);
/* Is everything on the page that is to be? */
bool intent_all_durable(const struct intent *intent);
/* Has these regions set by the next page. */
void intent_want(struct intent *intent, uint64_t offset, uint64_t length);
/* Undoes intent_begin(): the write has ended. */
void intent_end(struct intent *intent, uint64_t offset, uint64_t length);

/* The replicas differ, or will, in all regions of this range. */
void intent_dirty(struct intent *intent, uint64_t offset, uint64_t length);
bool intent_dirty_in(const struct intent *intent, uint64_t offset, uint64_t length);
/* The peer may lack what has not settled: every such region becomes dirty. */
void intent_dirty_marked(struct intent *intent);
void intent_dirty_all(struct intent *intent);
/* The peer's map, as intent_export() made it, adds to ours; false when it makes no sense. */
bool intent_merge(struct intent *intent, uint8_t shift, const uint8_t *bits, uint32_t bytes);
/* Has the peer's map, as intent_export() made it, a dirty region here? */
bool intent_bits_in(const uint8_t *bits, uint32_t bytes, uint8_t shift, uint64_t offset,
		    uint64_t length);
/* Dirty regions as bits, region 0 first; returns the bytes written, at most MAX / 8. */
uint32_t intent_export(const struct intent *intent, uint8_t *bits);
/* The first dirty region at or behind @from; UINT32_MAX = none. */
uint32_t intent_next_dirty(const struct intent *intent, uint32_t from);

/* A write of this range, which has not ended yet, failed here, and the peer has it. */
void intent_lack(struct intent *intent, uint64_t offset, uint64_t length);
/* So may everything that has not settled have.  What is not on the page yet is left out. */
void intent_lack_marked(struct intent *intent);
bool intent_lacking_at(const struct intent *intent, uint64_t offset);
/* There must be one. */
uint32_t intent_next_lacking(const struct intent *intent);
/* The region has what the peer has, again. */
void intent_filled(struct intent *intent, uint32_t region);

/* This region is equal on both replicas.  It stays durable until a clearing round. */
void intent_clean(struct intent *intent, uint32_t region);
/* Nothing may differ; the page is to be written. */
void intent_reset(struct intent *intent);

/*
 * A round, in which both replicas are flushed between begin and end: what is set, not dirty and not
 * written meanwhile has settled.
 */
void intent_round_begin(struct intent *intent);
/*
 * @clear: it goes from the map as well.  Returns how many regions did, in memory; the page is to be
 * written if any.
 */
uint32_t intent_round_end(struct intent *intent, bool clear);

/* The page that is to be written now; what is wanted is going from then on. */
void intent_encode(struct intent *intent, uint32_t number, uint8_t *page);
/* It was written (@ok), or not: then what was going is wanted again. */
void intent_written(struct intent *intent, bool ok);
/* From a page that was read: every set region is durable and dirty. */
void intent_decode(struct intent *intent, uint32_t number, const uint8_t *page);

static inline uint64_t intent_region_bytes(const struct intent *m)
{
	return UINT64_C(1) << m->shift;
}

#endif
