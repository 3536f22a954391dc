/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checksum log of a volume: the CRC32C of recent writes, one for each block of 4 KiB, as
 * the frame of the write carried it.  `lockstep verify` asks it which replica is wrong where
 * two differ (engine/doc/verify.md).
 *
 * A fixed table in which a block has one place: a later block takes the place of an earlier
 * one.  A block that was written in part, or without a checksum, or not well, is forgotten.
 * So what the log says is true of both replicas, or it says nothing.  In memory only.
 *
 * Threads: the engine's.  The data path neither allocates nor searches.
 */
#ifndef LS_CORE_SUMLOG_H
#define LS_CORE_SUMLOG_H

#include "engine/base/crc32c.h"

#include <stdbool.h>

#define SUMLOG_BLOCK CRC32C_PART
/* Blocks at most: 64 MiB of writes in 128 KiB of memory. */
#define SUMLOG_ENTRIES_MAX 16384u
/* The longest payload. */
#define SUMLOG_PAYLOAD_BLOCKS 32u

struct sumlog_entry {
	uint32_t life; /* which of the blocks that share the place, from 1; 0 = none */
	uint32_t crc;
};

struct sumlog {
	struct sumlog_entry *entries;
	uint8_t shift; /* log2 of the places */
	uint32_t known; /* entries that say something */
};

int sumlog_init(struct sumlog *log, uint64_t volume_bytes); /* -ENOMEM */
void sumlog_fini(struct sumlog *log);

/* The range holds @bytes from now on.  Returns the CRC32C of all of them. */
uint32_t sumlog_payload(struct sumlog *log, uint64_t offset, const void *bytes, uint32_t length);
void sumlog_zeroes(struct sumlog *log, uint64_t offset, uint64_t length);
/* Nobody knows what the range holds. */
void sumlog_forget(struct sumlog *log, uint64_t offset, uint64_t length);
/* The CRC32C of the block at @offset, as it should be; false when it is not known. */
bool sumlog_find(const struct sumlog *log, uint64_t offset, uint32_t *crc);

#endif
