/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of the store queue, for the backends that live on it (and their tests).
 *
 * An operation that needs the device holds one slot from its first command to its last,
 * and has at most one command in flight.  So slots bound the ring: it is never full, and
 * the completion queue never overflows.  Operations that find no slot wait in order.
 *
 *     submit -> [no command needed] ----------------------------> ready -> done()
 *            -> [slot free]  -> command -> [more to do] -> command
 *                                       -> [finished]  ---------> ready -> done()
 *            -> waiting -> [slot free] -> ...
 */
#ifndef LS_NVME_QUEUE_INTERNAL_H
#define LS_NVME_QUEUE_INTERNAL_H

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "nvme/store_queue.h"

#include <liburing.h>
#include <pthread.h>

#define QUEUE_DEPTH_MAX 4096u
/* Fixed buffers of one queue; io_uring's own limit (IORING_MAX_REG_BUFFERS, Linux 5.13). */
#define QUEUE_BUFFERS_MAX 16384u
/* Devices whose claims a ring holds: as many as an engine has. */
#define QUEUE_CLAIMS_MAX (ENGINE_POOLS_MAX * POOL_DEVICES_MAX)
#define QUEUE_CLAIM_WAIT_MS 2000u
/* NVMe commands of 6.1: no more than 127 segments, 4 KiB pages. */
#define QUEUE_SEGMENTS_MAX 127u
#define QUEUE_PAGE_BYTES 4096u
/* Zeroes to write where the device cannot make them: never written, so one shared page. */
#define QUEUE_ZEROES_BYTES KIB(256)
/* A command that failed for a passing reason is repeated; like nvme_core.max_retries. */
#define QUEUE_RETRIES_MAX 5

/* One operation that has commands at the device. */
struct queue_slot {
	struct store_op *op;
	struct queue_slot *next_free;
	uint64_t done_bytes; /* of op->length */
	uint32_t piece_bytes; /* asked for by the command in flight */
	uint8_t step; /* the backend's: where it is in an operation of several steps */
	uint8_t retries; /* of the command in flight */
	enum ls_status status; /* the backend's, when it says QUEUE_DONE */
	/* Memory that a command may need besides the caller's buffer: an NVMe DSM range. */
	_Alignas(16) uint8_t payload[16];
};

enum queue_verdict {
	QUEUE_DONE, /* slot->status is the outcome */
	QUEUE_AGAIN, /* prepare the next command */
	QUEUE_RETRY, /* the same command again; only if queue_may_retry() */
};

static inline bool queue_may_retry(const struct queue_slot *slot)
{
	return slot->retries < QUEUE_RETRIES_MAX;
}

struct queue_store_ops {
	/* False: the device has nothing to do for @op, which completes with LS_OK. */
	bool (*needs_device)(const struct store *store, const struct store_op *op);
	/* Fills @sqe, which is zeroed, with the next command of @slot. */
	void (*prepare)(struct store *store, struct queue_slot *slot, struct io_uring_sqe *sqe);
	/* Judges the result of the command in flight. */
	enum queue_verdict (*complete)(struct store *store, struct queue_slot *slot, int result);
};

/* The first member of a store that lives on a queue. */
struct queue_store {
	struct store store;
	struct store_queue *queue;
	const struct queue_store_ops *queue_ops;
	int claim_fd; /* the device, opened exclusively; or a file that is claimed by its lock */
	/* The ring holds the claim, was asked for it in vain (no place), or need not. */
	bool claim_asked;
	int claim_place; /* in the ring's table of files; -1 = none */
};

struct op_fifo {
	struct store_op *head, **tail;
};

/* What the kernel allowed, best first; a lower rung has fewer flags. */
enum queue_rung {
	QUEUE_DEFERRED, /* Linux 6.1: deferred task work, single issuer */
	QUEUE_COOPERATIVE, /* Linux 5.19: cooperative task work */
	QUEUE_PLAIN, /* Linux 5.6: no passthrough */
	QUEUE_NR_RUNGS,
};

struct store_queue {
	struct io_uring ring;
	enum queue_rung rung;
	bool enabled; /* the owner has used it: @owner is set, the ring runs */
	bool eventfd_on; /* the kernel signals @event_fd: from the first arm on */
	bool restarted; /* poll put commands in the ring since the last system call */
	pthread_t owner;
	int event_fd;
	struct clock clock;
	uint64_t now_ns; /* when the batch in the making began; 0 = not looked yet */
	void *zeroes; /* QUEUE_ZEROES_BYTES, read only */

	struct op_fifo waiting; /* for a slot */
	struct op_fifo ready; /* for done() */
	struct queue_slot *free_slots;
	struct queue_slot *slots;
	uint32_t depth;

	uint8_t *buffer_used; /* [buffer_table], one per fixed buffer */
	uint32_t buffer_table;
	uint32_t buffer_count;
	int buffer_error; /* of the last registration that failed */

	bool claim_table; /* the ring has a table of files */
	bool claim_used[QUEUE_CLAIMS_MAX];
	int claim_error; /* of the last claim that the ring did not take */
	uint32_t claim_wait_ms; /* of those that open stores */

	struct store_queue_stats stats;
	char description[160];
};

/* Like store_queue_create(), but starts at @rung: lets a test walk all fallbacks. */
int queue_create_at(enum queue_rung rung, uint32_t depth, struct store_queue **queue,
		    struct err *err) MUST_CHECK;

/* The submit() of every store on a queue. */
void queue_store_submit(struct store *store, struct store_op *op);

/* Makes the calling thread the owner on the first call; asserts that it is, after. */
void queue_own(struct store_queue *queue);

void queue_describe(struct store_queue *queue);

/* True, with the fixed buffer's index, when [@buf, @buf + @bytes) lies in one of @region. */
bool queue_fixed_index(const struct region *region, const void *buf, uint64_t bytes,
		       uint16_t *index);

/* queue_claims.c: on the owner's thread; before the store's first command, and at its end. */
void queue_claim(struct queue_store *store);
void queue_unclaim(struct queue_store *store);

/* queue_buffers.c: */
void queue_buffers_init(struct store_queue *queue);
void queue_buffers_fini(struct store_queue *queue);

#endif
