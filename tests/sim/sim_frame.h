/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames as the byte table in engine/core/frame.h says, read by code of our own: an oracle
 * that used the engine's codec would not see its faults.
 */
#ifndef LS_SIM_FRAME_H
#define LS_SIM_FRAME_H

#include "engine/core/frame.h"

struct sim_frame {
	uint8_t version, command;
	uint16_t flags;
	uint64_t target, initiator, message;
	uint32_t volume, length;
	uint64_t offset;
	uint32_t status, epoch, payload_crc;
};

/* False when magic or header checksum are wrong. */
bool sim_frame_read(const uint8_t bytes[FRAME_BYTES], struct sim_frame *frame);
/* Puts the right header checksum on changed bytes. */
void sim_frame_seal(uint8_t bytes[FRAME_BYTES]);
const char *sim_frame_command(uint8_t command);
/* Is it about a mirror's state, neither data nor the session? */
bool sim_frame_controls(const struct sim_frame *frame);

static inline bool sim_frame_handshake(const struct sim_frame *frame)
{
	return frame->command >= FRAME_HELLO && frame->command <= FRAME_REJECT;
}

static inline bool sim_frame_completes(const struct sim_frame *frame)
{
	return frame->flags & FRAME_COMPLETION;
}

/* Does it change blocks of a volume? */
static inline bool sim_frame_changes(const struct sim_frame *frame)
{
	return frame->command == FRAME_WRITE || frame->command == FRAME_DISCARD ||
	       frame->command == FRAME_WRITE_ZEROES;
}

#endif
