/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/floor/wire.h"

#include "bench/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SIGNAL_EVERY 64u
#define RECEIVES_MAX (LANES_MAX * RECEIVES)
#define MESSAGES (RECEIVES_MAX + 2 * SENDS)
#define PORT 1

/* What the sides tell each other; both are the same program on the same kind of machine. */
struct endpoint {
	uint64_t addr;
	uint32_t key, psn, mtu, lanes, qpns[LANES_MAX];
	uint16_t lid;
	union ibv_gid gid;
};

static struct ibv_context *open_context(const char *name)
{
	int count = 0;
	struct ibv_device **list = ibv_get_device_list(&count);
	struct ibv_context *context = NULL;

	for (int i = 0; i < count && !context; i++)
		if (!name || !strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	if (!context)
		die("no RDMA device%s%s here can be opened", name ? " " : "", name ? name : "");
	ibv_free_device_list(list);
	return context;
}

static void make_lane(struct wire *w, struct lane *lane)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = w->cq,
		.recv_cq = w->cq,
		.qp_type = IBV_QPT_RC,
		.cap = {.max_send_wr = SENDS,
			.max_recv_wr = RECEIVES,
			.max_send_sge = CHAIN_SGES,
			.max_recv_sge = 1},
	};

	/* Most devices take less inline than soft-RoCE does. */
	for (uint32_t bytes = MESSAGE_BYTES; !lane->qp; bytes /= 2) {
		attr.cap.max_inline_data = bytes;
		lane->qp = ibv_create_qp(w->pd, &attr);
		if (!lane->qp && !bytes)
			die("cannot make a queue pair: %s", strerror(errno));
	}
	w->inline_max = w->without & TECHNIQUE_INLINE ? 0 : attr.cap.max_inline_data;
}

static void make_queues(struct wire *w)
{
	w->channel = ibv_create_comp_channel(w->context);
	if (!w->channel || fcntl(w->channel->fd, F_SETFL, O_NONBLOCK))
		die("cannot make a completion channel: %s", strerror(errno));
	w->cq = ibv_create_cq(w->context, (int)(w->lane_count * (RECEIVES + SENDS)), NULL,
			      w->channel, 0);
	if (!w->cq)
		die("cannot make a completion queue: %s", strerror(errno));
	for (unsigned i = 0; i < w->lane_count; i++)
		make_lane(w, &w->lanes[i]);
}

static void post_receive(struct wire *w, uint64_t index)
{
	struct ibv_sge sge = {(uintptr_t)w->messages[index], MESSAGE_BYTES, w->message_mr->lkey};
	struct ibv_recv_wr wr = {.wr_id = index, .sg_list = &sge, .num_sge = 1}, *bad;
	int rc = ibv_post_recv(w->lanes[index / RECEIVES].qp, &wr, &bad);

	if (rc)
		die("cannot post a receive: %s", strerror(rc));
}

void wire_open(struct wire *w, const char *device, unsigned lanes, unsigned without, void *memory,
	       size_t bytes)
{
	memset(w, 0, sizeof(*w));
	w->lane_count = lanes;
	w->without = without;
	w->context = open_context(device);
	w->pd = ibv_alloc_pd(w->context);
	if (!w->pd)
		die("cannot make a protection domain: %s", strerror(errno));
	w->messages = mmap(NULL, MESSAGES * MESSAGE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->messages == MAP_FAILED)
		die("no memory for messages");
	w->mr = ibv_reg_mr(w->pd, memory, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	w->message_mr =
		ibv_reg_mr(w->pd, w->messages, MESSAGES * MESSAGE_BYTES, IBV_ACCESS_LOCAL_WRITE);
	if (!w->mr || !w->message_mr)
		die("cannot register memory (ulimit -l?): %s", strerror(errno));
	make_queues(w);
}

/* This end's address, when both talk by IP. */
static bool own_address(int socket, struct in_addr *own)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	if (getsockname(socket, (struct sockaddr *)&address, &length) ||
	    address.sin_family != AF_INET)
		return false;
	*own = address.sin_addr;
	return true;
}

/*
 * RoCE v2 over IPv4 where there is one, by the address that both talk by, when the device has it;
 * entry 0 of an InfiniBand port.
 */
static int choose_gid(struct wire *w, int socket, union ibv_gid *gid)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ibv_port_attr port;
	struct ibv_gid_entry entry;
	struct in_addr own;
	bool any = !own_address(socket, &own);
	int chosen = -1;

	if (ibv_query_port(w->context, PORT, &port))
		die("cannot read the port: %s", strerror(errno));
	for (int i = 0; i < port.gid_tbl_len && chosen < 0; i++)
		if (ibv_query_gid_ex(w->context, PORT, (uint32_t)i, &entry, 0) == 0 &&
		    entry.gid_type == IBV_GID_TYPE_ROCE_V2 &&
		    !memcmp(entry.gid.raw, v4_mapped, sizeof(v4_mapped)) &&
		    (any || !memcmp(entry.gid.raw + sizeof(v4_mapped), &own, sizeof(own))))
			chosen = i;
	if (chosen < 0 && !any && port.link_layer == IBV_LINK_LAYER_ETHERNET)
		die("the RDMA device %s has no such address (RoCE v2, IPv4); name another: --rdma",
		    ibv_get_device_name(w->context->device));
	if (chosen < 0)
		chosen = 0;
	if (ibv_query_gid(w->context, PORT, chosen, gid))
		die("cannot read the port's address: %s", strerror(errno));
	return chosen;
}

static void exchange(int socket, const struct endpoint *mine, struct endpoint *theirs)
{
	if (send(socket, mine, sizeof(*mine), 0) != sizeof(*mine) ||
	    recv(socket, theirs, sizeof(*theirs), MSG_WAITALL) != sizeof(*theirs))
		die("the other process ended");
}

static void modify(const struct lane *lane, struct ibv_qp_attr attr, int mask)
{
	int rc = ibv_modify_qp(lane->qp, &attr, mask);

	if (rc)
		die("cannot connect the queue pair: %s", strerror(rc));
}

static void lane_init(const struct lane *lane)
{
	modify(lane,
	       (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT,
				    .port_num = PORT,
				    .qp_access_flags = IBV_ACCESS_REMOTE_WRITE},
	       IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

static void lane_connect(const struct lane *lane, struct ibv_ah_attr path, uint32_t qpn,
			 const struct endpoint *mine, const struct endpoint *theirs)
{
	modify(lane,
	       (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR,
				    .path_mtu = theirs->mtu < mine->mtu ? theirs->mtu : mine->mtu,
				    .dest_qp_num = qpn,
				    .rq_psn = theirs->psn,
				    .min_rnr_timer = 12,
				    .ah_attr = path},
	       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	modify(lane,
	       (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS,
				    .timeout = 14,
				    .retry_cnt = 7,
				    .rnr_retry = 7,
				    .sq_psn = mine->psn},
	       IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
		       IBV_QP_MAX_QP_RD_ATOMIC);
}

void wire_connect(struct wire *w, int socket)
{
	struct endpoint mine = {0}, theirs;
	struct ibv_port_attr port;
	int gid_index = choose_gid(w, socket, &mine.gid);

	if (ibv_query_port(w->context, PORT, &port))
		die("cannot read the port: %s", strerror(errno));
	mine.addr = (uintptr_t)w->mr->addr;
	mine.key = w->mr->rkey;
	mine.psn = w->lanes[0].qp->qp_num & 0xffff;
	mine.mtu = port.active_mtu;
	mine.lid = port.lid;
	mine.lanes = w->lane_count;
	for (unsigned i = 0; i < w->lane_count; i++) {
		mine.qpns[i] = w->lanes[i].qp->qp_num;
		lane_init(&w->lanes[i]);
	}
	for (unsigned i = 0; i < w->lane_count * RECEIVES; i++)
		post_receive(w, i);
	exchange(socket, &mine, &theirs);
	if (theirs.lanes != mine.lanes)
		die("the other process has %u queue pairs, this one %u: give both the same --qps",
		    theirs.lanes, mine.lanes);
	for (unsigned i = 0; i < w->lane_count; i++)
		lane_connect(&w->lanes[i],
			     (struct ibv_ah_attr){.is_global = port.link_layer ==
							       IBV_LINK_LAYER_ETHERNET,
						  .grh = {.dgid = theirs.gid,
							  .sgid_index = (uint8_t)gid_index,
							  .hop_limit = 64},
						  .dlid = theirs.lid,
						  .port_num = PORT},
			     theirs.qpns[i], &mine, &theirs);
	w->remote_addr = theirs.addr;
	w->remote_key = theirs.key;
	/* Nobody sends before both can receive. */
	exchange(socket, &mine, &theirs);
}

struct ibv_send_wr *wire_add(struct wire *w, unsigned lane, enum ibv_wr_opcode opcode)
{
	struct lane *l = &w->lanes[lane];
	struct ibv_send_wr *wr = &l->wrs[l->pending];

	if (l->pending == CHAIN_MAX)
		die("the chain is full");
	memset(wr, 0, sizeof(*wr));
	wr->opcode = opcode;
	wr->sg_list = l->sges[l->pending];
	if (l->pending)
		wr[-1].next = wr;
	l->pending++;
	/* A completion now and then tells the library that the queue has room. */
	if (++l->unsignalled == SIGNAL_EVERY || w->without & TECHNIQUE_MODERATION) {
		wr->send_flags = IBV_SEND_SIGNALED;
		l->unsignalled = 0;
	}
	return wr;
}

void wire_gather(struct wire *w, struct ibv_send_wr *wr, const void *from, uint32_t bytes)
{
	struct ibv_sge *sge = &wr->sg_list[wr->num_sge];

	if (wr->num_sge && sge[-1].addr + sge[-1].length == (uintptr_t)from)
		sge[-1].length += bytes;
	else
		wr->sg_list[wr->num_sge++] = (struct ibv_sge){(uintptr_t)from, bytes, w->mr->lkey};
}

void wire_target(struct wire *w, struct ibv_send_wr *wr, uint64_t offset)
{
	wr->wr.rdma.remote_addr = w->remote_addr + offset;
	wr->wr.rdma.rkey = w->remote_key;
}

void wire_message(struct wire *w, const void *bytes, uint32_t length)
{
	struct ibv_send_wr *wr = wire_add(w, 0, IBV_WR_SEND);
	uint8_t *copy;

	wr->num_sge = 1;
	if (length <= w->inline_max)
		wr->send_flags |= IBV_SEND_INLINE;
	/* Twice as many as sends can be on their way. */
	copy = w->messages[RECEIVES_MAX + w->message_next++ % (2 * SENDS)];
	memcpy(copy, bytes, length);
	wr->sg_list[0] = (struct ibv_sge){(uintptr_t)copy, length, w->message_mr->lkey};
}

static void lane_post(struct lane *l, bool chain)
{
	struct ibv_send_wr *bad;
	unsigned count = chain ? 1 : l->pending;
	int rc = 0;

	for (unsigned i = 0; i < count && !rc; i++) {
		if (!chain)
			l->wrs[i].next = NULL;
		rc = ibv_post_send(l->qp, &l->wrs[i], &bad);
	}
	if (rc)
		die("cannot post: %s", strerror(rc));
	l->pending = 0;
}

void wire_post(struct wire *w)
{
	for (unsigned i = 0; i < w->lane_count; i++)
		if (w->lanes[i].pending)
			lane_post(&w->lanes[i], !(w->without & TECHNIQUE_CHAIN));
}

unsigned wire_poll(struct wire *w, struct ibv_wc *wcs, unsigned room)
{
	int count = ibv_poll_cq(w->cq, (int)room, wcs);
	unsigned kept = 0;

	for (int i = 0; i < count; i++) {
		if (wcs[i].status != IBV_WC_SUCCESS)
			die("the connection failed: %s", ibv_wc_status_str(wcs[i].status));
		if (wcs[i].opcode & IBV_WC_RECV)
			wcs[kept++] = wcs[i];
	}
	return kept;
}

void wire_done(struct wire *w, const struct ibv_wc *wc)
{
	post_receive(w, wc->wr_id);
}

const void *wire_received(const struct wire *w, const struct ibv_wc *wc)
{
	return w->messages[wc->wr_id];
}

void wire_arm(struct wire *w)
{
	if (!w->armed && ibv_req_notify_cq(w->cq, 0))
		die("cannot arm the completion queue");
	w->armed = true;
}

void wire_event(struct wire *w)
{
	struct ibv_cq *cq;
	void *context;

	if (!w->armed || ibv_get_cq_event(w->channel, &cq, &context))
		return;
	ibv_ack_cq_events(cq, 1);
	w->armed = false;
}
