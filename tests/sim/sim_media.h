/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a simulated disk holds, sector by sector.  Nearly all sectors hold zeroes, or words that
 * count up, which is what sim_pattern.c writes: such a sector is kept as its first two words, and
 * only the others byte by byte.  Nothing is lost by it, as each sector is looked at when it is
 * written; but reading, comparing and forgetting whole volumes costs next to nothing.
 */
#ifndef LS_SIM_MEDIA_H
#define LS_SIM_MEDIA_H

#include "tests/sim/sim_history.h"

#include <stddef.h>
#include <stdint.h>

#define SIM_SECTOR_BYTES 512u

enum sim_sector_kind {
	SECTOR_ZERO,
	SECTOR_RUN, /* word 0 is @first, word i is @base + i */
	SECTOR_RAW, /* in the media's bytes */
};

struct sim_run {
	uint64_t first, base;
};

/* Three tables of the same sectors; the kinds are apart, so that many zeroes fit into a cache. */
struct sim_media {
	uint8_t *kinds; /* enum sim_sector_kind */
	struct sim_run *runs; /* of the runs */
	uint8_t *bytes; /* of the raw ones */
};

/* Maps memory for @bytes bytes, all zeroes; it is for the life of the process. */
void media_map(struct sim_media *media, size_t bytes);
/* Offsets and lengths are multiples of SIM_SECTOR_BYTES, buffers aligned to words. */
void media_write(struct sim_media *media, uint64_t offset, const void *buf, uint64_t length);
void media_zero(struct sim_media *media, uint64_t offset, uint64_t length);
void media_read(const struct sim_media *media, uint64_t offset, void *buf, uint64_t length);
void media_copy(struct sim_media *to, const struct sim_media *from, uint64_t offset,
		uint64_t length);
bool media_equal(const struct sim_media *a, uint64_t a_offset, const struct sim_media *b,
		 uint64_t b_offset, uint64_t length);
bool media_holds(const struct sim_media *media, uint64_t offset, const void *buf, uint64_t length);
/* The first word of a sector: the name of a write, where there is one. */
uint64_t media_word(const struct sim_media *media, uint64_t offset);
/* pattern_read() of what lies at @offset. */
bool media_pattern(const struct sim_media *media, uint64_t offset, uint32_t block_bytes,
		   uint64_t block, enum sim_value *value, uint64_t *id);

#endif
