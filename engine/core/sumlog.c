/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/sumlog.h"

#include "engine/base/defs.h"

#include <errno.h>
#include <stdlib.h>

#define SHIFT_MIN 8u
#define CRC32C_OF_ZEROES 0x98f94189u /* of one block */

static uint64_t places(const struct sumlog *log)
{
	return UINT64_C(1) << log->shift;
}

int sumlog_init(struct sumlog *log, uint64_t volume_bytes)
{
	*log = (struct sumlog){.shift = SHIFT_MIN};
	while (places(log) < SUMLOG_ENTRIES_MAX && places(log) < volume_bytes / SUMLOG_BLOCK)
		log->shift++;
	log->entries = calloc(places(log), sizeof(*log->entries));
	return log->entries ? 0 : -ENOMEM;
}

void sumlog_fini(struct sumlog *log)
{
	free(log->entries);
	log->entries = NULL;
}

static struct sumlog_entry *place(const struct sumlog *log, uint64_t block)
{
	return &log->entries[block & (places(log) - 1)];
}

static uint32_t life(const struct sumlog *log, uint64_t block)
{
	return (uint32_t)(block >> log->shift) + 1;
}

static void put(struct sumlog *log, uint64_t block, uint32_t crc)
{
	struct sumlog_entry *e = place(log, block);

	log->known += e->life == 0;
	e->life = life(log, block);
	e->crc = crc;
}

static void drop(struct sumlog *log, struct sumlog_entry *e)
{
	log->known--;
	e->life = 0;
}

static void forget_blocks(struct sumlog *log, uint64_t first, uint64_t end)
{
	/* Of a range that is longer than the table, the table is walked. */
	for (uint32_t i = 0; end - first > places(log) && i < places(log); i++) {
		struct sumlog_entry *e = &log->entries[i];
		uint64_t block = ((uint64_t)(e->life - 1) << log->shift) + i;

		if (e->life && block >= first && block < end)
			drop(log, e);
	}
	for (uint64_t b = first; end - first <= places(log) && b < end; b++) {
		struct sumlog_entry *e = place(log, b);

		if (e->life == life(log, b))
			drop(log, e);
	}
}

void sumlog_forget(struct sumlog *log, uint64_t offset, uint64_t length)
{
	if (log->known)
		forget_blocks(log, offset / SUMLOG_BLOCK,
			      (offset + length + SUMLOG_BLOCK - 1) / SUMLOG_BLOCK);
}

uint32_t sumlog_payload(struct sumlog *log, uint64_t offset, const void *bytes, uint32_t length)
{
	uint32_t parts[SUMLOG_PAYLOAD_BLOCKS], count = length / SUMLOG_BLOCK, crc;

	if (offset % SUMLOG_BLOCK || length % SUMLOG_BLOCK || count > SUMLOG_PAYLOAD_BLOCKS) {
		sumlog_forget(log, offset, length);
		return crc32c(bytes, length);
	}
	crc = crc32c_parts(bytes, parts, count);
	for (uint32_t i = 0; i < count; i++)
		put(log, offset / SUMLOG_BLOCK + i, parts[i]);
	return crc;
}

void sumlog_zeroes(struct sumlog *log, uint64_t offset, uint64_t length)
{
	uint64_t first = (offset + SUMLOG_BLOCK - 1) / SUMLOG_BLOCK;
	uint64_t end = (offset + length) / SUMLOG_BLOCK;

	/* Its first and last block may be zeroed in part only. */
	sumlog_forget(log, offset, length);
	/* Of a long range the table has room for the end. */
	if (end > places(log))
		first = max_u64(first, end - places(log));
	for (uint64_t b = first; b < end; b++)
		put(log, b, CRC32C_OF_ZEROES);
}

bool sumlog_find(const struct sumlog *log, uint64_t offset, uint32_t *crc)
{
	const struct sumlog_entry *e = place(log, offset / SUMLOG_BLOCK);

	if (e->life != life(log, offset / SUMLOG_BLOCK))
		return false;
	*crc = e->crc;
	return true;
}
