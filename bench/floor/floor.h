/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floor of a mirrored write: what wire and devices allow when nothing is checked, ordered,
 * logged or repaired.  Process A posts one frame to process B by RDMA and writes to its device; B
 * writes to its own and sends an acknowledgement; when both are done, A's request is.
 *
 * Requests come from A itself (floor), or from a third process through a bare ring in shared
 * memory (floor-queue).  Memory of both sides has the same layout: a slot for each request in
 * flight, its header just before its page-aligned payload.
 */
#ifndef LS_BENCH_FLOOR_FLOOR_H
#define LS_BENCH_FLOOR_FLOOR_H

#include "bench/load/disk.h"
#include "bench/load/load.h"
#include "bench/floor/queue.h"
#include "bench/floor/wire.h"

#define HEADER_BYTES 64u
#define PAYLOAD_OFFSET 4096u
#define SLOT_BYTES (PAYLOAD_OFFSET + BLOCK_MAX)
/* Headers that fit a message. */
#define TRAIN_MAX (MESSAGE_BYTES / HEADER_BYTES)
/* The identification is the slot; this one says that all is over. */
#define SLOT_STOP 0xffffu
/* How many may be in flight for spinning to pay. */
#define SPIN_DEPTH_MAX 2u

/* How a request's header travels. */
enum framing {
	/* Payloads by WRITE, then one SEND with headers of up to TRAIN_MAX; a lone one as EACH. */
	FRAME_TRAIN,
	FRAME_EACH, /* header and payload by one WRITE_WITH_IMM: two packets for 4 KiB */
	FRAME_IMM, /* no header: slot and block number are the immediate; one packet */
};

/* Who sleeps how: looks again for so long, if at all. */
enum { SIDE_A, SIDE_B, SIDE_CLIENT, SIDES };

struct header {
	uint64_t target, initiator;
	uint32_t command, slot;
	uint64_t offset;
	uint32_t bytes;
	uint8_t pad[HEADER_BYTES - 36];
};

struct options {
	struct load_options load;
	const char *devices[2]; /* NULL: the wire alone */
	const char *rdma;
	const char *serve, *peer; /* B is another process, on another machine perhaps */
	enum framing framing;
	bool queue;
	unsigned lanes; /* queue pairs */
	unsigned without; /* enum technique */
	int cpus[SIDES];
	uint64_t spin_us[SIDES];
};

/* Shared with the client of floor-queue. */
struct shared {
	struct queue requests, done;
	struct io ios[DEPTH_MAX];
	uint8_t padding[4096];
};

/* FRAME_IMM: 8 bits of slot, 24 of block number. */
static inline uint32_t imm_of(unsigned slot, const struct io *io)
{
	return slot | (uint32_t)(io->offset / io->bytes) << 8;
}

static inline void *payload_of(void *memory, unsigned slot)
{
	return (uint8_t *)memory + (size_t)slot * SLOT_BYTES + PAYLOAD_OFFSET;
}

static inline struct header *header_of(void *memory, unsigned slot)
{
	return (void *)((uint8_t *)payload_of(memory, slot) - HEADER_BYTES);
}

/* Time to look once more instead of sleeping?  @since: when there was work last, 0 = now. */
static inline bool spin_on(uint64_t *since, uint64_t spin_ticks)
{
	uint64_t now = ticks();

	if (!*since)
		*since = now;
	return now - *since < spin_ticks;
}

void *slots_map(void);
void slots_iovecs(void *memory, struct iovec *iovecs);
void side_a_run(const struct options *o, void *memory, struct shared *shared, int socket);
void side_b_run(const struct options *o, int socket);
void client_run(const struct options *o, void *memory, struct shared *shared);

#endif
