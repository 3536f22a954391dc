/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A leg: one operation on the local devices, over a volume's extents or straight on one
 * store, done in as many commands as extents and device limits ask for, one after the
 * other.  Almost always that is one.
 */
#ifndef LS_META_LEG_H
#define LS_META_LEG_H

#include "engine/meta/record.h"
#include "nvme/store.h"

struct leg {
	/*
	 * Filled by the owner, who keeps all of it until done(), with op.code, op.flags, op.buf and
	 * op.region; never STORE_DISCARD, which may leave anything.
	 */
	uint64_t offset, length; /* bytes; the leg moves them on, and op.buf */
	/* Of a long one: it ends with LS_SHUTDOWN, between two commands, when this becomes true. */
	const bool *stop;
	void (*done)(struct leg *leg);

	enum ls_status status; /* outcome */

	/* The leg's own. */
	uint32_t failures_known; /* of a flush: see volume_flush_begin() */
	const struct volume_record *record; /* NULL = straight on stores[0] */
	struct store *const *stores;
	uint32_t flush_left; /* devices still to flush, as bits */
	struct store_op op; /* the command under way; the rest of it is the leg's and the store's */
};

/* Starts the leg on the devices of a pool; done() comes later, from a store's completion. */
void leg_start(struct leg *leg, const struct volume_record *record, struct store *const *stores);
/* The same on one store; offsets are the device's. */
void leg_start_raw(struct leg *leg, struct store *const *store);

#endif
