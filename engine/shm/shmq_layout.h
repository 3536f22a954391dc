/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's queue as bytes in shared memory; the engine and the client library both
 * include this.  The prose, with the proof of the wake protocol: engine/doc/client-queue.md.
 *
 *        offset  size           what
 *             0  4096           header, below
 *          4096  depth * 64     submission descriptors, slot = index & (depth - 1)
 *     cq_offset  depth * 32     completion entries, slot = index & (depth - 1)
 *  arena_offset  arena_bytes    data, page aligned, to the end of the memory
 *
 * Header.  Each word has one writer.  Indices count up for ever, modulo 2^32.
 *
 *   offset size field           writer   meaning
 *        0    8 magic           engine   "LSQUEUE1"
 *        8    4 abi_version     engine   SHMQ_ABI_VERSION
 *       12    4 depth           engine   slots of each ring, a power of two
 *       16    8 cq_offset       engine   where the completion entries start
 *       24    8 arena_offset    engine   where the arena starts
 *       32    8 arena_bytes     engine   its length
 *       40    8 total_bytes     engine   length of the memory
 *       64    4 sq_tail         client   descriptors written so far
 *      128    4 cq_head         client   completions taken so far
 *      192    4 cq_tail         engine   completions written so far
 *      256    8 engine_sleep    engine   0 = awake, else the number of this sleep
 *      320    8 client_sleep    client   the same, of the client
 *
 * There is no submission head: sq_tail - cq_head <= depth is the client's duty, and covers
 * both rings.  The engine writes the first 64 bytes and zeroes in the five words once, before
 * it answers HELLO, and reads none of the former; the client reads them once, when it attaches.
 */
#ifndef LS_SHM_SHMQ_LAYOUT_H
#define LS_SHM_SHMQ_LAYOUT_H

#include "engine/base/defs.h"

#include <stdalign.h>
#include <stdatomic.h>

#define SHMQ_MAGIC 0x314555455551534cULL /* "LSQUEUE1", little-endian: see the assertion below */
#define SHMQ_ABI_VERSION 2u
#define SHMQ_PAGE_BYTES 4096u
#define SHMQ_LINE_BYTES 64

struct shmq_header {
	uint64_t magic;
	uint32_t abi_version;
	uint32_t depth;
	uint64_t cq_offset;
	uint64_t arena_offset;
	uint64_t arena_bytes;
	uint64_t total_bytes;

	alignas(SHMQ_LINE_BYTES) _Atomic uint32_t sq_tail;
	alignas(SHMQ_LINE_BYTES) _Atomic uint32_t cq_head;
	alignas(SHMQ_LINE_BYTES) _Atomic uint32_t cq_tail;
	alignas(SHMQ_LINE_BYTES) _Atomic uint64_t engine_sleep;
	alignas(SHMQ_LINE_BYTES) _Atomic uint64_t client_sleep;
};

/*
 * Submission descriptor, 64 bytes, written by the client.
 *
 *   offset size field     meaning
 *        0    8 tag       comes back in the completion
 *        8    8 offset    in the volume, bytes
 *       16    8 length    bytes
 *       24    8 buffer    in the arena, bytes; 0 for operations without data
 *       32    4 volume    handle of the open reply
 *       36    2 op        enum shmq_op
 *       38    2 flags     LS_FUA
 *       40   24 reserved  zero
 */
struct shmq_descriptor {
	uint64_t tag;
	uint64_t offset;
	uint64_t length;
	uint64_t buffer;
	uint32_t volume;
	uint16_t op;
	uint16_t flags;
	uint64_t reserved[3];
};

/*
 * Completion entry, 32 bytes, written by the engine.
 *
 *   offset size field        meaning
 *        0    8 tag          of the descriptor
 *        8    4 status       enum ls_status
 *       12    4 failed_legs  LS_LEG_*
 *       16    4 engine_ns    fetch to completion, saturates
 *       20   12 reserved     zero
 */
struct shmq_completion {
	uint64_t tag;
	uint32_t status;
	uint32_t failed_legs;
	uint32_t engine_ns;
	uint32_t reserved[3];
};

#define SHMQ_AT(type, field, offset)                                                               \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field)

SHMQ_AT(shmq_header, magic, 0);
SHMQ_AT(shmq_header, abi_version, 8);
SHMQ_AT(shmq_header, depth, 12);
SHMQ_AT(shmq_header, cq_offset, 16);
SHMQ_AT(shmq_header, arena_offset, 24);
SHMQ_AT(shmq_header, arena_bytes, 32);
SHMQ_AT(shmq_header, total_bytes, 40);
SHMQ_AT(shmq_header, sq_tail, 64);
SHMQ_AT(shmq_header, cq_head, 128);
SHMQ_AT(shmq_header, cq_tail, 192);
SHMQ_AT(shmq_header, engine_sleep, 256);
SHMQ_AT(shmq_header, client_sleep, 320);
_Static_assert(sizeof(struct shmq_header) <= SHMQ_PAGE_BYTES, "the header fits its page");

SHMQ_AT(shmq_descriptor, tag, 0);
SHMQ_AT(shmq_descriptor, offset, 8);
SHMQ_AT(shmq_descriptor, length, 16);
SHMQ_AT(shmq_descriptor, buffer, 24);
SHMQ_AT(shmq_descriptor, volume, 32);
SHMQ_AT(shmq_descriptor, op, 36);
SHMQ_AT(shmq_descriptor, flags, 38);
SHMQ_AT(shmq_descriptor, reserved, 40);
_Static_assert(sizeof(struct shmq_descriptor) == 64, "one cache line");

SHMQ_AT(shmq_completion, tag, 0);
SHMQ_AT(shmq_completion, status, 8);
SHMQ_AT(shmq_completion, failed_legs, 12);
SHMQ_AT(shmq_completion, engine_ns, 16);
SHMQ_AT(shmq_completion, reserved, 20);
_Static_assert(sizeof(struct shmq_completion) == 32, "half a cache line");

/* An atomic that hides a lock would not work between processes. */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "lock-free atomics");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && sizeof(_Atomic uint64_t) == 8, "plain size");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as all our formats");

/* Where things are, from the two numbers that are agreed on; the same sum on both sides. */
struct shmq_layout {
	uint64_t cq_offset;
	uint64_t arena_offset;
	uint64_t arena_bytes; /* rounded up to whole pages */
	uint64_t total_bytes;
};

static inline struct shmq_layout shmq_layout_of(uint32_t depth, uint64_t arena_bytes)
{
	struct shmq_layout l;

	l.cq_offset = SHMQ_PAGE_BYTES + depth * sizeof(struct shmq_descriptor);
	l.arena_offset =
		round_up_u64(l.cq_offset + depth * sizeof(struct shmq_completion), SHMQ_PAGE_BYTES);
	l.arena_bytes = round_up_u64(arena_bytes, SHMQ_PAGE_BYTES);
	l.total_bytes = l.arena_offset + l.arena_bytes;
	return l;
}

#endif
