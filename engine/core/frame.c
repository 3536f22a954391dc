/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/frame.h"

#include "engine/base/crc32c.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "frame.c: add byte swaps for big-endian hosts"
#endif

#define AT(field, offset) _Static_assert(offsetof(struct frame, field) == (offset), "frame." #field)

AT(magic, 0);
AT(version, 4);
AT(command, 5);
AT(flags, 6);
AT(target, 8);
AT(initiator, 16);
AT(message, 24);
AT(volume, 32);
AT(length, 36);
AT(offset, 40);
AT(status, 48);
AT(epoch, 52);
AT(payload_crc, 56);
AT(header_crc, 60);
_Static_assert(sizeof(struct frame) == FRAME_BYTES, "the header CRC ends the frame");
_Static_assert(offsetof(struct frame, header_crc) == CRC32C_HEADER, "and covers all before it");

#define FLAGS_KNOWN (FRAME_FUA | FRAME_CRC | FRAME_CRC_PARTS | FRAME_COMPLETION)

static uint32_t header_crc(const struct frame *f)
{
	return crc32c_header(f);
}

const uint8_t *frame_seal(struct frame *f)
{
	f->magic = FRAME_MAGIC;
	f->header_crc = header_crc(f);
	return (const uint8_t *)f;
}

void frame_encode(const struct frame *f, uint8_t bytes[FRAME_BYTES])
{
	struct frame sealed = *f;

	memcpy(bytes, frame_seal(&sealed), FRAME_BYTES);
}

static bool command_known(uint8_t command)
{
	return command >= FRAME_WRITE && command <= FRAME_LAST;
}

inline enum frame_verdict frame_decode(const uint8_t bytes[FRAME_BYTES], struct frame *f)
{
	/* The bytes may lie where the peer can still change them: read them once. */
	memcpy(f, bytes, FRAME_BYTES);
	if (f->magic != FRAME_MAGIC)
		return FRAME_BAD_MAGIC;
	if (f->version != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	if (f->header_crc != header_crc(f))
		return FRAME_BAD_CRC;
	if (!command_known(f->command))
		return FRAME_BAD_COMMAND;
	if (f->flags & ~FLAGS_KNOWN)
		return FRAME_BAD_FLAGS;
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
