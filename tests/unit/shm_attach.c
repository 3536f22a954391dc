/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of the client socket: what was set checks out, and nothing else does. */
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"
#include "engine/shm/shmq_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void test_hello(void **state)
{
	struct attach_hello m, got;
	struct err err;

	(void)state;
	attach_hello_set(&m, 64, 5000);
	assert_int_equal(attach_type(&m, sizeof(m)), ATTACH_HELLO);
	assert_int_equal(attach_hello_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.queue_depth, 64);
	assert_int_equal(got.arena_bytes, 5000);
	for (size_t n = 0; n < sizeof(m); n++)
		assert_int_equal(attach_hello_check(&m, n, &got, &err), -EPROTO);
	m.flags = ATTACH_HELLO_MEMORY;
	assert_int_equal(attach_hello_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.flags, ATTACH_HELLO_MEMORY);
	m.flags = ATTACH_HELLO_MEMORY << 1;
	assert_int_equal(attach_hello_check(&m, sizeof(m), &got, &err), -EPROTO);
	m.flags = 0;
	m.reserved = 1;
	assert_int_equal(attach_hello_check(&m, sizeof(m), &got, &err), -EPROTO);
}

static void test_hello_limits(void **state)
{
	static const struct {
		uint32_t depth;
		uint64_t arena;
		int rc;
	} cases[] = {
		{1, 1, 0},
		{SHMQ_DEPTH_MAX, SHMQ_ARENA_MAX, 0},
		{0, 1, -EINVAL},
		{3, 1, -EINVAL},
		{2 * SHMQ_DEPTH_MAX, 1, -EINVAL},
		{1, 0, -EINVAL},
		{1, SHMQ_ARENA_MAX + 1, -EINVAL},
		{1, UINT64_MAX, -EINVAL},
	};
	struct attach_hello m, got;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		attach_hello_set(&m, cases[i].depth, cases[i].arena);
		assert_int_equal(attach_hello_check(&m, sizeof(m), &got, &err), cases[i].rc);
	}
}

/* A client of another version, whose HELLO is longer, is told so. */
static void test_hello_of_other_version(void **state)
{
	char bytes[200] = {0};
	struct attach_hello m, got;
	struct err err;

	(void)state;
	attach_hello_set(&m, 1, 1);
	m.abi_version = 7;
	m.head.length_bytes = sizeof(bytes);
	memcpy(bytes, &m, sizeof(m));
	assert_int_equal(attach_hello_check(bytes, sizeof(bytes), &got, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "version 7"));
}

static void test_hello_reply(void **state)
{
	struct attach_hello_reply m, got;
	struct shmq_layout layout = shmq_layout_of(64, 5000);
	struct err err;

	(void)state;
	attach_hello_reply_set(&m, 64, 5000);
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.reply.status, 0);
	assert_int_equal(got.queue_depth, 64);
	assert_int_equal(got.arena_bytes, 8192);
	assert_int_equal(got.arena_offset, layout.arena_offset);
	m.arena_offset += 4096;
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m), &got, &err), -EPROTO);
	attach_hello_reply_set(&m, 64, 5000);
	m.queue_depth = UINT32_MAX;
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m), &got, &err), -EPROTO);
	attach_hello_reply_set(&m, 64, 5000);
	m.reply.abi_version = 9;
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m), &got, &err), -EPROTONOSUPPORT);
}

static void test_failed_reply(void **state)
{
	struct attach_hello_reply m, got;
	struct err err, why = {.code = -ENOMEM};

	(void)state;
	snprintf(why.text, sizeof(why.text), "memlock is \x1b[31mtoo small");
	attach_hello_reply_fail(&m, &why);
	m.reply.abi_version = 9; /* It may even be another version's, and longer or shorter. */
	m.reply.head.length_bytes = sizeof(m.reply);
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m.reply), &got, &err), 0);
	assert_int_equal(got.reply.status, -ENOMEM);
	assert_string_equal(got.reply.text, "memlock is ?[31mtoo small");
	memset(m.reply.text, 'x', sizeof(m.reply.text)); /* No NUL. */
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m.reply), &got, &err), 0);
	assert_int_equal(strlen(got.reply.text), ATTACH_TEXT_BYTES - 1);
	m.reply.status = 5;
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m.reply), &got, &err), -EPROTO);
	m.reply.status = INT32_MIN;
	assert_int_equal(attach_hello_reply_check(&m, sizeof(m.reply), &got, &err), -EPROTO);
}

static void test_open(void **state)
{
	struct attach_open m, got;
	struct err err;
	char name[80];

	(void)state;
	assert_int_equal(attach_open_set(&m, ""), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[64] = 0;
	assert_int_equal(attach_open_set(&m, name), -ENAMETOOLONG);
	name[63] = 0;
	assert_int_equal(attach_open_set(&m, name), 0);
	assert_int_equal(attach_open_check(&m, sizeof(m), &got, &err), 0);
	assert_string_equal(got.name, name);
	memset(m.name, 'n', sizeof(m.name));
	assert_int_equal(attach_open_check(&m, sizeof(m), &got, &err), -EINVAL);
	m.name[0] = 0;
	assert_int_equal(attach_open_check(&m, sizeof(m), &got, &err), -EINVAL);
	assert_int_equal(attach_open_check(&m, sizeof(m) - 1, &got, &err), -EPROTO);
}

static void test_open_reply(void **state)
{
	const struct ls_volume_info info = {1 << 20, 512, 65536, 1, 0};
	const uint8_t id[ATTACH_ID_BYTES] = "sixteen letters";
	struct attach_open_reply m, got;
	struct err err;

	(void)state;
	attach_open_reply_set(&m, 5, &info, id);
	assert_int_equal(attach_open_reply_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.handle, 5);
	assert_int_equal(got.size_bytes, 1 << 20);
	assert_int_equal(got.block_bytes, 512);
	assert_int_equal(got.request_max_bytes, 65536);
	assert_int_equal(got.flags, ATTACH_VOLUME_MIRRORED);
	assert_memory_equal(got.id, id, sizeof(id));
	m.handle = 1u << 31;
	assert_int_equal(attach_open_reply_check(&m, sizeof(m), &got, &err), -EPROTO);
	m.handle = 5;
	m.block_bytes = 0;
	assert_int_equal(attach_open_reply_check(&m, sizeof(m), &got, &err), -EPROTO);
}

static void test_serve(void **state)
{
	const uint8_t id[ATTACH_ID_BYTES] = "fifteen letters", none[ATTACH_ID_BYTES] = {0};
	struct attach_serve m, got;
	struct err err;

	(void)state;
	assert_int_equal(attach_serve_set(&m, "", id), -EINVAL);
	/* As an earlier release says it. */
	assert_int_equal(attach_serve_set(&m, "db", NULL), 0);
	assert_int_equal(m.head.length_bytes, 80);
	assert_int_equal(attach_serve_check(&m, 80, &got, &err), 0);
	assert_memory_equal(got.id, none, sizeof(none));
	assert_int_equal(attach_serve_set(&m, "db", id), 0);
	assert_int_equal(attach_type(&m, sizeof(m)), ATTACH_SERVE);
	assert_int_equal(attach_serve_check(&m, sizeof(m), &got, &err), 0);
	assert_string_equal(got.name, "db");
	assert_memory_equal(got.id, id, sizeof(id));
	for (size_t n = 0; n < sizeof(m); n++) {
		assert_int_equal(attach_serve_check(&m, n, &got, &err), -EPROTO);
		m.head.length_bytes = (uint16_t)n;
		assert_int_equal(attach_serve_check(&m, n, &got, &err), n == 80 ? 0 : -EPROTO);
		m.head.length_bytes = sizeof(m);
	}
	m.reserved = 1;
	assert_int_equal(attach_serve_check(&m, sizeof(m), &got, &err), -EPROTO);
	m.reserved = 0;
	memset(m.name, 'n', sizeof(m.name));
	assert_int_equal(attach_serve_check(&m, sizeof(m), &got, &err), -EINVAL);
	m.abi_version = 9;
	assert_int_equal(attach_serve_check(&m, sizeof(m), &got, &err), -EPROTONOSUPPORT);
}

static void test_serve_reply(void **state)
{
	struct attach_reply m, got;
	struct err err, none = {.code = 0}, why = {.code = -EROFS, .text = "it is a secondary"};

	(void)state;
	attach_serve_reply_set(&m, &none);
	assert_int_equal(attach_serve_reply_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.status, 0);
	attach_serve_reply_set(&m, &why);
	assert_int_equal(attach_serve_reply_check(&m, sizeof(m), &got, &err), 0);
	assert_int_equal(got.status, -EROFS);
	assert_string_equal(got.text, "it is a secondary");
	assert_int_equal(attach_serve_reply_check(&m, sizeof(m) - 1, &got, &err), -EPROTO);
}

/* One bit of a good message turned over, and pure noise: a result, never a crash. */
static void test_noise(void **state)
{
	union {
		char bytes[ATTACH_MESSAGE_MAX];
		struct attach_head head;
	} m;
	struct attach_hello hello;
	struct attach_open open;
	struct attach_hello_reply hello_reply;
	struct attach_open_reply open_reply;
	struct attach_serve serve;
	struct err err;
	unsigned seed = 1;
	size_t length;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		for (size_t k = 0; k < sizeof(m.bytes); k += 4)
			memcpy(m.bytes + k, &(int){rand_r(&seed)}, 4);
		length = (size_t)rand_r(&seed) % (sizeof(m.bytes) + 1);
		if (i % 4) {
			m.head.magic = ATTACH_MAGIC;
			m.head.type = (uint16_t)(1 + rand_r(&seed) % 6);
			m.head.length_bytes = (uint16_t)length;
		}
		if (!attach_hello_check(m.bytes, length, &hello, &err))
			assert_int_equal(length, sizeof(hello));
		if (!attach_open_check(m.bytes, length, &open, &err))
			assert_true(strlen(open.name) < ATTACH_NAME_BYTES);
		if (!attach_serve_check(m.bytes, length, &serve, &err))
			assert_true(strlen(serve.name) < ATTACH_NAME_BYTES);
		if (!attach_hello_reply_check(m.bytes, length, &hello_reply, &err))
			assert_true(hello_reply.reply.status <= 0);
		if (!attach_open_reply_check(m.bytes, length, &open_reply, &err))
			assert_true(strlen(open_reply.reply.text) < ATTACH_TEXT_BYTES);
	}
}

static int nr_open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors_travel(void **state)
{
	char buffer[ATTACH_MESSAGE_MAX];
	struct attach_hello m;
	int ends[2], fds[ATTACH_NR_FDS] = {0, 1, 2}, before;
	unsigned got;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	attach_hello_set(&m, 1, 1);
	before = nr_open_fds();
	/* As many as are expected. */
	assert_int_equal(attach_send(ends[0], &m, sizeof(m), fds, 3), 0);
	assert_int_equal(attach_receive(ends[1], buffer, fds, 3, &got), sizeof(m));
	assert_int_equal(got, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
	/* None: the caller sees it. */
	assert_int_equal(attach_send(ends[0], &m, sizeof(m), NULL, 0), 0);
	assert_int_equal(attach_receive(ends[1], buffer, fds, 3, &got), sizeof(m));
	assert_int_equal(got, 0);
	/* Another number: what there is room for is the caller's, the rest is gone. */
	assert_int_equal(attach_send(ends[0], &m, sizeof(m), (int[]){0, 1}, 2), 0);
	assert_int_equal(attach_receive(ends[1], buffer, fds, 3, &got), -EPROTO);
	assert_int_equal(got, 2);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(attach_send(ends[0], &m, sizeof(m), (int[]){0, 1}, 2), 0);
	assert_int_equal(attach_receive(ends[1], buffer, fds, 1, &got), -EPROTO);
	assert_int_equal(got, 1);
	close(fds[0]);
	/* Unexpected ones. */
	assert_int_equal(attach_send(ends[0], &m, sizeof(m), (int[]){0, 1}, 2), 0);
	assert_int_equal(attach_receive(ends[1], buffer, NULL, 0, NULL), sizeof(m));
	assert_int_equal(nr_open_fds(), before);
	close(ends[0]);
	assert_int_equal(attach_receive(ends[1], buffer, NULL, 0, NULL), 0);
	assert_int_equal(attach_send(ends[1], &m, sizeof(m), NULL, 0), -EPIPE);
	close(ends[1]);
}

static void test_message_too_long(void **state)
{
	char buffer[ATTACH_MESSAGE_MAX], message[ATTACH_MESSAGE_MAX + 1] = {0};
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(attach_send(ends[0], message, sizeof(message), NULL, 0), 0);
	assert_int_equal(attach_receive(ends[1], buffer, NULL, 0, NULL), -EPROTO);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_limits),
		cmocka_unit_test(test_hello_of_other_version),
		cmocka_unit_test(test_hello_reply),
		cmocka_unit_test(test_failed_reply),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_open_reply),
		cmocka_unit_test(test_serve),
		cmocka_unit_test(test_serve_reply),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_descriptors_travel),
		cmocka_unit_test(test_message_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
