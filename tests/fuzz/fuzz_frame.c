/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: no bytes make the frame decoder misbehave, and what it takes it gives back the same. */
#include "engine/core/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[FRAME_BYTES] = {0}, again[FRAME_BYTES];
	struct frame f;

	memcpy(bytes, data, size < FRAME_BYTES ? size : FRAME_BYTES);
	if (frame_decode(bytes, &f) == FRAME_OK) {
		frame_encode(&f, again);
		if (memcmp(bytes, again, FRAME_BYTES) != 0)
			abort();
	}
	/* The same bytes with a right checksum reach the checks behind it. */
	if (frame_decode(bytes, &f) == FRAME_BAD_CRC) {
		f = (struct frame){.version = bytes[4],
				   .command = bytes[5],
				   .flags = (uint16_t)(bytes[6] | bytes[7] << 8)};
		frame_encode(&f, again);
		(void)frame_decode(again, &f);
	}
	return 0;
}
