/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The nvme backend at work: NVMe commands as IORING_OP_URING_CMD on /dev/ngXnY.  Each
 * command goes to the device as it is, whole: nothing splits, merges, caches or repeats
 * it on the way.
 */
#include "nvme/nvme_store.h"

#include <endian.h>
#include <libnvme.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum nvme_step {
	STEP_WORK,
	STEP_WRITE, /* of write zeroes: the device cannot make them */
	STEP_FLUSH, /* behind a write with FUA: the device ignores that */
};

static struct nvme_store *nvme_of(const struct store *store)
{
	return CONTAINER_OF(store, struct nvme_store, base.store);
}

/* Without a volatile cache a completed write is durable: there is nothing to flush. */
static bool needs_device(const struct store *store, const struct store_op *op)
{
	switch (op->code) {
	case STORE_FLUSH:
		return store->geometry.volatile_cache;
	case STORE_DISCARD:
		return store->geometry.can_discard;
	case STORE_READ:
	case STORE_WRITE:
	case STORE_WRITE_ZEROES:
		break;
	}
	return true;
}

static struct nvme_uring_cmd *command_init(const struct nvme_store *n, struct io_uring_sqe *sqe,
					   uint8_t opcode)
{
	struct nvme_uring_cmd *cmd = (void *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = n->fd;
	sqe->cmd_op = NVME_URING_CMD_IO;
	cmd->opcode = opcode;
	cmd->nsid = n->nsid;
	return cmd;
}

static void command_set_range(const struct nvme_store *n, struct nvme_uring_cmd *cmd,
			      uint64_t offset, uint64_t bytes, uint32_t flags)
{
	uint64_t block = offset >> n->block_shift;
	uint16_t control = 0;

	if (flags & STORE_FUA && n->base.store.geometry.volatile_cache)
		control |= NVME_IO_FUA;
	if (cmd->opcode == nvme_cmd_write_zeroes && n->zero_deallocates)
		control |= NVME_IO_DEAC;
	cmd->cdw10 = (uint32_t)block;
	cmd->cdw11 = (uint32_t)(block >> 32);
	cmd->cdw12 = (uint32_t)((bytes >> n->block_shift) - 1) | (uint32_t)control << 16;
}

static void prepare_transfer(const struct nvme_store *n, const struct store_op *op,
			     struct io_uring_sqe *sqe)
{
	struct nvme_uring_cmd *cmd =
		command_init(n, sqe, op->code == STORE_WRITE ? nvme_cmd_write : nvme_cmd_read);
	uint16_t index;

	command_set_range(n, cmd, op->offset, op->length, op->flags);
	cmd->addr = (uintptr_t)op->buf;
	cmd->data_len = (uint32_t)op->length;
	if (queue_fixed_index(op->region, op->buf, op->length, &index)) {
		sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
		sqe->buf_index = index;
		n->base.queue->stats.fixed++;
	}
}

static void prepare_discard(const struct nvme_store *n, struct queue_slot *slot,
			    struct io_uring_sqe *sqe)
{
	const struct store_op *op = slot->op;
	struct nvme_uring_cmd *cmd = command_init(n, sqe, nvme_cmd_dsm);
	struct nvme_dsm_range range = {
		.nlb = htole32((uint32_t)(op->length >> n->block_shift)),
		.slba = htole64(op->offset >> n->block_shift),
	};

	_Static_assert(sizeof(range) <= sizeof(slot->payload), "a DSM range fits in a slot");
	memcpy(slot->payload, &range, sizeof(range));
	cmd->addr = (uintptr_t)slot->payload;
	cmd->data_len = sizeof(range);
	cmd->cdw10 = 0; /* one range */
	cmd->cdw11 = NVME_DSMGMT_AD;
}

static void prepare_zeroes(const struct nvme_store *n, struct queue_slot *slot,
			   struct io_uring_sqe *sqe)
{
	const struct store_op *op = slot->op;
	uint64_t bytes = op->length - slot->done_bytes;
	struct nvme_uring_cmd *cmd;

	if (n->zero_by_write)
		slot->step = STEP_WRITE;
	if (slot->step == STEP_WORK) {
		cmd = command_init(n, sqe, nvme_cmd_write_zeroes);
		command_set_range(n, cmd, op->offset, op->length, op->flags);
		return;
	}
	bytes = min_u64(bytes, min_u64(QUEUE_ZEROES_BYTES, n->base.store.geometry.io_max_bytes));
	cmd = command_init(n, sqe, nvme_cmd_write);
	command_set_range(n, cmd, op->offset + slot->done_bytes, bytes, op->flags);
	cmd->addr = (uintptr_t)n->base.queue->zeroes;
	cmd->data_len = (uint32_t)bytes;
	slot->piece_bytes = (uint32_t)bytes;
}

static void prepare(struct store *store, struct queue_slot *slot, struct io_uring_sqe *sqe)
{
	const struct nvme_store *n = nvme_of(store);

	if (slot->step == STEP_FLUSH) {
		(void)command_init(n, sqe, nvme_cmd_flush);
		return;
	}
	switch (slot->op->code) {
	case STORE_READ:
	case STORE_WRITE:
		prepare_transfer(n, slot->op, sqe);
		return;
	case STORE_FLUSH:
		(void)command_init(n, sqe, nvme_cmd_flush);
		return;
	case STORE_DISCARD:
		prepare_discard(n, slot, sqe);
		return;
	case STORE_WRITE_ZEROES:
		prepare_zeroes(n, slot, sqe);
		return;
	}
}

static enum queue_verdict done(struct queue_slot *slot, enum ls_status status)
{
	slot->status = status;
	return QUEUE_DONE;
}

static enum queue_verdict complete_error(struct nvme_store *n, struct queue_slot *slot, int result)
{
	bool flush = slot->step == STEP_FLUSH || slot->op->code == STORE_FLUSH;

	if (nvme_status_unsupported(result)) {
		/* A discard is a hint; the content is undefined either way. */
		if (slot->op->code == STORE_DISCARD)
			return done(slot, LS_OK);
		if (slot->op->code == STORE_WRITE_ZEROES && slot->step == STEP_WORK) {
			n->zero_by_write = true;
			return QUEUE_AGAIN;
		}
	}
	/* The device tells what a flush has lost once: another one would say nothing of it. */
	if (nvme_status_may_pass(result) && queue_may_retry(slot) &&
	    (!flush || nvme_status_unheard(result)))
		return QUEUE_RETRY;
	if (slot->step == STEP_FLUSH)
		store_flush_failed(&n->base.store);
	return done(slot, nvme_status_ls(result));
}

static enum queue_verdict complete(struct store *store, struct queue_slot *slot, int result)
{
	/* The result is the device's status, never a number of bytes: all or nothing. */
	if (result != 0)
		return complete_error(nvme_of(store), slot, result);
	if (slot->step == STEP_WRITE) {
		slot->done_bytes += slot->piece_bytes;
		if (slot->done_bytes < slot->op->length)
			return QUEUE_AGAIN;
	}
	if (slot->op->flags & STORE_FUA && store->fua_flushes && slot->step != STEP_FLUSH) {
		slot->step = STEP_FLUSH;
		return QUEUE_AGAIN;
	}
	return done(slot, LS_OK);
}

static void nvme_close(struct store *store)
{
	struct nvme_store *n = nvme_of(store);

	/* What others read through the block device while we wrote past its cache is old. */
	(void)ioctl(n->base.claim_fd, BLKFLSBUF, 0);
	close(n->fd);
	queue_unclaim(&n->base);
	close(n->base.claim_fd);
	free(n);
}

const struct store_ops nvme_store_ops = {
	.submit = queue_store_submit,
	.close = nvme_close,
};

const struct queue_store_ops nvme_queue_ops = {
	.needs_device = needs_device,
	.prepare = prepare,
	.complete = complete,
};
