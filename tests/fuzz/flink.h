/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link in memory.  What its engine sends goes to the owner's hooks; what the owner delivers
 * arrives when the engine polls.  It keeps the promises that every backend keeps (link.h), and
 * no other: what it carries may be anything.
 */
#ifndef LS_FUZZ_FLINK_H
#define LS_FUZZ_FLINK_H

#include "verbs/link.h"

#define FLINK_SLOTS 12u
#define FLINK_SLOT_BYTES (128u << 10)

struct flink;

struct flink_hooks {
	void (*sent)(void *owner, struct flink *link, const uint8_t *bytes, uint32_t length);
	void (*written)(void *owner, struct flink *link, uint32_t slot, const uint8_t *header,
			const void *payload, uint32_t payload_bytes);
	void (*ended)(void *owner, struct flink *link); /* shut, or went down by itself */
	void (*destroyed)(void *owner, struct flink *link);
};

struct flink_event;

struct flink {
	struct link link;
	const struct flink_hooks *hooks;
	void *owner;
	uint32_t use_slots; /* of those that the peer grants, at most so many; 0 = all */
	struct flink_event *first, **last;
	char reason[160]; /* of the end that comes; "" = it is open */
};

struct flink *flink_create(const struct flink_hooks *hooks, void *owner);

/* What the other side does.  A length that no backend would pass up ends the link. */
void flink_message(struct flink *link, const uint8_t *bytes, uint32_t length);
/* @told: what the backend says has arrived. */
void flink_request(struct flink *link, uint32_t slot, const uint8_t *header, const void *payload,
		   uint32_t payload_bytes, uint32_t told);
void flink_down(struct flink *link, const char *reason);

/* Descriptions of slots, as this backend makes them: count (2), bytes of each (4). */
void flink_grant_encode(uint8_t grant[LINK_GRANT_BYTES], uint16_t slots, uint32_t slot_bytes);

#endif
