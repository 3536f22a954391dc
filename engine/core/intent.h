/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The write-intent map of a volume: one bit per region, set before a write goes out.
 *
 * This version keeps it in memory: after the peer was lost it says how much may differ.
 * It is not durable yet, so a restart means a whole copy; see engine/doc/durability.md.
 */
#ifndef LS_CORE_INTENT_H
#define LS_CORE_INTENT_H

#include <stdint.h>

#define INTENT_REGION_BYTES (4u << 20)

struct intent {
	uint64_t *bits;
	uint64_t regions;
	uint64_t marked;
};

int intent_init(struct intent *intent, uint64_t volume_bytes); /* -ENOMEM */
void intent_fini(struct intent *intent);
/* Marks every region that [offset, offset + length) touches. */
void intent_mark(struct intent *intent, uint64_t offset, uint64_t length);
void intent_clear(struct intent *intent);

#endif
