/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two whole engines that mirror one volume over a quick link and quick stores, and a client that
 * keeps a number of writes in flight.  One thread; time goes on by a microsecond in each round.
 */
#ifndef LS_BENCH_MICRO_PAIR_H
#define LS_BENCH_MICRO_PAIR_H

#include <stdbool.h>
#include <stdint.h>

struct pair;

#define PAIR_WRITE_BYTES 4096u
#define PAIR_IN_FLIGHT_MAX 64u

/*
 * The volume is in sync, and each region of it was written.  Stops the program when that does not
 * come to be.
 */
struct pair *pair_create(bool payload_crc, unsigned in_flight);
/* One pass of each engine, with everything that they have to do; returns the writes that ended. */
unsigned pair_round(struct pair *pair);

#endif
