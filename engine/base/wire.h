/* SPDX-License-Identifier: BSD-3-Clause */
/* Little-endian integers at byte addresses, for everything on wire and disk. */
#ifndef LS_BASE_WIRE_H
#define LS_BASE_WIRE_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "wire.h: add byte swaps for big-endian hosts"
#endif

static inline void put_u16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t get_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Fixed-size name fields: zero padded; put cuts nothing (the caller checked), get always ends. */
static inline void put_name(uint8_t *p, const char *name, size_t field)
{
	size_t n = strnlen(name, field);

	memset(p, 0, field);
	memcpy(p, name, n);
}

static inline void get_name(const uint8_t *p, char *name, size_t field)
{
	size_t n = strnlen((const char *)p, field - 1);

	memcpy(name, p, n);
	memset(name + n, 0, field - n);
}

#endif
