/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a client writes into the memory that it shares with the engine, the engine
 * ends that client's session, or answers, and serves everybody else.  Maps the queue itself,
 * without liblockstep.  $LS_SOCKET: a daemon's client socket; $LS_VOLUME: a volume there.
 *
 * With an argument, instead: clients whose doorbell is "late" or "never" rung (late-wakes.sh).
 */
#include "engine/base/defs.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"
#include "engine/shm/shmq_layout.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 16u
#define ARENA_BYTES KIB(64)
#define WAIT_MS 10000
#define GARBAGE_ROUNDS 200

struct client {
	int socket;
	int fds[ATTACH_NR_FDS];
	uint32_t handle;
	struct shmq_layout layout;
	struct shmq_header *header;
	struct shmq_descriptor *sq;
};

static uint64_t noise_state;

static uint64_t noise(void)
{
	noise_state ^= noise_state << 13;
	noise_state ^= noise_state >> 7;
	noise_state ^= noise_state << 17;
	return noise_state;
}

static void client_hello(struct client *c)
{
	uint8_t bytes[ATTACH_MESSAGE_MAX];
	struct attach_hello hello;
	struct attach_hello_reply reply;
	struct err err;
	unsigned got;
	ssize_t n;

	attach_hello_set(&hello, DEPTH, ARENA_BYTES);
	assert_int_equal(attach_send(c->socket, &hello, sizeof(hello), NULL, 0), 0);
	n = attach_receive(c->socket, bytes, c->fds, ATTACH_NR_FDS, &got);
	assert_true(n > 0);
	assert_int_equal(attach_hello_reply_check(bytes, (size_t)n, &reply, &err), 0);
	assert_int_equal(reply.reply.status, 0);
	assert_int_equal(got, ATTACH_NR_FDS);
}

static void client_volume(struct client *c)
{
	uint8_t bytes[ATTACH_MESSAGE_MAX];
	struct attach_open open;
	struct attach_open_reply reply;
	struct err err;
	unsigned got;
	ssize_t n;

	assert_int_equal(attach_open_set(&open, getenv("LS_VOLUME")), 0);
	assert_int_equal(attach_send(c->socket, &open, sizeof(open), NULL, 0), 0);
	n = attach_receive(c->socket, bytes, NULL, 0, &got);
	assert_true(n > 0);
	assert_int_equal(attach_open_reply_check(bytes, (size_t)n, &reply, &err), 0);
	assert_int_equal(reply.reply.status, 0);
	c->handle = reply.handle;
}

static void client_open(struct client *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("LS_SOCKET"));
	c->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(c->socket >= 0);
	assert_int_equal(connect(c->socket, (struct sockaddr *)&address, sizeof(address)), 0);
	client_hello(c);
	client_volume(c);
	c->layout = shmq_layout_of(DEPTH, ARENA_BYTES);
	c->header = mmap(NULL, c->layout.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 c->fds[ATTACH_FD_MEMORY], 0);
	assert_ptr_not_equal(c->header, MAP_FAILED);
	c->sq = (void *)((char *)c->header + SHMQ_PAGE_BYTES);
}

static void client_close(struct client *c)
{
	munmap(c->header, c->layout.total_bytes);
	for (int i = 0; i < ATTACH_NR_FDS; i++)
		close(c->fds[i]);
	close(c->socket);
}

static void ring(struct client *c)
{
	uint64_t one = 1;

	assert_int_equal(write(c->fds[ATTACH_FD_DOORBELL], &one, sizeof(one)), sizeof(one));
}

/* Waits for the engine to end the session. */
static bool thrown_out(struct client *c)
{
	struct pollfd fd = {.fd = c->socket, .events = POLLIN};
	char byte;

	if (poll(&fd, 1, WAIT_MS) != 1)
		return false;
	return recv(c->socket, &byte, 1, 0) <= 0;
}

/* Waits for a completion, or for the end of the session; true for the first. */
static bool answered(struct client *c)
{
	struct pollfd fds[2] = {{.fd = c->socket, .events = POLLIN},
				{.fd = c->fds[ATTACH_FD_WAKEUP], .events = POLLIN}};

	if (atomic_load(&c->header->cq_tail) == 0)
		assert_true(poll(fds, 2, WAIT_MS) > 0);
	return atomic_load(&c->header->cq_tail) > 0;
}

static void set_tail(struct client *c, uint32_t tail)
{
	atomic_store(&c->header->sq_tail, tail);
	ring(c);
}

/* A good request works, so the engine is alive and its other queues are sound. */
static void somebody_else_is_served(void)
{
	struct client c;

	client_open(&c);
	c.sq[0] = (struct shmq_descriptor){
		.tag = 42, .offset = 0, .length = 4096, .volume = c.handle, .op = SHMQ_READ};
	atomic_store(&c.header->client_sleep, 1);
	set_tail(&c, 1);
	assert_true(answered(&c));
	client_close(&c);
}

static void more_requests_than_the_ring_has_end_the_session(void **state)
{
	static const uint32_t tails[] = {DEPTH + 1, 1000000, UINT32_MAX, UINT32_MAX / 2};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		struct client c;

		client_open(&c);
		set_tail(&c, tails[i]);
		if (!thrown_out(&c))
			fail_msg("the session with sq_tail %u lives on", tails[i]);
		client_close(&c);
		somebody_else_is_served();
	}
}

static void completions_taken_that_were_never_written_harm_nobody(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	atomic_store(&c.header->cq_head, 5);
	c.sq[0] = (struct shmq_descriptor){.length = 4096, .volume = c.handle, .op = SHMQ_READ};
	atomic_store(&c.header->client_sleep, 1);
	set_tail(&c, 1);
	/* Thrown out, or answered: both are sound.  The engine must only not go wrong. */
	(void)answered(&c);
	client_close(&c);
	somebody_else_is_served();
}

static void garbage_in_every_descriptor_harms_nobody(void **state)
{
	(void)state;
	for (int round = 0; round < GARBAGE_ROUNDS; round++) {
		struct client c;

		noise_state = 0x9e3779b97f4a7c15u * (unsigned)(round + 1);
		client_open(&c);
		for (uint32_t i = 0; i < DEPTH; i++) {
			for (size_t at = 0; at < sizeof(c.sq[i]); at += 8) {
				uint64_t word = noise();

				memcpy((char *)&c.sq[i] + at, &word, 8);
			}
			/* Some of it nearly right; never a write, discard or zeroes that fits. */
			c.sq[i].op = (uint16_t)(noise() % 2 ? SHMQ_READ : noise() | 0x100);
			if (noise() % 2)
				c.sq[i].volume = c.handle;
			if (noise() % 2)
				c.sq[i].length = 4096;
			if (noise() % 2)
				c.sq[i].offset = 0;
			if (noise() % 4 == 0)
				c.sq[i].buffer = ARENA_BYTES - 4096 * (noise() % 3);
		}
		set_tail(&c, DEPTH);
		client_close(&c); /* with whatever is in flight */
	}
	somebody_else_is_served();
}

static void the_whole_memory_overwritten_while_it_works_harms_nobody(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	for (int round = 0; round < GARBAGE_ROUNDS; round++) {
		uint32_t *words = (uint32_t *)c.header;

		noise_state = 0x2545f4914f6cdd1du * (unsigned)(round + 1);
		for (size_t i = 0; i < SHMQ_PAGE_BYTES / 4; i++)
			words[i] = (uint32_t)noise();
		ring(&c);
	}
	assert_true(thrown_out(&c));
	client_close(&c);
	somebody_else_is_served();
}

static void nonsense_on_the_socket_ends_the_session(void **state)
{
	static const char *const texts[] = {"", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\0\0\0\0\0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct client c;

		client_open(&c);
		(void)!send(c.socket, texts[i], i == 2 ? 8 : strlen(texts[i]) + 1, MSG_NOSIGNAL);
		assert_true(thrown_out(&c) || i == 0);
		client_close(&c);
	}
	somebody_else_is_served();
}

/* A read that the engine is not told of; returns how many there are now. */
static uint32_t push(struct client *c)
{
	uint32_t tail = atomic_load(&c->header->sq_tail);

	c->sq[tail % DEPTH] = (struct shmq_descriptor){
		.tag = tail, .length = 4096, .volume = c->handle, .op = SHMQ_READ};
	atomic_store(&c->header->sq_tail, tail + 1);
	return tail + 1;
}

/* Request number @count is answered within @ms; false = not yet. */
static bool answered_within(struct client *c, uint32_t count, int ms)
{
	struct pollfd fd = {.fd = c->fds[ATTACH_FD_WAKEUP], .events = POLLIN};
	char bytes[64];

	while (recv(fd.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	atomic_store(&c->header->client_sleep, count);
	if (atomic_load(&c->header->cq_tail) < count)
		(void)poll(&fd, 1, ms);
	atomic_store(&c->header->client_sleep, 0);
	if (atomic_load(&c->header->cq_tail) < count)
		return false;
	atomic_store(&c->header->cq_head, count);
	return true;
}

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Each doorbell comes a good while after its request, as from a client that lost its CPU; in some
 * of them the engine's alarm goes off.  Prints how many came later than the engine waits for it.
 */
static void doorbells_come_late(void **state)
{
	struct client c;
	unsigned slow = 0;

	(void)state;
	client_open(&c);
	for (int i = 0; i < 60; i++) {
		int64_t begin = clock_ms();
		uint32_t count = push(&c);

		if (!answered_within(&c, count, 60)) {
			ring(&c);
			slow += clock_ms() - begin > 95;
			assert_true(answered_within(&c, count, WAIT_MS));
		}
	}
	client_close(&c);
	printf("slow %u\n", slow);
}

/* The engine finds the request by itself in the end. */
static void a_doorbell_never_comes(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	assert_true(answered_within(&c, push(&c), WAIT_MS));
	client_close(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest late[] = {cmocka_unit_test(doorbells_come_late)};
	const struct CMUnitTest never[] = {cmocka_unit_test(a_doorbell_never_comes)};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_requests_than_the_ring_has_end_the_session),
		cmocka_unit_test(completions_taken_that_were_never_written_harm_nobody),
		cmocka_unit_test(garbage_in_every_descriptor_harms_nobody),
		cmocka_unit_test(the_whole_memory_overwritten_while_it_works_harms_nobody),
		cmocka_unit_test(nonsense_on_the_socket_ends_the_session),
	};

	if (!getenv("LS_SOCKET") || !getenv("LS_VOLUME")) {
		printf("SKIP: set LS_SOCKET and LS_VOLUME (bad-ring.sh does)\n");
		return 77;
	}
	if (argc > 1 && strcmp(argv[1], "late") == 0)
		return cmocka_run_group_tests(late, NULL, NULL);
	if (argc > 1 && strcmp(argv[1], "never") == 0)
		return cmocka_run_group_tests(never, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
