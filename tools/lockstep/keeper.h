/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process that stays with an attached volume: it has nbdkit as a child, gives the kernel new
 * connections when the old ones died, and a new size when the volume has grown, and takes all of
 * it away in the end.  Without it the device works on, until nbdkit dies.
 *
 * A request is never with two nbdkits at once: before the kernel gets new connections, and sends
 * again what it got no answer for, the old nbdkit has ended.  Otherwise a write that hangs there
 * could land after a later one.
 */
#ifndef LS_TOOLS_KEEPER_H
#define LS_TOOLS_KEEPER_H

#include "tools/lockstep/attach.h"

struct keeper_job {
	const struct cli *cli;
	const struct attach_options *options;
	const struct attach_place *place;
	struct nbd_export *export;
	uint64_t size_bytes;
	uint32_t block_bytes;
	/* Told once, when the volume is attached (its state), or why it is not. */
	void (*told)(void *ctx, struct json_object *answer);
	void *ctx;
};

/* Returns the exit status, when the volume is detached, or could not be attached. */
int keeper_run(const struct keeper_job *job);

#endif
