/* SPDX-License-Identifier: BSD-3-Clause */
/* A seeded generator for property tests; prints its seed, takes it from $LS_SEED. */
#ifndef LS_TESTS_SUPPORT_SEED_H
#define LS_TESTS_SUPPORT_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t seed_next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t seed_below(uint64_t *s, uint64_t n)
{
	return seed_next(s) % n;
}

static inline uint64_t seed_start(void)
{
	const char *given = getenv("LS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	printf("seed: LS_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

#endif
