/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending half of a link.
 *
 * send() and write() fill a ring of operations; flush() turns as many as the send queue has
 * room for into one chain of work requests and posts it with one call.  One request in
 * signal_every asks for a completion, whatever chain it is in: that is enough to know how far
 * the queue is empty, and nothing else depends on it, because a slot comes back with the
 * peer's answer.
 */
#include "verbs/rdma.h"

#include <arpa/inet.h>
#include <string.h>

static struct tx_op *tx_op_at(struct rdma_link *rdma, uint64_t index)
{
	return &rdma->tx.ops[index % rdma->tx.op_max];
}

static struct tx_op *tx_op_add(struct rdma_link *rdma)
{
	if (rdma->tx.queued - rdma->tx.retired == rdma->tx.op_max) {
		rdma_fail(rdma, "%u operations wait and the peer takes none", rdma->tx.op_max);
		return NULL;
	}
	return tx_op_at(rdma, rdma->tx.queued++);
}

static bool tx_join(struct rdma_link *rdma, const void *bytes, uint32_t length)
{
	struct tx_op *last;
	uint8_t *message;

	if (rdma->tx.queued == rdma->tx.posted)
		return false;
	last = tx_op_at(rdma, rdma->tx.queued - 1);
	if (last->kind != TX_MESSAGE || last->bytes + length > LINK_MESSAGE_MAX)
		return false;
	message = rdma->tx.messages[(rdma->tx.message_next + rdma->tx.message_max - 1) %
				    rdma->tx.message_max];
	memcpy(message + last->bytes, bytes, length);
	last->bytes += length;
	return true;
}

void rdma_tx_send(struct link *link, const void *bytes, uint32_t length)
{
	struct rdma_link *rdma = rdma_of(link);
	struct tx_op *op;
	uint8_t *message;

	if (rdma->failed || tx_join(rdma, bytes, length))
		return;
	if (rdma->tx.message_count == rdma->tx.message_max) {
		rdma_fail(rdma, "%u messages wait and the peer takes none", rdma->tx.message_count);
		return;
	}
	op = tx_op_add(rdma);
	if (!op)
		return;
	message = rdma->tx.messages[rdma->tx.message_next];
	rdma->tx.message_next = (rdma->tx.message_next + 1) % rdma->tx.message_max;
	rdma->tx.message_count++;
	memcpy(message, bytes, length);
	*op = (struct tx_op){
		.kind = TX_MESSAGE,
		.bytes = length,
		.lkey = rdma->memory_mr->lkey,
		.payload = message,
	};
	link->stats.messages_tx++;
}

void rdma_tx_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		       const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct rdma_link *rdma = rdma_of(link);
	struct tx_op *op;

	if (rdma->failed)
		return;
	if (rdma->tx.waiting[slot]) {
		rdma_fail(rdma, "the peer answered the request in slot %u before it was sent",
			  slot);
		return;
	}
	op = tx_op_add(rdma);
	if (!op)
		return;
	rdma->tx.waiting[slot] = true;
	memcpy(rdma->tx.headers[slot], header, LINK_HEADER_BYTES);
	*op = (struct tx_op){
		.kind = TX_REQUEST,
		.slot = slot,
		.bytes = payload_bytes,
		.lkey = region ? region->lkey : 0,
		.payload = payload,
	};
	link->stats.requests_tx++;
	link->stats.payload_tx += payload_bytes;
}

static void tx_request_fill(struct rdma_link *rdma, const struct tx_op *op, struct ibv_send_wr *wr,
			    struct ibv_sge *sge)
{
	sge[0] = (struct ibv_sge){
		.addr = (uintptr_t)rdma->tx.headers[op->slot],
		.length = LINK_HEADER_BYTES,
		.lkey = rdma->memory_mr->lkey,
	};
	sge[1] = (struct ibv_sge){
		.addr = (uintptr_t)op->payload,
		.length = op->bytes,
		.lkey = op->lkey,
	};
	wr->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
	wr->imm_data = htonl(op->slot);
	wr->num_sge = op->bytes ? 2 : 1;
	if (!op->bytes && rdma->tx.inline_max >= LINK_HEADER_BYTES)
		wr->send_flags = IBV_SEND_INLINE;
	wr->wr.rdma.remote_addr = rdma->tx.remote_addr +
				  (uint64_t)op->slot * rdma->tx.remote_stride +
				  LINK_PAYLOAD_OFFSET - LINK_HEADER_BYTES;
	wr->wr.rdma.rkey = rdma->tx.remote_rkey;
}

static void tx_message_fill(struct rdma_link *rdma, const struct tx_op *op, struct ibv_send_wr *wr,
			    struct ibv_sge *sge)
{
	sge[0] = (struct ibv_sge){
		.addr = (uintptr_t)op->payload,
		.length = op->bytes,
		.lkey = op->lkey,
	};
	wr->opcode = IBV_WR_SEND;
	wr->num_sge = 1;
	if (op->bytes <= rdma->tx.inline_max)
		wr->send_flags = IBV_SEND_INLINE;
}

static struct ibv_send_wr *tx_chain_fill(struct rdma_link *rdma, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct tx_op *op = tx_op_at(rdma, rdma->tx.posted + i);
		struct ibv_send_wr *wr = &rdma->tx.wrs[i];
		struct ibv_sge *sge = &rdma->tx.sges[2 * i];

		wr->wr_id = rdma->tx.posted + i;
		wr->next = i + 1 < count ? wr + 1 : NULL;
		wr->sg_list = sge;
		wr->send_flags = 0;
		if (op->kind == TX_REQUEST) {
			rdma->tx.waiting[op->slot] = false;
			tx_request_fill(rdma, op, wr, sge);
		} else {
			tx_message_fill(rdma, op, wr, sge);
		}
		if (++rdma->tx.unsignalled == rdma->tx.signal_every) {
			rdma->tx.unsignalled = 0;
			wr->send_flags |= IBV_SEND_SIGNALED;
		}
	}
	return rdma->tx.wrs;
}

void rdma_tx_flush(struct link *link)
{
	struct rdma_link *rdma = rdma_of(link);
	uint64_t waiting = rdma->tx.queued - rdma->tx.posted;
	uint64_t room = rdma->tx.depth - (rdma->tx.posted - rdma->tx.retired);
	uint32_t count = (uint32_t)min_u64(waiting, room);
	struct ibv_send_wr *chain, *bad = NULL;
	int rc;

	if (rdma->failed)
		return;
	rdma->tx.blocked = waiting > room;
	if (count == 0)
		return;
	chain = tx_chain_fill(rdma, count);
	rc = ibv_post_send(rdma->qp, chain, &bad);
	link->stats.posts++;
	/* What lies before @bad was posted, and its completions are waited for. */
	rdma->tx.posted += rc && bad ? (uint64_t)(bad - chain) : count;
	if (rc)
		rdma_fail(rdma, "cannot post to the send queue: %s", strerror(rc));
}

void rdma_tx_retire(struct rdma_link *rdma, uint64_t through)
{
	while (rdma->tx.retired <= through && rdma->tx.retired < rdma->tx.posted) {
		if (tx_op_at(rdma, rdma->tx.retired)->kind == TX_MESSAGE)
			rdma->tx.message_count--;
		rdma->tx.retired++;
	}
}

void rdma_tx_marker(struct rdma_link *rdma)
{
	struct ibv_send_wr *bad, marker = {
					 .wr_id = rdma->tx.posted,
					 .opcode = IBV_WR_SEND,
					 .send_flags = IBV_SEND_SIGNALED,
				 };

	/* What was not posted never will be. */
	rdma->tx.queued = rdma->tx.posted;
	if (ibv_post_send(rdma->qp, &marker, &bad) != 0)
		return; /* then the drain's limit ends the wait */
	tx_op_at(rdma, rdma->tx.queued)->kind = TX_MARKER;
	rdma->tx.queued++;
	rdma->tx.posted++;
}
