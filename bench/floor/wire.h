/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reliable connection to the other process, on classic verbs.  Work requests gather until
 * wire_post(), which gives them to the device as one chain with one call.  Errors end the program.
 */
#ifndef LS_BENCH_FLOOR_WIRE_H
#define LS_BENCH_FLOOR_WIRE_H

#include "bench/load/technique.h"

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_BYTES 512u /* what soft-RoCE takes inline */
#define CHAIN_MAX 192u
#define CHAIN_SGES 8u
#define RECEIVES 512u /* of each lane */
#define SENDS 1024u /* of each lane */
#define LANES_MAX 4u

/* A queue pair, and the work requests that wait for the next post. */
struct lane {
	struct ibv_qp *qp;
	struct ibv_send_wr wrs[CHAIN_MAX];
	struct ibv_sge sges[CHAIN_MAX][CHAIN_SGES];
	unsigned pending, unsignalled;
};

struct wire {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_mr *mr, *message_mr;
	/* What comes: one for each receive of each lane; then what goes. */
	uint8_t (*messages)[MESSAGE_BYTES];
	uint32_t inline_max;
	bool armed;
	uint64_t remote_addr;
	uint32_t remote_key;
	unsigned without; /* enum technique */
	unsigned message_next;
	unsigned lane_count;
	struct lane lanes[LANES_MAX];
};

/*
 * @device NULL: the first one.  @memory: what the other side may write to, and is sent from.
 * @lanes: queue pairs, 1 to LANES_MAX; nothing orders what travels on different ones.  @without:
 * the techniques to leave out.
 */
void wire_open(struct wire *w, const char *device, unsigned lanes, unsigned without, void *memory,
	       size_t bytes);
/* Both sides at once, over a connected socket. */
void wire_connect(struct wire *w, int socket);

/* The next of a lane's chain, with @opcode and no data. */
struct ibv_send_wr *wire_add(struct wire *w, unsigned lane, enum ibv_wr_opcode opcode);
/* Adds @bytes at @from, which lies in the memory, to what @wr sends; joins what is adjacent. */
void wire_gather(struct wire *w, struct ibv_send_wr *wr, const void *from, uint32_t bytes);
/* To the same offset in the other side's memory. */
void wire_target(struct wire *w, struct ibv_send_wr *wr, uint64_t offset);
/* A SEND, on lane 0, of bytes that are the caller's again at once. */
void wire_message(struct wire *w, const void *bytes, uint32_t length);
void wire_post(struct wire *w);

/* What came, without completions of our own sends.  wire_done() gives each back for reuse. */
unsigned wire_poll(struct wire *w, struct ibv_wc *wcs, unsigned room);
void wire_done(struct wire *w, const struct ibv_wc *wc);
const void *wire_received(const struct wire *w, const struct ibv_wc *wc);

/* After this what comes makes w->channel->fd readable; what came before does not. */
void wire_arm(struct wire *w);
/* The descriptor was readable. */
void wire_event(struct wire *w);

#endif
