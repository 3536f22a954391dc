/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes numbers and bytes off a fuzzer's input; what is not there reads as 0. */
#ifndef LS_FUZZ_INPUT_H
#define LS_FUZZ_INPUT_H

#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* Returns how many of @bytes were there; the rest of @to is zero. */
static inline size_t take_bytes(struct input *in, void *to, size_t bytes)
{
	size_t n = bytes < in->left ? bytes : in->left;

	memset(to, 0, bytes);
	if (n)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

static inline uint8_t take_u8(struct input *in)
{
	uint8_t v;

	take_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t take_u16(struct input *in)
{
	uint16_t v;

	take_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint32_t take_u32(struct input *in)
{
	uint32_t v;

	take_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint64_t take_u64(struct input *in)
{
	uint64_t v;

	take_bytes(in, &v, sizeof(v));
	return v;
}

#endif
