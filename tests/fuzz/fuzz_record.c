/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: no bytes make the decoders of what is on disk misbehave, with right checksums or wrong. */
#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "engine/meta/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const uint8_t *bytes, size_t size)
{
	struct volume_record r;
	struct table t;
	size_t cursor = 0;

	if (table_decode(bytes, size, &t) != META_OK)
		return;
	for (unsigned i = 0; i < t.volume_count; i++) {
		if (!table_record(bytes, size, &cursor, &r))
			break;
		/* What is taken must be within its bounds: users index by these. */
		if (r.extent_count > VOLUME_EXTENTS_MAX || r.replica_count > VOLUME_REPLICAS_MAX ||
		    r.number == 0 || cursor > size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[8192];
	struct super s;
	size_t n = size < sizeof(bytes) ? size : sizeof(bytes);

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, data, n);
	(void)super_decode(bytes, &s);
	walk(bytes, n);
	/* Again as a table whose head and checksum are right, so that the records are reached. */
	if (n < 64)
		return 0;
	memcpy(bytes, "LSTABLE", 8);
	put_u32(bytes + 8, 1);
	put_u32(bytes + 12, bytes[12]);
	put_u32(bytes + 40, (uint32_t)n);
	put_u32(bytes + 44, 0);
	put_u32(bytes + 44, crc32c(bytes, n));
	walk(bytes, n);
	return 0;
}
