/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/msgid.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int msgid_init(struct msgid_table *t, uint32_t slots_max)
{
	assert(slots_max > 0 && slots_max <= UINT16_MAX);
	*t = (struct msgid_table){0};
	t->tag = calloc(slots_max, sizeof(*t->tag));
	t->free = calloc(slots_max, sizeof(*t->free));
	t->owner = calloc(slots_max, sizeof(*t->owner));
	if (!t->tag || !t->free || !t->owner) {
		msgid_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void msgid_fini(struct msgid_table *t)
{
	free(t->tag);
	free(t->free);
	free(t->owner);
	*t = (struct msgid_table){0};
}

void msgid_reset(struct msgid_table *t, uint32_t epoch, uint32_t slots)
{
	assert(t->free_count == t->slots);
	t->epoch = epoch;
	t->slots = t->free_count = slots;
	for (uint32_t i = 0; i < slots; i++) {
		/* Both sides count uses from 1; see serve_check_id(). */
		t->tag[i] = 1;
		t->owner[i] = NULL;
		t->free[i] = (uint16_t)(slots - 1 - i);
	}
}

uint64_t msgid_take(struct msgid_table *t, void *owner)
{
	uint16_t slot;

	assert(owner && t->free_count > 0);
	slot = t->free[--t->free_count];
	assert(!t->owner[slot]);
	t->owner[slot] = owner;
	return (uint64_t)t->epoch << 32 | (uint32_t)t->tag[slot] << 16 | slot;
}

void *msgid_find(const struct msgid_table *t, uint64_t id)
{
	uint32_t slot = msgid_slot(id);

	if (slot >= t->slots || msgid_epoch(id) != t->epoch || msgid_tag(id) != t->tag[slot])
		return NULL;
	return t->owner[slot];
}

void msgid_release(struct msgid_table *t, uint64_t id)
{
	uint16_t slot = (uint16_t)msgid_slot(id);

	assert(msgid_find(t, id));
	t->owner[slot] = NULL;
	t->tag[slot] += !MUTANT(ID_REUSED);
	t->free[t->free_count++] = slot;
}
