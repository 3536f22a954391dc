/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Claiming a device or file for one engine.  The kernel holds a claim a moment longer than the
 * process that had it, and as long as a device works on the commands of a process that was killed
 * (queue_claims.c): so claiming waits for a while when nobody is known to hold it for good.
 */
#ifndef LS_NVME_CLAIM_H
#define LS_NVME_CLAIM_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Opens the block device @path, which is @device, with O_EXCL.  Returns the descriptor or a
 * negative errno; -EBUSY with a sentence in @err.
 */
int claim_device(const char *path, dev_t device, uint32_t wait_ms, struct err *err) MUST_CHECK;

/* Takes the lock of the file @fd; false: somebody else has it. */
bool claim_lock(int fd, uint32_t wait_ms) MUST_CHECK;

#endif
