/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process that stays with an attached volume.  It is in the path of no request.
 *
 * Of a block device: it gives the kernel new connections to the engine when the old ones died, and
 * a new size when the volume has grown, and takes all of it away in the end.  Without it the
 * device works on, until the engine ends.  Of an export: it has nbdkit as a child.
 *
 * KEEPER_DETACH ends it and the device.  SIGTERM and SIGINT do, too, unless the device is in use:
 * whoever stops processes, a service manager, the end of a login, must not take a disk away from
 * under a file system.  Then it leaves the device, and the next keeper takes it over.
 */
#ifndef LS_TOOLS_KEEPER_H
#define LS_TOOLS_KEEPER_H

#include "tools/lockstep/attach.h"

#include <signal.h>

#define KEEPER_DETACH SIGUSR1

struct keeper_job {
	const struct cli *cli;
	const struct attach_options *options;
	const struct attach_place *place;
	struct nbd_export *export;
	uint64_t size_bytes;
	uint32_t block_bytes;
	char uuid[33]; /* of the volume; "": the engine is of a release that does not say */
	/* Told once, when the volume is attached (its state), or why it is not. */
	void (*told)(void *ctx, struct json_object *answer);
	void *ctx;
};

/* Returns the exit status, when the volume is detached, or could not be attached. */
int keeper_run(const struct keeper_job *job);

#endif
