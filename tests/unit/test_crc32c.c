/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: all CRC32C implementations give the standard's values and agree with each other. */
#include "engine/base/crc32c.h"
#include "tests/support/seed.h"
#include "tests/support/t.h"

static void check_value(void **state)
{
	(void)state;
	/* RFC 3720, appendix B.4, and the usual check value. */
	assert_int_equal(crc32c_table("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_isal("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_table("", 0), 0);
	assert_int_equal(crc32c_isal("", 0), 0);
	if (!crc32c_instruction_there())
		return;
	assert_int_equal(crc32c_instruction("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_instruction("", 0), 0);
}

static void implementations_agree(void **state)
{
	static uint8_t bytes[5000];
	uint64_t seed = seed_start();

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)seed_next(&seed);
	for (int i = 0; i < 2000; i++) {
		size_t at = seed_below(&seed, 100), n = seed_below(&seed, sizeof(bytes) - 100);
		size_t cut = seed_below(&seed, n + 1);

		assert_int_equal(crc32c_table(bytes + at, n), crc32c_isal(bytes + at, n));
		if (crc32c_instruction_there())
			assert_int_equal(crc32c_table(bytes + at, n),
					 crc32c_instruction(bytes + at, n));
		if (crc32c_instruction_there())
			crc32c_use(crc32c_instruction, crc32c_table);
		assert_int_equal(crc32c_table(bytes + at, CRC32C_HEADER),
				 crc32c_header(bytes + at));
		crc32c_use(crc32c_table, crc32c_table);
		assert_int_equal(crc32c_table(bytes + at, CRC32C_HEADER),
				 crc32c_header(bytes + at));
		assert_int_equal(crc32c_table(bytes + at, n),
				 crc32c_join(bytes + at, cut, bytes + at + cut, n - cut, "", 0));
	}
}

static void parts_add_up(void **state)
{
	static uint8_t bytes[32 * CRC32C_PART];
	uint64_t seed = seed_start();
	uint32_t parts[32];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)seed_next(&seed);
	for (unsigned n = 0; n <= 32; n++) {
		assert_int_equal(crc32c_parts(bytes, parts, n), crc32c(bytes, n * CRC32C_PART));
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(parts[i], crc32c(bytes + i * CRC32C_PART, CRC32C_PART));
	}
}

static void init_chooses_one(void **state)
{
	static const uint8_t bytes[2 * CRC32C_SHORT] = {1, 2, 3};

	(void)state;
	crc32c_init();
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(crc32c(bytes, n), crc32c_table(bytes, n));
	for (size_t n = 0; n < CRC32C_SHORT; n++)
		assert_int_equal(crc32c_header(bytes + n), crc32c_table(bytes + n, CRC32C_HEADER));
	print_message("CRC32C by %s\n", crc32c_name());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_value),
		cmocka_unit_test(implementations_agree),
		cmocka_unit_test(parts_add_up),
		cmocka_unit_test(init_chooses_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
