/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: the frame's bytes are what its table says, and nothing damaged is taken for a frame. */
#include "engine/core/frame.h"
#include "tests/support/t.h"

static const struct frame sample = {
	.version = FRAME_VERSION,
	.command = FRAME_WRITE,
	.flags = FRAME_FUA | FRAME_CRC,
	.target = 0x1122334455667788,
	.initiator = 0x99aabbccddeeff00,
	.message = 0x0102030405060708,
	.volume = 0x21222324,
	.length = 4096,
	.offset = 0x3132333435363738,
	.status = 0,
	.epoch = 0x01020304,
	.payload_crc = 0x51525354,
};

/* Written by hand from the table in frame.h; a change here is a change of the wire. */
static const uint8_t golden[FRAME_BYTES - 4] = {
	'L',  'S',  'F',  '1',	1,    1,    0x03, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22,
	0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03,
	0x02, 0x01, 0x24, 0x23, 0x22, 0x21, 0x00, 0x10, 0x00, 0x00, 0x38, 0x37, 0x36, 0x35, 0x34,
	0x33, 0x32, 0x31, 0,	0,    0,    0,	  0x04, 0x03, 0x02, 0x01, 0x54, 0x53, 0x52, 0x51,
};

static void golden_bytes(void **state)
{
	uint8_t bytes[FRAME_BYTES];

	(void)state;
	frame_encode(&sample, bytes);
	assert_memory_equal(bytes, golden, sizeof(golden));
}

static void decode_gives_back_every_field(void **state)
{
	uint8_t bytes[FRAME_BYTES];
	struct frame f;

	(void)state;
	frame_encode(&sample, bytes);
	assert_int_equal(frame_decode(bytes, &f), FRAME_OK);
	assert_int_equal(f.command, sample.command);
	assert_int_equal(f.flags, sample.flags);
	assert_true(f.target == sample.target && f.initiator == sample.initiator);
	assert_true(f.message == sample.message && f.offset == sample.offset);
	assert_int_equal(f.volume, sample.volume);
	assert_int_equal(f.length, sample.length);
	assert_int_equal(f.status, sample.status);
	assert_int_equal(f.epoch, sample.epoch);
	assert_int_equal(f.payload_crc, sample.payload_crc);
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t bytes[FRAME_BYTES];
	struct frame f;

	(void)state;
	for (unsigned bit = 0; bit < FRAME_BYTES * 8; bit++) {
		frame_encode(&sample, bytes);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(frame_decode(bytes, &f), FRAME_OK);
	}
}

static void unknown_command_and_flag_are_refused(void **state)
{
	uint8_t bytes[FRAME_BYTES];
	struct frame f = sample;

	(void)state;
	f.command = 99;
	frame_encode(&f, bytes);
	assert_int_equal(frame_decode(bytes, &f), FRAME_BAD_COMMAND);
	f = sample;
	f.flags = 0x0100;
	frame_encode(&f, bytes);
	assert_int_equal(frame_decode(bytes, &f), FRAME_BAD_FLAGS);
	f = sample;
	f.version = FRAME_VERSION + 1;
	frame_encode(&f, bytes);
	assert_int_equal(frame_decode(bytes, &f), FRAME_BAD_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(decode_gives_back_every_field),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(unknown_command_and_flag_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
