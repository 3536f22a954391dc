/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that a link needs from the device: made before it connects, freed after it ended. */
#include "verbs/rdma.h"

#include "verbs/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Asked for first; a device that gives less is asked again. */
static const uint32_t inline_sizes[] = {512, 220, 64, 0};

static int depths_choose(struct rdma_link *link, struct err *err)
{
	const struct fabric_config *config = &link->fabric->fabric.config;
	const struct rdma_device *device = &link->fabric->device;

	/* A write of the peer takes a receive, and so does a message of it: an answer for each
	 * slot that it grants us, which may be as many as there can be.  So RNR never happens. */
	link->rx.depth = config->slot_count + LINK_SLOTS_MAX + RDMA_SPARE_RECEIVES;
	/* Our writes and our answers; more wait in ops. */
	link->tx.depth = 2 * (config->slot_count + LINK_SPARE_MESSAGES);
	link->tx.depth = (uint32_t)min_u64(link->tx.depth + 1, device->wr_max) - 1;
	link->tx.signal_every = link->tx.depth / 4;
	/* Twice the answers that may be due, and those that are done but not yet known to be. */
	link->tx.message_max =
		2 * (config->slot_count + LINK_SPARE_MESSAGES) + link->tx.signal_every;
	/* With these gone requests go one by one: half of what may be under way, since a train has
	 * two requests or more, and those that are done but not yet known to be. */
	link->tx.train_max = config->slot_count / 2 + link->tx.signal_every;
	link->tx.buffer_max = link->tx.message_max + link->tx.train_max;
	/* What waits is one for each slot at most, messages and trains. */
	link->tx.op_max = LINK_SLOTS_MAX + link->tx.buffer_max + link->tx.depth;
	if (link->tx.signal_every == 0 || link->rx.depth > device->wr_max ||
	    link->rx.depth + link->tx.depth + 1 > device->cqe_max)
		return err_set(err, -ENOSPC,
			       "%s has too short queues for %u slots: %u work requests, %u "
			       "completions", device->name, config->slot_count, device->wr_max,
			       device->cqe_max);
	return 0;
}

static int memory_create(struct rdma_link *link, struct err *err)
{
	size_t rx_bytes = (size_t)link->rx.depth * LINK_MESSAGE_MAX;
	size_t tx_bytes = (size_t)link->tx.buffer_max * LINK_MESSAGE_MAX;
	uint8_t *memory;
	int rc;

	link->rx.wrs = calloc(link->rx.depth, sizeof(*link->rx.wrs));
	link->rx.sges = calloc(link->rx.depth, sizeof(*link->rx.sges));
	link->tx.ops = calloc(link->tx.op_max, sizeof(*link->tx.ops));
	link->tx.wrs = calloc(link->tx.depth, sizeof(*link->tx.wrs));
	link->tx.sges = calloc(2 * (size_t)link->tx.depth, sizeof(*link->tx.sges));
	if (!link->rx.wrs || !link->rx.sges || !link->tx.ops || !link->tx.wrs || !link->tx.sges)
		return err_set(err, -ENOMEM, "no memory for a link");
	link->memory_bytes = rx_bytes + tx_bytes + (size_t)LINK_SLOTS_MAX * LINK_HEADER_BYTES;
	rc = pages_map(link->memory_bytes, &link->memory);
	if (rc < 0)
		return err_set(err, rc, "no memory for the buffers of a link: %s", strerror(-rc));
	memory = link->memory;
	link->rx.buffers = (void *)memory;
	link->tx.buffers = (void *)(memory + rx_bytes);
	link->tx.headers = (void *)(memory + rx_bytes + tx_bytes);
	return rdma_device_register(&link->fabric->device, link->memory, link->memory_bytes,
				    IBV_ACCESS_LOCAL_WRITE, "buffers of a link", &link->memory_mr,
				    err);
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int events_create(struct rdma_link *link, struct err *err)
{
	struct ibv_context *context = link->fabric->device.context;
	int flags;

	link->channel = ibv_create_comp_channel(context);
	if (!link->channel)
		return err_set(err, -errno, "cannot make a completion channel: %s",
			       strerror(errno));
	flags = fcntl(link->channel->fd, F_GETFL);
	link->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	link->link.fd = epoll_create1(EPOLL_CLOEXEC);
	if (flags < 0 || fcntl(link->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    link->wake_fd < 0 || link->link.fd < 0 ||
	    watch(link->link.fd, link->channel->fd) < 0 || watch(link->link.fd, link->wake_fd) < 0)
		return err_set(err, -errno, "cannot make the descriptors of a link: %s",
			       strerror(errno));
	link->cq = ibv_create_cq(context, (int)(link->rx.depth + link->tx.depth + 1), NULL,
				 link->channel, 0);
	return link->cq ? 0 : rdma_device_memory_error(err, errno, "completion queue");
}

static int qp_create(struct rdma_link *link, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(inline_sizes) && !link->qp; i++) {
		struct ibv_qp_init_attr attr = {
			.send_cq = link->cq,
			.recv_cq = link->cq,
			.qp_type = IBV_QPT_RC,
			.sq_sig_all = 0,
			.cap = {
				.max_send_wr = link->tx.depth + 1, /* the marker of the drain */
				.max_recv_wr = link->rx.depth,
				.max_send_sge = 2,
				.max_recv_sge = 1,
				.max_inline_data = inline_sizes[i],
			},
		};

		link->qp = ibv_create_qp(link->fabric->device.pd, &attr);
		link->tx.inline_max = attr.cap.max_inline_data;
	}
	return link->qp ? 0 : rdma_device_memory_error(err, errno, "queue pair");
}

static int qp_move(struct rdma_link *link, enum ibv_qp_state state, struct ibv_qp_attr *attr,
		   struct err *err)
{
	int mask, rc;

	memset(attr, 0, sizeof(*attr));
	attr->qp_state = state;
	if (rdma_init_qp_attr(link->conn->id, attr, &mask) < 0)
		return err_set(err, -errno, "cannot read the queue pair's attributes: %s",
			       strerror(errno));
	/* The kernel sets bits that it does not take (librdmacm masks them, too). */
	mask &= (IBV_QP_DEST_QPN << 1) - 1;
	/* No peer reads or writes before grant(), not even with a key that it guessed. */
	attr->qp_access_flags = 0;
	attr->min_rnr_timer = RDMA_MIN_RNR_TIMER;
	attr->timeout = RDMA_ACK_TIMEOUT;
	attr->retry_cnt = RDMA_RETRIES;
	attr->rnr_retry = RDMA_RNR_RETRIES;
	rc = ibv_modify_qp(link->qp, attr, mask);
	return rc ? err_set(err, -rc, "cannot set up the queue pair (state %d): %s", state,
			    strerror(rc))
		  : 0;
}

static int receives_post(struct rdma_link *link, struct err *err)
{
	struct ibv_recv_wr *bad;
	int rc;

	for (uint32_t i = 0; i < link->rx.depth; i++) {
		link->rx.sges[i] = (struct ibv_sge){
			.addr = (uintptr_t)link->rx.buffers[i],
			.length = LINK_MESSAGE_MAX,
			.lkey = link->memory_mr->lkey,
		};
		link->rx.wrs[i] = (struct ibv_recv_wr){
			.wr_id = RDMA_WR_RECEIVE | i,
			.sg_list = &link->rx.sges[i],
			.num_sge = 1,
			.next = i + 1 < link->rx.depth ? &link->rx.wrs[i + 1] : NULL,
		};
	}
	rc = ibv_post_recv(link->qp, link->rx.wrs, &bad);
	if (rc)
		return err_set(err, -rc, "cannot post receives: %s", strerror(rc));
	link->rx.posted = link->rx.depth;
	return 0;
}

int rdma_link_create(struct rdma_conn *conn, struct rdma_link **created, struct err *err)
{
	struct rdma_link *link = calloc(1, sizeof(*link));
	struct ibv_qp_attr attr;
	int rc;

	if (!link)
		return err_set(err, -ENOMEM, "no memory for a link");
	link->link.ops = &rdma_link_ops;
	link->link.fd = link->wake_fd = -1;
	link->fabric = conn->fabric;
	link->conn = conn;
	rc = depths_choose(link, err);
	if (rc == 0)
		rc = memory_create(link, err);
	if (rc == 0)
		rc = events_create(link, err);
	if (rc == 0)
		rc = qp_create(link, err);
	if (rc == 0)
		rc = qp_move(link, IBV_QPS_INIT, &attr, err);
	if (rc == 0)
		rc = receives_post(link, err);
	if (rc < 0) {
		rdma_link_free(link);
		return rc;
	}
	*created = link;
	return 0;
}

int rdma_link_ready(struct rdma_link *link, struct err *err)
{
	struct ibv_qp_attr attr;
	int rc = qp_move(link, IBV_QPS_RTR, &attr, err);

	if (rc < 0)
		return rc;
	link->tx.path_mtu = 128u << attr.path_mtu;
	snprintf(link->link.detail, sizeof(link->link.detail),
		 "RC%s, path MTU %u, GID %u, inline %u",
		 link->fabric->device.soft ? " soft-RoCE" : "", link->tx.path_mtu,
		 attr.ah_attr.grh.sgid_index, link->tx.inline_max);
	return qp_move(link, IBV_QPS_RTS, &attr, err);
}

int rdma_link_open(struct rdma_link *link, struct err *err)
{
	const struct fabric_config *config = &link->fabric->fabric.config;
	const struct rdma_device *device = &link->fabric->device;
	struct rdma_cm_id *id = link->conn->id;
	char text[ADDRESS_TEXT_BYTES];
	int rc = slots_init(&link->link, config->slot_count, config->slot_bytes);

	if (rc < 0)
		return err_set(err, rc, "no memory for %u slots of %u bytes: %s",
			       config->slot_count, config->slot_bytes, strerror(-rc));
	address_format(rdma_get_peer_addr(id), text);
	snprintf(link->link.backend, sizeof(link->link.backend), "rdma");
	snprintf(link->link.address, sizeof(link->link.address), "%s", text);
	snprintf(link->link.device, sizeof(link->link.device), "%.40s port %u", device->name,
		 id->port_num);
	link->link.numa_node = device->numa_node;
	return 0;
}

void rdma_link_free(struct rdma_link *link)
{
	rdma_qp_destroy(link);
	if (link->cq) {
		/* Blocks until every event that was read is acknowledged. */
		ibv_ack_cq_events(link->cq, link->unacked_events);
		ibv_destroy_cq(link->cq);
	}
	if (link->channel)
		ibv_destroy_comp_channel(link->channel);
	if (link->memory_mr)
		ibv_dereg_mr(link->memory_mr);
	if (link->link.fd >= 0)
		close(link->link.fd);
	if (link->wake_fd >= 0)
		close(link->wake_fd);
	pages_unmap(link->memory, link->memory_bytes);
	slots_fini(&link->link);
	free(link->rx.wrs);
	free(link->rx.sges);
	free(link->tx.ops);
	free(link->tx.wrs);
	free(link->tx.sges);
	free(link);
}

void rdma_link_signal(struct rdma_link *link, unsigned signal)
{
	/* Pairs with the acquire in rdma_link.c's signals_take(). */
	atomic_fetch_or_explicit(&link->signals, signal, memory_order_release);
	(void)eventfd_write(link->wake_fd, 1);
}

void rdma_qp_error(struct rdma_link *link)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	/* It can fail only when the device is gone, and then the drain's limit ends the wait. */
	(void)ibv_modify_qp(link->qp, &attr, IBV_QP_STATE);
}

/*
 * Queue pair first, then the key of the slots: a device may hold the region while a write
 * is half received, and lets go of it with the queue pair.
 */
void rdma_qp_destroy(struct rdma_link *link)
{
	if (link->qp)
		ibv_destroy_qp(link->qp);
	link->qp = NULL;
	if (link->slots_mr)
		ibv_dereg_mr(link->slots_mr);
	link->slots_mr = NULL;
}
