/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: messages, requests, grants and the end of a link are what verbs/link.h promises. */
#include "tests/contract/link_suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world *world_of(void **state)
{
	return *state;
}

static void run_until(struct world *world, struct end *end, uint64_t log_bytes, unsigned landed)
{
	struct log_wait wait = {end, log_bytes, landed};

	ends_run(&world->a, &world->b, log_reached, &wait);
	if (end->down_count)
		fail_msg("link went down: %s", end->down);
}

static void a_new_link_says_who_it_is(void **state)
{
	struct world *world = world_of(state);
	const struct link *link = world->b.link;

	assert_string_equal(link->backend, world_is_rdma(world) ? "rdma" : "tcp");
	assert_string_equal(fabric_backend(world->a.fabric), link->backend);
	assert_true(link->fd >= 0);
	assert_int_equal(link->slot_count, world->config.slot_count);
	assert_int_equal(link->slot_bytes, world->config.slot_bytes);
	assert_int_equal(link->granted_count, 0);
	assert_true(strlen(link->address) > 0 && strlen(link->device) > 0);
	assert_true(strlen(link->detail) > 0);
	assert_int_not_equal(fabric_port(world->a.fabric), 0);
	assert_int_equal(fabric_port(world->b.fabric), 0);
	printf("fabric: %s\nlink: %s to %s, %s\n", fabric_describe(world->a.fabric), link->device,
	       link->address, link->detail);
}

static void messages_arrive_in_order_and_whole(void **state)
{
	struct world *world = world_of(state);
	uint8_t *sent = calloc(1, WORLD_LOG_BYTES);
	uint64_t sent_bytes = 0;

	assert_non_null(sent);
	for (unsigned i = 0; i < WORLD_LOG_BYTES; i++)
		sent[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned i = 0; sent_bytes + LINK_MESSAGE_MAX <= WORLD_LOG_BYTES; i++) {
		uint32_t length = i % 5 == 4 ? LINK_MESSAGE_MAX - i % 3 : 1 + i * 37 % 400;

		link_send(world->b.link, sent + sent_bytes, length);
		sent_bytes += length;
		if (i % 6 == 5) {
			link_flush(world->b.link);
			run_until(world, &world->a, sent_bytes, 0);
		}
	}
	link_flush(world->b.link);
	run_until(world, &world->a, sent_bytes, 0);
	assert_int_equal(world->a.log_bytes, sent_bytes);
	assert_memory_equal(world->a.log, sent, sent_bytes);
	free(sent);
}

static void sends_of_one_pass_are_joined(void **state)
{
	struct world *world = world_of(state);
	uint8_t frame[64] = {0};

	for (uint8_t i = 0; i < 8; i++) {
		frame[0] = i;
		link_send(world->a.link, frame, sizeof(frame));
	}
	link_flush(world->a.link);
	run_until(world, &world->b, sizeof(frame) * 8, 0);
	assert_int_equal(world->a.link->stats.messages_tx, 1);
	assert_int_equal(world->a.link->stats.posts, 1);
	assert_int_equal(world->b.link->stats.messages_rx, 1);
	for (uint8_t i = 0; i < 8; i++)
		assert_int_equal(world->b.log[i * sizeof(frame)], i);
}

static void nothing_leaves_before_flush_or_twice(void **state)
{
	struct world *world = world_of(state);

	link_flush(world->a.link);
	assert_int_equal(world->a.link->stats.posts, 0);
	link_send(world->a.link, "one", 3);
	assert_int_equal(world->a.link->stats.posts, 0);
	link_flush(world->a.link);
	link_flush(world->a.link);
	assert_int_equal(world->a.link->stats.posts, 1);
	run_until(world, &world->b, 3, 0);
	assert_memory_equal(world->b.log, "one", 3);
}

static void header_fill(uint8_t header[LINK_HEADER_BYTES], uint32_t seed)
{
	for (uint32_t i = 0; i < LINK_HEADER_BYTES; i++)
		header[i] = (uint8_t)(seed * 31 + i);
}

static void requests_land_in_their_slots(void **state)
{
	struct world *world = world_of(state);
	uint32_t slots = world->config.slot_count, max = world->config.slot_bytes;
	const uint32_t lengths[] = {max, 0, 4096, 512, 1, max - 1, 4095};
	uint8_t header[LINK_HEADER_BYTES];
	struct region region;

	world_grant(world);
	region_open(&world->b, &region, (size_t)slots * max);
	for (size_t i = 0; i < region.length_bytes; i++)
		((uint8_t *)region.base)[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
	for (unsigned round = 0; round < ARRAY_SIZE(lengths); round++) {
		unsigned before = world->a.landed_count;

		for (uint32_t slot = 0; slot < slots; slot++) {
			uint32_t length = lengths[(round + slot) % ARRAY_SIZE(lengths)];
			uint8_t *payload = (uint8_t *)region.base + (size_t)slot * max;

			header_fill(header, slot + round);
			link_write(world->b.link, slot, header, length ? payload : NULL, length,
				   length ? &region : NULL);
		}
		link_flush(world->b.link);
		run_until(world, &world->a, 0, before + slots);
		for (uint32_t i = 0; i < slots; i++) {
			const struct landed *landed = &world->a.landed[before + i];
			const uint8_t *payload = link_slot_payload(world->a.link, i);

			header_fill(header, i + round);
			assert_int_equal(landed->slot, i);
			assert_memory_equal(landed->header, header, LINK_HEADER_BYTES);
			assert_int_equal(landed->payload_bytes,
					 lengths[(round + i) % ARRAY_SIZE(lengths)]);
			assert_int_equal((uintptr_t)payload % 4096, 0);
			assert_memory_equal(payload, (uint8_t *)region.base + (size_t)i * max,
					    landed->payload_bytes);
		}
	}
	assert_int_equal(world->b.link->stats.requests_tx, slots * ARRAY_SIZE(lengths));
	assert_int_equal(world->b.link->stats.payload_tx, world->a.link->stats.payload_rx);
	assert_int_equal(world->b.link->stats.copied, 0);
	region_close(&world->b, &region);
}

static void sends_and_writes_keep_their_order(void **state)
{
	struct world *world = world_of(state);
	uint8_t header[LINK_HEADER_BYTES] = {0};
	struct region region;
	uint64_t base;

	world_grant(world);
	region_open(&world->b, &region, 4096);
	base = world->a.log_bytes;
	link_write(world->b.link, 1, header, region.base, 4096, &region);
	link_send(world->b.link, "ab", 2);
	link_write(world->b.link, 0, header, NULL, 0, NULL);
	link_send(world->b.link, "cd", 2);
	link_send(world->b.link, "ef", 2);
	link_write(world->b.link, 2, header, region.base, 4096, &region);
	link_flush(world->b.link);
	assert_true(world_is_rdma(world) || world->b.link->stats.posts > 0);
	run_until(world, &world->a, base + 6, 3);
	assert_memory_equal(world->a.log + base, "abcdef", 6);
	assert_int_equal(world->a.landed[0].slot, 1);
	assert_int_equal(world->a.landed[0].after_bytes, base);
	assert_int_equal(world->a.landed[1].slot, 0);
	assert_int_equal(world->a.landed[1].after_bytes, base + 2);
	assert_int_equal(world->a.landed[2].slot, 2);
	assert_int_equal(world->a.landed[2].after_bytes, base + 6);
	region_close(&world->b, &region);
}

static void every_bound_of_messages_fits_in_one_pass(void **state)
{
	struct world *world = world_of(state);
	uint32_t count = world->config.slot_count + LINK_SPARE_MESSAGES;
	uint8_t *message = calloc(1, LINK_MESSAGE_MAX);

	assert_non_null(message);
	for (unsigned round = 1; round <= 20; round++) {
		for (uint32_t i = 0; i < count; i++)
			link_send(world->a.link, message, LINK_MESSAGE_MAX);
		link_flush(world->a.link);
		run_until(world, &world->b, (uint64_t)round * count * LINK_MESSAGE_MAX, 0);
	}
	free(message);
}

static void a_grant_of_garbage_is_refused(void **state)
{
	struct world *world = world_of(state);
	uint8_t grant[LINK_GRANT_BYTES], bad[LINK_GRANT_BYTES];

	memset(bad, 0, sizeof(bad));
	assert_false(link_use_grant(world->b.link, bad));
	memset(bad, 0xff, sizeof(bad));
	assert_false(link_use_grant(world->b.link, bad));
	assert_int_equal(link_grant(world->a.link, grant), 0);
	memcpy(bad, grant, sizeof(bad));
	bad[0] ^= 1; /* magic */
	assert_false(link_use_grant(world->b.link, bad));
	memcpy(bad, grant, sizeof(bad));
	memset(bad + 4, 0, 4); /* no slots */
	assert_false(link_use_grant(world->b.link, bad));
	memset(bad + 4, 0xff, 4); /* too many */
	assert_false(link_use_grant(world->b.link, bad));
	memcpy(bad, grant, sizeof(bad));
	bad[8] ^= 1; /* not a multiple of 4096 */
	assert_false(link_use_grant(world->b.link, bad));
	memset(bad + 8, 0xff, 4);
	assert_false(link_use_grant(world->b.link, bad));
	assert_int_equal(world->b.link->granted_count, 0);
	assert_true(link_use_grant(world->b.link, grant));
}

static void down_comes_once_when_shut(void **state)
{
	struct world *world = world_of(state);

	world_grant(world);
	link_shut(world->a.link, "enough");
	link_shut(world->a.link, "again");
	assert_int_equal(world->a.down_count, 0);
	link_send(world->a.link, "lost", 4);
	link_flush(world->a.link);
	end_run_down(&world->a);
	assert_string_equal(world->a.down, "enough");
	end_run_down(&world->b);
	assert_true(strlen(world->b.down) > 0);
	printf("the peer says: %s\n", world->b.down);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(link_poll(world->a.link, 16), 0);
		assert_false(link_arm(world->a.link));
	}
	assert_int_equal(world->a.down_count, 1);
	assert_int_equal(world->b.down_count, 1);
}

static void nothing_is_delivered_after_shut(void **state)
{
	struct world *world = world_of(state);
	struct region region;
	uint8_t header[LINK_HEADER_BYTES] = {0};
	uint64_t log_bytes;

	world_grant(world);
	log_bytes = world->a.log_bytes;
	region_open(&world->b, &region, 4096);
	for (uint32_t i = 0; i < 4; i++) {
		link_write(world->b.link, i, header, region.base, 4096, &region);
		link_send(world->b.link, "late", 4);
	}
	link_flush(world->b.link);
	link_shut(world->a.link, "shut before the first poll");
	end_run_down(&world->a);
	assert_int_equal(world->a.log_bytes, log_bytes);
	assert_int_equal(world->a.landed_count, 0);
	end_run_down(&world->b);
	region_close(&world->b, &region);
}

static void a_link_may_be_destroyed_in_down(void **state)
{
	struct world *world = world_of(state);

	world->a.destroy_in_down = true;
	world->b.destroy_in_down = true;
	link_shut(world->a.link, "enough");
	end_run_down(&world->a);
	end_run_down(&world->b);
	assert_null(world->a.link);
	assert_null(world->b.link);
}

static void a_link_may_be_destroyed_unattached(void **state)
{
	struct world *world = world_of(state);
	struct err err;
	char address[128];
	struct end other;

	end_init(&other);
	end_listen(world, &other, "");
	world_address(world, world->a.fabric, address);
	assert_int_equal(fabric_dial(other.fabric, address, &other, &err), 0);
	end_wait_unattached(&other);
	end_wait_unattached(&world->a);
	end_fini(&other); /* destroys what was never attached */
}

static void shut_with_all_slots_in_flight_comes_down(void **state)
{
	struct world *world = world_of(state);
	uint8_t header[LINK_HEADER_BYTES] = {0};
	struct region region;

	world_grant(world);
	region_open(&world->b, &region, world->config.slot_bytes);
	for (uint32_t i = 0; i < world->config.slot_count; i++)
		link_write(world->b.link, i, header, region.base, world->config.slot_bytes,
			   &region);
	link_flush(world->b.link);
	link_shut(world->b.link, "in the middle");
	end_run_down(&world->b);
	assert_string_equal(world->b.down, "in the middle");
	/* After down() nothing reads the payload: unmapping it is safe. */
	region_close(&world->b, &region);
	end_run_down(&world->a);
}

static pid_t child_spawn(const struct world *world, const char *address)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "link_contract", world->uri, "child", address, NULL);
		_exit(127);
	}
	return pid;
}

static void down_comes_when_the_peer_is_killed(void **state)
{
	struct world *world = world_of(state);
	struct end end;
	uint8_t grant[LINK_GRANT_BYTES];
	char address[128];
	pid_t pid;
	int status;

	end_init(&end);
	end_listen(world, &end, NULL);
	world_address(world, end.fabric, address);
	pid = child_spawn(world, address);
	end_wait_opened(&end);
	assert_int_equal(link_grant(end.link, grant), 0);
	link_send(end.link, grant, sizeof(grant));
	link_flush(end.link);
	end.answers = true;
	/* The child sends requests for ever; it dies in the middle of one. */
	ends_run(&end, NULL, log_reached, &(struct log_wait){&end, 0, 500});
	assert_int_equal(end.down_count, 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	end_run_down(&end);
	printf("the survivor says: %s\n", end.down);
	end_fini(&end);
}

static void a_misused_link_aborts(void **state)
{
	struct world *world = world_of(state);
	uint8_t header[LINK_HEADER_BYTES] = {0};

	for (int misuse = 0; misuse < 4; misuse++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			signal(SIGABRT, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(1);
			if (misuse == 0) /* write before use_grant */
				link_write(world->b.link, 0, header, NULL, 0, NULL);
			else if (misuse == 1)
				link_send(world->b.link, header, 0);
			else if (misuse == 2)
				link_send(world->b.link, header, LINK_MESSAGE_MAX + 1);
			else
				link_destroy(world->b.link);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

static void a_dial_to_a_closed_port_fails_with_a_sentence(void **state)
{
	struct world *world = world_of(state);
	struct end end;
	struct err err;
	char address[128];

	end_init(&end);
	end_listen(world, &end, NULL);
	world_address(world, end.fabric, address);
	fabric_destroy(end.fabric);
	end.fabric = NULL;
	end_listen(world, &end, "");
	assert_int_equal(fabric_dial(end.fabric, address, &end, &err), 0);
	end_wait_failed(&end);
	assert_ptr_equal(end.opened_cookie, &end);
	assert_non_null(strstr(end.failed, address));
	assert_non_null(strstr(end.failed, "nothing listens"));
	printf("failed: %s\n", end.failed);
	assert_int_equal(fabric_dial(end.fabric, "no address at all:x", &end, &err), -EINVAL);
	printf("refused: %s\n", err.text);
	end_fini(&end);
	assert_int_equal(end.failed_count, 1);
}

static void a_taken_port_is_said(void **state)
{
	struct world *world = world_of(state);
	struct fabric *fabric;
	struct err err;
	char address[128], uri[160];

	world_address(world, world->a.fabric, address);
	snprintf(uri, sizeof(uri), "%s://%s", world_is_rdma(world) ? "rdma" : "tcp", address);
	assert_int_equal(fabric_create(uri, &world->config, &nobody_handler, NULL, &fabric, &err),
			 -EADDRINUSE);
	assert_non_null(strstr(err.text, "taken"));
	printf("listen: %s\n", err.text);
}

static void links_come_and_go(void **state)
{
	struct world *world = world_of(state);

	for (int i = 0; i < 50; i++) {
		struct world other = {.uri = world->uri, .config = world->config};

		world_open(&other);
		world_grant(&other);
		world_close(&other);
	}
}

const struct CMUnitTest link_basic_tests[] = {
	IN_WORLD(a_new_link_says_who_it_is),
	IN_WORLD(messages_arrive_in_order_and_whole),
	IN_WORLD(sends_of_one_pass_are_joined),
	IN_WORLD(nothing_leaves_before_flush_or_twice),
	IN_WORLD(requests_land_in_their_slots),
	IN_WORLD(sends_and_writes_keep_their_order),
	IN_WORLD(every_bound_of_messages_fits_in_one_pass),
	IN_WORLD(a_grant_of_garbage_is_refused),
	IN_WORLD(down_comes_once_when_shut),
	IN_WORLD(nothing_is_delivered_after_shut),
	IN_WORLD(a_link_may_be_destroyed_in_down),
	IN_WORLD(a_link_may_be_destroyed_unattached),
	IN_WORLD(shut_with_all_slots_in_flight_comes_down),
	IN_WORLD(a_misused_link_aborts),
	IN_WORLD(a_taken_port_is_said),
	cmocka_unit_test(down_comes_when_the_peer_is_killed),
	cmocka_unit_test(a_dial_to_a_closed_port_fails_with_a_sentence),
	cmocka_unit_test(links_come_and_go),
};

const size_t link_basic_count = ARRAY_SIZE(link_basic_tests);
