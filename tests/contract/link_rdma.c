/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a peer that holds a queue pair of ours, or a key that was valid once, can end its own
 * link and nothing else.  The hostile peer is end B, whose queue pair the test drives itself.
 */
#include "tests/contract/link_suite.h"

#include "engine/base/wire.h"
#include "verbs/rdma.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct raw_write {
	uint64_t addr;
	uint32_t rkey, slot, length;
	enum ibv_wr_opcode opcode;
};

static struct raw_write raw_good(struct end *end)
{
	struct rdma_link *rdma = rdma_of(end->link);

	return (struct raw_write){
		.addr = rdma->tx.remote_addr + LINK_PAYLOAD_OFFSET - LINK_HEADER_BYTES,
		.rkey = rdma->tx.remote_rkey,
		.length = LINK_HEADER_BYTES,
		.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
	};
}

static void raw_post(struct end *end, const struct raw_write *raw)
{
	struct rdma_link *rdma = rdma_of(end->link);
	struct ibv_sge sge = {
		.addr = (uintptr_t)rdma->memory,
		.length = raw->length,
		.lkey = rdma->memory_mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
					 .wr_id = rdma->tx.posted,
					 .sg_list = &sge,
					 .num_sge = raw->length ? 1 : 0,
					 .opcode = raw->opcode,
					 .send_flags = IBV_SEND_SIGNALED,
					 .imm_data = htonl(raw->slot),
					 .wr.rdma = {.remote_addr = raw->addr, .rkey = raw->rkey},
				 };

	assert_int_equal(ibv_post_send(rdma->qp, &wr, &bad), 0);
	rdma->tx.ops[rdma->tx.queued % rdma->tx.op_max].kind = TX_MARKER;
	rdma->tx.queued++;
	rdma->tx.posted++;
}

/* B does @raw; A must go down with @says, and both links come down without the drain's limit. */
static void hostile(struct world *world, const struct raw_write *raw, const char *says)
{
	raw_post(&world->b, raw);
	end_run_down(&world->a);
	if (!strstr(world->a.down, says))
		fail_msg("said '%s', not '%s'", world->a.down, says);
	assert_int_equal(world->a.landed_count, 0);
	end_run_down(&world->b);
	printf("A: %s\nB: %s\n", world->a.down, world->b.down);
}

static void a_slot_out_of_range_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_good(&world->b);
	raw.slot = world->config.slot_count;
	hostile(world, &raw, "slot 32 of 32");
}

static void a_request_that_is_no_header_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_good(&world->b);
	raw.length = LINK_HEADER_BYTES - 1;
	hostile(world, &raw, "63 bytes");
}

static void a_request_beyond_its_slot_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_good(&world->b);
	/* It lies within the key, so only the length tells. */
	raw.length = LINK_HEADER_BYTES + world->config.slot_bytes + 1;
	hostile(world, &raw, "131137 bytes");
}

static void an_empty_message_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw = {.opcode = IBV_WR_SEND};

	hostile(world, &raw, "message of 0 bytes");
}

/* @count entries for slot 0 without payload, in the memory that raw_post() sends from. */
static struct raw_write raw_train(struct end *end, uint32_t count)
{
	struct rdma_link *rdma = rdma_of(end->link);

	memset(rdma->memory, 0, (size_t)count * RDMA_TRAIN_ENTRY_BYTES);
	return (struct raw_write){
		.slot = RDMA_TRAIN_IMM,
		.length = count * RDMA_TRAIN_ENTRY_BYTES,
		.opcode = IBV_WR_SEND_WITH_IMM,
	};
}

static void a_train_that_is_cut_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 3);
	raw.length--;
	hostile(world, &raw, "train of 215 bytes");
}

static void an_empty_train_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 0);
	hostile(world, &raw, "train of 0 bytes");
}

static void a_train_that_is_too_long_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, RDMA_TRAIN_MAX + 1);
	hostile(world, &raw, "train of 576 bytes");
}

static void an_unknown_kind_of_message_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 1);
	raw.slot++;
	hostile(world, &raw, "unknown kind");
}

static void a_train_before_the_grant_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw = raw_train(&world->b, 1);

	hostile(world, &raw, "slot 0 of 0");
}

static void a_train_to_a_slot_out_of_range_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 2);
	put_u32(rdma_of(world->b.link)->memory, world->config.slot_count);
	hostile(world, &raw, "slot 32 of 32");
}

static void a_train_beyond_its_slot_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 2);
	put_u32((uint8_t *)rdma_of(world->b.link)->memory + 4, world->config.slot_bytes + 1);
	hostile(world, &raw, "131073 bytes");
}

/* What was delivered before the bad entry stays; nothing after it is, the good third neither. */
static void a_train_ends_at_its_bad_entry(void **state)
{
	struct world *world = *state;
	struct raw_write raw;

	world_grant(world);
	raw = raw_train(&world->b, 3);
	put_u32((uint8_t *)rdma_of(world->b.link)->memory + RDMA_TRAIN_ENTRY_BYTES, UINT32_MAX);
	raw_post(&world->b, &raw);
	end_run_down(&world->a);
	assert_int_equal(world->a.landed_count, 1);
	assert_non_null(strstr(world->a.down, "slot 4294967295 of 32"));
	end_run_down(&world->b);
}

static void a_write_before_the_grant_ends_the_link(void **state)
{
	struct world *world = *state;
	struct raw_write raw = {
		.addr = (uintptr_t)world->a.link->slots.base,
		.rkey = 0x1234,
		.length = LINK_HEADER_BYTES,
		.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
	};

	hostile(world, &raw, "");
}

static void an_empty_write_before_the_grant_ends_the_link(void **state)
{
	struct world *world = *state;
	/* Of no bytes: no key is looked at, and only the link itself can refuse it. */
	struct raw_write raw = {.opcode = IBV_WR_RDMA_WRITE_WITH_IMM};

	hostile(world, &raw, "");
}

static void a_key_dies_with_its_link(void **state)
{
	struct world *world = *state;
	struct world next = {.uri = world->uri, .config = world->config};
	struct raw_write raw;
	char address[128];

	world_grant(world);
	raw = raw_good(&world->b);
	link_shut(world->a.link, "promotion");
	end_run_down(&world->a);
	/* A's memory is still mapped; only the key must be dead.  B comes back on a new link. */
	memset(link_slot_header(world->a.link, 0), 0x5a, LINK_HEADER_BYTES);
	end_run_down(&world->b);
	end_init(&next.a);
	end_init(&next.b);
	world_address(world, world->a.fabric, address);
	world_dial(world, &next, address);
	world_grant(&next);
	raw_post(&next.b, &raw);
	end_run_down(&next.b);
	printf("B: %s\n", next.b.down);
	end_run_down(&next.a);
	for (uint32_t i = 0; i < LINK_HEADER_BYTES; i++)
		assert_int_equal(link_slot_header(world->a.link, 0)[i], 0x5a);
	end_fini(&next.b);
	end_fini(&next.a);
}

static void no_receiver_was_ever_not_ready(void **state)
{
	struct world *world = *state;
	uint64_t before = fabric_rnr_count(world->a.fabric);
	uint8_t header[LINK_HEADER_BYTES] = {0};
	unsigned landed = 0;

	world_grant(world);
	world->a.answers = true;
	for (int round = 0; round < 200; round++) {
		uint64_t bytes = world->b.log_bytes;
		struct log_wait wait = {
			&world->b,
			bytes + (uint64_t)world->config.slot_count * LINK_HEADER_BYTES,
		};

		for (uint32_t slot = 0; slot < world->config.slot_count; slot++)
			link_write(world->b.link, slot, header, NULL, 0, NULL);
		link_flush(world->b.link);
		ends_run(&world->a, &world->b, log_reached, &wait);
		landed += world->config.slot_count;
		assert_int_equal(world->a.landed_count, landed);
	}
	assert_int_equal(fabric_rnr_count(world->a.fabric), before);
}

static void addresses_that_lead_nowhere_are_said(void **state)
{
	struct world *world = *state;
	struct fabric *fabric;
	struct err err;

	assert_int_equal(fabric_create("rdma://192.0.2.1:0", &world->config, &nobody_handler, NULL,
				       &fabric, &err),
			 -EADDRNOTAVAIL);
	printf("listen: %s\n", err.text);
	assert_int_equal(fabric_dial(world->b.fabric, "10.77.0.99:7610", NULL, &err), 0);
	end_wait_failed(&world->b);
	printf("dial: %s\n", world->b.failed);
}

static void a_wildcard_address_listens(void **state)
{
	struct world *world = *state;
	struct world other = {.uri = "rdma://0.0.0.0:0", .config = world->config};
	const char *address = strstr(world->uri, "://") + 3;
	char to[128];

	end_init(&other.a);
	end_init(&other.b);
	end_listen(&other, &other.a, NULL);
	end_listen(&other, &other.b, "");
	snprintf(to, sizeof(to), "%.*s:%u", (int)(strrchr(address, ':') - address), address,
		 fabric_port(other.a.fabric));
	world_dial(&other, &other, to);
	printf("%s\n", fabric_describe(other.a.fabric));
	world_grant(&other);
	world_close(&other);
}

static void a_limit_of_locked_memory_is_said(void **state)
{
	struct world *world = *state;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "link_contract", world->uri, "memlock", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int memlock_child(struct world *world)
{
	struct region region = {0};
	struct rlimit limit = {64 << 10, 64 << 10};
	struct err err = {0};
	struct end end;

	end_init(&end);
	end_listen(world, &end, "");
	region.length_bytes = 8 << 20;
	region.base = aligned_alloc(4096, region.length_bytes);
	if (!region.base || setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || setresuid(65534, 65534, 65534))
		return 2;
	if (fabric_region_add(end.fabric, &region, &err) == 0)
		return 3;
	printf("region: %s\n", err.text);
	free(region.base);
	end_fini(&end);
	return strstr(err.text, "LimitMEMLOCK=infinity") ? 0 : 4;
}

const struct CMUnitTest link_rdma_tests[] = {
	IN_WORLD(a_slot_out_of_range_ends_the_link),
	IN_WORLD(a_request_that_is_no_header_ends_the_link),
	IN_WORLD(a_request_beyond_its_slot_ends_the_link),
	IN_WORLD(an_empty_message_ends_the_link),
	IN_WORLD(a_train_that_is_cut_ends_the_link),
	IN_WORLD(an_empty_train_ends_the_link),
	IN_WORLD(a_train_that_is_too_long_ends_the_link),
	IN_WORLD(an_unknown_kind_of_message_ends_the_link),
	IN_WORLD(a_train_before_the_grant_ends_the_link),
	IN_WORLD(a_train_to_a_slot_out_of_range_ends_the_link),
	IN_WORLD(a_train_beyond_its_slot_ends_the_link),
	IN_WORLD(a_train_ends_at_its_bad_entry),
	IN_WORLD(a_write_before_the_grant_ends_the_link),
	IN_WORLD(an_empty_write_before_the_grant_ends_the_link),
	IN_WORLD(a_key_dies_with_its_link),
	IN_WORLD(no_receiver_was_ever_not_ready),
	IN_WORLD(addresses_that_lead_nowhere_are_said),
	cmocka_unit_test(a_wildcard_address_listens),
	cmocka_unit_test(a_limit_of_locked_memory_is_said),
};

const size_t link_rdma_count = ARRAY_SIZE(link_rdma_tests);
