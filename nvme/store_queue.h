/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store queue: the one io_uring of a shard, shared by all its stores, and the ways
 * to open a store on it.  io_uring and libnvme are known in nvme/ only.
 */
#ifndef LS_NVME_STORE_QUEUE_H
#define LS_NVME_STORE_QUEUE_H

#include "nvme/store.h"

struct store_queue;

/* Counters since creation; read by the owner thread. */
struct store_queue_stats {
	uint64_t submitted; /* operations handed to the kernel */
	uint64_t completed;
	uint64_t syscalls; /* io_uring_enter */
	uint64_t fixed; /* operations that used a registered buffer */
	uint64_t bounced; /* payload bytes that the store copied itself: always 0 for nvme */
	uint64_t slow_ns_max; /* longest operation */
};

/*
 * @depth: operations in flight at most.  The queue is created by any thread and used by
 * the one that first calls submit/poll.  -ENOSYS: the kernel has no io_uring, with a
 * sentence that says so.
 */
int store_queue_create(uint32_t depth, struct store_queue **queue, struct err *err) MUST_CHECK;
void store_queue_destroy(struct store_queue *queue);

/*
 * Opens @path as a store on @queue.  "/dev/nvmeXnY" and "/dev/ngXnY" open the nvme
 * backend (and claim the block device exclusively); "file:PATH" or any other path the
 * file backend.  @size_bytes > 0 creates a missing file with that size.
 * Every failure has its sentence: no such device, in use, too small, no permission.
 */
int store_open(struct store_queue *queue, const char *path, uint64_t size_bytes,
	       struct store **store, struct err *err) MUST_CHECK;

/*
 * How long store_open() waits for a device or file that is in use, unless it is known by whom
 * (2 s): the kernel holds it until the last command of an engine that was killed has ended.
 */
void store_queue_claim_wait(struct store_queue *queue, uint32_t wait_ms);

/*
 * What is on @path that is not ours: writes a short name ("ext4 file system", "md member",
 * "GPT partition table") to @what and returns 1; 0 when nothing was recognised.
 */
int store_probe_foreign(const char *path, char *what, size_t what_bytes);

/*
 * Registers @region as fixed buffers of @buffer_bytes each (at most 508 KiB: one command
 * may not have more than 127 pages between its start and the end of its buffer, Linux
 * 6.1).  Control path, but on the owner thread.  Where the kernel refuses, the region
 * stays usable without: detail in store_queue_describe().
 */
void store_queue_region_add(struct store_queue *queue, struct region *region, size_t buffer_bytes);
void store_queue_region_remove(struct store_queue *queue, struct region *region);

/* Hands what was submitted to the kernel: one system call, or none. */
void store_queue_flush(struct store_queue *queue);
/* Calls done() of what has completed, at most @budget; returns how many. */
unsigned store_queue_poll(struct store_queue *queue, unsigned budget);
/* Has an edge (EPOLLET) whenever poll gets something to do after an arm; it is never read. */
int store_queue_fd(const struct store_queue *queue);
/* Before sleeping on the fd: true when there is something to poll at once. */
bool store_queue_arm(struct store_queue *queue);

struct store_queue_stats store_queue_stats(const struct store_queue *queue);
/* "io_uring, deferred task work, 128 fixed buffers" for status. */
const char *store_queue_describe(const struct store_queue *queue);

#endif
