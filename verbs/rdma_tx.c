/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending half of a link.
 *
 * send() and write() fill a ring of operations; flush() turns as many as the send queue has
 * room for into one chain of work requests and posts it with one call.  One request in
 * signal_every asks for a completion, whatever chain it is in: that is enough to know how far
 * the queue is empty, and nothing else depends on it, because a slot comes back with the
 * peer's answer.
 *
 * A request that is alone is one work request, the fastest way.  One that finds another which
 * still waits makes a train with it: the payloads go first, page-aligned, so that 4 KiB are one
 * packet and not two, and their headers share one.  The train is the last operation of the
 * ring and takes up what is queued behind it, until it is full, something else is queued, or it is
 * posted.
 */
#include "verbs/rdma.h"

#include "engine/base/wire.h"

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

/* The last operation, while it may still change; NULL when there is none that waits. */
static struct tx_op *tx_op_last(struct rdma_link *rdma)
{
	if (rdma->tx.queued == rdma->tx.posted)
		return NULL;
	return tx_op_at(rdma, rdma->tx.queued - 1);
}

static uint8_t *tx_buffer_take(struct rdma_link *rdma)
{
	uint8_t *buffer = rdma->tx.buffers[rdma->tx.buffer_next];

	rdma->tx.buffer_next = (rdma->tx.buffer_next + 1) % rdma->tx.buffer_max;
	return buffer;
}

/* The one of the last message or train. */
static uint8_t *tx_buffer_last(struct rdma_link *rdma)
{
	return rdma->tx.buffers[(rdma->tx.buffer_next + rdma->tx.buffer_max - 1) %
				rdma->tx.buffer_max];
}

static bool tx_join(struct rdma_link *rdma, const void *bytes, uint32_t length)
{
	struct tx_op *last = tx_op_last(rdma);

	if (!last || last->kind != TX_MESSAGE || last->bytes + length > LINK_MESSAGE_MAX)
		return false;
	memcpy(tx_buffer_last(rdma) + last->bytes, bytes, length);
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
	message = tx_buffer_take(rdma);
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

/*
 * Does a request with this payload need one packet less when its header travels in a train?
 * At a path MTU of 4096 one of 4096 bytes does, and one of none; one of 512 does not.
 */
static bool train_pays(const struct rdma_link *rdma, uint32_t payload_bytes)
{
	uint32_t mtu = rdma->tx.path_mtu;
	uint32_t alone = (LINK_HEADER_BYTES + payload_bytes + mtu - 1) / mtu;

	return payload_bytes <= RDMA_TRAIN_PAYLOAD_MAX && alone > (payload_bytes + mtu - 1) / mtu;
}

static bool train_begin(struct rdma_link *rdma, struct tx_op *train)
{
	if (rdma->tx.train_count == rdma->tx.train_max)
		return false;
	rdma->tx.train_count++;
	rdma->link.stats.trains_tx++;
	*train = (struct tx_op){
		.kind = TX_TRAIN,
		.lkey = rdma->memory_mr->lkey,
		.payload = tx_buffer_take(rdma),
	};
	return true;
}

/* Queues @request's payload, and adds its header to @train, whose buffer is the last one. */
static void train_take(struct rdma_link *rdma, struct tx_op *train, struct tx_op request)
{
	uint8_t *entry = tx_buffer_last(rdma) + train->bytes;

	put_u32(entry, request.slot);
	put_u32(entry + 4, request.bytes);
	memcpy(entry + 8, rdma->tx.headers[request.slot], LINK_HEADER_BYTES);
	train->bytes += RDMA_TRAIN_ENTRY_BYTES;
	request.kind = TX_PAYLOAD;
	if (request.bytes > 0)
		*tx_op_at(rdma, rdma->tx.queued++) = request;
}

/* Puts @request into a train with what is queued last; false when it must go alone. */
static bool train_join(struct rdma_link *rdma, const struct tx_op *request)
{
	struct tx_op *last = tx_op_last(rdma);
	struct tx_op before, train;

	/* There is one more at the end, or two. */
	if (!last || rdma->tx.queued - rdma->tx.retired + 2 > rdma->tx.op_max ||
	    !train_pays(rdma, request->bytes))
		return false;
	before = *last;
	if (before.kind == TX_REQUEST) {
		if (!train_pays(rdma, before.bytes) || !train_begin(rdma, &train))
			return false;
		rdma->tx.queued--;
		train_take(rdma, &train, before);
	} else if (before.kind == TX_TRAIN &&
		   before.bytes < RDMA_TRAIN_MAX * RDMA_TRAIN_ENTRY_BYTES) {
		train = before;
		rdma->tx.queued--;
	} else {
		return false;
	}
	train_take(rdma, &train, *request);
	*tx_op_at(rdma, rdma->tx.queued++) = train;
	return true;
}

void rdma_tx_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		   const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct rdma_link *rdma = rdma_of(link);
	struct tx_op request = {
		.kind = TX_REQUEST,
		.slot = slot,
		.bytes = payload_bytes,
		.lkey = region ? region->lkey : 0,
		.payload = payload,
	};
	struct tx_op *op;

	if (rdma->failed)
		return;
	if (rdma->tx.waiting[slot]) {
		rdma_fail(rdma, "the peer answered the request in slot %u before it was sent",
			  slot);
		return;
	}
	memcpy(rdma->tx.headers[slot], header, LINK_HEADER_BYTES);
	if (!train_join(rdma, &request)) {
		op = tx_op_add(rdma);
		if (!op)
			return;
		*op = request;
	}
	rdma->tx.waiting[slot] = true;
	link->stats.requests_tx++;
	link->stats.payload_tx += payload_bytes;
}

static void tx_target(const struct rdma_link *rdma, uint32_t slot, uint32_t offset,
		      struct ibv_send_wr *wr)
{
	wr->wr.rdma.remote_addr =
		rdma->tx.remote_addr + (uint64_t)slot * rdma->tx.remote_stride + offset;
	wr->wr.rdma.rkey = rdma->tx.remote_rkey;
}

static void tx_request_fill(struct rdma_link *rdma, const struct tx_op *op, struct ibv_send_wr *wr,
			    struct ibv_sge *sge)
{
	rdma->tx.waiting[op->slot] = false;
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
	tx_target(rdma, op->slot, LINK_PAYLOAD_OFFSET - LINK_HEADER_BYTES, wr);
}

/* Message, payload or train: what one piece of memory holds. */
static void tx_piece_fill(struct rdma_link *rdma, const struct tx_op *op, struct ibv_send_wr *wr,
			  struct ibv_sge *sge)
{
	sge[0] = (struct ibv_sge){
		.addr = (uintptr_t)op->payload,
		.length = op->bytes,
		.lkey = op->lkey,
	};
	wr->opcode = IBV_WR_SEND;
	wr->num_sge = 1;
	if (op->kind == TX_PAYLOAD) {
		wr->opcode = IBV_WR_RDMA_WRITE;
		tx_target(rdma, op->slot, LINK_PAYLOAD_OFFSET, wr);
		return;
	}
	if (op->bytes <= rdma->tx.inline_max)
		wr->send_flags = IBV_SEND_INLINE;
	if (op->kind != TX_TRAIN)
		return;
	wr->opcode = IBV_WR_SEND_WITH_IMM;
	wr->imm_data = htonl(RDMA_TRAIN_IMM);
	for (uint32_t at = 0; at < op->bytes; at += RDMA_TRAIN_ENTRY_BYTES)
		rdma->tx.waiting[get_u32((const uint8_t *)op->payload + at)] = false;
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
		if (op->kind == TX_REQUEST)
			tx_request_fill(rdma, op, wr, sge);
		else
			tx_piece_fill(rdma, op, wr, sge);
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
		enum tx_kind kind = tx_op_at(rdma, rdma->tx.retired)->kind;

		if (kind == TX_MESSAGE)
			rdma->tx.message_count--;
		else if (kind == TX_TRAIN)
			rdma->tx.train_count--;
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
