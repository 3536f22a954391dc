/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One NVMe device by io_uring passthrough (/dev/ng*), or any block device or file, and
 * the one place where a thread of these benchmarks sleeps: its ring also watches descriptors.
 * Requests gather until disk_submit() or disk_wait(), which is one system call for all of them.
 * One thread, which is the one that opened it.  A request that fails ends the program.
 */
#ifndef LS_BENCH_LOAD_DISK_H
#define LS_BENCH_LOAD_DISK_H

#include "bench/load/load.h"
#include "bench/load/technique.h"

#include <liburing.h>

#define WATCH_MAX 4u
#define DISK_REAP_MAX (DEPTH_MAX + WATCH_MAX)

struct disk {
	struct io_uring ring;
	int fd;
	bool passthrough;
	unsigned without; /* enum technique */
	uint32_t nsid;
	unsigned block_shift;
	unsigned in_flight;
	int watched[WATCH_MAX];
	unsigned watch_count;
};

/*
 * @path NULL: no device, only the sleeping.  @buffers: one for each slot, which are registered
 * one by one (Linux 6.1 refuses a command in a larger registered region).  @without: the
 * techniques to leave out.
 */
void disk_open(struct disk *d, const char *path, const struct iovec *buffers, unsigned count,
	       unsigned without);
/* From now on disk_reap() says so when @fd becomes readable; it need not be read in between. */
void disk_watch(struct disk *d, int fd);
/* Uses buffer @slot, which @buffer is; disk_reap() gives @slot back. */
void disk_start(struct disk *d, const struct io *io, unsigned slot, void *buffer);
void disk_submit(struct disk *d);
/* Submits, and sleeps until something is to be reaped. */
void disk_wait(struct disk *d);

struct disk_events {
	unsigned done; /* of slots[] */
	bool watched; /* a watched descriptor became readable */
	unsigned slots[DISK_REAP_MAX];
};

/* Takes what is there; no system call unless the kernel says that it has something. */
void disk_reap(struct disk *d, struct disk_events *events);
uint64_t disk_bytes(const char *path);

#endif
