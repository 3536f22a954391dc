/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each block of a volume may hold.  An entry is one write's value for one block:
 *
 *   opened ........ ended ........ dead
 *     |  may be there or not |  may be there   |  overwritten for certain
 *
 * A write kills, when it is acknowledged, the values of all writes that had ended before
 * it was opened.  A read may return every value that was alive at any time while it ran.
 * Time is the world's sequence number, not the clock.
 */
#ifndef LS_SIM_HISTORY_H
#define LS_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

enum sim_value {
	SIM_DATA, /* the pattern of one write */
	SIM_ZERO,
	SIM_ANY, /* never written: whatever the device held */
	SIM_DISCARD, /* discarded: anything, and not the same on both legs */
};

struct history_pool;
struct history_entry;

struct history {
	struct history_pool *pool;
	struct history_entry *heads; /* first entry of each block */
	uint64_t block_count;
};

struct history_pool *history_pool_create(void);
void history_pool_destroy(struct history_pool *pool);

void history_init(struct history *h, struct history_pool *pool, uint64_t block_count,
		  enum sim_value initial);
void history_fini(struct history *h);

/* @oldest: sequence number of the oldest request that is still open; older values may go. */
void history_open(struct history *h, uint64_t block, uint64_t id, enum sim_value value,
		  uint64_t seq, uint64_t oldest);
/* @acked: the write is on the device for certain, so what ended before it is dead. */
void history_end(struct history *h, uint64_t block, uint64_t id, bool acked, uint64_t seq);
/* The write was refused: it has never been. */
void history_forget(struct history *h, uint64_t block, uint64_t id);
/* Only this from now on: what was seen there. */
void history_set(struct history *h, uint64_t block, uint64_t id, enum sim_value value,
		 uint64_t seq);
/* @to allows exactly what @from does; what it had is forgotten. */
void history_copy(struct history *to, const struct history *from);
/* May a read that began at @since see this? */
bool history_allows(const struct history *h, uint64_t block, enum sim_value value, uint64_t id,
		    uint64_t since);
/* Was more than one value alive at some time since @since? */
bool history_unsettled(const struct history *h, uint64_t block, uint64_t since);
/* Is one of the values alive now a discard? */
bool history_discarded(const struct history *h, uint64_t block);

#endif
