/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what the checksum log says of a block is what was last written there, for any order of
 * writes, zeroes, partial writes and forgetting; and it never says anything about another block.
 */
#include "engine/base/defs.h"
#include "engine/core/sumlog.h"
#include "tests/support/seed.h"
#include "tests/support/t.h"

#include <string.h>

#define BLOCKS 2048u /* of the volume that is compared with a model */
#define MODEL_BYTES ((uint64_t)BLOCKS * SUMLOG_BLOCK)

static uint8_t bytes[MODEL_BYTES];
static bool known[BLOCKS];
static uint32_t sums[BLOCKS];

static void model_mark(uint64_t offset, uint64_t length, bool whole_known)
{
	for (uint64_t b = offset / SUMLOG_BLOCK; b * SUMLOG_BLOCK < offset + length; b++) {
		known[b] = whole_known && b * SUMLOG_BLOCK >= offset &&
			   (b + 1) * SUMLOG_BLOCK <= offset + length;
		if (known[b])
			sums[b] = crc32c(bytes + b * SUMLOG_BLOCK, SUMLOG_BLOCK);
	}
}

/* True of each block that is known, and silent where the model does not know. */
static unsigned check_all(const struct sumlog *log)
{
	unsigned found = 0;
	uint32_t crc;

	for (uint64_t b = 0; b < BLOCKS; b++) {
		if (!sumlog_find(log, b * SUMLOG_BLOCK, &crc))
			continue;
		found++;
		assert_true(known[b]);
		assert_int_equal(crc, sums[b]);
	}
	assert_int_equal(found, log->known);
	return found;
}

static void step(struct sumlog *log, uint64_t *seed)
{
	uint64_t unit = seed_below(seed, 4) ? SUMLOG_BLOCK : 512, what = seed_below(seed, 8);
	uint64_t most = what == 0 ? MODEL_BYTES : SUMLOG_PAYLOAD_BLOCKS * SUMLOG_BLOCK;
	uint64_t length = (1 + seed_below(seed, most / unit)) * unit;
	uint64_t offset = seed_below(seed, (MODEL_BYTES - length) / unit + 1) * unit;

	if (what <= 1) {
		memset(bytes + offset, 0, length);
		sumlog_zeroes(log, offset, length);
		model_mark(offset, length, true);
	} else if (what == 2) {
		sumlog_forget(log, offset, length);
		model_mark(offset, length, false);
	} else {
		for (uint64_t i = 0; i < length; i += 8)
			memset(bytes + offset + i, (int)seed_below(seed, 256), 8);
		assert_int_equal(sumlog_payload(log, offset, bytes + offset, (uint32_t)length),
				 crc32c(bytes + offset, length));
		model_mark(offset, length,
			   offset % SUMLOG_BLOCK == 0 && length % SUMLOG_BLOCK == 0);
	}
}

/* With as many places as blocks it knows all that there is to know. */
static void random_operations_agree_with_a_model(void **state)
{
	uint64_t seed = seed_start();
	struct sumlog log;

	(void)state;
	memset(known, 0, sizeof(known));
	assert_int_equal(sumlog_init(&log, MODEL_BYTES), 0);
	assert_int_equal(1u << log.shift, BLOCKS);
	for (int i = 0; i < 200; i++) {
		unsigned expected = 0;

		step(&log, &seed);
		for (unsigned b = 0; b < BLOCKS; b++)
			expected += known[b];
		assert_int_equal(check_all(&log), expected);
	}
	sumlog_fini(&log);
}

/* A smaller table forgets, and says nothing wrong. */
static void a_small_table_forgets_and_does_not_lie(void **state)
{
	uint64_t seed = seed_start();
	struct sumlog log;

	(void)state;
	memset(known, 0, sizeof(known));
	assert_int_equal(sumlog_init(&log, 1), 0);
	assert_true(1u << log.shift < BLOCKS);
	for (int i = 0; i < 200; i++) {
		step(&log, &seed);
		check_all(&log);
	}
	sumlog_fini(&log);
}

/* Bounded, however large the volume; its last block has a place of its own life. */
static void large_volumes(void **state)
{
	static const uint8_t data[SUMLOG_BLOCK] = {1};
	uint64_t volume = MIB(UINT32_MAX), last = volume - SUMLOG_BLOCK;
	struct sumlog log;
	uint32_t crc;

	(void)state;
	assert_int_equal(sumlog_init(&log, volume), 0);
	assert_int_equal(1u << log.shift, SUMLOG_ENTRIES_MAX);
	sumlog_payload(&log, last, data, SUMLOG_BLOCK);
	assert_true(sumlog_find(&log, last, &crc));
	assert_int_equal(crc, crc32c(data, sizeof(data)));
	assert_false(sumlog_find(&log, last % (SUMLOG_ENTRIES_MAX * SUMLOG_BLOCK), &crc));
	sumlog_forget(&log, 0, last);
	assert_true(sumlog_find(&log, last, &crc));
	sumlog_forget(&log, 0, volume);
	assert_false(sumlog_find(&log, last, &crc));
	assert_int_equal(log.known, 0);
	sumlog_fini(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_a_model),
		cmocka_unit_test(a_small_table_forgets_and_does_not_lie),
		cmocka_unit_test(large_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
