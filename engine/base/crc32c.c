/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/base/crc32c.h"

#include <isa-l/crc.h>
#include <isa-l/crc64.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, reflected */

static uint32_t table[8][256];
/* What CRC32C_PART zero bytes make of a remainder, byte by byte of it. */
static uint32_t part_shift[4][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

/* The shift is linear: what it makes of one bit is computed, all else is the sum of bits. */
static void part_shift_fill(void)
{
	for (int bit = 0; bit < 32; bit++) {
		uint32_t c = 1u << bit, low = 1u << bit % 8;

		for (unsigned n = 0; n < CRC32C_PART; n++)
			c = table[0][c & 0xff] ^ (c >> 8);
		for (uint32_t i = low; i < 2 * low; i++)
			part_shift[bit / 8][i] = part_shift[bit / 8][i - low] ^ c;
	}
}

static void table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			table[t][i] = table[0][table[t - 1][i] & 0xff] ^ (table[t - 1][i] >> 8);
	part_shift_fill();
}

/* @c is the running remainder, without the inversions at either end. */
static uint32_t table_update(uint32_t c, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;

	pthread_once(&table_once, table_fill);
	while (length >= 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		w ^= c;
		c = table[7][w & 0xff] ^ table[6][(w >> 8) & 0xff] ^ table[5][(w >> 16) & 0xff] ^
		    table[4][(w >> 24) & 0xff] ^ table[3][(w >> 32) & 0xff] ^
		    table[2][(w >> 40) & 0xff] ^ table[1][(w >> 48) & 0xff] ^ table[0][w >> 56];
		p += 8;
		length -= 8;
	}
	while (length--)
		c = table[0][(c ^ *p++) & 0xff] ^ (c >> 8);
	return c;
}

uint32_t crc32c_table(const void *bytes, size_t length)
{
	return ~table_update(0xffffffffu, bytes, length);
}

uint32_t crc32c_join(const void *a, size_t a_length, const void *b, size_t b_length, const void *c,
		     size_t c_length)
{
	uint32_t crc = table_update(0xffffffffu, a, a_length);

	crc = table_update(crc, b, b_length);
	return ~table_update(crc, c, c_length);
}

/*
 * isa-l leaves the upper halves of the vector registers in use, and then the CPU pays some 200 ns
 * for the first plain SSE instruction that follows.
 */
#ifdef __x86_64__
__attribute__((target("avx"))) static void vectors_clean(void)
{
	__builtin_ia32_vzeroupper();
}

static void isal_leave(void)
{
	if (__builtin_cpu_supports("avx"))
		vectors_clean();
}
#else
static void isal_leave(void)
{
}
#endif

uint32_t crc32c_isal(const void *bytes, size_t length)
{
	/* isa-l takes a non-const pointer, an int length, and leaves the final inversion to us. */
	uint32_t crc = ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)length, 0xffffffffu);

	isal_leave();
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint64_t instruction_step(uint64_t c, const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, 8);
	return __builtin_ia32_crc32di(c, word);
}

/* By powers of two: what is short is too short for a loop to pay. */
__attribute__((target("sse4.2"))) uint32_t crc32c_instruction(const void *bytes, size_t length)
{
	const uint8_t *p = bytes;
	uint64_t c = 0xffffffffu;
	uint32_t half;

	for (; length >= 32; length -= 32, p += 32) {
		c = instruction_step(c, p);
		c = instruction_step(c, p + 8);
		c = instruction_step(c, p + 16);
		c = instruction_step(c, p + 24);
	}
	if (length & 16) {
		c = instruction_step(c, p);
		c = instruction_step(c, p + 8);
		p += 16;
	}
	if (length & 8) {
		c = instruction_step(c, p);
		p += 8;
	}
	if (length & 4) {
		memcpy(&half, p, 4);
		c = __builtin_ia32_crc32si((uint32_t)c, half);
		p += 4;
	}
	for (length &= 3; length; length--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return ~(uint32_t)c;
}

/* The steps and nothing else: four of these are part of each mirrored write. */
__attribute__((target("sse4.2"))) static uint32_t header_instruction(const void *bytes)
{
	const uint8_t *p = bytes;
	uint64_t c = 0xffffffffu;
	uint32_t half;

	c = instruction_step(c, p);
	c = instruction_step(c, p + 8);
	c = instruction_step(c, p + 16);
	c = instruction_step(c, p + 24);
	c = instruction_step(c, p + 32);
	c = instruction_step(c, p + 40);
	c = instruction_step(c, p + 48);
	memcpy(&half, p + 56, sizeof(half));
	return ~__builtin_ia32_crc32si((uint32_t)c, half);
}

bool crc32c_instruction_there(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
uint32_t crc32c_instruction(const void *bytes, size_t length)
{
	return crc32c_table(bytes, length);
}

bool crc32c_instruction_there(void)
{
	return false;
}

static uint32_t header_instruction(const void *bytes)
{
	return crc32c_table(bytes, CRC32C_HEADER);
}
#endif

static crc32c_fn *chosen_short = crc32c_table, *chosen_long = crc32c_table;

static uint32_t header_chosen(const void *bytes)
{
	return chosen_short(bytes, CRC32C_HEADER);
}

uint32_t (*crc32c_header)(const void *bytes) = header_chosen;

void crc32c_use(crc32c_fn *for_short, crc32c_fn *for_long)
{
	chosen_short = for_short;
	chosen_long = for_long;
	crc32c_header = for_short == crc32c_instruction ? header_instruction : header_chosen;
}

#define SHORT_SAMPLE 60u
#define LONG_SAMPLE 4096u

/* Of @f with as many bytes as 64 long samples have, in pieces of @length. */
static uint64_t time_ns(crc32c_fn *f, size_t length)
{
	static uint8_t sample[LONG_SAMPLE];
	struct timespec a, b;
	uint32_t sink = 0;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (size_t i = 0; i < 64 * LONG_SAMPLE / length; i++)
		sink ^= f(sample, length);
	/* Used, as far as the compiler can tell. */
	__asm__ volatile("" : : "r"(sink));
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)b.tv_nsec -
	       (uint64_t)a.tv_nsec;
}

/* The first call pays for tables and dispatch; the best of three tells them apart. */
static crc32c_fn *fastest(crc32c_fn *const *candidates, size_t count, size_t length)
{
	uint64_t best = UINT64_MAX;
	crc32c_fn *chosen = NULL;

	for (size_t i = 0; i < count; i++) {
		candidates[i]("", 0);
		for (int turn = 0; turn < 3; turn++) {
			uint64_t ns = time_ns(candidates[i], length);

			if (ns >= best)
				continue;
			best = ns;
			chosen = candidates[i];
		}
	}
	return chosen;
}

void crc32c_init(void)
{
	static crc32c_fn *const all[] = {crc32c_table, crc32c_isal, crc32c_instruction};
	size_t for_short = crc32c_instruction_there() ? 3 : 2;

	crc32c_use(fastest(all, for_short, SHORT_SAMPLE), fastest(all, 2, LONG_SAMPLE));
}

const char *crc32c_name(void)
{
	return chosen_long == crc32c_isal ? "isa-l" : "table";
}

uint32_t crc32c(const void *bytes, size_t length)
{
	return length <= CRC32C_SHORT ? chosen_short(bytes, length) : chosen_long(bytes, length);
}

uint32_t crc32c_parts(const void *bytes, uint32_t *parts, unsigned count)
{
	const uint8_t *at = bytes;
	uint32_t all = 0;

	pthread_once(&table_once, table_fill);
	for (unsigned i = 0; i < count; i++, at += CRC32C_PART) {
		parts[i] = crc32c(at, CRC32C_PART);
		/* The inversions at both ends cancel out: that of a, b is shift(a) ^ b. */
		all = part_shift[0][all & 0xff] ^ part_shift[1][(all >> 8) & 0xff] ^
		      part_shift[2][(all >> 16) & 0xff] ^ part_shift[3][all >> 24] ^ parts[i];
	}
	return all;
}

uint64_t checksum64(const void *bytes, size_t length)
{
	uint64_t sum = crc64_ecma_refl(0, bytes, length);

	isal_leave();
	return sum;
}
