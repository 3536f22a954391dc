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

#include <stdbool.h>
#include <stdint.h>

struct msgid_table {
	uint32_t epoch;
	uint32_t slots;
	uint32_t free_count;
	uint16_t *tag; /* of the current or next use */
	uint16_t *free; /* stack of free slots */
	void **owner; /* NULL = free */
};

int msgid_init(struct msgid_table *table, uint32_t slots_max); /* -ENOMEM */
void msgid_fini(struct msgid_table *table);
/* For a new session.  No slot may be in use. */
void msgid_reset(struct msgid_table *table, uint32_t epoch, uint32_t slots);

/* Binds @owner (not NULL) to a free slot.  Asserts that there is one. */
uint64_t msgid_take(struct msgid_table *table, void *owner);
/* The owner of @id, or NULL when @id is stale or was never given. */
void *msgid_find(const struct msgid_table *table, uint64_t id);
/* Frees the slot of @id, which must be valid. */
void msgid_release(struct msgid_table *table, uint64_t id);

static inline uint32_t msgid_slot(uint64_t id)
{
	return (uint16_t)id;
}

static inline uint16_t msgid_tag(uint64_t id)
{
	return (uint16_t)(id >> 16);
}

static inline uint32_t msgid_epoch(uint64_t id)
{
	return (uint32_t)(id >> 32);
}

#endif
