/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: what a pool writes it reads back; every damaged byte of it is noticed. */
#include "engine/meta/record.h"
#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "tests/support/seed.h"
#include "tests/support/t.h"

#include <stdlib.h>

static struct volume_record sample(unsigned i)
{
	struct volume_record r = {
		.number = 1024 * (i + 1) + i,
		.size_bytes = MIB(3),
		.block_bytes = 4096,
		.role = i % 2 ? VOLUME_SECONDARY : VOLUME_PRIMARY,
		.consistent = i % 3,
		.policy = i % 4 ? POLICY_FAIL_OPEN : POLICY_FAIL_CLOSED,
		.association = i % 2 ? ASSOCIATION_BROKEN : ASSOCIATION_NONE,
		.association_sequence = i,
		.resync_limit_kib = 1000 * i,
		.region_shift = 20,
		.generations = {.current = i + 1,
				.base = 2,
				.history = {3, 4, 5, 6},
				.covered = 2,
				.offered = true},
		.replica_count = i % 2,
		.extent_count = 2,
		.extents = {{.device = 0, .start = i * 10, .count = 1},
			    {.device = 1, .start = 7, .count = 2}},
	};

	snprintf(r.name, sizeof(r.name), "volume-%u", i);
	r.replicas[0].node_address = 0x1234;
	r.replicas[0].volume_number = 77;
	r.replicas[0].node_name[0] = 'b';
	r.replicas[0].volume_name[0] = 'c';
	if (!r.replica_count)
		memset(r.replicas, 0, sizeof(r.replicas));
	return r;
}

static void super_round_trip_and_damage(void **state)
{
	struct super s = {
		.sequence = 9,
		.device_index = 1,
		.device_count = 3,
		.device_bytes = GIB(1),
		.block_bytes = 512,
		.node_address = 42,
		.pool_name = "fast",
	};
	uint8_t bytes[SUPER_BYTES];
	struct super out;

	(void)state;
	super_encode(&s, bytes);
	assert_memory_equal(bytes, "LOCKSTEP", 8);
	assert_int_equal(super_decode(bytes, &out), META_OK);
	assert_true(out.sequence == 9 && out.device_index == 1 && out.device_count == 3);
	assert_string_equal(out.pool_name, "fast");
	for (unsigned at = 0; at < 512; at++) {
		bytes[at] ^= 0x40;
		assert_int_not_equal(super_decode(bytes, &out), META_OK);
		bytes[at] ^= 0x40;
	}
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(super_decode(bytes, &out), META_FOREIGN);
}

static void a_count_inside_a_valid_checksum_is_not_trusted(void **state)
{
	struct super s = {
		.device_index = 1,
		.device_count = 3,
		.device_bytes = GIB(1),
		.block_bytes = 512,
		.pool_name = "fast",
	};
	uint8_t bytes[SUPER_BYTES];
	struct super out;

	(void)state;
	s.device_count = POOL_DEVICES_MAX + 1;
	super_encode(&s, bytes);
	assert_int_equal(super_decode(bytes, &out), META_DAMAGED);
	s.device_count = 1;
	super_encode(&s, bytes);
	assert_int_equal(super_decode(bytes, &out), META_DAMAGED);
}

static void table_round_trip_and_damage(void **state)
{
	uint8_t *bytes = malloc(TABLE_BYTES_MAX);
	struct volume_record records[5], out;
	struct volume_record *list[5];
	struct table t = {.sequence = 3, .volume_count = 5}, head;
	uint64_t seed = seed_start();
	size_t cursor = 0, length;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		records[i] = sample(i);
		list[i] = &records[i];
	}
	length = table_encode(&t, list, bytes);
	assert_true(length > 0 && length % 4096 == 0);
	assert_int_equal(table_bytes(bytes), length);
	assert_int_equal(table_decode(bytes, length, &head), META_OK);
	assert_int_equal(head.volume_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(table_record(bytes, length, &cursor, &out));
		assert_memory_equal(&out, &records[i], sizeof(out));
	}
	assert_false(table_record(bytes, length, &cursor, &out));
	for (int i = 0; i < 500; i++) {
		size_t at = seed_below(&seed, get_u32(bytes + 40));

		bytes[at] ^= 1;
		assert_int_not_equal(table_decode(bytes, length, &head), META_OK);
		bytes[at] ^= 1;
	}
	/* A head that lies about the length must not have us read beyond the copy. */
	put_u32(bytes + 40, TABLE_BYTES_MAX + 1);
	assert_int_equal(table_bytes(bytes), 0);
	put_u32(bytes + 40, UINT32_MAX);
	assert_int_equal(table_bytes(bytes), 0);
	/* Torn: the tail is still the older table's, or zeroes. */
	memset(bytes + 512, 0, length - 512);
	assert_int_not_equal(table_decode(bytes, length, &head), META_OK);
	free(bytes);
}

static void a_full_table_fits(void **state)
{
	uint8_t *bytes = malloc(TABLE_BYTES_MAX);
	struct volume_record r = sample(1);
	static struct volume_record *list[ENGINE_VOLUMES_MAX];
	struct table t = {.volume_count = ENGINE_VOLUMES_MAX};

	(void)state;
	r.extent_count = VOLUME_EXTENTS_MAX;
	for (unsigned i = 0; i < VOLUME_EXTENTS_MAX; i++)
		r.extents[i] = r.extents[0];
	for (unsigned i = 0; i < ENGINE_VOLUMES_MAX; i++)
		list[i] = &r;
	assert_true(table_encode(&t, list, bytes) > 0);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(super_round_trip_and_damage),
		cmocka_unit_test(a_count_inside_a_valid_checksum_is_not_trusted),
		cmocka_unit_test(table_round_trip_and_damage),
		cmocka_unit_test(a_full_table_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
