/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C (Castagnoli).  Three implementations: isa-l's (carry-less multiplication), a table
 * (slicing by 8), and the CPU's instruction, which needs no preparation and so is best for a
 * frame's header.  Which is faster depends on more than CPU flags (under emulation the table wins
 * by three), so crc32c_init() times them once, for short and for long ones.
 */
#ifndef LS_BASE_CRC32C_H
#define LS_BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Chooses implementations by timing; call once at start.  Before it, the table is used. */
void crc32c_init(void);
/* "isa-l" or "table": the one for payloads. */
const char *crc32c_name(void);

/* Up to so many bytes are short. */
#define CRC32C_SHORT 64u
/* Chooses without timing: for benchmarks, where the same is to run always. */
typedef uint32_t crc32c_fn(const void *bytes, size_t length);
void crc32c_use(crc32c_fn *for_short, crc32c_fn *for_long);

/* CRC32C of @bytes; the standard form: crc32c("123456789") = 0xe3069283. */
uint32_t crc32c(const void *bytes, size_t length);

/* The same of the CRC32C_HEADER bytes of a frame's header that it covers. */
#define CRC32C_HEADER 60u
extern uint32_t (*crc32c_header)(const void *bytes);

/* CRC32C of three parts, one behind the other. */
uint32_t crc32c_join(const void *a, size_t a_length, const void *b, size_t b_length, const void *c,
		     size_t c_length);

#define CRC32C_PART 4096u
/* CRC32C of each of @count parts of CRC32C_PART bytes; returns that of all of them together. */
uint32_t crc32c_parts(const void *bytes, uint32_t *parts, unsigned count);

/*
 * A 64-bit checksum (CRC-64 of ECMA-182, isa-l's), by which a resync tells whether two
 * replicas differ: two different blocks look alike once in 2^64.
 */
uint64_t checksum64(const void *bytes, size_t length);

/* Each implementation by itself, for tests and benchmarks. */
uint32_t crc32c_table(const void *bytes, size_t length);
uint32_t crc32c_isal(const void *bytes, size_t length);
uint32_t crc32c_instruction(const void *bytes, size_t length);
/* Does the CPU have it?  If not, crc32c_instruction() must not be called. */
bool crc32c_instruction_there(void);

#endif
