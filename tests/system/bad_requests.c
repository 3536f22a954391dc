/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: each request that makes no sense gets the status that says why, and the next one that
 * makes sense works.  $LS_SOCKET: a daemon's client socket; $LS_VOLUME: a volume there.
 */
#include "engine/base/defs.h"
#include "engine/include/lockstep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000

static struct ls_connection *connection;
static struct ls_volume_info info;
static int volume;
static uint8_t *buf; /* request_max_bytes + a block, in the arena */
static uint8_t elsewhere[8192] __attribute__((aligned(4096)));

enum what { READ, WRITE, DISCARD, ZEROES };

/* Sends one request and returns its status. */
static enum ls_status ask(enum what what, int on, void *data, uint64_t offset, uint64_t length,
			  uint32_t flags)
{
	static uint64_t tag;
	struct ls_completion done;
	int rc = -1;

	tag++;
	switch (what) {
	case READ:
		rc = ls_read(connection, on, data, offset, (uint32_t)length, tag);
		break;
	case WRITE:
		rc = ls_write(connection, on, data, offset, (uint32_t)length, flags, tag);
		break;
	case DISCARD:
		rc = ls_discard(connection, on, offset, length, tag);
		break;
	case ZEROES:
		rc = ls_write_zeroes(connection, on, offset, length, flags, tag);
		break;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(ls_wait(connection, &done, 1, WAIT_MS), 1);
	assert_int_equal(done.tag, tag);
	return (enum ls_status)done.status;
}

/* The first block, read back as it was written: nothing was lost. */
static void works_still(void)
{
	assert_int_equal(ask(READ, volume, buf, 0, info.block_bytes, 0), LS_OK);
	assert_int_equal(ask(WRITE, volume, buf, 0, info.block_bytes, 0), LS_OK);
}

static void every_nonsense_has_its_status(void **state)
{
	uint64_t block = info.block_bytes, end = info.size_bytes, max = info.request_max_bytes;
	/* clang-format off */
	const struct {
		const char *name;
		enum what what;
		uint64_t offset, length;
		uint32_t flags;
		enum ls_status status;
	} rows[] = {
		{"offset not on a block, write",   WRITE,   1,             block,       0,      LS_UNALIGNED},
		{"offset not on a block, read",    READ,    block / 2,     block,       0,      LS_UNALIGNED},
		{"offset not on a block, discard", DISCARD, 7,             block,       0,      LS_UNALIGNED},
		{"offset not on a block, zeroes",  ZEROES,  7,             block,       0,      LS_UNALIGNED},
		{"length not of blocks, write",    WRITE,   0,             block + 1,   0,      LS_UNALIGNED},
		{"length not of blocks, read",     READ,    0,             block - 1,   0,      LS_UNALIGNED},
		{"length not of blocks, discard",  DISCARD, 0,             1,           0,      LS_UNALIGNED},
		{"zero length, write",             WRITE,   0,             0,           0,      LS_INVALID},
		{"zero length, read",              READ,    0,             0,           0,      LS_INVALID},
		{"zero length, discard",           DISCARD, 0,             0,           0,      LS_INVALID},
		{"zero length, zeroes",            ZEROES,  0,             0,           0,      LS_INVALID},
		{"behind the end, write",          WRITE,   end,           block,       0,      LS_OUT_OF_RANGE},
		{"behind the end, read",           READ,    end,           block,       0,      LS_OUT_OF_RANGE},
		{"across the end, write",          WRITE,   end - block,   2 * block,   0,      LS_OUT_OF_RANGE},
		{"across the end, zeroes",         ZEROES,  end - block,   2 * block,   0,      LS_OUT_OF_RANGE},
		{"far behind the end",             WRITE,   1ULL << 63,    block,       0,      LS_OUT_OF_RANGE},
		{"end wraps around",               WRITE,   0 - block,     2 * block,   0,      LS_OUT_OF_RANGE},
		{"length wraps around, discard",   DISCARD, block,         0 - block,   0,      LS_OUT_OF_RANGE},
		{"too large, write",               WRITE,   0,             max + block, 0,      LS_TOO_LARGE},
		{"too large, read",                READ,    0,             max + block, 0,      LS_TOO_LARGE},
		{"unknown flag, write",            WRITE,   0,             block,       0x40,   LS_INVALID},
		{"flag that does not fit",         WRITE,   0,             block,       1u << 20, LS_INVALID},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum ls_status status = ask(rows[i].what, volume, buf, rows[i].offset,
					    rows[i].length, rows[i].flags);

		if (status != rows[i].status)
			fail_msg("%s: status %d (%s), not %d", rows[i].name, status,
				 ls_status_text(status), rows[i].status);
		works_still();
	}
}

static void a_buffer_outside_of_the_arena_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask(WRITE, volume, elsewhere, 0, info.block_bytes, 0), LS_BAD_BUFFER);
	assert_int_equal(ask(READ, volume, elsewhere, 0, info.block_bytes, 0), LS_BAD_BUFFER);
	assert_int_equal(ask(WRITE, volume, NULL, 0, info.block_bytes, 0), LS_BAD_BUFFER);
	assert_int_equal(ask(READ, volume, buf + 1, 0, info.block_bytes, 0), LS_BAD_BUFFER);
	works_still();
}

static void a_buffer_that_leaves_the_arena_is_refused(void **state)
{
	struct ls_options options = {
		.size = sizeof(options), .queue_depth = 4, .arena_bytes = 8192};
	struct ls_connection *first = connection;
	struct ls_volume_info same;
	uint8_t *last;
	int on;

	(void)state;
	options.socket = getenv("LS_SOCKET");
	assert_int_equal(ls_connect(&options, &connection, NULL, 0), 0);
	on = ls_volume_open(connection, getenv("LS_VOLUME"), &same);
	last = ls_buf_alloc(connection, 8192);
	assert_true(on >= 0);
	assert_non_null(last);
	assert_int_equal(ask(READ, on, last, 0, 8192, 0), LS_OK);
	assert_int_equal(ask(READ, on, last + 4096, 0, 8192, 0), LS_BAD_BUFFER);
	assert_int_equal(ask(WRITE, on, last + 4096, 0, 8192, 0), LS_BAD_BUFFER);
	ls_disconnect(connection);
	connection = first;
	works_still();
}

static void an_unknown_volume_is_refused(void **state)
{
	(void)state;
	assert_true(ls_volume_open(connection, "no-such-volume", &info) < 0);
	assert_non_null(strstr(ls_error(connection), "no-such-volume"));
	assert_true(ls_volume_open(connection, "", &info) < 0);
	assert_int_equal(ask(WRITE, volume + 1000, buf, 0, info.block_bytes, 0), LS_NO_VOLUME);
	assert_int_equal(ask(WRITE, -1, buf, 0, info.block_bytes, 0), LS_NO_VOLUME);
	works_still();
}

static int open_all(void **state)
{
	struct ls_options options = {.size = sizeof(options)};
	char message[400];

	(void)state;
	options.socket = getenv("LS_SOCKET");
	if (ls_connect(&options, &connection, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return -1;
	}
	volume = ls_volume_open(connection, getenv("LS_VOLUME"), &info);
	buf = ls_buf_alloc(connection, info.request_max_bytes + info.block_bytes);
	if (volume >= 0 && buf && ask(READ, volume, buf, 0, info.block_bytes, 0) == LS_OK)
		return 0;
	fprintf(stderr, "%s\n", ls_error(connection));
	return -1;
}

static int close_all(void **state)
{
	(void)state;
	ls_disconnect(connection);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_nonsense_has_its_status),
		cmocka_unit_test(a_buffer_outside_of_the_arena_is_refused),
		cmocka_unit_test(a_buffer_that_leaves_the_arena_is_refused),
		cmocka_unit_test(an_unknown_volume_is_refused),
	};

	if (!getenv("LS_SOCKET") || !getenv("LS_VOLUME")) {
		printf("SKIP: set LS_SOCKET and LS_VOLUME (bad-requests.sh does)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, open_all, close_all);
}
