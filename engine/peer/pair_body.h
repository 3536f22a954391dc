/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The payload of a PAIR request: which volume of the initiator is to be mirrored, and to
 * which volume of the target.
 *
 *  offset size field
 *       0    8 size bytes
 *       8    4 block bytes of the source
 *      12    4 number of the source at its node
 *      16   16 uuid of the source
 *      32   64 name of the source, zero padded
 *      96   64 name of the target, zero padded
 *     160   32 pool of the target, zero padded; all zero = the only one
 *     192    8 generation that the target begins with, not 0
 *     200    1 log2 of the bytes of a region of the write-intent map
 *     201    7 zero
 *
 * The completion's offset field is an enum pair_answer, its volume field the target's number.
 */
#ifndef LS_PEER_PAIR_BODY_H
#define LS_PEER_PAIR_BODY_H

#include "engine/base/limits.h"
#include "engine/base/wire.h"

#include <stdbool.h>

#define PAIR_BODY_BYTES 208u

enum pair_answer {
	PAIR_OK = 0,
	PAIR_NO_POOL = 1,
	PAIR_NO_SPACE = 2,
	PAIR_EXISTS = 3, /* a volume of that name that is not this one's target */
	PAIR_BLOCKS = 4, /* the target's blocks are larger than the source's */
	PAIR_IN_USE = 5,
	PAIR_BAD_REQUEST = 6,
	PAIR_IO = 7, /* the target could not write its table */
};

struct pair_body {
	uint64_t size_bytes;
	uint32_t block_bytes, source_number;
	uint64_t generation;
	uint8_t region_shift;
	uint8_t source_uuid[16];
	char source[VOLUME_NAME_MAX + 1], target[VOLUME_NAME_MAX + 1], pool[POOL_NAME_MAX + 1];
};

void pair_body_encode(const struct pair_body *body, uint8_t bytes[PAIR_BODY_BYTES]);
bool pair_body_decode(const uint8_t *bytes, uint32_t length, struct pair_body *body);

#endif
