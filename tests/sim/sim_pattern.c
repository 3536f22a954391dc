/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each word of a block depends on the write, the block's number and the word's place, so
 * that bytes of another write, another block or another place are seen.
 */
#include "tests/sim/sim_pattern.h"

#include "tests/sim/sim_rng.h"

uint64_t pattern_base(uint64_t id, uint64_t block)
{
	return sim_mix(id ^ block << 40);
}

SIM_WIDE void pattern_fill(uint8_t *bytes, uint32_t block_bytes, uint64_t id, uint64_t block)
{
	uint64_t *words = (uint64_t *)(void *)bytes, base = pattern_base(id, block);

	words[0] = id;
	for (uint64_t i = 1; i < block_bytes / 8; i++)
		words[i] = base + i;
}

SIM_WIDE bool pattern_read(const uint8_t *bytes, uint32_t block_bytes, uint64_t block,
			   enum sim_value *value, uint64_t *id)
{
	const uint64_t *words = (const uint64_t *)(const void *)bytes;
	uint64_t base, bad = 0;

	*id = words[0];
	*value = words[0] ? SIM_DATA : SIM_ZERO;
	if (!words[0]) {
		for (uint64_t i = 1; i < block_bytes / 8; i++)
			bad |= words[i];
		return !bad;
	}
	base = pattern_base(words[0], block);
	for (uint64_t i = 1; i < block_bytes / 8; i++)
		bad |= words[i] ^ (base + i);
	return !bad;
}
