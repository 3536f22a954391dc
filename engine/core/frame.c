/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/frame.h"

#include "engine/base/crc32c.h"
#include "engine/base/wire.h"

/* clang-format off */
enum {
	AT_MAGIC = 0, AT_VERSION = 4, AT_COMMAND = 5, AT_FLAGS = 6, AT_TARGET = 8,
	AT_INITIATOR = 16, AT_MESSAGE = 24, AT_VOLUME = 32, AT_LENGTH = 36, AT_OFFSET = 40,
	AT_STATUS = 48, AT_EPOCH = 52, AT_PAYLOAD_CRC = 56, AT_HEADER_CRC = 60,
};
/* clang-format on */

_Static_assert(AT_HEADER_CRC + 4 == FRAME_BYTES, "the header CRC ends the frame");

static uint32_t header_crc(const uint8_t *bytes)
{
	return crc32c(bytes, AT_HEADER_CRC);
}

void frame_encode(const struct frame *f, uint8_t bytes[FRAME_BYTES])
{
	put_u32(bytes + AT_MAGIC, FRAME_MAGIC);
	bytes[AT_VERSION] = f->version;
	bytes[AT_COMMAND] = f->command;
	put_u16(bytes + AT_FLAGS, f->flags);
	put_u64(bytes + AT_TARGET, f->target);
	put_u64(bytes + AT_INITIATOR, f->initiator);
	put_u64(bytes + AT_MESSAGE, f->message);
	put_u32(bytes + AT_VOLUME, f->volume);
	put_u32(bytes + AT_LENGTH, f->length);
	put_u64(bytes + AT_OFFSET, f->offset);
	put_u32(bytes + AT_STATUS, f->status);
	put_u32(bytes + AT_EPOCH, f->epoch);
	put_u32(bytes + AT_PAYLOAD_CRC, f->payload_crc);
	put_u32(bytes + AT_HEADER_CRC, header_crc(bytes));
}

static bool command_known(uint8_t command)
{
	return command >= FRAME_WRITE && command <= FRAME_LAST;
}

enum frame_verdict frame_decode(const uint8_t bytes[FRAME_BYTES], struct frame *frame)
{
	uint8_t copy[FRAME_BYTES];
	struct frame f;

	/* The bytes may lie where the peer can still change them: read them once. */
	memcpy(copy, bytes, sizeof(copy));
	if (get_u32(copy + AT_MAGIC) != FRAME_MAGIC)
		return FRAME_BAD_MAGIC;
	if (copy[AT_VERSION] != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	if (get_u32(copy + AT_HEADER_CRC) != header_crc(copy))
		return FRAME_BAD_CRC;
	f = (struct frame){
		.version = copy[AT_VERSION],
		.command = copy[AT_COMMAND],
		.flags = get_u16(copy + AT_FLAGS),
		.target = get_u64(copy + AT_TARGET),
		.initiator = get_u64(copy + AT_INITIATOR),
		.message = get_u64(copy + AT_MESSAGE),
		.volume = get_u32(copy + AT_VOLUME),
		.length = get_u32(copy + AT_LENGTH),
		.offset = get_u64(copy + AT_OFFSET),
		.status = get_u32(copy + AT_STATUS),
		.epoch = get_u32(copy + AT_EPOCH),
		.payload_crc = get_u32(copy + AT_PAYLOAD_CRC),
	};
	if (!command_known(f.command))
		return FRAME_BAD_COMMAND;
	if (f.flags & ~(FRAME_FUA | FRAME_CRC | FRAME_CRC_PARTS | FRAME_COMPLETION))
		return FRAME_BAD_FLAGS;
	*frame = f;
	return FRAME_OK;
}

const char *frame_verdict_name(enum frame_verdict verdict)
{
	switch (verdict) {
	case FRAME_OK:
		return "ok";
	case FRAME_BAD_MAGIC:
		return "no frame (bad magic)";
	case FRAME_BAD_VERSION:
		return "unknown frame version";
	case FRAME_BAD_CRC:
		return "header checksum does not match";
	case FRAME_BAD_COMMAND:
		return "unknown command";
	case FRAME_BAD_FLAGS:
		return "unknown flags";
	}
	return "?";
}

const char *frame_command_name(uint8_t command)
{
	switch (command) {
	case FRAME_WRITE:
		return "write";
	case FRAME_FLUSH:
		return "flush";
	case FRAME_DISCARD:
		return "discard";
	case FRAME_WRITE_ZEROES:
		return "write-zeroes";
	case FRAME_PAIR:
		return "pair";
	case FRAME_SYNCED:
		return "synced";
	case FRAME_PING:
		return "ping";
	case FRAME_CHECK:
		return "check";
	case FRAME_STATE:
		return "state";
	case FRAME_BEGIN:
		return "begin";
	case FRAME_BREAK:
		return "break";
	case FRAME_UNPAIR:
		return "unpair";
	case FRAME_PROMOTE:
		return "promote";
	case FRAME_EXPAND:
		return "expand";
	case FRAME_READ:
		return "read";
	case FRAME_DATA:
		return "data";
	case FRAME_STALE:
		return "stale";
	case FRAME_HELLO:
		return "hello";
	case FRAME_CHALLENGE:
		return "challenge";
	case FRAME_PROVE:
		return "prove";
	case FRAME_ACCEPT:
		return "accept";
	case FRAME_REJECT:
		return "reject";
	default:
		return "unknown";
	}
}
