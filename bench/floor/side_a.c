/* SPDX-License-Identifier: BSD-3-Clause */
/* A: asks B and its own device for each request, and is done when both are. */
#include "bench/floor/floor.h"

#include <arpa/inet.h>
#include <sched.h>
#include <string.h>

enum leg { LEG_LOCAL = 1, LEG_REMOTE = 2 };

struct side_a {
	const struct options *o;
	void *memory;
	struct shared *shared;
	struct wire wire;
	struct disk disk;
	struct load load; /* when there is no client */
	unsigned job;
	bool stop;
	unsigned in_flight;
	uint8_t missing[DEPTH_MAX]; /* legs of each slot */
	unsigned train[DEPTH_MAX]; /* slots whose headers wait for the next post */
	unsigned train_count;
	unsigned free[DEPTH_MAX]; /* slots of ours, when there is no client */
	unsigned free_count;
	bool answered; /* the client has something to take */
	uint64_t spin_ticks, quiet_since;
};

static void fill_header(struct side_a *a, unsigned slot, const struct io *io)
{
	struct header *header = header_of(a->memory, slot);

	header->target = 2;
	header->initiator = 1;
	header->command = IO_WRITE;
	header->slot = slot;
	header->offset = io->offset;
	header->bytes = io->bytes;
}

static struct ibv_send_wr *send_payload(struct side_a *a, unsigned slot, enum ibv_wr_opcode opcode)
{
	struct ibv_send_wr *wr = wire_add(&a->wire, slot % a->wire.lane_count, opcode);

	wire_gather(&a->wire, wr, payload_of(a->memory, slot), header_of(a->memory, slot)->bytes);
	wire_target(&a->wire, wr, (uint64_t)slot * SLOT_BYTES + PAYLOAD_OFFSET);
	return wr;
}

/* With its header. */
static void send_whole(struct side_a *a, unsigned slot)
{
	struct ibv_send_wr *wr =
		wire_add(&a->wire, slot % a->wire.lane_count, IBV_WR_RDMA_WRITE_WITH_IMM);
	struct header *header = header_of(a->memory, slot);

	wire_gather(&a->wire, wr, header, HEADER_BYTES + header->bytes);
	wire_target(&a->wire, wr, (uint64_t)slot * SLOT_BYTES + PAYLOAD_OFFSET - HEADER_BYTES);
	wr->imm_data = htonl(slot);
}

static void send_train(struct side_a *a)
{
	struct ibv_send_wr *wr;
	unsigned n = a->train_count < TRAIN_MAX ? a->train_count : TRAIN_MAX;

	a->train_count = 0;
	if (n == 1)
		send_whole(a, a->train[0]);
	if (n <= 1)
		return;
	for (unsigned i = 0; i < n; i++)
		send_payload(a, a->train[i], IBV_WR_RDMA_WRITE);
	wr = wire_add(&a->wire, 0, IBV_WR_SEND);
	for (unsigned i = 0; i < n; i++)
		wire_gather(&a->wire, wr, header_of(a->memory, a->train[i]), HEADER_BYTES);
	if (n * HEADER_BYTES <= a->wire.inline_max)
		wr->send_flags |= IBV_SEND_INLINE;
}

static void send_frame(struct side_a *a, unsigned slot, const struct io *io)
{
	fill_header(a, slot, io);
	switch (a->o->framing) {
	case FRAME_EACH:
		send_whole(a, slot);
		return;
	case FRAME_IMM:
		send_payload(a, slot, IBV_WR_RDMA_WRITE_WITH_IMM)->imm_data =
			htonl(imm_of(slot, io));
		return;
	case FRAME_TRAIN:
		a->train[a->train_count++] = slot;
		if (a->train_count == TRAIN_MAX)
			send_train(a);
	}
}

static void start(struct side_a *a, unsigned slot, const struct io *io)
{
	a->in_flight++;
	if (io->op == IO_READ) {
		a->missing[slot] = LEG_LOCAL;
		disk_start(&a->disk, io, slot, payload_of(a->memory, slot));
		return;
	}
	a->missing[slot] = LEG_REMOTE;
	send_frame(a, slot, io);
	if (!a->o->devices[0])
		return;
	a->missing[slot] |= LEG_LOCAL;
	disk_start(&a->disk, io, slot, payload_of(a->memory, slot));
}

/* Requests of the client, or of our own. */
static bool take_requests(struct side_a *a)
{
	struct shared *shared = a->shared;
	bool any = false;
	uint32_t slot;
	struct io io;

	while (a->o->queue && queue_get(&shared->requests, &slot)) {
		any = true;
		if (slot == SLOT_STOP)
			a->stop = true;
		else
			start(a, slot, &shared->ios[slot]);
	}
	while (a->free_count) {
		slot = a->free[a->free_count - 1];
		if (!load_issue(&a->load, slot, payload_of(a->memory, slot), &io))
			break;
		any = true;
		a->free_count--;
		start(a, slot, &io);
	}
	return any;
}

static void leg_done(struct side_a *a, unsigned slot, enum leg leg)
{
	a->missing[slot] &= (uint8_t)~leg;
	if (a->missing[slot])
		return;
	a->in_flight--;
	if (a->o->queue) {
		queue_put(&a->shared->done, slot);
		a->answered = true;
		return;
	}
	load_complete(&a->load, slot);
	a->free[a->free_count++] = slot;
}

static bool look(struct side_a *a)
{
	struct ibv_wc wcs[DEPTH_MAX];
	struct disk_events events;
	unsigned count = wire_poll(&a->wire, wcs, DEPTH_MAX), acks = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint16_t *slots = wire_received(&a->wire, &wcs[i]);

		for (unsigned j = 0; j < wcs[i].byte_len / sizeof(*slots); j++, acks++)
			leg_done(a, slots[j], LEG_REMOTE);
		wire_done(&a->wire, &wcs[i]);
	}
	disk_reap(&a->disk, &events);
	for (unsigned i = 0; i < events.done; i++)
		leg_done(a, events.slots[i], LEG_LOCAL);
	if (events.watched)
		wire_event(&a->wire);
	if (a->answered)
		queue_ring(&a->shared->done);
	a->answered = false;
	return acks || events.done;
}

/* The wire first: the remote leg is the longer one. */
static void send_all(struct side_a *a)
{
	send_train(a);
	wire_post(&a->wire);
}

static void rest(struct side_a *a)
{
	struct queue *requests = &a->shared->requests;

	/* While our own device works we need its interrupt, not the CPU that it comes to. */
	if (!a->disk.in_flight && a->in_flight <= SPIN_DEPTH_MAX &&
	    spin_on(&a->quiet_since, a->spin_ticks)) {
		sched_yield();
		return;
	}
	if (!a->wire.armed) {
		wire_arm(&a->wire);
		return; /* what came before is seen by another look */
	}
	if (!a->o->queue || queue_doze(requests))
		disk_wait(&a->disk);
	queue_wake(requests);
}

static void next_job(struct side_a *a)
{
	const struct load_options *load = &a->o->load;

	if (a->job)
		load_print(&a->load);
	if (a->job == load->job_count) {
		a->stop = true;
		return;
	}
	load_begin(&a->load, load, a->job);
	a->free_count = load->jobs[a->job++].qd;
	for (unsigned i = 0; i < a->free_count; i++)
		a->free[i] = i;
}

/* One look at everything; what it started leaves with one call for the wire, one for the device. */
static void pass(struct side_a *a)
{
	bool work = look(a);

	work |= take_requests(a);
	if (!a->o->queue && a->job && load_ended(&a->load)) {
		next_job(a);
		return;
	}
	send_all(a);
	if (!work) {
		rest(a);
		return;
	}
	a->quiet_since = 0;
	/* With nothing else to look at, rest() submits and sleeps in one call. */
	if (!a->wire.armed)
		disk_submit(&a->disk);
}

void side_a_run(const struct options *o, void *memory, struct shared *shared, int socket)
{
	static struct side_a a;
	struct header stop = {.slot = SLOT_STOP};
	struct iovec iovecs[DEPTH_MAX];

	a.o = o;
	a.memory = memory;
	a.shared = shared;
	a.spin_ticks = ticks_of_us(o->spin_us[SIDE_A]);
	slots_iovecs(memory, iovecs);
	wire_open(&a.wire, o->rdma, o->lanes, o->without, memory, (size_t)DEPTH_MAX * SLOT_BYTES);
	wire_connect(&a.wire, socket);
	disk_open(&a.disk, o->devices[0], iovecs, DEPTH_MAX, o->without);
	disk_watch(&a.disk, a.wire.channel->fd);
	if (o->queue)
		disk_watch(&a.disk, shared->requests.bell);
	else
		next_job(&a);
	while (!a.stop || a.in_flight)
		pass(&a);
	wire_message(&a.wire, &stop, sizeof(stop));
	wire_post(&a.wire);
}
