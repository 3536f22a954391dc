/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: whatever a raw peer sends to the TCP backend, only its own link ends, with a sentence. */
#include "tests/contract/link_suite.h"

#include "engine/base/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO_BYTES 16
#define PREFIX_BYTES 12

static int raw_connect(const struct end *end)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(fabric_port(end->fabric)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static void raw_send(int fd, const void *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void raw_hello(int fd)
{
	uint8_t hello[HELLO_BYTES] = "LSTCPLNK", theirs[HELLO_BYTES];

	put_u32(hello + 8, 1);
	raw_send(fd, hello, sizeof(hello));
	assert_int_equal(recv(fd, theirs, sizeof(theirs), MSG_WAITALL), HELLO_BYTES);
	assert_memory_equal(hello, theirs, HELLO_BYTES);
}

static void prefix_fill(uint8_t prefix[PREFIX_BYTES], uint8_t kind, uint32_t slot, uint32_t length)
{
	put_u16(prefix, 0x4b4c);
	prefix[2] = kind;
	prefix[3] = 0;
	put_u32(prefix + 4, slot);
	put_u32(prefix + 8, length);
}

/* A listening end whose link has a raw peer. */
static int raw_open(struct world *world, struct end *end, bool grant)
{
	uint8_t bytes[LINK_GRANT_BYTES];
	int fd;

	end_init(end);
	end_listen(world, end, NULL);
	fd = raw_connect(end);
	raw_hello(fd);
	end_wait_opened(end);
	if (grant)
		assert_int_equal(link_grant(end->link, bytes), 0);
	return fd;
}

struct hostile {
	const char *name;
	bool grant;
	uint16_t magic;
	uint8_t kind, zero;
	uint32_t slot, length;
	const char *says; /* part of the sentence */
};

static void a_hostile_prefix_ends_the_link_and_no_other(void **state)
{
	/* clang-format off */
	static const struct hostile rows[] = {
		{"garbage",              true,  0xdead, 1, 0, 0,    10,         "no frame"},
		{"reserved byte",        true,  0x4b4c, 1, 9, 0,    10,         "no frame"},
		{"kind 0",               true,  0x4b4c, 0, 0, 0,    10,         "unknown kind 0"},
		{"kind 3",               true,  0x4b4c, 3, 0, 0,    10,         "unknown kind 3"},
		{"empty message",        true,  0x4b4c, 1, 0, 0,    0,          "message of 0"},
		{"long message",         true,  0x4b4c, 1, 0, 0,    2049,       "message of 2049"},
		{"longest message",      true,  0x4b4c, 1, 0, 0,    0xffffffff, "message of 4294967295"},
		{"message with a slot",  true,  0x4b4c, 1, 0, 1,    10,         "message"},
		{"slot out of range",    true,  0x4b4c, 2, 0, 32,   512,        "slot 32 of 32"},
		{"slot far away",        true,  0x4b4c, 2, 0, ~0u,  512,        "slot 4294967295"},
		{"payload too long",     true,  0x4b4c, 2, 0, 0,    131073,     "131073 bytes"},
		{"payload wraps",        true,  0x4b4c, 2, 0, 0,    ~0u,        "4294967295 bytes"},
		{"request, no grant",    false, 0x4b4c, 2, 0, 0,    512,        "before"},
	};
	/* clang-format on */
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t bytes[PREFIX_BYTES + 2000] = {0};
		struct end end;
		int fd = raw_open(world, &end, rows[i].grant);

		prefix_fill(bytes, rows[i].kind, rows[i].slot, rows[i].length);
		put_u16(bytes, rows[i].magic);
		bytes[3] = rows[i].zero;
		raw_send(fd, bytes, sizeof(bytes));
		end_run_down(&end);
		if (!strstr(end.down, rows[i].says))
			fail_msg("%s: said '%s'", rows[i].name, end.down);
		assert_int_equal(end.log_bytes, 0);
		assert_int_equal(end.landed_count, 0);
		end_fini(&end);
		close(fd);
	}
	/* The link beside it has noticed nothing. */
	world_grant(world);
}

static void bytes_that_trickle_are_put_together(void **state)
{
	struct world *world = *state;
	uint8_t bytes[2 * PREFIX_BYTES + 5 + LINK_HEADER_BYTES + 100];
	struct end end;
	int fd = raw_open(world, &end, true);

	memset(bytes, 0x77, sizeof(bytes));
	prefix_fill(bytes, 1, 0, 5);
	prefix_fill(bytes + PREFIX_BYTES + 5, 2, 3, 100);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		raw_send(fd, bytes + i, 1);
		link_poll(end.link, 16);
		assert_int_equal(end.landed_count == 1 && i < sizeof(bytes) - 1, 0);
	}
	ends_run(&end, NULL, log_reached, &(struct log_wait){&end, 5, 1});
	assert_int_equal(end.log_bytes, 5);
	assert_int_equal(end.landed[0].slot, 3);
	assert_int_equal(end.landed[0].payload_bytes, 100);
	assert_int_equal(link_slot_payload(end.link, 3)[99], 0x77);
	end_fini(&end);
	close(fd);
}

static void a_request_that_was_cut_is_not_delivered(void **state)
{
	struct world *world = *state;
	uint8_t bytes[PREFIX_BYTES + LINK_HEADER_BYTES + 100] = {0};
	struct end end;
	int fd = raw_open(world, &end, true);

	prefix_fill(bytes, 2, 0, 4096);
	raw_send(fd, bytes, sizeof(bytes));
	close(fd);
	end_run_down(&end);
	assert_int_equal(end.landed_count, 0);
	assert_non_null(strstr(end.down, "closed"));
	end_fini(&end);
}

static void a_peer_that_takes_no_answers_loses_its_link(void **state)
{
	struct world *world = *state;
	uint8_t bytes[64 * (PREFIX_BYTES + LINK_HEADER_BYTES)] = {0};
	struct end end;
	int fd = raw_open(world, &end, true);
	static const uint8_t answer[LINK_MESSAGE_MAX];

	for (size_t i = 0; i < sizeof(bytes); i += PREFIX_BYTES + LINK_HEADER_BYTES)
		prefix_fill(bytes + i, 2, 0, 0);
	/* It uses its slot again and again and reads nothing: our queue has a bound. */
	while (end.down_count == 0) {
		(void)!send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
		for (int i = 0; i < 64 && end.down_count == 0; i++) {
			link_poll(end.link, 1);
			if (end.down_count)
				break;
			link_send(end.link, answer, sizeof(answer));
			link_flush(end.link);
		}
	}
	assert_non_null(strstr(end.down, "the peer takes none"));
	end_fini(&end);
	close(fd);
}

static void strangers_and_silence_do_not_keep_the_peer_out(void **state)
{
	struct world *world = *state;
	int fds[70];
	struct err err;
	char address[128];
	struct end end, other;

	end_init(&end);
	end_init(&other);
	end_listen(world, &end, NULL);
	end_listen(world, &other, "");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = raw_connect(&end);
		if (i % 7 == 0)
			raw_send(fds[i], "GET / HTTP/1.1\r\n\r\n", 18);
	}
	world_address(world, end.fabric, address);
	assert_int_equal(fabric_dial(other.fabric, address, NULL, &err), 0);
	end_wait_opened(&other);
	end_wait_opened(&end);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	pthread_mutex_lock(&end.lock);
	assert_true(end.refused_count > 0);
	printf("%u refused, the last: %s\n", end.refused_count, end.refused);
	pthread_mutex_unlock(&end.lock);
	end_fini(&other);
	end_fini(&end);
}

/* A listener that is no link: accepts and says @says, or nothing. */
static void dial_to_raw(struct world *world, const char *says, bool close_early, const char *expect)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	char address[64];
	struct end end;
	struct err err;

	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &length), 0);
	snprintf(address, sizeof(address), "localhost:%u", ntohs(in.sin_port));
	end_init(&end);
	end_listen(world, &end, "");
	assert_int_equal(fabric_dial(end.fabric, address, NULL, &err), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	if (says)
		raw_send(fd, says, strlen(says));
	if (close_early) {
		fabric_destroy(end.fabric);
		end.fabric = NULL;
	}
	end_wait_failed(&end);
	assert_int_equal(end.failed_count, 1);
	if (!strstr(end.failed, expect))
		fail_msg("said '%s'", end.failed);
	close(fd);
	close(listener);
	end_fini(&end);
}

static void a_listener_that_is_no_link_is_said(void **state)
{
	struct world *world = *state;
	uint32_t timeout_ms = world->config.timeout_ms;

	dial_to_raw(world, "SSH-2.0-OpenSSH_9.2p1\r\n", false, "no Lockstep link");
	dial_to_raw(world, "LSTCPLNKxxxx\1\1\1\1", false, "no Lockstep link");
	dial_to_raw(world, NULL, true, "fabric was closed");
	world->config.timeout_ms = 200;
	dial_to_raw(world, NULL, false, "does not say hello");
	world->config.timeout_ms = timeout_ms;
}

static void no_rdma_device_is_said(void **state)
{
	struct world *world = *state;
	struct fabric *fabric;
	struct err err;

	if (access("/sys/class/infiniband", F_OK) == 0)
		skip();
	for (int i = 0; i < 2; i++) {
		assert_true(fabric_create(i ? "rdma://127.0.0.1:0" : "rdma://", &world->config,
					  &nobody_handler, NULL, &fabric, &err) < 0);
		assert_non_null(strstr(err.text, "no RDMA device"));
		assert_non_null(strstr(err.text, "rdma_rxe"));
		assert_non_null(strstr(err.text, "tcp://"));
	}
	printf("rdma: %s\n", err.text);
	assert_int_equal(fabric_create("carrier-pigeon://1.2.3.4", &world->config, &nobody_handler,
				       NULL, &fabric, &err),
			 -EINVAL);
	printf("refused: %s\n", err.text);
}

static void addresses_of_both_families_and_names_work(void **state)
{
	static const char *const uris[] = {"tcp://[::1]:0", "tcp://localhost:0",
					   "tcp://127.0.0.1:0"};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		struct world other = {.uri = uris[i], .config = world->config};
		int fd = socket(AF_INET6, SOCK_STREAM, 0);
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
					   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		bool no_v6 = fd < 0 || bind(fd, (struct sockaddr *)&in6, sizeof(in6)) < 0;

		if (fd >= 0)
			close(fd);
		if (i == 0 && no_v6)
			continue;
		world_open(&other);
		world_grant(&other);
		printf("%s: %s\n", uris[i], other.b.link->address);
		world_close(&other);
	}
}

const struct CMUnitTest link_tcp_tests[] = {
	IN_WORLD(a_hostile_prefix_ends_the_link_and_no_other),
	cmocka_unit_test(bytes_that_trickle_are_put_together),
	cmocka_unit_test(a_request_that_was_cut_is_not_delivered),
	cmocka_unit_test(a_peer_that_takes_no_answers_loses_its_link),
	cmocka_unit_test(strangers_and_silence_do_not_keep_the_peer_out),
	cmocka_unit_test(a_listener_that_is_no_link_is_said),
	cmocka_unit_test(addresses_of_both_families_and_names_work),
	cmocka_unit_test(no_rdma_device_is_said),
};

const size_t link_tcp_count = ARRAY_SIZE(link_tcp_tests);
