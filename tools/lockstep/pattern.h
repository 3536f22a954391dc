/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that follow from a seed, a place and a generation: so that what a volume must hold
 * is known without keeping it.  Each 512-byte block by itself.  Pure.
 */
#ifndef LS_TOOLS_PATTERN_H
#define LS_TOOLS_PATTERN_H

#include "engine/base/defs.h"

#define PATTERN_BLOCK 512u

/* @offset and @bytes are multiples of PATTERN_BLOCK. */
void pattern_fill(void *buf, size_t bytes, uint64_t offset, uint64_t seed, uint32_t generation);
/* How many bytes agree from the start: @bytes when all do. */
size_t pattern_match(const void *buf, size_t bytes, uint64_t offset, uint64_t seed,
		     uint32_t generation);

/* A small generator (splitmix64) for offsets and choices. */
uint64_t prng_next(uint64_t *state);
/* 0 … @below - 1, for a @below far smaller than 2^64. */
uint64_t prng_below(uint64_t *state, uint64_t below);

#endif
