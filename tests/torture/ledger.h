/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a writer records outside of the system under test: each request before it is queued, and
 * each outcome after it was seen.  A ledger is an array of these, appended to with write(), by one
 * process only.  A record that was cut short by the end of the writer counts as not there.  Native
 * byte order: no ledger outlives its run.
 */
#ifndef LS_TORTURE_LEDGER_H
#define LS_TORTURE_LEDGER_H

#include <stdint.h>

enum ledger_kind {
	LEDGER_SUBMIT = 1, /* about to be queued */
	LEDGER_DONE = 2, /* completed with LS_OK */
	LEDGER_FAILED = 3, /* completed with another status: may have been done or not */
};

enum ledger_op { LEDGER_WRITE = 1, LEDGER_ZERO = 2, LEDGER_FLUSH = 3 };

struct ledger_record {
	uint8_t kind; /* enum ledger_kind */
	uint8_t op; /* enum ledger_op; a discard is a LEDGER_ZERO */
	uint8_t fua;
	uint8_t status; /* FAILED: enum ls_status */
	uint32_t count; /* of blocks */
	uint64_t block;
	/*
	 * Names the request, in the whole run: the writer's number << 32, and a count from 1.
	 * Also the version of what a write puts into its blocks.
	 */
	uint64_t version;
};

_Static_assert(sizeof(struct ledger_record) == 24, "no holes in what is written to a file");

#endif
