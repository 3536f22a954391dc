/* SPDX-License-Identifier: BSD-3-Clause */
/* B: takes frames, writes, acknowledges. */
#include "bench/floor/floor.h"

#include <arpa/inet.h>
#include <sched.h>
#include <string.h>

struct side_b {
	const struct options *o;
	void *memory;
	struct wire wire;
	struct disk disk;
	bool stop;
	/* To be acknowledged with the next post. */
	uint16_t acks[DEPTH_MAX];
	unsigned ack_count;
	uint64_t spin_ticks, quiet_since;
};

static void serve(struct side_b *b, unsigned slot, uint64_t offset, uint32_t bytes)
{
	struct io io = {IO_WRITE, bytes, offset};

	if (b->o->devices[1])
		disk_start(&b->disk, &io, slot, payload_of(b->memory, slot));
	else
		b->acks[b->ack_count++] = (uint16_t)slot;
}

static void serve_header(struct side_b *b, const struct header *header)
{
	if (header->slot == SLOT_STOP)
		b->stop = true;
	else
		serve(b, header->slot, header->offset, header->bytes);
}

static void take_frame(struct side_b *b, const struct ibv_wc *wc)
{
	const struct header *headers = wire_received(&b->wire, wc);
	uint32_t imm = ntohl(wc->imm_data), bytes = wc->byte_len;

	if (wc->opcode == IBV_WC_RECV) {
		for (unsigned i = 0; i < bytes / HEADER_BYTES; i++)
			serve_header(b, &headers[i]);
	} else if (b->o->framing == FRAME_IMM) {
		serve(b, imm & 0xff, (uint64_t)(imm >> 8) * bytes, bytes);
	} else {
		serve_header(b, header_of(b->memory, imm));
	}
	wire_done(&b->wire, wc);
}

static bool look(struct side_b *b)
{
	struct ibv_wc wcs[DEPTH_MAX];
	struct disk_events events;
	unsigned count = wire_poll(&b->wire, wcs, DEPTH_MAX);

	for (unsigned i = 0; i < count; i++)
		take_frame(b, &wcs[i]);
	disk_reap(&b->disk, &events);
	for (unsigned i = 0; i < events.done; i++)
		b->acks[b->ack_count++] = (uint16_t)events.slots[i];
	if (events.watched)
		wire_event(&b->wire);
	return count || events.done;
}

static void rest(struct side_b *b)
{
	if (b->disk.in_flight <= SPIN_DEPTH_MAX && spin_on(&b->quiet_since, b->spin_ticks)) {
		disk_submit(&b->disk);
		sched_yield();
		return;
	}
	if (!b->wire.armed) {
		wire_arm(&b->wire);
		return; /* what came before is seen by another look */
	}
	disk_wait(&b->disk);
}

/* With the slots of all writes in one message. */
static void acknowledge(struct side_b *b)
{
	unsigned each = b->o->without & TECHNIQUE_ACK_BATCH ? 1 : b->ack_count;

	for (unsigned i = 0; i < b->ack_count; i += each)
		wire_message(&b->wire, &b->acks[i], each * sizeof(b->acks[0]));
	b->ack_count = 0;
	wire_post(&b->wire);
}

void side_b_run(const struct options *o, int socket)
{
	static struct side_b b;
	struct iovec iovecs[DEPTH_MAX];

	b.o = o;
	b.memory = slots_map();
	b.spin_ticks = ticks_of_us(o->spin_us[SIDE_B]);
	slots_iovecs(b.memory, iovecs);
	wire_open(&b.wire, o->rdma, o->lanes, o->without, b.memory, (size_t)DEPTH_MAX * SLOT_BYTES);
	wire_connect(&b.wire, socket);
	disk_open(&b.disk, o->devices[1], iovecs, DEPTH_MAX, o->without);
	disk_watch(&b.disk, b.wire.channel->fd);
	while (!b.stop || b.disk.in_flight || b.ack_count) {
		if (!look(&b)) {
			rest(&b);
			continue;
		}
		b.quiet_since = 0;
		acknowledge(&b);
		disk_submit(&b.disk);
	}
}
