/* SPDX-License-Identifier: BSD-3-Clause */
/* The one source of chance: xoshiro256**, seeded by splitmix64.  Everything random asks it. */
#ifndef LS_SIM_RNG_H
#define LS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct sim_rng {
	uint64_t s[4];
};

static inline uint64_t sim_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static inline void rng_init(struct sim_rng *rng, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		rng->s[i] = sim_mix(seed + i * 0x9e3779b97f4a7c15ull);
}

static inline uint64_t rng_rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t rng_next(struct sim_rng *rng)
{
	uint64_t *s = rng->s, result = rng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotl(s[3], 45);
	return result;
}

/* 0 .. n-1; n > 0. */
static inline uint64_t rng_below(struct sim_rng *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

/* lo .. hi, both included. */
static inline uint64_t rng_between(struct sim_rng *rng, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(rng, hi - lo + 1);
}

/* In place of a chance: takes its numbers, but is never true. */
#define RNG_OFF 0x80000000u

/* True in @parts of 10000 cases.  Takes no number when it cannot be true. */
static inline bool rng_chance(struct sim_rng *rng, uint32_t parts)
{
	return parts && rng_below(rng, 10000) < (parts & ~RNG_OFF);
}

/* Between lo and hi so that each order of magnitude is as likely as the other. */
static inline uint64_t rng_spread(struct sim_rng *rng, uint64_t lo, uint64_t hi)
{
	uint64_t top = lo;

	while (top < hi && rng_below(rng, 3))
		top = top * 4 < hi ? top * 4 : hi;
	return rng_between(rng, lo, top);
}

#endif
