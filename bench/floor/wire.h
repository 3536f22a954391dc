/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reliable connection to the other process, on classic verbs.  Work requests gather until
 * wire_post(), which gives them to the device as one chain with one call.  Errors end the program.
 */
#ifndef LS_BENCH_FLOOR_WIRE_H
#define LS_BENCH_FLOOR_WIRE_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_BYTES 512u /* what soft-RoCE takes inline */
#define CHAIN_MAX 192u
#define CHAIN_SGES 8u
#define RECEIVES 512u
#define SENDS 1024u

struct wire {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr, *message_mr;
	uint8_t (*messages)[MESSAGE_BYTES]; /* what comes: one for each receive; then what goes */
	uint32_t inline_max;
	bool armed;
	uint64_t remote_addr;
	uint32_t remote_key;

	struct ibv_send_wr wrs[CHAIN_MAX];
	struct ibv_sge sges[CHAIN_MAX][CHAIN_SGES];
	unsigned pending, unsignalled, message_next;
};

/* @device NULL: the first one.  @memory: what the other side may write to, and is sent from. */
void wire_open(struct wire *w, const char *device, void *memory, size_t bytes);
/* Both sides at once, over a connected socket. */
void wire_connect(struct wire *w, int socket);

/* The next of the chain, with @opcode and no data. */
struct ibv_send_wr *wire_add(struct wire *w, enum ibv_wr_opcode opcode);
/* Adds @bytes at @from, which lies in the memory, to what @wr sends; joins what is adjacent. */
void wire_gather(struct wire *w, struct ibv_send_wr *wr, const void *from, uint32_t bytes);
/* To the same offset in the other side's memory. */
void wire_target(struct wire *w, struct ibv_send_wr *wr, uint64_t offset);
/* A SEND of bytes that are the caller's again at once. */
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
