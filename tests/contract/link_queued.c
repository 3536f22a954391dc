/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: however many requests and messages wait for one flush, and however a backend packs them,
 * each lands once, in the order of the calls, with its own header and payload.
 */
#include "tests/contract/link_suite.h"

#include "engine/base/wire.h"

#include <string.h>

#define QUEUED_MAX 64u
#define PAGE 4096u

/* What B queued since queue_begin(), in order. */
struct queue {
	struct world *world;
	struct region region;
	uint32_t round, count;
	uint64_t message_bytes;
	struct {
		uint32_t slot, length;
		uint64_t after_bytes;
	} requests[QUEUED_MAX];
};

static void queue_open(struct queue *q, struct world *world)
{
	memset(q, 0, sizeof(*q));
	q->world = world;
	world_grant(world);
	region_open(&world->b, &q->region,
		    (size_t)world->config.slot_count * world->config.slot_bytes);
}

static uint32_t stamp_of(const struct queue *q, uint32_t slot, uint32_t at)
{
	return q->round << 24 | slot << 16 | at / PAGE << 4 | 1;
}

static void queue_begin(struct queue *q, uint32_t round)
{
	q->round = round;
	q->count = 0;
	q->message_bytes = q->world->a.log_bytes;
}

static void queue_request(struct queue *q, uint32_t slot, uint32_t length)
{
	uint8_t *payload = (uint8_t *)q->region.base + (size_t)slot * q->world->config.slot_bytes;
	uint8_t header[LINK_HEADER_BYTES];

	memset(header, (int)(slot + q->round), sizeof(header));
	put_u32(header, stamp_of(q, slot, 0));
	/* Each page says whose it is; all lengths here end a page or 512 bytes behind one. */
	for (uint32_t at = 0; at < length; at += PAGE)
		put_u32(payload + at, stamp_of(q, slot, at));
	link_write(q->world->b.link, slot, header, length ? payload : NULL, length,
		   length ? &q->region : NULL);
	q->requests[q->count].slot = slot;
	q->requests[q->count].length = length;
	q->requests[q->count++].after_bytes = q->message_bytes;
}

static void queue_message(struct queue *q, uint32_t length)
{
	static const uint8_t bytes[LINK_MESSAGE_MAX];

	link_send(q->world->b.link, bytes, length);
	q->message_bytes += length;
}

/* Waits until all of it is there, and looks at each. */
static void queue_check(struct queue *q)
{
	struct end *a = &q->world->a;
	unsigned before = a->landed_count;
	struct log_wait wait = {a, q->message_bytes, before + q->count};

	link_flush(q->world->b.link);
	ends_run(a, &q->world->b, log_reached, &wait);
	if (a->down_count)
		fail_msg("link went down: %s", a->down);
	assert_int_equal(a->landed_count, before + q->count);
	assert_int_equal(a->log_bytes, q->message_bytes);
	for (uint32_t i = 0; i < q->count; i++) {
		const struct landed *landed = &a->landed[(before + i) % WORLD_LANDED_MAX];
		uint32_t slot = q->requests[i].slot;
		const uint8_t *payload = link_slot_payload(a->link, slot);

		assert_int_equal(landed->slot, slot);
		assert_int_equal(landed->payload_bytes, q->requests[i].length);
		assert_int_equal(landed->after_bytes, q->requests[i].after_bytes);
		assert_int_equal(get_u32(landed->header), stamp_of(q, slot, 0));
		for (uint32_t at = 4; at < LINK_HEADER_BYTES; at++)
			assert_int_equal(landed->header[at], (uint8_t)(slot + q->round));
		for (uint32_t at = 0; at < landed->payload_bytes; at += PAGE)
			assert_int_equal(get_u32(payload + at), stamp_of(q, slot, at));
	}
}

static void queue_close(struct queue *q)
{
	region_close(&q->world->b, &q->region);
}

static void any_mix_lands_once_and_in_order(void **state)
{
	struct world *world = *state;
	const uint32_t lengths[] = {
		4096,  4096,  0,    8192,  world->config.slot_bytes, 4096, 512, 4096, 0, 0, 0,
		16384, 20480, 4096, 16384,
	};
	struct queue q;

	queue_open(&q, world);
	for (uint32_t round = 0; round < 24; round++) {
		queue_begin(&q, round);
		for (uint32_t i = 0; i < world->config.slot_count; i++) {
			/* Messages: none, one before each request, before every second, … */
			if (round % 6 && i % (round % 6) == 0)
				queue_message(&q, 64);
			queue_request(&q, (i * 5 + round) % world->config.slot_count,
				      lengths[(i + round / 6 * 4) % ARRAY_SIZE(lengths)]);
		}
		queue_check(&q);
	}
	assert_int_equal(world->b.link->stats.requests_tx, 24 * world->config.slot_count);
	assert_int_equal(world->a.link->stats.requests_rx, 24 * world->config.slot_count);
	assert_int_equal(world->a.link->stats.payload_rx, world->b.link->stats.payload_tx);
	queue_close(&q);
}

/* As many messages as may be, so that a send queue is full before the requests are in it. */
static void what_a_flush_leaves_behind_is_added_to(void **state)
{
	struct world *world = *state;
	uint32_t slots = world->config.slot_count;
	struct queue q;

	queue_open(&q, world);
	for (uint32_t round = 0; round < 20; round++) {
		queue_begin(&q, round);
		/* Another place of the queue each time. */
		for (uint32_t i = 0; i < round % 7; i++) {
			queue_message(&q, 1);
			queue_check(&q);
		}
		for (uint32_t i = 0; i < slots + LINK_SPARE_MESSAGES; i++)
			queue_message(&q, LINK_MESSAGE_MAX);
		for (uint32_t slot = 0; slot < slots; slot++) {
			if (slot >= slots - slots / 4)
				link_flush(world->b.link);
			queue_request(&q, slot, slot % 8 ? 4096 : 0);
		}
		queue_check(&q);
	}
	queue_close(&q);
}

static void one_request_is_one_transfer_and_many_share(void **state)
{
	struct world *world = *state;
	struct queue q;

	queue_open(&q, world);
	queue_begin(&q, 1);
	queue_request(&q, 0, 4096);
	queue_check(&q);
	queue_begin(&q, 2);
	queue_request(&q, 0, 512);
	queue_request(&q, 1, 512);
	queue_request(&q, 2, world->config.slot_bytes);
	queue_request(&q, 3, world->config.slot_bytes);
	queue_check(&q);
	/* Nothing to gain. */
	assert_int_equal(world->b.link->stats.trains_tx, 0);
	queue_begin(&q, 3);
	for (uint32_t slot = 0; slot < 14; slot++)
		queue_request(&q, slot, 4096);
	queue_check(&q);
	assert_int_equal(world->b.link->stats.trains_tx, world_is_rdma(world) ? 2 : 0);
	queue_close(&q);
}

/* As an owner does that was made to by a hostile peer's answer. */
static void a_slot_used_again_before_it_left_ends_the_link(void **state)
{
	struct world *world = *state;
	struct queue q;

	queue_open(&q, world);
	queue_begin(&q, 1);
	for (uint32_t slot = 0; slot < 4; slot++)
		queue_request(&q, slot, 4096);
	queue_request(&q, 1, 4096);
	end_run_down(&world->b);
	assert_non_null(strstr(world->b.down, "slot 1 before it was sent"));
	assert_int_equal(world->a.landed_count, 0);
	end_run_down(&world->a);
	assert_int_equal(world->a.landed_count, 0);
	queue_close(&q);
}

const struct CMUnitTest link_queued_tests[] = {
	IN_WORLD(any_mix_lands_once_and_in_order),
	IN_WORLD(what_a_flush_leaves_behind_is_added_to),
	IN_WORLD(one_request_is_one_transfer_and_many_share),
	IN_WORLD(a_slot_used_again_before_it_left_ends_the_link),
};

const size_t link_queued_count = ARRAY_SIZE(link_queued_tests);
