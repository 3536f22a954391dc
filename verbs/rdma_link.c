/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link over a reliable connection: receiving, granting, ending.  Sending is rdma_tx.c's.
 *
 * Failing: the queue pair goes to the error state, every work request that was posted comes
 * back flushed, and when all have come back the CM thread destroys the queue pair and the key
 * of the slots; then down() is told.  The CM thread's timer ends the wait if the device never
 * flushes.
 */
#include "verbs/rdma.h"

#include "engine/base/wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define GRANT_MAGIC 0x3252474cu /* "LGR2" */

void rdma_fail(struct rdma_link *rdma, const char *fmt, ...)
{
	va_list ap;

	if (rdma->failed)
		return;
	rdma->failed = rdma->discard = true;
	va_start(ap, fmt);
	vsnprintf(rdma->reason, sizeof(rdma->reason), fmt, ap);
	va_end(ap);
	/* Even when the device did it already: soft-RoCE flushes only what was posted before. */
	rdma_qp_error(rdma);
	rdma_tx_marker(rdma);
	rdma_fabric_request(rdma->fabric, rdma->conn, CONN_DISCONNECT);
}

/* Receiving. */

static void rx_again(struct rdma_link *rdma, struct ibv_recv_wr *wr)
{
	wr->next = NULL;
	if (rdma->rx.again_last)
		rdma->rx.again_last->next = wr;
	else
		rdma->rx.again_first = wr;
	rdma->rx.again_last = wr;
}

/* Before any answer of this pass leaves: the peer's next request finds a receive. */
static void rx_again_post(struct rdma_link *rdma)
{
	struct ibv_recv_wr *chain = rdma->rx.again_first, *bad = NULL;
	int rc;

	if (!chain || rdma->failed)
		return;
	rdma->rx.again_first = rdma->rx.again_last = NULL;
	for (struct ibv_recv_wr *wr = chain; wr; wr = wr->next)
		rdma->rx.posted++;
	rc = ibv_post_recv(rdma->qp, chain, &bad);
	if (!rc)
		return;
	for (; bad; bad = bad->next)
		rdma->rx.posted--;
	rdma_fail(rdma, "cannot post receives: %s", strerror(rc));
}

/* The number is the peer's word. */
static bool rx_slot_check(struct rdma_link *rdma, uint32_t slot)
{
	uint32_t count = rdma->slots_mr ? rdma->link.slot_count : 0;

	if (slot < count)
		return true;
	rdma_fail(rdma, "the peer sent a request to slot %u of %u", slot, count);
	return false;
}

static void rx_deliver(struct link *link, uint32_t slot, const uint8_t *header,
		       uint32_t payload_bytes)
{
	link->stats.requests_rx++;
	link->stats.payload_rx += payload_bytes;
	link->handler->landed(link->owner, slot, header, payload_bytes);
}

static void rx_landed(struct rdma_link *rdma, const struct ibv_wc *wc)
{
	struct link *link = &rdma->link;
	uint32_t slot = ntohl(wc->imm_data);

	if (!rx_slot_check(rdma, slot))
		return;
	/* So is the length, as far as the key allows. */
	if (wc->byte_len < LINK_HEADER_BYTES ||
	    wc->byte_len > LINK_HEADER_BYTES + link->slot_bytes) {
		rdma_fail(rdma, "the peer sent %u bytes to a slot of %u + %u", wc->byte_len,
			  LINK_HEADER_BYTES, link->slot_bytes);
		return;
	}
	rx_deliver(link, slot, link_slot_header(link, slot), wc->byte_len - LINK_HEADER_BYTES);
}

/* Headers of requests whose payloads came before: everything in it is the peer's word. */
static void rx_train(struct rdma_link *rdma, uint32_t index, const struct ibv_wc *wc)
{
	struct link *link = &rdma->link;
	const uint8_t *entry = rdma->rx.buffers[index];
	const uint8_t *end = entry + wc->byte_len;

	if (ntohl(wc->imm_data) != RDMA_TRAIN_IMM) {
		rdma_fail(rdma, "the peer sent a message of an unknown kind, 0x%08x",
			  ntohl(wc->imm_data));
		return;
	}
	if (wc->byte_len == 0 || wc->byte_len % RDMA_TRAIN_ENTRY_BYTES != 0 ||
	    wc->byte_len > RDMA_TRAIN_MAX * RDMA_TRAIN_ENTRY_BYTES) {
		rdma_fail(rdma, "the peer sent a train of %u bytes: 1 to %u times %u may be",
			  wc->byte_len, RDMA_TRAIN_MAX, RDMA_TRAIN_ENTRY_BYTES);
		return;
	}
	/* The owner may shut the link in the middle. */
	for (; entry < end && !rdma->discard; entry += RDMA_TRAIN_ENTRY_BYTES) {
		uint32_t slot = get_u32(entry), payload_bytes = get_u32(entry + 4);

		if (!rx_slot_check(rdma, slot))
			return;
		if (payload_bytes > link->slot_bytes) {
			rdma_fail(rdma, "the peer says that %u bytes are in a slot of %u",
				  payload_bytes, link->slot_bytes);
			return;
		}
		rx_deliver(link, slot, entry + 8, payload_bytes);
	}
}

static void rx_message(struct rdma_link *rdma, uint32_t index, uint32_t length)
{
	struct link *link = &rdma->link;

	if (length == 0 || length > LINK_MESSAGE_MAX) {
		rdma_fail(rdma, "the peer sent a message of %u bytes: 1 to %u are allowed", length,
			  LINK_MESSAGE_MAX);
		return;
	}
	link->stats.messages_rx++;
	link->handler->message(link->owner, rdma->rx.buffers[index], length);
}

static void wc_failed(struct rdma_link *rdma, const struct ibv_wc *wc)
{
	switch (wc->status) {
	case IBV_WC_WR_FLUSH_ERR:
		rdma_fail(rdma, "the connection to %s was closed", rdma->link.address);
		break;
	case IBV_WC_RETRY_EXC_ERR:
		rdma_fail(rdma, "%s does not answer (transport retries used up)",
			  rdma->link.address);
		break;
	case IBV_WC_RNR_RETRY_EXC_ERR:
		rdma->link.stats.rnr++;
		rdma_fail(rdma, "%s has no receive posted (RNR retries used up)",
			  rdma->link.address);
		break;
	case IBV_WC_REM_ACCESS_ERR:
		rdma_fail(rdma, "%s refused a write: its memory key is not valid any more",
			  rdma->link.address);
		break;
	default:
		rdma_fail(rdma, "connection to %s failed: %s", rdma->link.address,
			  ibv_wc_status_str(wc->status));
		break;
	}
}

static void wc_handle(struct rdma_link *rdma, const struct ibv_wc *wc)
{
	rdma->link.stats.completions++;
	/* Of a failed request only the number is valid. */
	if (wc->status != IBV_WC_SUCCESS)
		wc_failed(rdma, wc);
	if (!(wc->wr_id & RDMA_WR_RECEIVE)) {
		rdma_tx_retire(rdma, wc->wr_id);
		return;
	}
	rdma->rx.posted--;
	if (wc->status != IBV_WC_SUCCESS || rdma->discard)
		return;
	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)
		rx_landed(rdma, wc);
	else if (wc->wc_flags & IBV_WC_WITH_IMM)
		rx_train(rdma, (uint32_t)wc->wr_id, wc);
	else
		rx_message(rdma, (uint32_t)wc->wr_id, wc->byte_len);
	rx_again(rdma, &rdma->rx.wrs[(uint32_t)wc->wr_id]);
}

static bool wc_fetch(struct rdma_link *rdma, unsigned limit)
{
	int n;

	if (rdma->wc_next < rdma->wc_count)
		return true;
	n = ibv_poll_cq(rdma->cq, (int)min_u64(limit, RDMA_POLL_BATCH), rdma->wc);
	rdma->wc_next = 0;
	rdma->wc_count = n > 0 ? n : 0;
	rdma->heard |= n > 0;
	if (n < 0)
		rdma_fail(rdma, "cannot read the completion queue");
	return n > 0;
}

/* The end. */

static bool drained(const struct rdma_link *rdma)
{
	return (rdma->tx.posted == rdma->tx.retired && rdma->rx.posted == 0) ||
	       (rdma->signals_seen & SIGNAL_DRAIN_LATE);
}

static void signals_take(struct rdma_link *rdma)
{
	/* Pairs with the release in rdma_link_signal(). */
	unsigned signals = atomic_load_explicit(&rdma->signals, memory_order_acquire);

	if (LIKELY(signals == rdma->signals_seen))
		return;
	rdma->signals_seen = signals;
	if (rdma->failed || !(signals & SIGNAL_PEER_GONE))
		return;
	rdma_fail(rdma, "the peer %s disconnected", rdma->link.address);
	/* It left in order: what had arrived before that is still delivered. */
	rdma->discard = false;
}

/* From here on the queue pair is the CM thread's; the queue may not even be looked at. */
static void leave(struct rdma_link *rdma)
{
	rdma->leaving = true;
	/* What it still tells nobody reads: it would end every sleep until it is gone. */
	(void)epoll_ctl(rdma->link.fd, EPOLL_CTL_DEL, rdma->channel->fd, NULL);
	rdma_fabric_request(rdma->fabric, rdma->conn, CONN_TAKE_DOWN);
}

static bool taken_down(const struct rdma_link *rdma)
{
	return rdma->signals_seen & SIGNAL_TAKEN_DOWN;
}

static unsigned rdma_poll(struct link *link, unsigned budget)
{
	struct rdma_link *rdma = rdma_of(link);
	unsigned handled = 0;
	eventfd_t count;

	signals_take(rdma);
	if (UNLIKELY(rdma->leaving)) {
		if (!taken_down(rdma))
			return 0;
		/* The same from here to link_destroy(). */
		(void)eventfd_read(rdma->wake_fd, &count);
		link->handler->down(link->owner, rdma->reason);
		return 1;
	}
	while (handled < budget && wc_fetch(rdma, budget - handled)) {
		wc_handle(rdma, &rdma->wc[rdma->wc_next++]);
		handled++;
	}
	rx_again_post(rdma);
	if (rdma->tx.blocked)
		rdma_tx_flush(link);
	if (!rdma->failed || !drained(rdma))
		return handled;
	leave(rdma);
	return handled + 1;
}

static bool rdma_arm(struct link *link)
{
	struct rdma_link *rdma = rdma_of(link);
	struct ibv_cq *cq;
	void *context;
	eventfd_t count;

	if (rdma->failed) {
		(void)eventfd_read(rdma->wake_fd, &count);
		signals_take(rdma);
		if (rdma->leaving)
			return taken_down(rdma);
		if (drained(rdma))
			return true;
	}
	/*
	 * An event that came disarmed the queue; one that did not come leaves it armed.  Without a
	 * completion since then there is none, and nothing to ask the kernel.
	 */
	if (rdma->armed && rdma->heard && ibv_get_cq_event(rdma->channel, &cq, &context) == 0) {
		rdma->armed = false;
		/* In batches: acknowledging takes a mutex. */
		if (++rdma->unacked_events == 1024) {
			ibv_ack_cq_events(rdma->cq, rdma->unacked_events);
			rdma->unacked_events = 0;
		}
	}
	if (!rdma->armed) {
		if (ibv_req_notify_cq(rdma->cq, 0)) {
			rdma_fail(rdma, "cannot arm the completion queue");
			return true;
		}
		rdma->armed = true;
		rdma->heard = false;
	}
	/* What came between the last poll and the arming raised no event. */
	return wc_fetch(rdma, RDMA_POLL_BATCH);
}

static void rdma_shut(struct link *link, const char *reason)
{
	struct rdma_link *rdma = rdma_of(link);

	rdma_fail(rdma, "%s", reason);
	rdma->discard = true;
}

static void rdma_destroy(struct link *link)
{
	struct rdma_link *rdma = rdma_of(link);

	/* The CM thread frees it: rdma_destroy_id() may block, and its events name the link. */
	rdma_fabric_request(rdma->fabric, rdma->conn, CONN_DESTROY);
}

/* Grants. */

static int rdma_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	struct rdma_link *rdma = rdma_of(link);
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE,
	};
	struct err err = {0};
	int rc;

	if (rdma->failed)
		return -ENOTCONN;
	rc = rdma_device_register(&rdma->fabric->device, link->slots.base, link->slots.length_bytes,
				  IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
				  "registration of the slots", &rdma->slots_mr, &err);
	if (rc < 0) {
		/* The number is the caller's, the sentence comes with down(). */
		rdma_fail(rdma, "%s", err.text);
		return rc;
	}
	rc = ibv_modify_qp(rdma->qp, &attr, IBV_QP_STATE | IBV_QP_ACCESS_FLAGS);
	if (rc) {
		rdma_fail(rdma, "cannot open the queue pair to writes: %s", strerror(rc));
		return -rc;
	}
	link->slots.lkey = rdma->slots_mr->lkey;
	put_u32(grant, GRANT_MAGIC);
	put_u32(grant + 4, link->slot_count);
	put_u32(grant + 8, link->slot_bytes);
	put_u32(grant + 12, link->slot_stride);
	put_u64(grant + 16, (uintptr_t)link->slots.base);
	put_u32(grant + 24, rdma->slots_mr->rkey);
	put_u32(grant + 28, LINK_PAYLOAD_OFFSET);
	return 0;
}

static bool rdma_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	struct rdma_link *rdma = rdma_of(link);
	uint32_t count = get_u32(grant + 4), bytes = get_u32(grant + 8);
	uint32_t stride = get_u32(grant + 12);
	uint64_t addr = get_u64(grant + 16);

	if (get_u32(grant) != GRANT_MAGIC || get_u32(grant + 28) != LINK_PAYLOAD_OFFSET)
		return false;
	if (count == 0 || count > LINK_SLOTS_MAX)
		return false;
	if (bytes == 0 || bytes % 4096 != 0 || bytes > FABRIC_SLOT_BYTES_MAX)
		return false;
	if (stride != LINK_PAYLOAD_OFFSET + bytes)
		return false;
	if (addr == 0 || addr % 4096 != 0 || addr > UINT64_MAX - (uint64_t)count * stride)
		return false;
	rdma->tx.remote_addr = addr;
	rdma->tx.remote_stride = stride;
	rdma->tx.remote_rkey = get_u32(grant + 24);
	link->granted_count = count;
	link->granted_bytes = bytes;
	return true;
}

const struct link_ops rdma_link_ops = {
	.grant = rdma_grant,
	.use_grant = rdma_use_grant,
	.send = rdma_tx_send,
	.write = rdma_tx_write,
	.flush = rdma_tx_flush,
	.poll = rdma_poll,
	.arm = rdma_arm,
	.shut = rdma_shut,
	.destroy = rdma_destroy,
};
