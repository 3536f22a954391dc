/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link and a store that do nothing but answer, so that what is left is the engine's own cost.
 *
 * The link brings headers and messages over in memory, in order.  Payload it brings only while a
 * session is set up; later all payloads and all slots hold zeroes, so that checksums match.  The
 * store completes every operation at its next poll and keeps no bytes.
 */
#ifndef LS_BENCH_MICRO_QUICK_H
#define LS_BENCH_MICRO_QUICK_H

#include "nvme/store.h"
#include "verbs/link.h"

#define QUICK_SLOTS 128u
#define QUICK_SLOT_BYTES (128u << 10)

struct quick_event;

struct quick_link {
	struct link link;
	struct quick_link *other;
	/* What the other end has sent: a ring that begins anew whenever it is empty. */
	struct quick_event *events, *head, *tail;
	struct quick_event *open; /* the last one: a message that the sender has not flushed */
	bool brings_payload;
};

/* Two ends of one link; NULL: no memory. */
struct quick_link *quick_link_create(void);
/* From now on payloads are zeroes and stay where they are, in both directions. */
void quick_link_settle(struct quick_link *link);
/* What has arrived at this end is not looked at. */
void quick_link_forget(struct quick_link *link);

struct quick_store {
	struct store store;
	struct store_op *first, **last;
};

void quick_store_init(struct quick_store *store, uint64_t size_bytes);
/* Completes what was submitted so far. */
void quick_store_poll(struct quick_store *store);

#endif
