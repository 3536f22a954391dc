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
	media->runs = map(bytes / SIM_SECTOR_BYTES * sizeof(*media->runs));
	media->kinds = map(bytes / SIM_SECTOR_BYTES);
}

/* What @words are; @run, if they are one. */
static enum sim_sector_kind look(const uint64_t *words, struct sim_run *run)
{
	uint64_t base = words[1] - 1, bad = 0;

	*run = (struct sim_run){.first = words[0], .base = base};
	for (uint64_t i = 1; i < SECTOR_WORDS; i++)
		bad |= words[i] ^ (base + i);
	if (!bad)
		return SECTOR_RUN;
	for (uint64_t i = 0; i < SECTOR_WORDS; i++)
		if (words[i])
			return SECTOR_RAW;
	return SECTOR_ZERO;
}

SIM_WIDE void media_write(struct sim_media *media, uint64_t offset, const void *buf,
			  uint64_t length)
{
	uint64_t sector = offset / SIM_SECTOR_BYTES, end = sector + length / SIM_SECTOR_BYTES;
	const uint64_t *words = buf;

	for (; sector < end; sector++, words += SECTOR_WORDS) {
		media->kinds[sector] = (uint8_t)look(words, &media->runs[sector]);
		if (media->kinds[sector] == SECTOR_RAW)
			memcpy(media->bytes + sector * SIM_SECTOR_BYTES, words, SIM_SECTOR_BYTES);
	}
}

void media_zero(struct sim_media *media, uint64_t offset, uint64_t length)
{
	memset(media->kinds + offset / SIM_SECTOR_BYTES, SECTOR_ZERO, length / SIM_SECTOR_BYTES);
}

static void put_run(uint64_t *words, const struct sim_run *run)
{
	for (uint64_t i = 1; i < SECTOR_WORDS; i++)
		words[i] = run->base + i;
	words[0] = run->first;
}

/* How many sectors of zeroes follow each other, from the first of @count on. */
static uint64_t zeroes(const uint8_t *kinds, uint64_t count)
{
	uint64_t n = 0, eight;

	for (; n + 8 <= count; n += 8) {
		memcpy(&eight, kinds + n, 8);
		if (eight)
			break;
	}
	while (n < count && kinds[n] == SECTOR_ZERO)
		n++;
	return n;
}

SIM_WIDE void media_read(const struct sim_media *media, uint64_t offset, void *buf, uint64_t length)
{
	uint64_t sector = offset / SIM_SECTOR_BYTES, end = sector + length / SIM_SECTOR_BYTES, n;
	uint64_t *words = buf;

	for (; sector < end; sector += n, words += n * SECTOR_WORDS) {
		n = zeroes(media->kinds + sector, end - sector);
		if (n) {
			memset(words, 0, n * SIM_SECTOR_BYTES);
			continue;
		}
		n = 1;
		if (media->kinds[sector] == SECTOR_RUN)
			put_run(words, &media->runs[sector]);
		else
			memcpy(words, media->bytes + sector * SIM_SECTOR_BYTES, SIM_SECTOR_BYTES);
	}
}

void media_copy(struct sim_media *to, const struct sim_media *from, uint64_t offset,
		uint64_t length)
{
	uint64_t first = offset / SIM_SECTOR_BYTES, count = length / SIM_SECTOR_BYTES;

	memcpy(to->kinds + first, from->kinds + first, count);
	memcpy(to->runs + first, from->runs + first, count * sizeof(*to->runs));
	for (uint64_t i = first; i < first + count; i++)
		if (from->kinds[i] == SECTOR_RAW)
			memcpy(to->bytes + i * SIM_SECTOR_BYTES, from->bytes + i * SIM_SECTOR_BYTES,
			       SIM_SECTOR_BYTES);
}

/* @kind: of both sectors.  No sector can be kept in two ways. */
static bool sector_equal(enum sim_sector_kind kind, const struct sim_run *a, const uint8_t *a_bytes,
			 const struct sim_run *b, const void *b_bytes)
{
	if (kind == SECTOR_RUN)
		return a->first == b->first && a->base == b->base;
	return kind == SECTOR_ZERO || memcmp(a_bytes, b_bytes, SIM_SECTOR_BYTES) == 0;
}

bool media_equal(const struct sim_media *a, uint64_t a_offset, const struct sim_media *b,
		 uint64_t b_offset, uint64_t length)
{
	uint64_t x = a_offset / SIM_SECTOR_BYTES, y = b_offset / SIM_SECTOR_BYTES;
	uint64_t count = length / SIM_SECTOR_BYTES;

	if (memcmp(a->kinds + x, b->kinds + y, count) != 0)
		return false;
	for (uint64_t i = 0; i < count; i++, x++, y++)
		if (!sector_equal((enum sim_sector_kind)a->kinds[x], &a->runs[x],
				  a->bytes + x * SIM_SECTOR_BYTES, &b->runs[y],
				  b->bytes + y * SIM_SECTOR_BYTES))
			return false;
	return true;
}

SIM_WIDE bool media_holds(const struct sim_media *media, uint64_t offset, const void *buf,
			  uint64_t length)
{
	uint64_t sector = offset / SIM_SECTOR_BYTES, end = sector + length / SIM_SECTOR_BYTES;
	const uint64_t *words = buf;

	for (; sector < end; sector++, words += SECTOR_WORDS) {
		struct sim_run seen;
		enum sim_sector_kind kind = look(words, &seen);

		if (media->kinds[sector] != kind ||
		    !sector_equal(kind, &media->runs[sector],
				  media->bytes + sector * SIM_SECTOR_BYTES, &seen, words))
			return false;
	}
	return true;
}

uint64_t media_word(const struct sim_media *media, uint64_t offset)
{
	uint64_t sector = offset / SIM_SECTOR_BYTES;

	if (media->kinds[sector] == SECTOR_RAW)
		return *(const uint64_t *)(const void *)(media->bytes + offset);
	return media->kinds[sector] == SECTOR_RUN ? media->runs[sector].first : 0;
}

bool media_pattern(const struct sim_media *media, uint64_t offset, uint32_t block_bytes,
		   uint64_t block, enum sim_value *value, uint64_t *id)
{
	const uint8_t *kinds = media->kinds + offset / SIM_SECTOR_BYTES;
	const struct sim_run *run = media->runs + offset / SIM_SECTOR_BYTES;
	uint64_t count = block_bytes / SIM_SECTOR_BYTES, base;

	*id = media_word(media, offset);
	*value = *id ? SIM_DATA : SIM_ZERO;
	if (!*id)
		return zeroes(kinds, count) == count;
	base = pattern_base(*id, block);
	for (uint64_t i = 0; i < count; i++, run++, base += SECTOR_WORDS)
		if (kinds[i] != SECTOR_RUN || run->base != base || (i && run->first != base))
			return false;
	return true;
}
