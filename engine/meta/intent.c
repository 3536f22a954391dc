/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/meta/intent.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/base/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
enum {
	SECTOR_AT_CRC = 0, SECTOR_AT_NUMBER = 4, SECTOR_AT_VERSION = 8, SECTOR_AT_INDEX = 9,
	SECTOR_AT_SHIFT = 10, SECTOR_AT_BITS = 16, SECTOR_BYTES = 512,
};
/* clang-format on */

#define SECTOR_VERSION 1u
/* durable, wanted, going, dirty, recent, settled, lacking: one piece of memory. */
#define BITMAPS 7u
#define SECTOR_BIT_BYTES (SECTOR_BYTES - SECTOR_AT_BITS)

_Static_assert(SECTOR_BIT_BYTES * 8 == INTENT_SECTOR_REGIONS, "sector layout");

static uint32_t words(const struct intent *m)
{
	return (m->regions + 63) / 64;
}

static uint64_t regions_of(uint64_t bytes, uint8_t shift)
{
	return (bytes + (UINT64_C(1) << shift) - 1) >> shift;
}

uint8_t intent_shift_for(uint64_t bytes, uint8_t shift)
{
	while (regions_of(bytes, shift) > INTENT_REGIONS_MAX)
		shift++;
	return shift;
}

bool intent_shift_fits(uint8_t shift, uint64_t bytes)
{
	return shift >= INTENT_SHIFT_MIN && shift <= INTENT_SHIFT_MAX &&
	       regions_of(bytes, shift) <= INTENT_REGIONS_MAX;
}

int intent_init(struct intent *m, uint64_t volume_bytes, uint8_t shift)
{
	*m = (struct intent){.regions = (uint32_t)regions_of(volume_bytes, shift), .shift = shift};
	m->durable = calloc(BITMAPS * (size_t)words(m), sizeof(*m->durable));
	m->writing = calloc(m->regions, sizeof(*m->writing));
	if (!m->durable || !m->writing) {
		intent_fini(m);
		return -ENOMEM;
	}
	m->wanted = m->durable + words(m);
	m->going = m->wanted + words(m);
	m->dirty = m->going + words(m);
	m->recent = m->dirty + words(m);
	m->settled = m->recent + words(m);
	m->lacking = m->settled + words(m);
	return 0;
}

void intent_fini(struct intent *m)
{
	free(m->durable);
	free(m->writing);
	m->durable = NULL;
	m->writing = NULL;
}

static bool get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void unset(uint64_t *bits, uint32_t i)
{
	bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* Returns whether it was clear. */
static bool set(uint64_t *bits, uint32_t i)
{
	bool was_clear = !get(bits, i);

	bits[i / 64] |= UINT64_C(1) << (i % 64);
	return was_clear;
}

static uint32_t count(const uint64_t *bits, uint32_t words)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < words; w++)
		n += (uint32_t)__builtin_popcountll(bits[w]);
	return n;
}

/* The first that is set, at or behind @from; UINT32_MAX = none. */
static uint32_t next_set(const uint64_t *bits, uint32_t words, uint32_t from)
{
	for (uint32_t w = from / 64; w < words; w++) {
		uint64_t here = bits[w];

		if (w == from / 64)
			here &= UINT64_MAX << (from % 64);
		if (here)
			return w * 64 + (uint32_t)__builtin_ctzll(here);
	}
	return UINT32_MAX;
}

static void inherit(uint64_t *bits, const uint64_t *from, uint32_t regions, unsigned merged)
{
	for (uint32_t r = 0; r < regions; r++)
		if (get(from, r))
			set(bits, r >> merged);
}

void intent_inherit(struct intent *m, const struct intent *from)
{
	unsigned merged = m->shift - from->shift;

	assert(m->shift >= from->shift && (uint64_t)m->regions << merged >= from->regions);
	for (uint32_t r = 0; r < from->regions; r++)
		assert(from->writing[r] == 0);
	inherit(m->durable, from->durable, from->regions, merged);
	inherit(m->wanted, from->wanted, from->regions, merged);
	inherit(m->going, from->going, from->regions, merged);
	inherit(m->dirty, from->dirty, from->regions, merged);
	inherit(m->lacking, from->lacking, from->regions, merged);
	/* A clearing round that is under way must clear nothing. */
	memset(m->recent, 0xff, words(m) * sizeof(*m->recent));
	m->any_wanted = from->any_wanted;
	m->marked = count(m->durable, words(m));
	m->dirty_regions = count(m->dirty, words(m));
	m->lacking_regions = count(m->lacking, words(m));
}

static uint32_t first_region(const struct intent *m, uint64_t offset)
{
	return (uint32_t)(offset >> m->shift);
}

static uint32_t last_region(const struct intent *m, uint64_t offset, uint64_t length)
{
	uint64_t last = (offset + length - 1) >> m->shift;

	assert(last < m->regions);
	return (uint32_t)last;
}

static void want(struct intent *m, uint32_t region)
{
	if (get(m->durable, region) || get(m->going, region))
		return;
	set(m->wanted, region);
	m->any_wanted = true;
}

bool intent_durable(const struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t last = last_region(m, offset, length);

	for (uint32_t r = first_region(m, offset); r <= last; r++)
		if (!get(m->durable, r))
			return false;
	return true;
}

void intent_want(struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t last = last_region(m, offset, length);

	for (uint32_t r = first_region(m, offset); r <= last; r++)
		want(m, r);
}

inline bool intent_begin(struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t r = first_region(m, offset), last = last_region(m, offset, length);
	bool durable = true;

	/* Every write of a client passes here: one word and one bit for the three maps. */
	do {
		uint32_t w = r / 64;
		uint64_t bit = UINT64_C(1) << r % 64;

		m->writing[r]++;
		m->recent[w] |= bit;
		m->settled[w] &= ~bit;
		if (UNLIKELY(!(m->durable[w] & bit))) {
			durable = false;
			want(m, r);
		}
	} while (UNLIKELY(++r <= last));
	return durable;
}

inline void intent_end(struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t r = first_region(m, offset), last = last_region(m, offset, length);

	do {
		assert(m->writing[r] > 0);
		m->writing[r]--;
	} while (UNLIKELY(++r <= last));
}

static void make_dirty(struct intent *m, uint32_t region)
{
	m->dirty_regions += set(m->dirty, region);
	unset(m->settled, region);
	want(m, region);
}

void intent_dirty(struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t last = last_region(m, offset, length);

	for (uint32_t r = first_region(m, offset); r <= last; r++)
		make_dirty(m, r);
}

bool intent_dirty_in(const struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t last = last_region(m, offset, length);

	for (uint32_t r = first_region(m, offset); r <= last; r++)
		if (get(m->dirty, r))
			return true;
	return false;
}

void intent_dirty_marked(struct intent *m)
{
	for (uint32_t w = 0; w < words(m); w++) {
		m->dirty[w] |= m->durable[w] & ~m->settled[w];
		/* What the peer's map has added, and was copied since, is not on the page yet. */
		m->dirty[w] |= m->going[w] | m->wanted[w];
		m->lacking[w] = 0;
	}
	m->lacking_regions = 0;
	m->dirty_regions = count(m->dirty, words(m));
}

void intent_dirty_all(struct intent *m)
{
	for (uint32_t r = 0; r < m->regions; r++)
		make_dirty(m, r);
}

bool intent_merge(struct intent *m, uint8_t shift, const uint8_t *bits, uint32_t bytes)
{
	if (shift < INTENT_SHIFT_MIN || shift > INTENT_SHIFT_MAX || bytes > INTENT_REGIONS_MAX / 8)
		return false;
	for (uint32_t i = 0; i < bytes * 8; i++) {
		uint64_t offset = (uint64_t)i << shift, end = (uint64_t)m->regions << m->shift;

		if (!(bits[i / 8] >> (i % 8) & 1))
			continue;
		/* The other side's volume may be the larger one, while both grow. */
		if (offset < end)
			intent_dirty(m, offset, min_u64(UINT64_C(1) << shift, end - offset));
	}
	return true;
}

bool intent_bits_in(const uint8_t *bits, uint32_t bytes, uint8_t shift, uint64_t offset,
		    uint64_t length)
{
	for (uint64_t i = offset >> shift; i <= (offset + length - 1) >> shift; i++)
		/* What the map does not reach is not known to be equal. */
		if (i / 8 >= bytes || bits[i / 8] >> (i % 8) & 1)
			return true;
	return false;
}

/* Words are little-endian bytes on every machine that this builds for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bitmaps are copied as they are");

uint32_t intent_export(const struct intent *m, uint8_t *bits)
{
	uint32_t bytes = (m->regions + 7) / 8;

	memcpy(bits, m->dirty, bytes);
	return bytes;
}

uint32_t intent_next_dirty(const struct intent *m, uint32_t from)
{
	return next_set(m->dirty, words(m), from);
}

void intent_clean(struct intent *m, uint32_t region)
{
	if (!get(m->dirty, region))
		return;
	unset(m->dirty, region);
	m->dirty_regions--;
	/* What was just copied is not flushed yet: not a candidate of the round under way. */
	set(m->recent, region);
}

void intent_lack(struct intent *m, uint64_t offset, uint64_t length)
{
	uint32_t last = last_region(m, offset, length);

	for (uint32_t r = first_region(m, offset); r <= last; r++) {
		assert(m->writing[r] > 0 && get(m->durable, r));
		unset(m->settled, r);
		m->lacking_regions += set(m->lacking, r);
	}
}

bool intent_all_durable(const struct intent *m)
{
	uint64_t open = 0;

	for (uint32_t w = 0; w < words(m); w++)
		open |= m->wanted[w] | m->going[w];
	return !open;
}

void intent_lack_marked(struct intent *m)
{
	for (uint32_t w = 0; w < words(m); w++)
		m->lacking[w] |= m->durable[w] & ~m->settled[w];
	m->lacking_regions = count(m->lacking, words(m));
}

bool intent_lacking_at(const struct intent *m, uint64_t offset)
{
	return get(m->lacking, first_region(m, offset));
}

uint32_t intent_next_lacking(const struct intent *m)
{
	uint32_t region = next_set(m->lacking, words(m), 0);

	assert(region != UINT32_MAX);
	return region;
}

void intent_filled(struct intent *m, uint32_t region)
{
	assert(get(m->lacking, region));
	unset(m->lacking, region);
	m->lacking_regions--;
	set(m->recent, region);
}

void intent_reset(struct intent *m)
{
	memset(m->durable, 0, BITMAPS * (size_t)words(m) * sizeof(*m->durable));
	m->dirty_regions = m->lacking_regions = m->marked = 0;
	m->any_wanted = false;
}

void intent_round_begin(struct intent *m)
{
	memset(m->recent, 0, words(m) * sizeof(*m->recent));
	for (uint32_t r = 0; r < m->regions; r++)
		if (m->writing[r] && !MUTANT(CLEARED_IN_FLIGHT))
			set(m->recent, r);
}

uint32_t intent_round_end(struct intent *m, bool clear)
{
	uint32_t cleared = 0;

	for (uint32_t w = 0; w < words(m); w++) {
		uint64_t quiet = m->durable[w] & ~m->dirty[w] & ~m->recent[w] & ~m->lacking[w];

		if (!clear) {
			m->settled[w] |= quiet;
			continue;
		}
		m->durable[w] &= ~quiet;
		m->settled[w] &= ~quiet;
		cleared += (uint32_t)__builtin_popcountll(quiet);
	}
	m->marked -= cleared;
	return cleared;
}

void intent_encode(struct intent *m, uint32_t number, uint8_t *page)
{
	uint64_t all[INTENT_REGIONS_MAX / 64] = {0};
	uint64_t *durable = m->durable, *wanted = m->wanted, *going = m->going;
	uint32_t count = words(m);

	for (uint32_t w = 0; w < count; w++) {
		going[w] |= wanted[w];
		wanted[w] = 0;
		all[w] = durable[w] | going[w];
	}
	m->any_wanted = false;
	memset(page, 0, (size_t)INTENT_SECTORS * SECTOR_BYTES);
	for (unsigned i = 0; i < INTENT_SECTORS; i++) {
		uint8_t *p = page + (size_t)i * SECTOR_BYTES;

		put_u32(p + SECTOR_AT_NUMBER, number);
		p[SECTOR_AT_VERSION] = SECTOR_VERSION;
		p[SECTOR_AT_INDEX] = (uint8_t)i;
		p[SECTOR_AT_SHIFT] = m->shift;
		memcpy(p + SECTOR_AT_BITS, (const uint8_t *)all + (size_t)i * SECTOR_BIT_BYTES,
		       SECTOR_BIT_BYTES);
		put_u32(p + SECTOR_AT_CRC,
			crc32c(p + SECTOR_AT_NUMBER, SECTOR_BYTES - SECTOR_AT_NUMBER));
	}
}

void intent_written(struct intent *m, bool ok)
{
	uint64_t *durable = m->durable, *wanted = m->wanted, *going = m->going;
	uint32_t count = words(m), marked = 0;

	for (uint32_t w = 0; w < count; w++) {
		if (ok) {
			durable[w] |= going[w];
		} else {
			wanted[w] |= going[w];
			m->any_wanted |= wanted[w] != 0;
		}
		going[w] = 0;
		marked += (uint32_t)__builtin_popcountll(durable[w]);
	}
	m->marked = marked;
}

static bool sector_whole(const struct intent *m, uint32_t number, const uint8_t *p, unsigned index)
{
	return get_u32(p + SECTOR_AT_CRC) ==
		       crc32c(p + SECTOR_AT_NUMBER, SECTOR_BYTES - SECTOR_AT_NUMBER) &&
	       get_u32(p + SECTOR_AT_NUMBER) == number && p[SECTOR_AT_VERSION] == SECTOR_VERSION &&
	       p[SECTOR_AT_INDEX] == index && p[SECTOR_AT_SHIFT] == m->shift;
}

static void decode_sector(struct intent *m, uint32_t number, const uint8_t *p, unsigned index)
{
	uint32_t first = index * INTENT_SECTOR_REGIONS;
	uint32_t end = (uint32_t)min_u64(m->regions, first + INTENT_SECTOR_REGIONS);
	bool whole = sector_whole(m, number, p, index);

	for (uint32_t r = first; r < end; r++) {
		uint32_t bit = r - first;

		if (whole && !(p[SECTOR_AT_BITS + bit / 8] >> (bit % 8) & 1))
			continue;
		if (!whole && MUTANT(BAD_MAP_CLEAN))
			continue;
		set(m->durable, r);
		set(m->dirty, r);
		m->marked++;
		m->dirty_regions++;
	}
}

void intent_decode(struct intent *m, uint32_t number, const uint8_t *page)
{
	intent_reset(m);
	for (unsigned i = 0; i < INTENT_SECTORS; i++)
		decode_sector(m, number, page + (size_t)i * SECTOR_BYTES, i);
}
