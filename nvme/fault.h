/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A store over a store that makes faults: operations fail as a plan says, or are held
 * back until the test lets them go.  For tests; it works over any backend, because every
 * operation goes on as one of its own to the store below.  An operation that is to fail
 * goes there as a flush, so that it ends where all others end: in poll.
 *
 * As a path, for daemons under test: "fail:CODE:NTH:PATH", with CODE one of read, write,
 * flush, discard, zeroes, and NTH counted from 1 (0 = every): fails with LS_LOCAL_IO.
 *
 * "fail:FILE:PATH", with FILE an absolute path: fails what FILE says at that moment, so that
 * blocks go bad and good again while the daemon runs.  Each line is "CODE OFFSET LENGTH", in
 * bytes on the device: operations of this code that touch this area fail with LS_LOCAL_IO.  With
 * LENGTH 0 a flush fails always; else when the area was zeroed (or places on both sides of it)
 * since the last one that did not.  "hold-CODE OFFSET LENGTH": they wait until FILE does not say so
 * any more; "fault: holds CODE" goes to standard error when one begins to.
 * FILE is read anew for each operation, up to STORE_FAULT_FILE_BYTES of it.
 */
#ifndef LS_NVME_FAULT_H
#define LS_NVME_FAULT_H

#include "nvme/store.h"

#define STORE_FAULT_RULES_MAX 8
#define STORE_FAULT_FILE_BYTES 1024

struct store_fault_rule {
	enum store_code code;
	uint64_t nth; /* operation of this code, from 1; 0 = every one */
	enum ls_status status;
	bool after; /* the device does it, and yet it fails */
};

struct store_fault_plan {
	struct store_fault_rule rules[STORE_FAULT_RULES_MAX];
	unsigned nr_rules;
	uint32_t hold; /* bit (1 << code): operations of the code wait for a release */
};

/* Takes @below over and closes it with itself.  @plan may be NULL.  NULL: no memory. */
struct store *store_fault_wrap(struct store *below, const struct store_fault_plan *plan);

/* Changes the plan and starts the counts anew; what is held stays held. */
void store_fault_plan_set(struct store *store, const struct store_fault_plan *plan);

/* How many operations are held. */
unsigned store_fault_held(const struct store *store);

/*
 * Gives @op, or with NULL the oldest held one, to the store below.  False when it is not
 * held.  The caller flushes the queue, as after a submit.
 */
bool store_fault_release(struct store *store, struct store_op *op);

#endif
