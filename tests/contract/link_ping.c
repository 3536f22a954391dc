/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: with every slot in flight and each end on a thread of its own, no request and no wake
 * is lost, nothing is allocated and, over RDMA, nothing is copied.
 */
#include "tests/contract/link_suite.h"

#include "engine/base/wire.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PING_PAYLOAD 4096u

struct pinger {
	struct end *end;
	struct region region;
	uint32_t depth, payload_bytes;
	uint64_t wanted, sent, answered;
	uint64_t started_ns[LINK_SLOTS_MAX];
	uint32_t *latency_ns; /* one each, when wanted */
	uint32_t expected[LINK_SLOTS_MAX];
	unsigned long allocs;
	bool spins; /* never sleeps */
	int cpu;    /* to run on; -1 = any */
	atomic_bool stop;
	const char *wrong;
};

static atomic_ulong allocs;

unsigned long alloc_count(void)
{
	return atomic_load(&allocs);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	atomic_fetch_add(&allocs, 1);
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	atomic_fetch_add(&allocs, 1);
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	atomic_fetch_add(&allocs, 1);
	return __real_realloc(old, size);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void ping_send(struct pinger *ping, uint32_t slot)
{
	uint8_t header[LINK_HEADER_BYTES] = {0};
	uint8_t *payload = (uint8_t *)ping->region.base + (size_t)slot * ping->payload_bytes;

	ping->expected[slot] = (uint32_t)ping->sent++;
	put_u32(header, slot);
	put_u32(header + 4, ping->expected[slot]);
	put_u32(payload, ping->expected[slot]);
	put_u32(payload + ping->payload_bytes - 4, ~ping->expected[slot]);
	if (ping->latency_ns)
		ping->started_ns[slot] = now_ns();
	link_write(ping->end->link, slot, header, payload, ping->payload_bytes, &ping->region);
}

static void ping_answers(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct pinger *ping = owner;

	if (length % LINK_HEADER_BYTES != 0)
		ping->wrong = "an answer was cut";
	for (uint32_t at = 0; at + LINK_HEADER_BYTES <= length; at += LINK_HEADER_BYTES) {
		uint32_t slot = get_u32(bytes + at), seq = get_u32(bytes + at + 4);

		if (slot >= ping->depth || ping->expected[slot] != seq) {
			ping->wrong = "an answer that nobody waits for";
			return;
		}
		if (ping->latency_ns)
			ping->latency_ns[ping->answered] =
				(uint32_t)(now_ns() - ping->started_ns[slot]);
		ping->answered++;
		if (ping->sent < ping->wanted)
			ping_send(ping, slot);
	}
}

/* The other side: looks at the payload and answers with the header. */
static void pong_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct pinger *pong = owner;
	uint8_t *payload = link_slot_payload(pong->end->link, slot);
	uint8_t answer[LINK_HEADER_BYTES];

	memcpy(answer, header, sizeof(answer));
	if (get_u32(answer) != slot || payload_bytes < 8 ||
	    get_u32(payload) != get_u32(answer + 4) ||
	    get_u32(payload + payload_bytes - 4) != ~get_u32(answer + 4))
		pong->wrong = "a payload that is not its header's";
	link_send(pong->end->link, answer, sizeof(answer));
	pong->answered++;
}

static void ping_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct pinger *ping = owner;

	(void)slot, (void)header, (void)payload_bytes;
	ping->wrong = "a request came back";
}

static void pong_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct pinger *pong = owner;

	(void)bytes, (void)length;
	pong->wrong = "a message came to the answering side";
}

static void ping_down(void *owner, const char *reason)
{
	struct pinger *ping = owner;

	ping->end->down_count++;
	snprintf(ping->end->down, sizeof(ping->end->down), "%s", reason);
}

static const struct link_handler ping_handler = {
	.message = ping_answers,
	.landed = ping_landed,
	.down = ping_down,
};

static const struct link_handler pong_handler = {
	.message = pong_message,
	.landed = pong_landed,
	.down = ping_down,
};

/* Until all is answered or stop; sleeps only after arm() said that it may. */
static void *ping_loop(void *arg)
{
	struct pinger *ping = arg;
	struct link *link = ping->end->link;
	unsigned long before = alloc_count();

	if (ping->cpu >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(ping->cpu, &cpus);
		(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	}
	while (!ping->wrong && ping->end->down_count == 0 &&
	       !(ping->wanted && ping->answered >= ping->wanted) && !atomic_load(&ping->stop)) {
		struct pollfd fd = {.fd = link->fd, .events = POLLIN};
		unsigned handled = link_poll(link, 32);

		link_flush(link);
		if (handled > 0 || ping->spins || link_arm(link))
			continue;
		/* The answering side cannot know the end: it looks at stop every now and then. */
		if (poll(&fd, 1, ping->wanted ? WORLD_LIMIT_MS : 50) == 0 && ping->wanted)
			ping->wrong = "nothing came (a lost wake?)";
	}
	ping->allocs = alloc_count() - before;
	return NULL;
}

/* The link changes hands, from the world's handler to the pinger's and back. */
static void link_take(struct link *link, const struct link_handler **handler, void **owner)
{
	const struct link_handler *handler_before = link->guard.handler;
	void *owner_before = link->guard.owner;

	link->guard.handler = *handler;
	link->guard.owner = *owner;
	*handler = handler_before;
	*owner = owner_before;
}

static uint64_t ping_run(struct world *world, struct pinger *ping, uint32_t depth,
			 uint32_t payload_bytes, uint64_t wanted)
{
	struct pinger *pong = calloc(1, sizeof(*pong));
	const struct link_handler *handler_a = &pong_handler, *handler_b = &ping_handler;
	void *owner_a = pong, *owner_b = ping;
	pthread_t thread;
	uint64_t begin_ns;

	assert_non_null(pong);
	ping->end = &world->b;
	pong->end = &world->a;
	pong->spins = ping->spins;
	pong->cpu = ping->cpu >= 0 ? ping->cpu + 1 : -1;
	link_take(world->a.link, &handler_a, &owner_a);
	link_take(world->b.link, &handler_b, &owner_b);
	ping->depth = depth;
	ping->payload_bytes = payload_bytes;
	ping->wanted = wanted;
	ping->sent = ping->answered = 0;
	region_open(&world->b, &ping->region, (size_t)depth * payload_bytes);
	memset(ping->region.base, 0x5a, ping->region.length_bytes);
	assert_int_equal(pthread_create(&thread, NULL, ping_loop, pong), 0);
	begin_ns = now_ns();
	for (uint32_t slot = 0; slot < depth && ping->sent < wanted; slot++)
		ping_send(ping, slot);
	link_flush(world->b.link);
	ping_loop(ping);
	begin_ns = now_ns() - begin_ns;
	atomic_store(&pong->stop, true);
	pthread_join(thread, NULL);
	link_take(world->a.link, &handler_a, &owner_a);
	link_take(world->b.link, &handler_b, &owner_b);
	if (ping->wrong || pong->wrong)
		fail_msg("%s / %s", ping->wrong ? ping->wrong : "fine",
			 pong->wrong ? pong->wrong : "fine");
	if (world->a.down_count || world->b.down_count)
		fail_msg("down: %s / %s", world->a.down, world->b.down);
	assert_int_equal(ping->answered, wanted);
	assert_int_equal(pong->answered, wanted);
	region_close(&world->b, &ping->region);
	free(pong);
	return begin_ns;
}

static void requests_and_answers_with_all_slots_in_flight(void **state)
{
	struct world *world = *state;
	struct pinger *ping = calloc(1, sizeof(*ping));
	uint64_t wanted = 100000;

	assert_non_null(ping);
	ping->cpu = -1;
	world_grant(world);
	ping_run(world, ping, world->config.slot_count, PING_PAYLOAD, wanted);
	assert_int_equal(ping->allocs, 0);
	assert_int_equal(world->b.link->stats.requests_tx, wanted);
	assert_int_equal(world->a.link->stats.requests_rx, wanted);
	assert_int_equal(world->a.link->stats.copied + world->b.link->stats.copied, 0);
	assert_int_equal(world->a.link->stats.rnr + world->b.link->stats.rnr, 0);
	printf("%lu requests, %lu answers joined in %lu messages; posts %lu and %lu\n", wanted,
	       wanted, world->a.link->stats.messages_tx, world->b.link->stats.posts,
	       world->a.link->stats.posts);
	free(ping);
}

static void requests_one_at_a_time_lose_no_wake(void **state)
{
	struct world *world = *state;
	struct pinger *ping = calloc(1, sizeof(*ping));

	assert_non_null(ping);
	ping->cpu = -1;
	world_grant(world);
	ping_run(world, ping, 1, PING_PAYLOAD, 5000);
	free(ping);
}

static void long_payloads_survive_full_buffers(void **state)
{
	struct world *world = *state;
	struct pinger *ping = calloc(1, sizeof(*ping));

	assert_non_null(ping);
	ping->cpu = -1;
	world_grant(world);
	ping_run(world, ping, world->config.slot_count, world->config.slot_bytes, 2000);
	free(ping);
}

static int compare_u32(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static void bench_one(struct world *world, bool spins, uint32_t depth, uint32_t payload_bytes,
		      uint64_t wanted)
{
	struct pinger *ping = calloc(1, sizeof(*ping));
	uint64_t took_ns;

	assert_non_null(ping);
	ping->latency_ns = calloc(wanted, sizeof(*ping->latency_ns));
	assert_non_null(ping->latency_ns);
	ping->spins = spins;
	ping->cpu = sysconf(_SC_NPROCESSORS_ONLN) >= 2 ? 0 : -1;
	took_ns = ping_run(world, ping, depth, payload_bytes, wanted);
	qsort(ping->latency_ns, wanted, sizeof(*ping->latency_ns), compare_u32);
	printf("%s %s depth %2u payload %6u: %8.0f req/s %8.1f MB/s p50 %7.1f us p99 %7.1f us\n",
	       world->b.link->backend, spins ? "spin " : "event", depth, payload_bytes,
	       (double)wanted * 1e9 / (double)took_ns,
	       (double)wanted * payload_bytes * 1e3 / (double)took_ns,
	       ping->latency_ns[wanted / 2] / 1e3, ping->latency_ns[wanted * 99 / 100] / 1e3);
	free(ping->latency_ns);
	free(ping);
}

int ping_bench(struct world *world)
{
	world_open(world);
	world_grant(world);
	for (int round = 0; round < 3; round++) {
		for (int spins = 1; spins >= 0; spins--) {
			bench_one(world, spins, 1, 4096, 2000);
			bench_one(world, spins, 32, 4096, 20000);
			bench_one(world, spins, 8, world->config.slot_bytes, 800);
		}
	}
	world_close(world);
	return 0;
}

struct child {
	struct link *link;
	struct region region;
	bool granted, down;
};

static void child_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct child *child = owner;
	uint8_t header[LINK_HEADER_BYTES] = {0};

	if (!child->granted && length >= LINK_GRANT_BYTES && link_use_grant(child->link, bytes)) {
		child->granted = true;
		for (uint32_t slot = 0; slot < child->link->granted_count; slot++) {
			put_u32(header, slot);
			link_write(child->link, slot, header, child->region.base, PING_PAYLOAD,
				   &child->region);
		}
		return;
	}
	for (uint32_t at = 0; at + LINK_HEADER_BYTES <= length; at += LINK_HEADER_BYTES)
		link_write(child->link, get_u32(bytes + at), bytes + at, child->region.base,
			   PING_PAYLOAD, &child->region);
}

static void child_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	(void)owner, (void)slot, (void)header, (void)payload_bytes;
}

static void child_down(void *owner, const char *reason)
{
	struct child *child = owner;

	fprintf(stderr, "child: %s\n", reason);
	child->down = true;
}

static const struct link_handler child_handler = {
	.message = child_message,
	.landed = child_landed,
	.down = child_down,
};

int ping_child(struct world *world, const char *address)
{
	struct child child = {0};
	struct err err;

	end_init(&world->b);
	end_listen(world, &world->b, "");
	region_open(&world->b, &child.region, PING_PAYLOAD);
	if (fabric_dial(world->b.fabric, address, NULL, &err) < 0)
		return 1;
	end_wait_opened(&world->b);
	child.link = world->b.link;
	child.link->guard.handler = &child_handler;
	child.link->guard.owner = &child;
	while (!child.down) {
		struct pollfd fd = {.fd = child.link->fd, .events = POLLIN};
		unsigned handled = link_poll(child.link, 32);

		if (child.down)
			break;
		link_flush(child.link);
		if (handled == 0 && !link_arm(child.link))
			poll(&fd, 1, 100);
	}
	return 0;
}

const struct CMUnitTest link_ping_tests[] = {
	IN_WORLD(requests_one_at_a_time_lose_no_wake),
	IN_WORLD(requests_and_answers_with_all_slots_in_flight),
	IN_WORLD(long_payloads_survive_full_buffers),
};

const size_t link_ping_count = ARRAY_SIZE(link_ping_tests);
