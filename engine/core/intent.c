/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/intent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t words(const struct intent *m)
{
	return (m->regions + 63) / 64;
}

int intent_init(struct intent *m, uint64_t volume_bytes)
{
	m->regions = (volume_bytes + INTENT_REGION_BYTES - 1) / INTENT_REGION_BYTES;
	m->marked = 0;
	m->bits = calloc(words(m), sizeof(*m->bits));
	return m->bits ? 0 : -ENOMEM;
}

void intent_fini(struct intent *m)
{
	free(m->bits);
	m->bits = NULL;
}

void intent_mark(struct intent *m, uint64_t offset, uint64_t length)
{
	uint64_t last = (offset + length - 1) / INTENT_REGION_BYTES;

	assert(last < m->regions);
	for (uint64_t r = offset / INTENT_REGION_BYTES; r <= last; r++) {
		uint64_t bit = UINT64_C(1) << (r % 64);

		m->marked += !(m->bits[r / 64] & bit);
		m->bits[r / 64] |= bit;
	}
}

void intent_clear(struct intent *m)
{
	memset(m->bits, 0, words(m) * sizeof(*m->bits));
	m->marked = 0;
}
