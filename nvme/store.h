/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store interface: one block device (or file) as the core sees it.
 *
 * Backends: `nvme` (NVMe passthrough: IORING_OP_URING_CMD on /dev/ngXnY), `file`
 * (io_uring on a file or block device), and the simulator's.  All stores of one shard
 * share one store queue, which owns the io_uring.
 *
 * Threads: a store and its queue are used by the shard's thread alone, once handed over;
 * opening and identifying happens before, on the control thread, and may block.
 */
#ifndef LS_NVME_STORE_H
#define LS_NVME_STORE_H

#include "engine/base/err.h"
#include "engine/base/region.h"
#include "engine/include/lockstep.h"

#include <assert.h>
#include <stdbool.h>

enum store_code {
	STORE_READ,
	STORE_WRITE,
	STORE_FLUSH,
	STORE_DISCARD, /* content afterwards is undefined unless geometry says zeroes */
	STORE_WRITE_ZEROES, /* content afterwards is zeroes */
};

#define STORE_FUA 1u /* of a write or write-zeroes: durable when it completes */

/*
 * One operation.  Owned by the caller, who fills the first part and keeps it and the
 * buffer alive until done() was called: a timeout frees nothing (invariant I5).
 */
struct store_op {
	enum store_code code;
	uint32_t flags;
	uint64_t offset; /* bytes, multiple of block_bytes */
	uint64_t length; /* bytes, multiple of block_bytes; 0 for flush */
	void *buf; /* reads and writes; aligned to block_bytes */
	const struct region *region; /* that holds buf, or NULL when it is in none */
	void (*done)(struct store_op *op);

	/* Set by the store before done(): LS_OK, LS_LOCAL_IO or LS_NO_SPACE. */
	enum ls_status status;

	/* The store's own. */
	struct store *store;
	struct store_op *next;
	uint64_t started_ns;
};

/* What a device can do; read from it, not assumed.  Constant after open. */
struct store_geometry {
	uint64_t size_bytes;
	uint32_t block_bytes; /* 512 or 4096 */
	uint32_t io_max_bytes; /* longest read or write: MDTS, 127 segments, 4 MiB */
	uint64_t zeroes_max_bytes; /* longest write-zeroes, a multiple of block_bytes */
	uint64_t discard_max_bytes;
	uint32_t atomic_bytes; /* power-fail atomic write unit, at least block_bytes */
	bool volatile_cache; /* a completed write without FUA may be lost with the power */
	bool can_discard;
	bool discard_zeroes; /* reads after discard give zeroes */
	int numa_node; /* -1 = the machine does not say */
	char backend[16]; /* "nvme", "file", … */
	char path[256];
	char model[64];
	char serial[64];
	char detail[128]; /* for status: "io_uring passthrough, 64 fixed buffers", … */
};

struct store;

struct store_ops {
	/*
	 * Queues @op.  Never calls done() itself: that happens in store_queue_poll().  Takes
	 * any number of operations; what the device cannot take yet waits in order.
	 */
	void (*submit)(struct store *store, struct store_op *op);
	/* Frees the store.  Nothing may be in flight. */
	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
	struct store_geometry geometry;
	uint32_t in_flight; /* submitted and not done */
	uint32_t flushes_open; /* of these, and of writes with FUA, if those flush */
	bool fua_flushes; /* a write with FUA is one and a flush: it knows no other */
	/*
	 * Told by store_op_ends(), before any done(): a flush has failed.  Whatever was not durable
	 * may be lost, whoever wrote it, and the next flush says nothing of it: a device, or a
	 * file, tells a failure once.  Where a write with FUA is one and a flush, the backend tells
	 * it of the flush.
	 */
	void (*flush_failed)(struct store *store);
	void *owner; /* flush_failed()'s */
};

static inline void store_flush_failed(struct store *s)
{
	if (s->flush_failed)
		s->flush_failed(s);
}

/* Until @op has ended, it may tell what a younger flush no longer hears of. */
static inline bool store_op_flushes(const struct store_op *op)
{
	return op->code == STORE_FLUSH || (op->flags & STORE_FUA && op->store->fua_flushes);
}

/* The outcome of @op, which is counted out of its store. */
static inline void store_op_ends(struct store_op *op, enum ls_status status)
{
	struct store *s = op->store;

	op->status = status;
	s->in_flight--;
	if (LIKELY(!store_op_flushes(op)))
		return;
	s->flushes_open--;
	if (op->code == STORE_FLUSH && status != LS_OK)
		store_flush_failed(s);
}

/*
 * For backends, inside poll: the same, and done().  The caller may reuse or free @op there, and
 * close the store with the last one.
 */
static inline void store_op_done(struct store_op *op, enum ls_status status)
{
	store_op_ends(op, status);
	op->done(op);
}

/* The blocks of @op: whole ones, on the device, not more than @longest bytes. */
static inline void store_check_blocks(const struct store_geometry *g, const struct store_op *op,
				      uint64_t longest)
{
	/* Blocks, and buffers for them, begin at multiples of a power of two. */
	assert(((op->offset | op->length) & (g->block_bytes - 1)) == 0);
	assert(op->length > 0 && op->length <= longest);
	assert(op->offset <= g->size_bytes && op->length <= g->size_bytes - op->offset);
}

/* The contract of what moves no data. */
void store_check_other(const struct store *store, const struct store_op *op);

static inline void store_check(const struct store *store, const struct store_op *op)
{
	const struct store_geometry *g = &store->geometry;

	assert(op->done);
	if (UNLIKELY(op->code != STORE_READ && op->code != STORE_WRITE)) {
		store_check_other(store, op);
		return;
	}
	assert(!op->flags || (op->flags == STORE_FUA && op->code == STORE_WRITE));
	store_check_blocks(g, op, g->io_max_bytes);
	assert(op->buf && ((uintptr_t)op->buf & (g->block_bytes - 1)) == 0);
}

/* Asserts the contract (range, alignment, one command's limits), then submits. */
static inline void store_submit(struct store *store, struct store_op *op)
{
	store_check(store, op);
	op->store = store;
	op->next = NULL;
	store->in_flight++;
	if (UNLIKELY(store_op_flushes(op)))
		store->flushes_open++;
	store->ops->submit(store, op);
}

void store_close(struct store *store);

#endif
