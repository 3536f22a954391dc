/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame: 64 bytes, little-endian, in front of everything that crosses a link.  A
 * request and its completion carry the identical message identification.  Pure.
 *
 *  offset size field
 *       0    4 magic            "LSF1"
 *       4    1 version          FRAME_VERSION
 *       5    1 command          enum frame_command
 *       6    2 flags            FRAME_FUA, FRAME_CRC, FRAME_CRC_PARTS, FRAME_COMPLETION; others
 *                               must be 0
 *       8    8 target           target node address: of the node the frame is sent to
 *      16    8 initiator        initiating node address: of the node that sends the frame
 *      24    8 message          message identification; see msgid.h
 *      32    4 volume           number of the volume at the target; 0 = none
 *      36    4 length           payload bytes behind the header (requests with payload), or the
 *                               bytes that a discard or write-zeroes covers; completions: 0
 *      40    8 offset           bytes into the volume; completions: peer's total ns << 32 |
 *                               device ns, each saturated; for PAIR: see pair_body.h; for
 *                               DATA: message identification of the READ that it serves
 *      48    4 status           completions: enum ls_status; requests: 0
 *      52    4 epoch            session epoch; 0 during the handshake
 *      56    4 payload_crc      CRC32C of the payload when FRAME_CRC, else 0
 *      60    4 header_crc       CRC32C of bytes 0..59
 */
#ifndef LS_CORE_FRAME_H
#define LS_CORE_FRAME_H

#include "engine/base/defs.h"

#include <stdbool.h>

#define FRAME_BYTES 64u
#define FRAME_MAGIC 0x3146534cu /* "LSF1" as little-endian bytes */
#define FRAME_VERSION 1u

enum frame_command {
	FRAME_WRITE = 1,
	FRAME_FLUSH = 2,
	FRAME_DISCARD = 3,
	FRAME_WRITE_ZEROES = 4,
	FRAME_PAIR = 5, /* payload: struct pair_body */
	FRAME_SYNCED = 6, /* the resync is complete; payload: the source's generations */
	FRAME_PING = 7,
	/* payload: a checksum for each 4 KiB; the completion's offset: which differ, as bits */
	FRAME_CHECK = 8,
	FRAME_STATE = 9, /* payload: struct state_body and the write-intent map */
	FRAME_BEGIN = 10, /* a resync begins; payload: struct begin_body */
	FRAME_BREAK = 11, /* payload: struct break_body */
	FRAME_UNPAIR = 12,
	FRAME_PROMOTE = 13, /* asks: may the initiator become primary? */
	FRAME_EXPAND =
		14, /* payload: size now (8), size wanted (8); the answer: 0 done, 1 ask again */
	FRAME_READ = 15, /* asks for length bytes, which come in a DATA before the completion */
	/* Handshake: only as messages, before the session is up. */
	FRAME_HELLO = 16,
	FRAME_CHALLENGE = 17,
	FRAME_PROVE = 18,
	FRAME_ACCEPT = 19,
	FRAME_REJECT = 20,
	/* The bytes that a READ asked for; offset: the READ's message identification. */
	FRAME_DATA = 21,
	FRAME_STALE = 22, /* the initiator goes on without the target's replica */
	FRAME_LAST = FRAME_STALE,
};

/* Only as messages, before the session is up. */
static inline bool frame_of_handshake(uint8_t command)
{
	return command >= FRAME_HELLO && command <= FRAME_REJECT;
}

#define FRAME_FUA 0x0001u
#define FRAME_CRC 0x0002u
#define FRAME_CRC_PARTS 0x0004u /* of a CHECK: its checksums are CRC32C */
#define FRAME_COMPLETION 0x8000u

/* Laid out as the table says, so that nothing is moved one by one on the data path. */
struct frame {
	uint32_t magic; /* set by frame_seal() */
	uint8_t version;
	uint8_t command;
	uint16_t flags;
	uint64_t target;
	uint64_t initiator;
	uint64_t message;
	uint32_t volume;
	uint32_t length;
	uint64_t offset;
	uint32_t status;
	uint32_t epoch;
	uint32_t payload_crc;
	uint32_t header_crc; /* set by frame_seal() */
};

enum frame_verdict {
	FRAME_OK,
	FRAME_BAD_MAGIC,
	FRAME_BAD_VERSION,
	FRAME_BAD_CRC,
	FRAME_BAD_COMMAND,
	FRAME_BAD_FLAGS,
};

/* Puts in what the codec knows; returns the FRAME_BYTES that are to be sent, @frame itself. */
const uint8_t *frame_seal(struct frame *frame);
/* The same into @bytes. */
void frame_encode(const struct frame *frame, uint8_t bytes[FRAME_BYTES]);
/*
 * Reads @bytes once into @frame and checks all that can be checked without knowing the
 * session.  Unless the verdict is FRAME_OK, @frame is of no use.
 */
enum frame_verdict frame_decode(const uint8_t bytes[FRAME_BYTES], struct frame *frame);
const char *frame_verdict_name(enum frame_verdict verdict);
const char *frame_command_name(uint8_t command); /* "write", … or "unknown" */

#endif
