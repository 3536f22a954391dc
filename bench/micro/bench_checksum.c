/* SPDX-License-Identifier: BSD-3-Clause */
/* The checksums, each implementation. */
#include "bench/micro/bench_c.h"
#include "bench/micro/benches.h"
#include "engine/base/crc32c.h"
#include "engine/base/defs.h"
#include "engine/core/sumlog.h"

#include <stdlib.h>

static void *bytes_of(size_t length)
{
	void *p = calloc(1, length);

	if (!p)
		abort();
	return p;
}

static void checksum(struct bench *b, uint32_t (*f)(const void *, size_t))
{
	size_t length = (size_t)b->arg;
	void *p = bytes_of(length);

	while (bench_next(b))
		bench_sink(f(p, length));
	bench_bytes(b, length);
	free(p);
}

static void isal(struct bench *b)
{
	checksum(b, crc32c_isal);
}

static void table(struct bench *b)
{
	checksum(b, crc32c_table);
}

static void instruction(struct bench *b)
{
	if (crc32c_instruction_there())
		checksum(b, crc32c_instruction);
	else
		bench_skip(b, "this CPU has no such instruction");
}

static void checksum64_isal(struct bench *b)
{
	size_t length = (size_t)b->arg;
	void *p = bytes_of(length);

	while (bench_next(b))
		bench_sink(checksum64(p, length));
	bench_bytes(b, length);
	free(p);
}

/* The checksum of a payload with its blocks noted, at random places of 1 TiB. */
static void payload_noted(struct bench *b)
{
	size_t length = (size_t)b->arg;
	void *p = bytes_of(length);
	struct sumlog log;
	uint64_t at = 0;

	if (sumlog_init(&log, GIB(1024)) < 0)
		abort();
	while (bench_next(b)) {
		at = at * 6364136223846793005u + 1442695040888963407u;
		bench_sink(sumlog_payload(&log, (at >> 24) & ~(uint64_t)(length - 1), p,
					  (uint32_t)length));
	}
	bench_bytes(b, length);
	sumlog_fini(&log);
	free(p);
}

#define ISAL_REASON "isa-l chooses code by the CPU"

void add_checksum_benches(void)
{
	static const int64_t lengths[] = {60, 4096, 131072};

	bench_add(&(struct bench_spec){
		.name = "crc32c/isal",
		.run = isal,
		.args = lengths,
		.args_count = 3,
		.uncounted = ISAL_REASON,
	});
	bench_add(&(struct bench_spec){
		.name = "crc32c/table",
		.run = table,
		.args = lengths,
		.args_count = 2,
	});
	bench_add(&(struct bench_spec){
		.name = "crc32c/instruction",
		.run = instruction,
		.args = lengths,
		.args_count = 2,
	});
	bench_add(&(struct bench_spec){
		.name = "checksum64/isal",
		.run = checksum64_isal,
		.args = lengths + 1,
		.args_count = 2,
		.uncounted = ISAL_REASON,
	});
	bench_add(&(struct bench_spec){
		.name = "sumlog/payload",
		.run = payload_noted,
		.args = lengths + 1,
		.args_count = 2,
		.uncounted = ISAL_REASON,
	});
}
