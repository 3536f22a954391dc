/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A job is one administrator's operation that may take time.  The caller owns it and keeps
 * it until done() was called, exactly once, possibly from within the call that began it.
 */
#ifndef LS_PEER_JOB_H
#define LS_PEER_JOB_H

#include "engine/base/err.h"
#include "engine/base/list.h"

struct job {
	void (*done)(struct job *job);
	struct err err; /* err.code = outcome: 0 or a negative errno, with its sentence */

	/* The engine's own. */
	struct list node;
};

#endif
