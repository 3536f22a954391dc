/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: no bytes make the frame decoder misbehave, and what it takes it gives back the same. */
#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "engine/core/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *bytes)
{
	uint8_t again[FRAME_BYTES];
	struct frame f;
	enum frame_verdict verdict = frame_decode(bytes, &f);

	if (!frame_verdict_name(verdict)[0])
		abort();
	if (verdict != FRAME_OK)
		return;
	frame_encode(&f, again);
	if (memcmp(bytes, again, FRAME_BYTES) != 0 || !frame_command_name(f.command)[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[FRAME_BYTES] = {0};

	memcpy(bytes, data, size < FRAME_BYTES ? size : FRAME_BYTES);
	check(bytes);
	/* The same bytes with a right checksum reach the checks behind it. */
	put_u32(bytes, FRAME_MAGIC);
	bytes[4] = FRAME_VERSION;
	put_u32(bytes + 60, crc32c(bytes, 60));
	check(bytes);
	return 0;
}
