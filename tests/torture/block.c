/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/torture/block.h"

#include "engine/base/crc32c.h"

#include <string.h>

#define SECTOR_WORDS 64u
#define SECTORS (BLOCK_BYTES / (SECTOR_WORDS * 8))
#define MAGIC 0x65727574726f746cu /* "ltorture" */

/* The words of the head of a sector; the rest follows from them. */
enum { WORD_MAGIC, WORD_SEED, WORD_PLACE, WORD_BLOCK, WORD_VERSION, WORD_REST };

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void fill_sector(uint64_t *words, const struct block_id *id, uint32_t sector)
{
	uint64_t word, step;

	words[WORD_MAGIC] = MAGIC;
	words[WORD_SEED] = id->seed;
	words[WORD_PLACE] = (uint64_t)id->volume << 32 | sector;
	words[WORD_BLOCK] = id->block;
	words[WORD_VERSION] = id->version;
	word = mix(id->seed ^ mix(id->version) ^ mix(id->block << 16 | sector));
	/* Cheap, for an emulated processor: no word of it comes twice in a sector. */
	step = word | 1;
	for (uint32_t i = WORD_REST; i < SECTOR_WORDS; i++)
		words[i] = word += step;
}

void block_fill(void *buf, const struct block_id *id)
{
	for (uint32_t s = 0; s < SECTORS; s++)
		fill_sector((uint64_t *)buf + s * SECTOR_WORDS, id, s);
}

static bool all_zero(const uint64_t *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (words[i])
			return false;
	return true;
}

/* What the sector says of itself; false when it is neither zeroes nor one of ours. */
static bool look_at_sector(const uint64_t *words, uint32_t sector, struct block_id *id)
{
	uint64_t good[SECTOR_WORDS];

	if (all_zero(words, SECTOR_WORDS)) {
		id->version = VERSION_ZEROES;
		return true;
	}
	id->seed = words[WORD_SEED];
	id->volume = (uint32_t)(words[WORD_PLACE] >> 32);
	id->block = words[WORD_BLOCK];
	id->version = words[WORD_VERSION];
	fill_sector(good, id, sector);
	return !memcmp(words, good, sizeof(good));
}

static bool same_place(const struct block_id *a, const struct block_id *b)
{
	return a->seed == b->seed && a->volume == b->volume && a->block == b->block;
}

enum block_verdict block_look(const void *buf, struct block_id *id)
{
	const struct block_id expected = *id;

	for (uint32_t s = 0; s < SECTORS; s++) {
		struct block_id seen = expected;

		if (!look_at_sector((const uint64_t *)buf + s * SECTOR_WORDS, s, &seen))
			return BLOCK_DAMAGED;
		if (s == 0)
			*id = seen;
		else if (seen.version != id->version || !same_place(&seen, id))
			return BLOCK_TORN;
	}
	return same_place(id, &expected) ? BLOCK_WHOLE : BLOCK_FOREIGN;
}

uint32_t digest_add(uint32_t digest, const void *piece, size_t bytes)
{
	return (digest << 1 | digest >> 31) ^ crc32c(piece, bytes);
}
