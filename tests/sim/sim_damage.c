/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_damage.h"

#include "tests/sim/sim_check.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool strikes(struct sim_world *world, uint32_t parts)
{
	return world->phase == SIM_LOAD && rng_chance(&world->rng, parts);
}

/* Up to three bits: fewer than CRC32C can miss at these lengths. */
static void flip_bits(struct sim_world *world, uint8_t *bytes, uint32_t length)
{
	uint64_t first = rng_below(&world->rng, (uint64_t)length * 8), at = first;
	unsigned count = 1 + (unsigned)rng_below(&world->rng, 3);

	for (unsigned i = 0; i < count && at < (uint64_t)length * 8; i++) {
		bytes[at / 8] ^= (uint8_t)(1u << at % 8);
		at += 1 + rng_below(&world->rng, 20);
	}
	world->session_disturbed = true;
	world->totals.faults++;
}

bool sim_damage_cuts(struct sim_end *end, const uint8_t *bytes, uint32_t length)
{
	struct sim_world *world = end->wire->world;
	struct sim_frame frame;

	if (!world->profile.faults.control_loss || world->phase != SIM_LOAD)
		return false;
	for (uint32_t at = 0; at + FRAME_BYTES <= length; at += FRAME_BYTES)
		if (sim_frame_read(bytes + at, &frame) && sim_frame_controls(&frame))
			return strikes(world, world->profile.faults.control_loss);
	return false;
}

void sim_damage_message(struct sim_end *end, struct sim_item *item)
{
	struct sim_world *world = end->wire->world;

	if (!strikes(world, world->profile.faults.message_damage))
		return;
	SIM_NOTE(world, end->side, "wire %u: a message of %u bytes is damaged", end->wire->number,
		 item->length);
	flip_bits(world, item->bytes, item->length);
	world->session_disturbed = true;
}

static void put(uint8_t *bytes, uint64_t value, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

/*
 * A header that no honest peer sends, with the right checksum.  Only such as a receiver can
 * know to be wrong: a peer that has the key and lies well can damage its own mirror.
 */
static void forge(struct sim_world *world, struct sim_item *item)
{
	bool ranged = item->command == FRAME_WRITE || item->command == FRAME_WRITE_ZEROES ||
		      item->command == FRAME_DISCARD;
	uint64_t wild = rng_next(&world->rng);
	uint8_t *header = item->bytes;

	/* Volume and offset mean something in these only. */
	switch (rng_below(&world->rng, ranged ? 10 : 6)) {
	case 0:
		header[5] = (uint8_t)(32 + wild % 200);
		break;
	case 1:
		put(header + 6, 0x0ff0 & (wild | 0x10), 2);
		break;
	case 2:
		put(header + 8, wild | 1ull << 60, 8);
		break;
	case 3:
		put(header + 16, wild | 1ull << 60, 8);
		break;
	case 6:
		put(header + 32, wild | 1u << 31 | 1u << 9, 4);
		break;
	case 7:
		put(header + 40, wild | MIB(64), 8);
		break;
	case 8:
		/* Aligned, and just beyond any volume or far beyond. */
		put(header + 40, wild % 2 ? SIM_VOLUME_BYTES_MAX : (wild | MIB(64)) & ~4095ull, 8);
		break;
	case 9:
		put(header + 36, (wild | 1u << 30) & ~4095u, 4);
		break;
	case 4:
		put(header + 52, wild, 4);
		break;
	default:
		header[4] = (uint8_t)(FRAME_VERSION + 1 + wild % 200);
		break;
	}
	sim_frame_seal(header);
	world->totals.faults++;
}

void sim_damage_header(struct sim_end *end, struct sim_item *item)
{
	struct sim_world *world = end->wire->world;

	if (strikes(world, world->profile.faults.header_damage)) {
		SIM_NOTE(world, end->side, "wire %u slot %u: the header is damaged",
			 end->wire->number, item->slot);
		flip_bits(world, item->bytes, LINK_HEADER_BYTES);
	} else if (strikes(world, world->profile.faults.forgery)) {
		SIM_NOTE(world, end->side, "wire %u slot %u: the header is forged",
			 end->wire->number, item->slot);
		forge(world, item);
	} else {
		return;
	}
	item->header_damaged = true;
	world->session_disturbed = true;
}

void sim_damage_payload(struct sim_end *end, struct sim_item *item, uint32_t *length)
{
	struct sim_world *world = end->wire->world;

	if (!*length)
		return;
	if (world->profile.crc && item->command == FRAME_WRITE &&
	    strikes(world, world->profile.faults.payload_damage)) {
		SIM_NOTE(world, end->side, "wire %u slot %u: the payload is damaged",
			 end->wire->number, item->slot);
		flip_bits(world, link_slot_payload(&end->link, item->slot), *length);
		item->payload_damaged = true;
		world->payload_damaged = true;
	} else if (strikes(world, world->profile.faults.truncation)) {
		SIM_NOTE(world, end->side, "wire %u slot %u: the payload is cut short",
			 end->wire->number, item->slot);
		*length = (uint32_t)rng_below(&world->rng, *length);
		item->header_damaged = true;
		world->session_disturbed = true;
		world->totals.faults++;
	}
}

static void replay(struct sim_end *end, const struct sim_echo *echo)
{
	struct sim_item *item = calloc(1, sizeof(*item) + echo->length);

	assert(item);
	item->length = echo->length;
	memcpy(item->bytes, echo->bytes, echo->length);
	end->queue_due_ns += rng_spread(&end->wire->world->rng, US(1), US(500));
	item->due_ns = end->wire->broken ? SIM_NEVER : end->queue_due_ns;
	list_add_tail(&end->queue, &item->node);
	end->wire->world->session_disturbed = true;
	end->wire->world->totals.faults++;
}

static void remember(struct sim_world *world, unsigned side, const struct sim_item *item)
{
	struct sim_echo *echo = &world->echoes[world->echo_count++ % SIM_ECHOES];

	echo->side = side;
	echo->length = (uint32_t)min_u64(item->length, sizeof(echo->bytes));
	memcpy(echo->bytes, item->bytes, echo->length);
}

void sim_damage_replay(struct sim_end *end)
{
	struct sim_world *world = end->wire->world;
	uint64_t known = min_u64(world->echo_count, SIM_ECHOES);

	remember(world, end->side, LIST_ENTRY(end->queue.prev, struct sim_item, node));
	if (strikes(world, world->profile.faults.echo)) {
		SIM_NOTE(world, end->side, "wire %u: the last message comes again",
			 end->wire->number);
		replay(end, &world->echoes[(world->echo_count - 1) % SIM_ECHOES]);
	}
	if (known && strikes(world, world->profile.faults.stale)) {
		const struct sim_echo *echo = &world->echoes[rng_below(&world->rng, known)];

		if (echo->side != end->side)
			return;
		SIM_NOTE(world, end->side, "wire %u: a message of the past comes again",
			 end->wire->number);
		replay(end, echo);
	}
}
