/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/pattern.h"

#include <assert.h>
#include <string.h>

uint64_t prng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t prng_below(uint64_t *state, uint64_t below)
{
	return prng_next(state) % below;
}

static void fill_block(uint64_t *words, uint64_t offset, uint64_t seed, uint32_t generation)
{
	uint64_t state = seed ^ offset * 0xd1342543de82ef95u ^ (uint64_t)generation << 40;

	/* Stirred once, so that near places do not have near streams. */
	state = prng_next(&state);
	/* The place in plain view: who finds a wrong block sees where it belongs. */
	words[0] = offset;
	for (size_t i = 1; i < PATTERN_BLOCK / sizeof(*words); i++)
		words[i] = prng_next(&state);
}

void pattern_fill(void *buf, size_t bytes, uint64_t offset, uint64_t seed, uint32_t generation)
{
	uint64_t words[PATTERN_BLOCK / sizeof(uint64_t)];

	assert(offset % PATTERN_BLOCK == 0 && bytes % PATTERN_BLOCK == 0);
	for (size_t at = 0; at < bytes; at += PATTERN_BLOCK) {
		fill_block(words, offset + at, seed, generation);
		memcpy((char *)buf + at, words, PATTERN_BLOCK);
	}
}

static size_t agree(const char *a, const char *b, size_t bytes)
{
	size_t n = 0;

	while (n < bytes && a[n] == b[n])
		n++;
	return n;
}

size_t pattern_match(const void *buf, size_t bytes, uint64_t offset, uint64_t seed,
		     uint32_t generation)
{
	uint64_t words[PATTERN_BLOCK / sizeof(uint64_t)];

	assert(offset % PATTERN_BLOCK == 0 && bytes % PATTERN_BLOCK == 0);
	for (size_t at = 0; at < bytes; at += PATTERN_BLOCK) {
		const char *have = (const char *)buf + at;

		fill_block(words, offset + at, seed, generation);
		if (memcmp(have, words, PATTERN_BLOCK))
			return at + agree(have, (const char *)words, PATTERN_BLOCK);
	}
	return bytes;
}
