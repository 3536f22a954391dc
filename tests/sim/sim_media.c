/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_media.h"

#include "tests/sim/sim_pattern.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define SECTOR_WORDS (SIM_SECTOR_BYTES / 8)

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(memory != MAP_FAILED);
	return memory;
}

void media_map(struct sim_media *media, size_t bytes)
{
	media->bytes = map(bytes);
	media->sectors = map(bytes / SIM_SECTOR_BYTES * sizeof(*media->sectors));
}

/* What @words are, but for the bytes of a raw sector. */
static struct sim_sector look(const uint64_t *words)
{
	uint64_t base = words[1] - 1, bad = 0;

	for (uint64_t i = 1; i < SECTOR_WORDS; i++)
		bad |= words[i] ^ (base + i);
	if (!bad)
		return (struct sim_sector){.kind = SECTOR_RUN, .first = words[0], .base = base};
	for (uint64_t i = 0; i < SECTOR_WORDS; i++)
		if (words[i])
			return (struct sim_sector){.kind = SECTOR_RAW};
	return (struct sim_sector){.kind = SECTOR_ZERO};
}

SIM_WIDE void media_write(struct sim_media *media, uint64_t offset, const void *buf,
			  uint64_t length)
{
	struct sim_sector *sector = media->sectors + offset / SIM_SECTOR_BYTES;
	const uint64_t *words = buf;

	for (uint64_t at = 0; at < length; at += SIM_SECTOR_BYTES, words += SECTOR_WORDS) {
		*sector = look(words);
		if (sector++->kind == SECTOR_RAW)
			memcpy(media->bytes + offset + at, words, SIM_SECTOR_BYTES);
	}
}

void media_zero(struct sim_media *media, uint64_t offset, uint64_t length)
{
	memset(media->sectors + offset / SIM_SECTOR_BYTES, 0,
	       length / SIM_SECTOR_BYTES * sizeof(*media->sectors));
}

static void put_run(uint64_t *words, const struct sim_sector *sector)
{
	for (uint64_t i = 1; i < SECTOR_WORDS; i++)
		words[i] = sector->base + i;
	words[0] = sector->first;
}

/* Not one memset(): the compiler would make it a "rep stos", which is slow to begin. */
static void put_zeroes(uint64_t *words)
{
	for (uint64_t i = 0; i < SECTOR_WORDS; i += 8)
		memset(words + i, 0, 64);
}

SIM_WIDE void media_read(const struct sim_media *media, uint64_t offset, void *buf, uint64_t length)
{
	const struct sim_sector *sector = media->sectors + offset / SIM_SECTOR_BYTES;
	uint64_t *words = buf;

	for (uint64_t at = 0; at < length;
	     at += SIM_SECTOR_BYTES, words += SECTOR_WORDS, sector++) {
		if (sector->kind == SECTOR_ZERO)
			put_zeroes(words);
		else if (sector->kind == SECTOR_RUN)
			put_run(words, sector);
		else
			memcpy(words, media->bytes + offset + at, SIM_SECTOR_BYTES);
	}
}

void media_copy(struct sim_media *to, const struct sim_media *from, uint64_t offset,
		uint64_t length)
{
	for (uint64_t at = offset; at < offset + length; at += SIM_SECTOR_BYTES) {
		const struct sim_sector *sector = &from->sectors[at / SIM_SECTOR_BYTES];

		to->sectors[at / SIM_SECTOR_BYTES] = *sector;
		if (sector->kind == SECTOR_RAW)
			memcpy(to->bytes + at, from->bytes + at, SIM_SECTOR_BYTES);
	}
}

/* But for the bytes of raw ones.  No sector can be kept in two ways. */
static bool sector_equal(const struct sim_sector *a, const struct sim_sector *b)
{
	return a->kind == b->kind && a->first == b->first && a->base == b->base;
}

bool media_equal(const struct sim_media *a, uint64_t a_offset, const struct sim_media *b,
		 uint64_t b_offset, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += SIM_SECTOR_BYTES) {
		const struct sim_sector *x = &a->sectors[(a_offset + at) / SIM_SECTOR_BYTES];
		const struct sim_sector *y = &b->sectors[(b_offset + at) / SIM_SECTOR_BYTES];

		if (!sector_equal(x, y))
			return false;
		if (x->kind == SECTOR_RAW &&
		    memcmp(a->bytes + a_offset + at, b->bytes + b_offset + at, SIM_SECTOR_BYTES))
			return false;
	}
	return true;
}

SIM_WIDE bool media_holds(const struct sim_media *media, uint64_t offset, const void *buf,
			  uint64_t length)
{
	const struct sim_sector *sector = media->sectors + offset / SIM_SECTOR_BYTES;
	const uint64_t *words = buf;

	for (uint64_t at = 0; at < length; at += SIM_SECTOR_BYTES, words += SECTOR_WORDS) {
		struct sim_sector seen = look(words);

		if (!sector_equal(sector++, &seen))
			return false;
		if (seen.kind == SECTOR_RAW &&
		    memcmp(media->bytes + offset + at, words, SIM_SECTOR_BYTES))
			return false;
	}
	return true;
}

uint64_t media_word(const struct sim_media *media, uint64_t offset)
{
	const struct sim_sector *sector = &media->sectors[offset / SIM_SECTOR_BYTES];

	return sector->kind == SECTOR_RAW ? *(const uint64_t *)(const void *)(media->bytes + offset)
					  : sector->first;
}

bool media_pattern(const struct sim_media *media, uint64_t offset, uint32_t block_bytes,
		   uint64_t block, enum sim_value *value, uint64_t *id)
{
	const struct sim_sector *sector = &media->sectors[offset / SIM_SECTOR_BYTES];
	uint64_t count = block_bytes / SIM_SECTOR_BYTES, base;

	*id = media_word(media, offset);
	*value = *id ? SIM_DATA : SIM_ZERO;
	base = *id ? pattern_base(*id, block) : 0;
	for (uint64_t i = 0; i < count; i++, sector++, base += SECTOR_WORDS) {
		if (sector->kind != (*id ? SECTOR_RUN : SECTOR_ZERO))
			return false;
		if (*id && (sector->base != base || (i && sector->first != base)))
			return false;
	}
	return true;
}
