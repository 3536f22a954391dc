/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of the RDMA backend.
 *
 *   rdma_device.c  one device, its protection domain, and registered regions
 *   rdma_fabric.c  the fabric: create, listen, dial, commands to the CM thread
 *   rdma_cm.c      one connection, from rdmacm event to rdmacm event; on the CM thread only
 *   rdma_qp.c      memory, queues and queue pair of a link; set up and taken down
 *   rdma_link.c    the link itself, and
 *   rdma_tx.c      its sending half; on the shard's thread only
 *
 * The queue pair is ours, not rdmacm's: it is made with ibv_create_qp() and librdmacm is
 * told its number only.  So nothing that the CM thread does with its identifier touches
 * the queue pair, and the shard drains it without asking.  The CM thread destroys it: a device
 * that does not let go of a packet makes that call wait, soft-RoCE of Linux 6.1 for 50 s, and
 * the shard has other links.
 */
#ifndef LS_VERBS_RDMA_H
#define LS_VERBS_RDMA_H

#include "engine/base/list.h"
#include "verbs/address.h"
#include "verbs/backend.h"
#include "verbs/cm_thread.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

/* Private data of connect and accept: "LSRD", version u16, zero u16. */
#define RDMA_HELLO_BYTES 8u
#define RDMA_VERSION 2u
/*
 * A train carries the headers of several requests, whose payloads went before it by writes of
 * their own: one entry for each, slot u32, payload bytes u32, header.  It is a SEND like a
 * message, told from one by its immediate.  Seven are 504 bytes: soft-RoCE takes 512 inline.
 */
#define RDMA_TRAIN_IMM 0x4e525452u /* "RTRN" */
#define RDMA_TRAIN_ENTRY_BYTES (8u + LINK_HEADER_BYTES)
#define RDMA_TRAIN_MAX 7u
/*
 * Longest payload in a train.  The first header leaves behind the last payload, so long ones
 * would keep the peer's device waiting; and what they gain is one packet of many.
 */
#define RDMA_TRAIN_PAYLOAD_MAX (16u << 10)
/* 4.096 us * 2^14 = 67 ms, up to 8 times: a silent peer is known after half a second. */
#define RDMA_ACK_TIMEOUT 14
#define RDMA_RETRIES 7
/* Not 7, which means for ever.  Credits keep RNR from happening at all. */
#define RDMA_RNR_RETRIES 6
/* 0.64 ms; rdmacm's own choice is 0, which means 655 ms. */
#define RDMA_MIN_RNR_TIMER 12
/* After this a link that was shut is taken down even if the device flushed nothing. */
#define RDMA_DRAIN_MS 5000
/* Receives beyond one per own slot and one answer per slot of the peer. */
#define RDMA_SPARE_RECEIVES (2 * LINK_SPARE_MESSAGES)
#define RDMA_POLL_BATCH 32
/* In wr_id: a receive, by index; without it a send, by its number since the start. */
#define RDMA_WR_RECEIVE (UINT64_C(1) << 63)

struct rdma_device {
	struct ibv_context *context;
	struct ibv_pd *pd;
	char name[IBV_SYSFS_NAME_MAX];
	bool soft; /* soft-RoCE: a driver on top of a network device */
	int numa_node;
	uint32_t wr_max, cqe_max;
};

struct rdma_fabric {
	struct fabric fabric;
	struct cm_thread cm;
	struct rdma_device device;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listener;
	struct sockaddr_storage source; /* address that dials leave from */
	bool has_source;

	struct list connections; /* struct rdma_conn; of the CM thread */
	unsigned half_open;

	pthread_mutex_t lock;
	struct list dials;    /* struct rdma_conn, not yet with the CM thread */
	struct list requests; /* struct rdma_conn.request_node: what shards ask for */
	unsigned dial_count;
};

enum conn_state {
	CONN_ADDRESS, /* waits for the peer's address to be resolved */
	CONN_ROUTE,   /* for the route */
	CONN_CONNECT, /* for the peer's answer */
	CONN_ACCEPT,  /* for the dialling peer's last word */
	CONN_OPEN,    /* a link; the shard's */
	CONN_CLOSING, /* the link failed and drains */
};

/* What the shard asks of the CM thread. */
#define CONN_DISCONNECT 1u
#define CONN_TAKE_DOWN 2u /* it is drained */
#define CONN_DESTROY 4u

/* One connection, as the CM thread sees it. */
struct rdma_conn {
	struct list node;
	struct rdma_fabric *fabric;
	struct rdma_cm_id *id;
	struct rdma_link *link;
	enum conn_state state;
	bool dialled;
	void *cookie;
	char target[272];
	struct address_list addresses;
	unsigned address_next;
	uint64_t deadline_ms;

	struct list request_node; /* these two under fabric->lock */
	unsigned requests;
};

/* What the CM thread tells the shard: a bit is set, then the link's eventfd is written. */
#define SIGNAL_PEER_GONE 1u
#define SIGNAL_DRAIN_LATE 2u
#define SIGNAL_TAKEN_DOWN 4u /* nothing can come through its queue pair, or its keys, any more */

enum tx_kind {
	TX_MESSAGE,
	TX_REQUEST, /* header and payload */
	TX_PAYLOAD, /* of a request whose header is in the next train */
	TX_TRAIN,
	TX_MARKER, /* the last one of a link that failed */
};

/* One work request to be, or posted and not yet known to be done. */
struct tx_op {
	enum tx_kind kind;
	uint32_t slot;       /* of a request or payload */
	uint32_t bytes;      /* message, payload or train */
	uint32_t lkey;       /* of the payload */
	const void *payload; /* or the buffer of message or train */
};

struct rdma_link {
	struct link link;
	struct rdma_fabric *fabric;
	struct rdma_conn *conn;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *slots_mr; /* from grant() to down() */
	int wake_fd;
	_Atomic unsigned signals;
	unsigned signals_seen;

	bool armed;
	bool heard; /* a completion since then */
	unsigned unacked_events;
	bool failed;  /* the queue pair is in error; waits for its flushed completions */
	bool leaving; /* they are here; the CM thread takes the queue pair down */
	bool discard; /* delivers nothing more */
	char reason[256];

	struct ibv_wc wc[RDMA_POLL_BATCH];
	int wc_count, wc_next;

	/* Registered: receive buffers, send buffers, then one header per slot of the peer. */
	void *memory;
	size_t memory_bytes;
	struct ibv_mr *memory_mr;

	struct {
		uint32_t depth, posted;
		uint8_t (*buffers)[LINK_MESSAGE_MAX];
		struct ibv_recv_wr *wrs;
		struct ibv_sge *sges;
		struct ibv_recv_wr *again_first, *again_last; /* to be posted again */
	} rx;

	struct {
		/* ops[n % op_max]; retired <= posted <= queued. */
		struct tx_op *ops;
		uint32_t op_max;
		uint64_t queued, posted, retired;
		uint32_t depth, signal_every, unsignalled, inline_max;
		bool blocked; /* the last flush left some behind */
		/* Of messages and trains; taken and given back in the order of ops. */
		uint8_t (*buffers)[LINK_MESSAGE_MAX];
		uint32_t buffer_max, buffer_next;
		uint32_t message_max, message_count, train_max, train_count;
		uint32_t path_mtu; /* bytes of one packet */
		uint8_t (*headers)[LINK_HEADER_BYTES];
		bool waiting[LINK_SLOTS_MAX]; /* requests whose header is not posted */
		struct ibv_send_wr *wrs;
		struct ibv_sge *sges;
		uint64_t remote_addr;
		uint32_t remote_rkey, remote_stride;
	} tx;
};

static inline struct rdma_link *rdma_of(struct link *link)
{
	return CONTAINER_OF(link, struct rdma_link, link);
}

/* rdma_device.c */
int rdma_device_open(struct rdma_device *device, const char *name, struct err *err) MUST_CHECK;
void rdma_device_close(struct rdma_device *device);
/* Says that there is none, if so: 0 or -ENODEV. */
int rdma_device_check(struct err *err) MUST_CHECK;
int rdma_device_register(struct rdma_device *device, void *base, size_t length_bytes, int access,
			 const char *what, struct ibv_mr **mr, struct err *err) MUST_CHECK;
/* A sentence for @code out of a call that pins memory. */
int rdma_device_memory_error(struct err *err, int code, const char *what);
uint64_t rdma_device_rnr_count(const struct rdma_device *device);

/* rdma_fabric.c: from the shard to the CM thread. */
void rdma_fabric_request(struct rdma_fabric *rdma, struct rdma_conn *conn, unsigned requests);

/* rdma_cm.c, all on the CM thread. */
void rdma_cm_dial(struct rdma_conn *conn);
void rdma_cm_event(struct rdma_fabric *rdma, const struct rdma_cm_event *event, uint8_t *data);
void rdma_cm_requested(struct rdma_conn *conn, unsigned requests);
void rdma_cm_late(struct rdma_conn *conn);
void rdma_cm_fail(struct rdma_conn *conn, const char *reason);

/* rdma_qp.c, on the CM thread but for the last one. */
int rdma_link_create(struct rdma_conn *conn, struct rdma_link **link, struct err *err) MUST_CHECK;
int rdma_link_ready(struct rdma_link *link, struct err *err) MUST_CHECK;
int rdma_link_open(struct rdma_link *link, struct err *err) MUST_CHECK;
void rdma_link_free(struct rdma_link *link);
void rdma_link_signal(struct rdma_link *link, unsigned signal);
void rdma_qp_destroy(struct rdma_link *link);
void rdma_qp_error(struct rdma_link *link);

/* rdma_link.c */
extern const struct link_ops rdma_link_ops;
/* The link ends; the first sentence counts. */
void rdma_fail(struct rdma_link *rdma, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* rdma_tx.c: the sending members of link_ops, and what a link that ends or polls asks of it. */
void rdma_tx_send(struct link *link, const void *bytes, uint32_t length);
void rdma_tx_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		   const void *payload, uint32_t payload_bytes, const struct region *region);
void rdma_tx_flush(struct link *link);
/* All up to number @through are done. */
void rdma_tx_retire(struct rdma_link *rdma, uint64_t through);
/*
 * The last work request of the send queue, posted in the error state: its completion says
 * that all before it are done, those too that ended well and asked for no completion.
 */
void rdma_tx_marker(struct rdma_link *rdma);

#endif
