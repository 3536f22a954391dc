/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's nbd, by its netlink family: /dev/nbdN over sockets that are connected already.  Such
 * a device outlives its sockets: requests wait, and new ones can be given to it.
 *
 * One thread.  The sockets stay the caller's; the kernel keeps copies.
 */
#ifndef LS_TOOLS_NBD_DEVICE_H
#define LS_TOOLS_NBD_DEVICE_H

#include "engine/base/err.h"

#include <limits.h>
#include <stdbool.h>

struct nbd_device;

struct nbd_setup {
	int index; /* of /dev/nbdN; -1: the kernel chooses */
	char backend[96]; /* sysfs shows it, and who changes the device has to know it */
	uint64_t size_bytes;
	uint64_t flags; /* NBD_FLAG_* of <linux/nbd.h> */
	uint32_t block_bytes;
	uint64_t patience_s; /* without any socket requests wait so long, then fail */
};

/* Loads the module if need be.  @err says what is missing. */
int nbd_device_open(struct nbd_device **device, struct err *err);
void nbd_device_close(struct nbd_device *device);

/* Makes the device; setup->index is set. */
int nbd_device_connect(struct nbd_device *device, struct nbd_setup *setup, const int *sockets,
		       unsigned count, struct err *err);
/* Size, flags and patience of one that is there; @sockets take the place of those that are dead. */
int nbd_device_change(struct nbd_device *device, const struct nbd_setup *setup, const int *sockets,
		      unsigned count, struct err *err);
/* What is in flight or waits fails; the device is free afterwards.  None there: 0. */
int nbd_device_disconnect(struct nbd_device *device, int index, struct err *err);

/* Readable when sockets have died. */
int nbd_device_fd(const struct nbd_device *device);
/*
 * How many sockets of @index have died since the last call; NBD_DEATHS_UNKNOWN: so many of all
 * devices that the kernel did not keep all it had to tell.
 */
#define NBD_DEATHS_UNKNOWN UINT_MAX
unsigned nbd_device_deaths(struct nbd_device *device, int index);

/* As the kernel has it now; 0: no such device. */
uint64_t nbd_device_bytes(int index);
/* The first device that is connected with this backend, or -1. */
int nbd_device_find(const char *backend);
/* Is @index connected with it? */
bool nbd_device_has(int index, const char *backend);
/* Mounted, or used by another device: the kernel gives it to nobody else alone. */
bool nbd_device_in_use(int index);

#endif
