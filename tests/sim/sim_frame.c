/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_frame.h"

#include "engine/base/crc32c.h"

static uint64_t get(const uint8_t *bytes, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

bool sim_frame_read(const uint8_t bytes[FRAME_BYTES], struct sim_frame *frame)
{
	if (get(bytes, 4) != FRAME_MAGIC || get(bytes + 60, 4) != crc32c(bytes, 60))
		return false;
	frame->version = bytes[4];
	frame->command = bytes[5];
	frame->flags = (uint16_t)get(bytes + 6, 2);
	frame->target = get(bytes + 8, 8);
	frame->initiator = get(bytes + 16, 8);
	frame->message = get(bytes + 24, 8);
	frame->volume = (uint32_t)get(bytes + 32, 4);
	frame->length = (uint32_t)get(bytes + 36, 4);
	frame->offset = get(bytes + 40, 8);
	frame->status = (uint32_t)get(bytes + 48, 4);
	frame->epoch = (uint32_t)get(bytes + 52, 4);
	frame->payload_crc = (uint32_t)get(bytes + 56, 4);
	return true;
}

void sim_frame_seal(uint8_t bytes[FRAME_BYTES])
{
	uint32_t crc = crc32c(bytes, 60);

	for (unsigned i = 0; i < 4; i++)
		bytes[60 + i] = (uint8_t)(crc >> (8 * i));
}

const char *sim_frame_command(uint8_t command)
{
	static const char *const names[] = {
		"?",	 "write", "flush", "discard", "zero",	"pair",	   "synced", "ping",
		"check", "state", "begin", "break",   "unpair", "promote", "expand", "read"};

	if (command == FRAME_DATA)
		return "data";
	if (command == FRAME_STALE)
		return "stale";
	return command < ARRAY_SIZE(names) ? names[command] : "handshake";
}

bool sim_frame_controls(const struct sim_frame *frame)
{
	switch (frame->command) {
	case FRAME_WRITE:
	case FRAME_FLUSH:
	case FRAME_DISCARD:
	case FRAME_WRITE_ZEROES:
	case FRAME_PING:
	case FRAME_CHECK:
	case FRAME_READ:
	case FRAME_DATA:
		return false;
	default:
		return !sim_frame_handshake(frame);
	}
}
