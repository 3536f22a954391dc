/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/msgid.h"

#include <errno.h>
#include <stdlib.h>

int msgid_init(struct msgid_table *t, uint32_t slots_max)
{
	assert(slots_max > 0 && slots_max <= UINT16_MAX);
	*t = (struct msgid_table){0};
	t->free = calloc(slots_max, sizeof(*t->free));
	t->slot = calloc(slots_max, sizeof(*t->slot));
	if (!t->free || !t->slot) {
		msgid_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void msgid_fini(struct msgid_table *t)
{
	free(t->free);
	free(t->slot);
	*t = (struct msgid_table){0};
}

void msgid_reset(struct msgid_table *t, uint32_t epoch, uint32_t slots)
{
	assert(t->free_count == t->slots);
	t->epoch = (uint64_t)epoch << 32;
	t->slots = t->free_count = slots;
	for (uint32_t i = 0; i < slots; i++) {
		/* Both sides count uses from 1. */
		t->slot[i] = (struct msgid_slot){.low = MSGID_TAG_ONE | i};
		t->free[i] = (uint16_t)(slots - 1 - i);
	}
}
