/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole writes: both engines of a mirror, from the primary's engine_submit() to its done(). */
#include "bench/micro/bench_c.h"
#include "bench/micro/benches.h"
#include "bench/micro/pair.h"

/* Made once for each kind: a pair is never taken down. */
static struct pair *pair_of(bool payload_crc, unsigned in_flight)
{
	static struct pair *pairs[2][PAIR_IN_FLIGHT_MAX + 1];
	struct pair **p = &pairs[payload_crc][in_flight];

	if (!*p)
		*p = pair_create(payload_crc, in_flight);
	return *p;
}

static void writes(struct bench *b, bool payload_crc)
{
	struct pair *p = pair_of(payload_crc, (unsigned)b->arg);
	unsigned ended = 0;

	while (bench_next(b)) {
		while (ended == 0)
			ended = pair_round(p);
		ended--;
	}
	bench_items(b);
}

static void write_plain(struct bench *b)
{
	writes(b, false);
}

static void write_checksummed(struct bench *b)
{
	writes(b, true);
}

void add_mirror_benches(void)
{
	static const int64_t in_flight[] = {1, 8, 32};

	bench_add(&(struct bench_spec){
		.name = "mirror/write",
		.run = write_plain,
		.args = in_flight,
		.args_count = 3,
	});
	bench_add(&(struct bench_spec){
		.name = "mirror/write_crc",
		.run = write_checksummed,
		.args = in_flight,
		.args_count = 3,
		.uncounted = "isa-l chooses code by the CPU",
	});
}
