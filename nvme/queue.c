/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store queue: one io_uring, its slots, and the protocol by which its owner sleeps.
 *
 * Sleeping.  The kernel signals event_fd when there is work: a completion, or task work
 * that will make one.  Each signal is an edge for whoever watches; nobody empties event_fd.
 * arm() looks for work: what came before the look is seen by it, and what comes later is an
 * edge.  In that order no wake is lost.  Until the first arm() the kernel is told not
 * to signal at all, so that a shard that only spins does not pay for it.
 */
#include "nvme/queue_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	unsigned flags;
	const char *text;
} rungs[QUEUE_NR_RUNGS] = {
	/*
	 * R_DISABLED: the thread that enables the ring, not the one that makes it, becomes
	 * its single issuer.
	 */
	[QUEUE_DEFERRED] = {IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL |
				    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
				    IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
			    "deferred task work"},
	[QUEUE_COOPERATIVE] = {IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL |
				       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
				       IORING_SETUP_R_DISABLED,
			       "cooperative task work"},
	[QUEUE_PLAIN] = {0, "no NVMe passthrough (kernel older than 5.19)"},
};

static void fifo_init(struct op_fifo *f)
{
	f->head = NULL;
	f->tail = &f->head;
}

static void fifo_push(struct op_fifo *f, struct store_op *op)
{
	op->next = NULL;
	*f->tail = op;
	f->tail = &op->next;
}

static struct store_op *fifo_pop(struct op_fifo *f)
{
	struct store_op *op = f->head;

	if (!op)
		return NULL;
	f->head = op->next;
	if (!f->head)
		f->tail = &f->head;
	return op;
}

static int ring_error(struct err *err, int rc)
{
	if (rc == -ENOSYS)
		return err_set(err, rc,
			       "this kernel has no io_uring (Linux 5.6 or later is needed)");
	if (rc == -EPERM || rc == -EACCES)
		return err_set(
			err, rc,
			"io_uring is not permitted here: see sysctl kernel.io_uring_disabled "
			"and the seccomp profile of the container");
	if (rc == -ENOMEM)
		return err_set(err, rc,
			       "no memory for an io_uring: raise the limit of locked "
			       "memory (ulimit -l, LimitMEMLOCK=)");
	return err_set(err, rc, "cannot create an io_uring: %s", strerror(-rc));
}

static int open_ring(struct store_queue *q, enum queue_rung first, struct err *err)
{
	int rc = -EINVAL;

	for (unsigned r = first; r < QUEUE_NR_RUNGS && rc == -EINVAL; r++) {
		struct io_uring_params params = {.flags = rungs[r].flags};

		rc = io_uring_queue_init_params(q->depth, &q->ring, &params);
		q->rung = r;
	}
	if (rc < 0)
		return ring_error(err, rc);
	return 0;
}

static int open_event(struct store_queue *q, struct err *err)
{
	int rc;

	q->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->event_fd < 0)
		return err_set(err, -errno, "cannot create an eventfd: %m");
	rc = io_uring_register_eventfd(&q->ring, q->event_fd);
	if (rc < 0) {
		close(q->event_fd);
		return err_set(err, rc, "cannot register an eventfd: %s", strerror(-rc));
	}
	q->eventfd_on = io_uring_cq_eventfd_toggle(&q->ring, false) < 0;
	return 0;
}

static int alloc_slots(struct store_queue *q, struct err *err)
{
	q->slots = calloc(q->depth, sizeof(*q->slots));
	if (!q->slots)
		return err_set(err, -ENOMEM, "no memory for %u store slots", q->depth);
	for (uint32_t i = q->depth; i-- > 0;) {
		q->slots[i].next_free = q->free_slots;
		q->free_slots = &q->slots[i];
	}
	q->zeroes = mmap(NULL, QUEUE_ZEROES_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->zeroes == MAP_FAILED) {
		free(q->slots);
		return err_set(err, -ENOMEM, "no memory for a page of zeroes");
	}
	return 0;
}

int queue_create_at(enum queue_rung rung, uint32_t depth, struct store_queue **queue,
		    struct err *err)
{
	struct store_queue *q;
	int rc;

	if (depth == 0 || depth > QUEUE_DEPTH_MAX)
		return err_set(err, -EINVAL, "store queue depth %u: 1 to %u is possible", depth,
			       QUEUE_DEPTH_MAX);
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(err, -ENOMEM, "no memory for a store queue");
	q->depth = depth;
	clock_init(&q->clock);
	q->claim_wait_ms = QUEUE_CLAIM_WAIT_MS;
	fifo_init(&q->waiting);
	fifo_init(&q->ready);
	rc = alloc_slots(q, err);
	if (rc < 0)
		goto free_queue;
	rc = open_ring(q, rung, err);
	if (rc < 0)
		goto free_slots;
	rc = open_event(q, err);
	if (rc < 0)
		goto close_ring;
	queue_buffers_init(q);
	queue_describe(q);
	*queue = q;
	return 0;

close_ring:
	io_uring_queue_exit(&q->ring);
free_slots:
	munmap(q->zeroes, QUEUE_ZEROES_BYTES);
	free(q->slots);
free_queue:
	free(q);
	return rc;
}

int store_queue_create(uint32_t depth, struct store_queue **queue, struct err *err)
{
	return queue_create_at(QUEUE_DEFERRED, depth, queue, err);
}

void store_queue_destroy(struct store_queue *q)
{
	if (!q)
		return;
	assert(!q->waiting.head && !q->ready.head);
	assert(q->stats.submitted == q->stats.completed);
	io_uring_queue_exit(&q->ring);
	close(q->event_fd);
	queue_buffers_fini(q);
	munmap(q->zeroes, QUEUE_ZEROES_BYTES);
	free(q->slots);
	free(q);
}

void queue_describe(struct store_queue *q)
{
	int n = snprintf(q->description, sizeof(q->description), "io_uring, %s, ",
			 rungs[q->rung].text);
	char *end = q->description + n;
	size_t room = sizeof(q->description) - (size_t)n;

	if (q->buffer_error)
		n = snprintf(end, room, "%u fixed buffers, more refused: %s", q->buffer_count,
			     strerror(-q->buffer_error));
	else
		n = snprintf(end, room, "%u fixed buffers", q->buffer_count);
	if (q->claim_error && (size_t)n < room)
		snprintf(end + n, room - (size_t)n, "; a claim that ends with the process: %s",
			 strerror(-q->claim_error));
}

void queue_own(struct store_queue *q)
{
	long rc;

	if (LIKELY(q->enabled)) {
		assert(pthread_equal(q->owner, pthread_self()));
		return;
	}
	q->enabled = true;
	q->owner = pthread_self();
	if (!(rungs[q->rung].flags & IORING_SETUP_R_DISABLED))
		return;
	/* io_uring_enable_rings() is in the header of liburing 2.3, but not in its library. */
	rc = syscall(SYS_io_uring_register, q->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	assert(rc == 0);
	(void)rc;
}

/* Submitting */

static uint64_t batch_ns(struct store_queue *q)
{
	if (!q->now_ns)
		q->now_ns = clock_now(&q->clock);
	return q->now_ns;
}

static void issue(struct store_queue *q, struct queue_slot *slot)
{
	struct queue_store *qs = CONTAINER_OF(slot->op->store, struct queue_store, store);
	/* Never NULL: the ring has an entry for every slot. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	assert(sqe);
	memset(sqe, 0, q->rung == QUEUE_PLAIN ? sizeof(*sqe) : 2 * sizeof(*sqe));
	qs->queue_ops->prepare(&qs->store, slot, sqe);
	io_uring_sqe_set_data(sqe, slot);
}

static void start(struct store_queue *q, struct store_op *op)
{
	struct queue_slot *slot = q->free_slots;

	q->free_slots = slot->next_free;
	slot->op = op;
	slot->done_bytes = 0;
	slot->step = 0;
	slot->retries = 0;
	q->stats.submitted++;
	issue(q, slot);
}

void queue_store_submit(struct store *store, struct store_op *op)
{
	struct queue_store *qs = CONTAINER_OF(store, struct queue_store, store);
	struct store_queue *q = qs->queue;

	queue_own(q);
	if (UNLIKELY(!qs->claim_asked))
		queue_claim(qs);
	op->started_ns = batch_ns(q);
	if (!qs->queue_ops->needs_device(store, op)) {
		op->status = LS_OK;
		fifo_push(&q->ready, op);
	} else if (q->free_slots && !q->waiting.head) {
		start(q, op);
	} else {
		fifo_push(&q->waiting, op);
	}
}

static void enter(struct store_queue *q)
{
	bool pending = io_uring_sq_ready(&q->ring) > 0;
	/* io_uring_submit() runs deferred task work, too, when there is any. */
	int rc = pending ? io_uring_submit(&q->ring) : io_uring_get_events(&q->ring);

	q->stats.syscalls++;
	q->restarted = false;
	/* What was not taken stays in the ring for the next call. */
	assert(rc >= 0 || rc == -EAGAIN || rc == -EBUSY || rc == -EINTR || rc == -ENOMEM);
	(void)rc;
}

void store_queue_flush(struct store_queue *q)
{
	q->now_ns = 0;
	if (io_uring_sq_ready(&q->ring) == 0)
		return;
	queue_own(q);
	enter(q);
}

/* Completing */

static bool kernel_has_work(const struct store_queue *q)
{
	return IO_URING_READ_ONCE(*q->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void finish(struct store_queue *q, struct queue_slot *slot, enum ls_status status)
{
	struct store_op *op = slot->op;

	op->status = status;
	slot->op = NULL;
	slot->next_free = q->free_slots;
	q->free_slots = slot;
	q->stats.completed++;
	q->stats.slow_ns_max = max_u64(q->stats.slow_ns_max, q->now_ns - op->started_ns);
	fifo_push(&q->ready, op);
}

static void complete(struct store_queue *q, struct queue_slot *slot, int result)
{
	struct store *store = slot->op->store;
	struct queue_store *qs = CONTAINER_OF(store, struct queue_store, store);

	switch (qs->queue_ops->complete(store, slot, result)) {
	case QUEUE_DONE:
		finish(q, slot, slot->status);
		return;
	case QUEUE_AGAIN:
		slot->retries = 0;
		issue(q, slot);
		return;
	case QUEUE_RETRY:
		assert(queue_may_retry(slot));
		slot->retries++;
		issue(q, slot);
		return;
	}
}

/* Takes at most @room completions from the ring to the ready list; returns how many it took. */
static unsigned reap(struct store_queue *q, unsigned room)
{
	struct io_uring_cqe *cqe;
	unsigned head, before, taken = 0;

	if (io_uring_cq_ready(&q->ring) == 0) {
		if (!kernel_has_work(q))
			return 0;
		enter(q);
		if (io_uring_cq_ready(&q->ring) == 0)
			return 0;
	}
	q->now_ns = clock_now(&q->clock);
	before = io_uring_sq_ready(&q->ring);
	io_uring_for_each_cqe(&q->ring, head, cqe)
	{
		if (taken == room)
			break;
		complete(q, io_uring_cqe_get_data(cqe), cqe->res);
		taken++;
	}
	io_uring_cq_advance(&q->ring, taken);
	while (q->free_slots && q->waiting.head)
		start(q, fifo_pop(&q->waiting));
	q->restarted |= io_uring_sq_ready(&q->ring) > before;
	return taken;
}

unsigned store_queue_poll(struct store_queue *q, unsigned budget)
{
	unsigned done = 0;

	queue_own(q);
	/* Commands that an earlier poll started, and no flush since. */
	if (q->restarted)
		enter(q);
	while (done < budget) {
		struct store_op *op = fifo_pop(&q->ready);

		if (op) {
			done++;
			store_op_done(op, op->status);
			continue;
		}
		if (reap(q, budget - done) == 0)
			break;
	}
	q->now_ns = 0;
	return done;
}

int store_queue_fd(const struct store_queue *q)
{
	return q->event_fd;
}

/* From now on the kernel signals.  The system call orders that before the look for work. */
static void start_signals(struct store_queue *q)
{
	io_uring_cq_eventfd_toggle(&q->ring, true);
	q->eventfd_on = true;
	enter(q);
}

bool store_queue_arm(struct store_queue *q)
{
	queue_own(q);
	if (io_uring_sq_ready(&q->ring) > 0)
		store_queue_flush(q);
	if (!q->eventfd_on)
		start_signals(q);
	return q->ready.head || io_uring_cq_ready(&q->ring) > 0 || kernel_has_work(q) ||
	       io_uring_sq_ready(&q->ring) > 0;
}

struct store_queue_stats store_queue_stats(const struct store_queue *q)
{
	return q->stats;
}

const char *store_queue_describe(const struct store_queue *q)
{
	return q->description;
}
