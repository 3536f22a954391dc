/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes that a write puts in a block; they name the write and the block. */
#ifndef LS_SIM_PATTERN_H
#define LS_SIM_PATTERN_H

#include "tests/sim/sim_history.h"

/*
 * For loops over all bytes of all blocks: also compiled for wider registers, for processors that
 * have them.  Sanitizers cannot begin before the choice is made; clang 14 does not link it.
 */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define SIM_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define SIM_WIDE
#endif

/* Word i of a block is this plus i; word 0 is the write's ID. */
uint64_t pattern_base(uint64_t id, uint64_t block);
void pattern_fill(uint8_t *bytes, uint32_t block_bytes, uint64_t id, uint64_t block);
/* What a block holds; false when it is neither zeroes nor the pattern of @block. */
bool pattern_read(const uint8_t *bytes, uint32_t block_bytes, uint64_t block, enum sim_value *value,
		  uint64_t *id);

#endif
