/* SPDX-License-Identifier: BSD-3-Clause */
/* What one mirrored write costs in the pure core, part by part. */
#include "bench/micro/bench_c.h"
#include "engine/base/crc32c.h"
#include "engine/core/frame.h"
#include "engine/meta/intent.h"
#include "engine/core/msgid.h"
#include "engine/core/range.h"
#include "engine/core/sumlog.h"

#include <stdlib.h>

static void frame_both_ways(struct bench *b)
{
	struct frame f = {.version = FRAME_VERSION, .command = FRAME_WRITE, .length = 4096};
	uint8_t bytes[FRAME_BYTES];

	while (bench_next(b)) {
		f.message++;
		frame_encode(&f, bytes);
		bench_sink(frame_decode(bytes, &f));
	}
}

/* Takes and matches one ID while as many as the argument says are out. */
static void msgid_take_match_release(struct bench *b)
{
	struct msgid_table t;
	int owner;

	if (msgid_init(&t, 8192) < 0)
		abort();
	msgid_reset(&t, 1, 8192);
	for (int64_t i = 1; i < bench_arg(b); i++)
		msgid_take(&t, &owner);
	while (bench_next(b)) {
		uint64_t id = msgid_take(&t, &owner);

		bench_sink((uintptr_t)msgid_find(&t, id));
		msgid_release(&t, id);
	}
	msgid_fini(&t);
}

static void never_granted(struct range *range)
{
	(void)range;
	abort();
}

/* One 4 KiB write comes and goes while as many as the argument says are in flight. */
static void range_acquire_release(struct bench *b)
{
	uint64_t n = (uint64_t)bench_arg(b), at = 0;
	struct range *ranges = calloc(n, sizeof(*ranges));
	struct range_set set;

	if (!ranges)
		abort();
	range_set_init(&set);
	for (uint64_t i = 0; i < n; i++) {
		ranges[i].granted = never_granted;
		if (!range_acquire(&set, &ranges[i], i * 1000003 % 65536 * 65536, 4096))
			abort();
	}
	while (bench_next(b)) {
		struct range *r = &ranges[at++ % n];
		uint64_t offset = r->offset;

		range_release(&set, r);
		bench_sink(range_acquire(&set, r, offset, 4096));
	}
	free(ranges);
}

static void intent_mark_random(struct bench *b)
{
	uint64_t at = 0, volume = (uint64_t)bench_arg(b) << 30;
	struct intent m;

	if (intent_init(&m, volume, intent_shift_for(volume, INTENT_SHIFT_DEFAULT)) < 0)
		abort();
	while (bench_next(b)) {
		at = at * 6364136223846793005u + 1442695040888963407u;
		intent_dirty(&m, (at >> 16) % (volume / 4096) * 4096, 4096);
	}
	bench_sink(m.marked);
	intent_fini(&m);
}

static void checksum(struct bench *b, uint32_t (*f)(const void *, size_t))
{
	size_t bytes = (size_t)bench_arg(b);
	uint8_t *p = calloc(1, bytes);

	if (!p)
		abort();
	while (bench_next(b))
		bench_sink(f(p, bytes));
	bench_bytes(b, bytes);
	free(p);
}

static void checksum_isal(struct bench *b)
{
	checksum(b, crc32c_isal);
}

static void checksum_table(struct bench *b)
{
	checksum(b, crc32c_table);
}

/* The checksum of a payload with its blocks noted, at random places of 1 TiB. */
static void sumlog_payload_random(struct bench *b)
{
	size_t bytes = (size_t)bench_arg(b);
	uint8_t *p = calloc(1, bytes);
	struct sumlog log;
	uint64_t at = 0;

	if (!p || sumlog_init(&log, GIB(1024)) < 0)
		abort();
	crc32c_init();
	while (bench_next(b)) {
		at = at * 6364136223846793005u + 1442695040888963407u;
		bench_sink(sumlog_payload(&log, (at >> 24) & ~(uint64_t)(bytes - 1), p,
					  (uint32_t)bytes));
	}
	bench_bytes(b, bytes);
	sumlog_fini(&log);
	free(p);
}

int main(int argc, char **argv)
{
	static const int64_t in_flight[] = {1, 64, 4096}, gib[] = {1, 1024},
			     bytes[] = {60, 4096, 131072};

	bench_add("frame/encode_decode", frame_both_ways, NULL, 0);
	bench_add("msgid/take_match_release", msgid_take_match_release, in_flight, 3);
	bench_add("range/acquire_release", range_acquire_release, in_flight, 3);
	bench_add("intent/mark_random_gib", intent_mark_random, gib, 2);
	bench_add("crc32c/isal", checksum_isal, bytes, 3);
	bench_add("crc32c/table", checksum_table, bytes, 3);
	bench_add("sumlog/payload", sumlog_payload_random, bytes + 1, 2);
	return bench_main(argc, argv);
}
