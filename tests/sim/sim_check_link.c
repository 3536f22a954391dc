/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold on the wire: M1, M3, I2, I5, credits, and what a damaged frame may do. */
#include "tests/sim/sim_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MIN 256u /* powers of two */
#define IDS_MAX 8192u

static struct sim_node *node_of(const struct sim_end *end)
{
	return &end->wire->world->node[end->side];
}

static struct sim_node *peer_of(const struct sim_end *end)
{
	return &end->wire->world->node[!end->side];
}

/* Where this ID is, or may be put. */
static uint64_t *id_place(const struct sim_end *end, uint64_t message)
{
	uint64_t at = sim_mix(message);

	while (end->ids[at % end->id_room] && end->ids[at % end->id_room] != message)
		at++;
	return &end->ids[at % end->id_room];
}

static void ids_grow(struct sim_end *end)
{
	uint32_t room = end->id_room;
	uint64_t *old = end->ids;

	end->id_room = room ? 2 * room : IDS_MIN;
	end->ids = calloc(end->id_room, sizeof(*end->ids));
	assert(end->ids);
	for (uint32_t i = 0; i < room; i++)
		if (old[i])
			*id_place(end, old[i]) = old[i];
	free(old);
}

/* I5: a message ID names one request in the life of a session. */
static void check_id(struct sim_end *end, uint64_t message)
{
	uint64_t *place;

	if (!message)
		sim_fail(end->wire->world, "M3", "message ID 0");
	if (end->id_count == end->id_room / 2 && end->id_room < IDS_MAX)
		ids_grow(end);
	place = id_place(end, message);
	if (*place)
		sim_fail(end->wire->world, "I5", "%c uses message ID %" PRIx64 " a second time",
			 'A' + end->side, message);
	if (end->id_count == end->id_room / 2)
		return;
	*place = message;
	end->id_count++;
}

static void check_addresses(struct sim_end *end, const struct sim_frame *frame)
{
	struct sim_world *world = end->wire->world;

	if (frame->initiator != node_of(end)->address || frame->target != peer_of(end)->address)
		sim_fail(world, "M3", "%c sends %" PRIx64 " with addresses %" PRIx64 " to %" PRIx64,
			 'A' + end->side, frame->message, frame->initiator, frame->target);
	if (frame->version != FRAME_VERSION)
		sim_fail(world, "M3", "frame version %u", frame->version);
	if (!end->epoch)
		end->epoch = frame->epoch;
	if (!frame->epoch || frame->epoch != end->epoch)
		sim_fail(world, "M3", "session epoch %u in a session of epoch %u", frame->epoch,
			 end->epoch);
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* I2: no other operation on these blocks may be open, neither there nor here. */
static void check_free_range(struct sim_end *end, const struct sim_call *call)
{
	struct sim_world *world = end->wire->world;
	const struct sim_frame *f = &call->sent;
	const struct sim_node *node = node_of(end);
	uintptr_t base = (uintptr_t)call->payload - f->offset;

	for (uint32_t i = 0; i < end->link.granted_count; i++) {
		const struct sim_call *other = &end->calls[i];

		/* Number 0 is nobody's: what waited for a credit while its volume was unpaired. */
		if (other->busy && f->volume && other->sent.volume == f->volume &&
		    sim_frame_changes(&other->sent) &&
		    overlap(other->sent.offset, other->sent.length, f->offset, f->length))
			sim_fail(world, "I2", "%c sends %" PRIx64 " while %" PRIx64 " overlaps it",
				 'A' + end->side, f->message, other->sent.message);
	}
	for (unsigned i = 0; i < SIM_DISKS_MAX && call->volume; i++) {
		if (!node->stores[i])
			continue;
		LIST_FOR (entry, &node->stores[i]->in_flight) {
			const struct sim_op *op = LIST_ENTRY(entry, struct sim_op, node);
			enum store_code code = op->op->code;
			bool same =
				f->command == FRAME_WRITE
					? code == STORE_WRITE &&
						  (uintptr_t)op->op->buf - op->volume_offset == base
					: code != STORE_WRITE;

			if (op->volume == call->volume && !same && code != STORE_READ &&
			    overlap(op->volume_offset, op->op->length, f->offset, f->length))
				sim_fail(world, "I2",
					 "%c sends %" PRIx64
					 " while its disk works on these blocks",
					 'A' + end->side, f->message);
		}
	}
}

static void check_request_frame(struct sim_end *end, const struct sim_frame *frame, uint32_t bytes)
{
	struct sim_world *world = end->wire->world;
	bool carries = frame->command == FRAME_WRITE || frame->command == FRAME_PAIR ||
		       (frame->command >= FRAME_STATE && frame->command <= FRAME_BREAK) ||
		       frame->command == FRAME_SYNCED || frame->command == FRAME_DATA ||
		       frame->command == FRAME_EXPAND;
	bool check = frame->command == FRAME_CHECK;

	check_addresses(end, frame);
	check_id(end, frame->message);
	if (frame->command < FRAME_WRITE || frame->command > FRAME_LAST ||
	    sim_frame_handshake(frame) || sim_frame_completes(frame) || frame->status)
		sim_fail(world, "M3", "a slot is used for something that is not a request");
	if (check     ? bytes != (frame->length + 4095) / 4096 * 8
	    : carries ? frame->length != bytes
		      : bytes != 0)
		sim_fail(world, "M3", "%s with %u bytes says that it has %u",
			 sim_frame_command(frame->command), bytes, frame->length);
}

void check_request_sent(struct sim_end *end, uint32_t slot, const uint8_t *header,
			const void *payload, uint32_t bytes)
{
	struct sim_world *world = end->wire->world;
	struct sim_call *call = &end->calls[slot];
	struct sim_volume *volume;

	*call = (struct sim_call){.busy = true, .payload = payload};
	if (!sim_frame_read(header, &call->sent))
		sim_fail(world, "M3", "a request with a bad header checksum was sent");
	SIM_NOTE(world, end->side, "wire %u slot %u: sends %s %x, volume %x, %u+%u",
		 end->wire->number, slot, SIM_STR(sim_frame_command(call->sent.command)),
		 call->sent.message, call->sent.volume, call->sent.offset, call->sent.length);
	call->busy = false;
	check_request_frame(end, &call->sent, bytes);
	if (sim_frame_changes(&call->sent)) {
		volume = check_by_number(peer_of(end), call->sent.volume);
		call->volume = volume ? check_partner(world, volume) : NULL;
		check_free_range(end, call);
	}
	if (call->sent.command == FRAME_WRITE)
		check_sent(world, payload);
	else if (sim_frame_changes(&call->sent))
		check_sent_zeroes(world, call);
	call->busy = true;
}

/* The number of messages that a link promises to take: verbs/link.h, LINK_SPARE_MESSAGES. */
static void check_message_count(struct sim_end *end)
{
	unsigned count = 1;

	LIST_FOR (node, &end->queue)
		count += !LIST_ENTRY(node, struct sim_item, node)->request;
	LIST_FOR (node, &end->unposted)
		count += !LIST_ENTRY(node, struct sim_item, node)->request;
	/* Replays are ours and not the engine's. */
	if (count > end->link.slot_count + LINK_SPARE_MESSAGES &&
	    !end->wire->world->profile.faults.echo && !end->wire->world->profile.faults.stale)
		sim_fail(end->wire->world, "credits", "%u messages of %c are under way", count,
			 'A' + end->side);
}

/* M1: a write that is reported as done is on the disk, and through its cache if so asked. */
static void check_write_answer(struct sim_end *end, const struct sim_frame *heard, uint32_t slot)
{
	struct sim_world *world = end->wire->world;
	struct sim_volume *volume = check_by_number(node_of(end), heard->volume);
	const uint8_t *payload = link_slot_payload(&end->link, slot);
	uint64_t at;

	if (!volume)
		sim_fail(world, "I13", "%c did a write on volume %u, which does not exist",
			 'A' + end->side, heard->volume);
	for (uint64_t done = 0; done < heard->length; done += SIM_SECTOR_BYTES) {
		const struct sim_disk *disk = check_block(volume, heard->offset + done, &at);

		if (!disk || !media_holds(&disk->media, at, payload + done, SIM_SECTOR_BYTES))
			sim_fail(world, "M1", "%c reports %" PRIx64 " done, but its disk lacks it",
				 'A' + end->side, heard->message);
		if (heard->flags & FRAME_FUA && sim_disk_volatile(disk, at))
			sim_fail(world, "I4", "%c reports %" PRIx64 " durable, but it is not",
				 'A' + end->side, heard->message);
	}
}

static void check_answer(struct sim_end *end, const struct sim_frame *frame, uint32_t slot)
{
	struct sim_world *world = end->wire->world;
	struct sim_serve *serve = &end->serves[slot];
	struct sim_call *call = &sim_other(end)->calls[slot];
	const struct sim_node *node = node_of(end);

	if (frame->command != serve->heard.command)
		sim_fail(world, "M3", "the completion of %" PRIx64 " names another command",
			 frame->message);
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (node->stores[i] &&
		    sim_store_uses(node->stores[i], link_slot_payload(&end->link, slot),
				   end->link.slot_bytes))
			sim_fail(world, "I5", "%c answers %" PRIx64 " while its disk uses the slot",
				 'A' + end->side, frame->message);
	}
	if (frame->status == LS_OK && (serve->header_damaged || serve->payload_damaged))
		sim_fail(world, "I13", "%c reports the damaged request %" PRIx64 " as done",
			 'A' + end->side, frame->message);
	if (frame->status == LS_OK && frame->command == FRAME_WRITE)
		check_write_answer(end, &serve->heard, slot);
	world->totals.fetched += frame->status == LS_OK && frame->command == FRAME_READ;
	check_mirror_answered(end, &serve->heard, frame);
	serve->busy = false;
	if (call->busy && call->sent.message == frame->message)
		call->answered = true;
}

void check_message_sent(struct sim_end *end, const uint8_t *bytes, uint32_t length)
{
	struct sim_world *world = end->wire->world;
	struct sim_frame frame;

	check_message_count(end);
	for (; length >= FRAME_BYTES; bytes += FRAME_BYTES, length -= FRAME_BYTES) {
		uint32_t slot = 0;

		if (!sim_frame_read(bytes, &frame))
			sim_fail(world, "M3", "a message with a bad header checksum was sent");
		SIM_NOTE(world, end->side, "wire %u: says %s %x, flags %x, status %u",
			 end->wire->number, SIM_STR(sim_frame_command(frame.command)),
			 frame.message, frame.flags, frame.status);
		if (sim_frame_handshake(&frame))
			return;
		if (!sim_frame_completes(&frame))
			sim_fail(world, "M3", "a request was sent as a message");
		check_addresses(end, &frame);
		while (slot < end->link.slot_count &&
		       (!end->serves[slot].busy || !end->serves[slot].readable ||
			end->serves[slot].heard.message != frame.message))
			slot++;
		if (slot == end->link.slot_count)
			sim_fail(world, "M3", "%c completes %" PRIx64 ", which is not open",
				 'A' + end->side, frame.message);
		check_answer(end, &frame, slot);
	}
	if (length)
		sim_fail(world, "M3", "a message with %u bytes too many", length);
}

/* 4.14: what an old session left behind must be out of the disks before a new one acts. */
static void check_drained(struct sim_end *end)
{
	struct sim_world *world = end->wire->world;
	const struct sim_node *node = node_of(end);

	LIST_FOR (entry, &world->wires) {
		struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);
		const struct region *slots = &wire->end[end->side].link.slots;

		for (unsigned i = 0; i < SIM_DISKS_MAX && wire != end->wire && slots->base; i++) {
			if (node->stores[i] &&
			    sim_store_uses(node->stores[i], slots->base, slots->length_bytes))
				sim_fail(world, "I5",
					 "%c serves a new session while its disk works for the old",
					 'A' + end->side);
		}
	}
}

void check_landed(struct sim_end *end, const struct sim_item *item, uint32_t bytes)
{
	struct sim_serve *serve = &end->serves[item->slot];

	*serve = (struct sim_serve){
		.busy = true,
		.header_damaged = item->header_damaged,
		.payload_damaged = item->payload_damaged,
		.length = bytes,
		.seq = end->wire->world->seq++,
	};
	serve->readable = sim_frame_read(link_slot_header(&end->link, item->slot), &serve->heard);
	SIM_NOTE(end->wire->world, end->side, "wire %u slot %u: %x has landed", end->wire->number,
		 item->slot, serve->readable ? serve->heard.message : 0);
	if (serve->readable)
		check_mirror_landed(end, &serve->heard);
	check_drained(end);
}

void check_delivered(struct sim_end *end, const uint8_t *bytes, uint32_t length)
{
	struct sim_frame frame;

	for (; length >= FRAME_BYTES; bytes += FRAME_BYTES, length -= FRAME_BYTES) {
		if (!sim_frame_read(bytes, &frame) || sim_frame_handshake(&frame))
			return;
		for (uint32_t i = 0; i < end->link.granted_count; i++) {
			struct sim_call *call = &end->calls[i];

			if (call->busy && call->answered && call->sent.message == frame.message)
				call->busy = false;
		}
	}
}

void check_granted(struct sim_end *end)
{
	struct sim_world *world = end->wire->world;

	if (world->profile.faults.wrong_key)
		sim_fail(world, "auth", "%c grants its memory to a peer without the key",
			 'A' + end->side);
	world->totals.sessions++;
}

void check_released(struct sim_end *end)
{
	struct sim_world *world = end->wire->world;
	const struct sim_node *node = node_of(end);

	/* A link that was never attached may go at any time. */
	if (!end->downed && end->link.guard.handler)
		sim_fail(world, "I5", "%c released a link that is not down", 'A' + end->side);
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (node->stores[i] && sim_store_uses(node->stores[i], end->link.slots.base,
						      end->link.slots.length_bytes))
			sim_fail(world, "I5", "%c released a link whose slots its disk still uses",
				 'A' + end->side);
	}
}
