/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel tells about block devices in /sys and /proc.  Control path. */
#ifndef LS_NVME_SYSFS_H
#define LS_NVME_SYSFS_H

#include "engine/base/defs.h"

#include <stdbool.h>
#include <sys/types.h>

/* Reads the first line of /sys/dev/block/MAJ:MIN/@attribute; false when there is none. */
bool sysfs_block_text(dev_t device, const char *attribute, char *text, size_t text_bytes);
/* The same as a number, or @missing. */
long long sysfs_block_number(dev_t device, const char *attribute, long long missing);

bool sysfs_block_is_partition(dev_t device);

/* Of the controller or host adapter that @device hangs on; -1 = the machine does not say. */
int sysfs_block_numa_node(dev_t device);

/*
 * Says in @text who holds @device or one of its partitions: "/dev/vda1 is mounted at /",
 * "held by md0"; or a guess, and false, when the kernel does not tell.
 */
bool sysfs_block_users(dev_t device, char *text, size_t text_bytes);

#endif
