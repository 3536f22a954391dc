/* SPDX-License-Identifier: BSD-3-Clause */
/* The file backend at work: reads, writes, fsync() and fallocate() by io_uring. */
#include "nvme/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

enum file_step {
	STEP_WORK,
	STEP_WRITE, /* of write zeroes: fallocate() cannot do it here */
	STEP_SYNC, /* after fallocate(), which has no flag for durability */
	STEP_ALONE, /* a write with FUA has failed: the same without */
};

/* A write that syncs the file as well. */
static bool writes_and_syncs(const struct queue_slot *slot)
{
	const struct store_op *op = slot->op;

	return op->flags & STORE_FUA &&
	       (slot->step == STEP_WRITE || (slot->step == STEP_WORK && op->code == STORE_WRITE));
}

static struct file_store *file_of(const struct store *store)
{
	return CONTAINER_OF(store, struct file_store, base.store);
}

static bool needs_device(const struct store *store, const struct store_op *op)
{
	return op->code != STORE_DISCARD || store->geometry.can_discard;
}

static void prepare_sync(const struct file_store *f, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fd = f->fd;
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

static void prepare_fallocate(const struct file_store *f, const struct store_op *op, int mode,
			      struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->fd = f->fd;
	sqe->off = op->offset;
	sqe->addr = op->length;
	sqe->len = (uint32_t)mode;
}

static void prepare_transfer(const struct file_store *f, struct queue_slot *slot,
			     struct io_uring_sqe *sqe)
{
	const struct store_op *op = slot->op;
	const char *buf = (const char *)op->buf + slot->done_bytes;
	uint64_t bytes = op->length - slot->done_bytes;
	bool writes = op->code == STORE_WRITE;
	uint16_t index;

	sqe->opcode = writes ? IORING_OP_WRITE : IORING_OP_READ;
	if (queue_fixed_index(op->region, buf, bytes, &index)) {
		sqe->opcode = writes ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
		sqe->buf_index = index;
		f->base.queue->stats.fixed++;
	}
	sqe->fd = f->fd;
	sqe->off = op->offset + slot->done_bytes;
	sqe->addr = (uintptr_t)buf;
	sqe->len = (uint32_t)bytes;
	sqe->rw_flags = writes_and_syncs(slot) ? RWF_DSYNC : 0;
}

static void prepare_write_of_zeroes(const struct file_store *f, const struct queue_slot *slot,
				    struct io_uring_sqe *sqe)
{
	const struct store_op *op = slot->op;

	sqe->opcode = IORING_OP_WRITE;
	sqe->fd = f->fd;
	sqe->off = op->offset + slot->done_bytes;
	sqe->addr = (uintptr_t)f->base.queue->zeroes;
	sqe->len = (uint32_t)min_u64(op->length - slot->done_bytes, QUEUE_ZEROES_BYTES);
	sqe->rw_flags = writes_and_syncs(slot) ? RWF_DSYNC : 0;
}

static void prepare_zeroes(const struct file_store *f, struct queue_slot *slot,
			   struct io_uring_sqe *sqe)
{
	if (slot->step == STEP_WORK && f->zero_by_write)
		slot->step = STEP_WRITE;
	if (slot->step == STEP_SYNC)
		prepare_sync(f, sqe);
	else if (slot->step == STEP_WRITE || slot->step == STEP_ALONE)
		prepare_write_of_zeroes(f, slot, sqe);
	else
		prepare_fallocate(f, slot->op, f->zero_mode, sqe);
}

static void prepare(struct store *store, struct queue_slot *slot, struct io_uring_sqe *sqe)
{
	const struct file_store *f = file_of(store);
	const struct store_op *op = slot->op;

	switch (op->code) {
	case STORE_READ:
	case STORE_WRITE:
		prepare_transfer(f, slot, sqe);
		return;
	case STORE_FLUSH:
		prepare_sync(f, sqe);
		return;
	case STORE_DISCARD:
		prepare_fallocate(f, op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, sqe);
		return;
	case STORE_WRITE_ZEROES:
		prepare_zeroes(f, slot, sqe);
		return;
	}
}

static enum queue_verdict done(struct queue_slot *slot, enum ls_status status)
{
	slot->status = status;
	return QUEUE_DONE;
}

static bool says_unsupported(int result)
{
	return result == -EOPNOTSUPP || result == -EINVAL || result == -ENODEV ||
	       result == -ENOSYS || result == -ENOTTY;
}

static enum queue_verdict complete_error(struct file_store *f, struct queue_slot *slot, int result)
{
	if ((result == -EINTR || result == -EAGAIN) && queue_may_retry(slot))
		return QUEUE_RETRY;
	if (slot->op->code == STORE_DISCARD && says_unsupported(result))
		return done(slot, LS_OK);
	if (slot->op->code == STORE_WRITE_ZEROES && slot->step == STEP_WORK &&
	    says_unsupported(result)) {
		f->zero_by_write = true;
		return QUEUE_AGAIN;
	}
	/*
	 * Its own failure, or that of the sync?  That may be the error of somebody else's write,
	 * which is told only once, and a full disk's, too.
	 */
	if (writes_and_syncs(slot)) {
		slot->step = STEP_ALONE;
		return QUEUE_AGAIN;
	}
	if (slot->step == STEP_SYNC)
		store_flush_failed(&f->base.store);
	return done(slot, result == -ENOSPC || result == -EDQUOT ? LS_NO_SPACE : LS_LOCAL_IO);
}

/* A transfer may end short; it goes on from the last whole block. */
static enum queue_verdict complete_transfer(const struct file_store *f, struct queue_slot *slot,
					    uint64_t moved_bytes)
{
	const struct store_op *op = slot->op;
	uint64_t remaining = op->length - slot->done_bytes;
	uint64_t whole = moved_bytes - moved_bytes % f->base.store.geometry.block_bytes;

	if (moved_bytes >= remaining)
		return done(slot, LS_OK);
	if (whole == 0) /* the file was cut short under us */
		return done(slot, LS_LOCAL_IO);
	slot->done_bytes += whole;
	return QUEUE_AGAIN;
}

/* It was the sync. */
static enum queue_verdict complete_alone(struct file_store *f, struct queue_slot *slot,
					 uint64_t moved_bytes)
{
	enum queue_verdict verdict = complete_transfer(f, slot, moved_bytes);

	if (verdict != QUEUE_DONE || slot->status != LS_OK)
		return verdict;
	store_flush_failed(&f->base.store);
	return done(slot, LS_LOCAL_IO);
}

static enum queue_verdict complete_fallocate(struct queue_slot *slot)
{
	if (slot->step == STEP_SYNC || !(slot->op->flags & STORE_FUA))
		return done(slot, LS_OK);
	slot->step = STEP_SYNC;
	return QUEUE_AGAIN;
}

static enum queue_verdict complete(struct store *store, struct queue_slot *slot, int result)
{
	struct file_store *f = file_of(store);

	if (result < 0)
		return complete_error(f, slot, result);
	if (slot->step == STEP_ALONE)
		return complete_alone(f, slot, (uint64_t)result);
	switch (slot->op->code) {
	case STORE_READ:
	case STORE_WRITE:
		return complete_transfer(f, slot, (uint64_t)result);
	case STORE_WRITE_ZEROES:
		if (slot->step == STEP_WRITE)
			return complete_transfer(f, slot, (uint64_t)result);
		return complete_fallocate(slot);
	case STORE_FLUSH:
	case STORE_DISCARD:
		break;
	}
	return done(slot, LS_OK);
}

static void file_close(struct store *store)
{
	struct file_store *f = file_of(store);

	if (!f->is_device)
		(void)flock(f->fd, LOCK_UN);
	close(f->fd);
	if (f->is_device)
		queue_unclaim(&f->base);
	close(f->base.claim_fd);
	free(f);
}

const struct store_ops file_store_ops = {
	.submit = queue_store_submit,
	.close = file_close,
};

const struct queue_store_ops file_queue_ops = {
	.needs_device = needs_device,
	.prepare = prepare,
	.complete = complete,
};
