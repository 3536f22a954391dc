/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Message identifications.  One names one outstanding request to one peer; the completion
 * carries the identical number.
 *
 *    63            32 31            16 15             0
 *   +----------------+----------------+----------------+
 *   |  session epoch |      tag       |      slot      |
 *   +----------------+----------------+----------------+
 *
 * The slot is the peer's receive slot that the request is placed in, so a free slot is the
 * credit to send.  The tag goes up by one with every use of the slot: a completion that
 * comes late or twice misses, and the receiver sees a request that was repeated.  The
 * epoch is new with every session.
 */
#ifndef LS_CORE_MSGID_H
#define LS_CORE_MSGID_H

#include "engine/base/defs.h"
#include "engine/base/mutant.h"

#include <assert.h>

#define MSGID_TAG_ONE (1u << 16)

struct msgid_slot {
	void *owner; /* NULL = free */
	uint32_t low; /* tag and slot of the current or next use: all but the epoch */
};

struct msgid_table {
	uint64_t epoch; /* in its place */
	uint32_t slots;
	uint32_t free_count;
	uint16_t *free; /* stack of free slots */
	struct msgid_slot *slot;
};

int msgid_init(struct msgid_table *table, uint32_t slots_max); /* -ENOMEM */
void msgid_fini(struct msgid_table *table);
/* For a new session.  No slot may be in use. */
void msgid_reset(struct msgid_table *table, uint32_t epoch, uint32_t slots);

static inline uint32_t msgid_slot(uint64_t id)
{
	return (uint16_t)id;
}

static inline uint32_t msgid_epoch(uint64_t id)
{
	return (uint32_t)(id >> 32);
}

/* Binds @owner (not NULL) to a free slot.  Asserts that there is one. */
static inline uint64_t msgid_take(struct msgid_table *t, void *owner)
{
	uint16_t slot;

	assert(owner && t->free_count > 0);
	slot = t->free[--t->free_count];
	assert(!t->slot[slot].owner);
	t->slot[slot].owner = owner;
	return t->epoch | t->slot[slot].low;
}

/* The owner of @id, or NULL when @id is stale or was never given. */
static inline void *msgid_find(const struct msgid_table *t, uint64_t id)
{
	uint32_t slot = msgid_slot(id);

	if (slot >= t->slots || id != (t->epoch | t->slot[slot].low))
		return NULL;
	return t->slot[slot].owner;
}

/*
 * Frees the slot of @id, which was never sent: the tag stays, because the receiver counts what
 * comes, and so the next request in this slot has this identification.
 */
static inline void msgid_return(struct msgid_table *t, uint64_t id)
{
	uint16_t slot = (uint16_t)msgid_slot(id);

	assert(msgid_find(t, id));
	t->slot[slot].owner = NULL;
	t->free[t->free_count++] = slot;
}

/* Frees the slot of @id, which must be valid. */
static inline void msgid_release(struct msgid_table *t, uint64_t id)
{
	uint16_t slot = (uint16_t)msgid_slot(id);

	assert(msgid_find(t, id));
	t->slot[slot].owner = NULL;
	/* The tag begins anew without touching the epoch. */
	t->slot[slot].low += MUTANT(ID_REUSED) ? 0 : MSGID_TAG_ONE;
	t->free[t->free_count++] = slot;
}

#endif
