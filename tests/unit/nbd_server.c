/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection of the kernel's nbd, with a test in the place of kernel and engine. */
#include "engine/daemon/nbd_server.h"

#include "tests/support/t.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBMITTED_MAX 256

struct world {
	struct nbd_server server;
	int kernel;
	struct request *submitted[SUBMITTED_MAX];
	unsigned count, completed;
};

static void submit(void *ctx, struct request *request)
{
	struct world *w = ctx;

	assert_true(w->count < SUBMITTED_MAX);
	w->submitted[w->count++] = request;
}

static void completed(void *ctx)
{
	struct world *w = ctx;

	w->completed++;
}

static int set_up(void **state)
{
	static struct world world;
	struct err err;
	int ends[2];

	world = (struct world){0};
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), errno);
	world.kernel = ends[0];
	assert_int_equal(nbd_server_init(&world.server, ends[1], &err), 0);
	world.server.submit = submit;
	world.server.completed = completed;
	world.server.ctx = &world;
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	nbd_server_end(&w->server);
	assert_int_equal(w->server.free_count, NBD_BUFFERS);
	close(w->server.fd);
	close(w->kernel);
	nbd_server_fini(&w->server);
	return 0;
}

static void header(uint8_t out[NBD_REQUEST_BYTES], uint16_t flags, uint16_t type, uint64_t cookie,
		   uint64_t offset, uint32_t length)
{
	uint32_t magic = htobe32(NBD_REQUEST_MAGIC);

	flags = htobe16(flags);
	type = htobe16(type);
	offset = htobe64(offset);
	length = htobe32(length);
	memcpy(out, &magic, 4);
	memcpy(out + 4, &flags, 2);
	memcpy(out + 6, &type, 2);
	memcpy(out + 8, &cookie, 8);
	memcpy(out + 16, &offset, 8);
	memcpy(out + 24, &length, 4);
}

static void put(struct world *w, const void *bytes, size_t length)
{
	assert_int_equal(send(w->kernel, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void ask(struct world *w, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset,
		uint32_t length)
{
	uint8_t bytes[NBD_REQUEST_BYTES];

	header(bytes, flags, type, cookie, offset, length);
	put(w, bytes, sizeof(bytes));
}

/* As the shard does, with a look that tells the truth. */
static unsigned fetch(struct world *w)
{
	struct pollfd fd = {.fd = w->server.fd, .events = POLLIN | POLLOUT | POLLRDHUP};

	assert_return_code(poll(&fd, 1, 0), errno);
	nbd_server_look(&w->server, (uint32_t)fd.revents);
	return nbd_server_fetch(&w->server, 32);
}

static bool readable(const struct world *w)
{
	struct pollfd fd = {.fd = w->server.fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

/* Until nothing more comes of it. */
static void fetch_all(struct world *w)
{
	while (fetch(w))
		;
}

static void complete(struct world *w, unsigned i, enum ls_status status)
{
	w->submitted[i]->status = status;
	w->submitted[i]->done(w->submitted[i]);
}

/* The next answer's header; true when one is there. */
static bool answered(struct world *w, uint64_t cookie, uint32_t error)
{
	uint8_t bytes[NBD_REPLY_BYTES];
	uint32_t word;
	uint64_t found;

	if (recv(w->kernel, bytes, sizeof(bytes), MSG_DONTWAIT) != sizeof(bytes))
		return false;
	memcpy(&word, bytes, 4);
	assert_int_equal(be32toh(word), NBD_REPLY_MAGIC);
	memcpy(&word, bytes + 4, 4);
	memcpy(&found, bytes + 8, 8);
	assert_int_equal(be32toh(word), error);
	assert_int_equal(found, cookie);
	return true;
}

static void test_write_in_pieces(void **state)
{
	struct world *w = *state;
	uint8_t all[NBD_REQUEST_BYTES + 4096];

	header(all, NBD_FUA, NBD_WRITE, 77, 8192, 4096);
	for (unsigned i = 0; i < 4096; i++)
		all[NBD_REQUEST_BYTES + i] = (uint8_t)(i * 7);
	for (size_t at = 0; at < sizeof(all); at += 100) {
		assert_int_equal(w->count, 0);
		put(w, all + at, min_u64(100, sizeof(all) - at));
		fetch_all(w);
	}
	assert_int_equal(w->count, 1);
	assert_int_equal(w->submitted[0]->op, REQUEST_WRITE);
	assert_int_equal(w->submitted[0]->flags, LS_FUA);
	assert_int_equal(w->submitted[0]->offset, 8192);
	assert_int_equal(w->submitted[0]->length, 4096);
	assert_memory_equal(w->submitted[0]->buf, all + NBD_REQUEST_BYTES, 4096);
	nbd_server_publish(&w->server);
	assert_false(answered(w, 77, 0));
	complete(w, 0, LS_OK);
	nbd_server_publish(&w->server);
	assert_true(answered(w, 77, 0));
	assert_int_equal(w->completed, 1);
}

/* Longer than a buffer: cut, done in any order, answered whole and in order. */
static void test_read_of_several_buffers(void **state)
{
	struct world *w = *state;
	static uint8_t got[2 * NBD_BUFFER_BYTES + 4096];

	ask(w, 0, NBD_READ, 5, 1 << 20, sizeof(got));
	fetch_all(w);
	assert_int_equal(w->count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w->submitted[i]->offset, (1u << 20) + i * NBD_BUFFER_BYTES);
		memset(w->submitted[i]->buf, (int)('a' + i), w->submitted[i]->length);
	}
	assert_int_equal(w->submitted[2]->length, 4096);
	complete(w, 2, LS_OK);
	complete(w, 0, LS_OK);
	nbd_server_publish(&w->server);
	assert_false(answered(w, 5, 0));
	complete(w, 1, LS_OK);
	for (size_t at = 0, head = 0; at < sizeof(got);) {
		ssize_t n;

		nbd_server_publish(&w->server);
		if (!head) {
			assert_true(answered(w, 5, 0));
			head = 1;
		}
		n = recv(w->kernel, got + at, sizeof(got) - at, MSG_DONTWAIT);
		if (n > 0)
			at += (size_t)n;
		else
			fetch(w); /* finds that the socket takes more */
	}
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 'a' + i / NBD_BUFFER_BYTES);
	assert_int_equal(w->server.free_count, NBD_BUFFERS);
}

static void test_error_of_one_part_is_that_of_all(void **state)
{
	struct world *w = *state;

	ask(w, 0, NBD_READ, 9, 0, 2 * NBD_BUFFER_BYTES);
	fetch_all(w);
	complete(w, 1, LS_NOT_PRIMARY);
	complete(w, 0, LS_OK);
	nbd_server_publish(&w->server);
	assert_true(answered(w, 9, NBD_EPERM));
	assert_int_equal(recv(w->kernel, &(char){0}, 1, MSG_DONTWAIT), -1); /* no data behind it */
}

static void test_more_than_there_are_buffers(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < NBD_BUFFERS + 8; i++)
		ask(w, 0, NBD_FLUSH, i, 0, 0);
	fetch_all(w);
	assert_int_equal(w->count, NBD_BUFFERS);
	assert_false(nbd_server_events(&w->server) & EPOLLIN); /* or the shard could not sleep */
	assert_false(nbd_server_ready(&w->server));
	for (unsigned i = 0; i < NBD_BUFFERS; i++)
		complete(w, i, LS_OK);
	nbd_server_publish(&w->server);
	assert_true(nbd_server_ready(&w->server)); /* and now it may not */
	fetch_all(w);
	assert_int_equal(w->count, NBD_BUFFERS + 8);
	assert_true(nbd_server_events(&w->server) & EPOLLIN);
	for (unsigned i = NBD_BUFFERS; i < NBD_BUFFERS + 8; i++)
		complete(w, i, LS_OK);
	nbd_server_publish(&w->server);
	for (unsigned i = 0; i < NBD_BUFFERS + 8; i++)
		assert_true(answered(w, i, 0));
}

static void test_operations(void **state)
{
	static const struct {
		uint16_t flags, type, op, ls_flags;
	} cases[] = {
		{0, NBD_FLUSH, REQUEST_FLUSH, 0},
		{NBD_FUA, NBD_FLUSH, REQUEST_FLUSH, 0},
		{0, NBD_TRIM, REQUEST_DISCARD, 0},
		{NBD_FUA, NBD_TRIM, REQUEST_WRITE_ZEROES, LS_FUA},
		{0, NBD_WRITE_ZEROES, REQUEST_WRITE_ZEROES, 0},
		{NBD_FUA, NBD_WRITE_ZEROES, REQUEST_WRITE_ZEROES, LS_FUA},
		{NBD_FUA, NBD_READ, REQUEST_READ, 0},
	};
	struct world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(w, cases[i].flags, cases[i].type, i, 4096, 8192);
		fetch_all(w);
		assert_int_equal(w->count, i + 1);
		assert_int_equal(w->submitted[i]->op, cases[i].op);
		assert_int_equal(w->submitted[i]->flags, cases[i].ls_flags);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		complete(w, i, LS_OK);
}

static void test_refused(void **state)
{
	static const struct {
		uint16_t flags, type;
		uint32_t length, payload;
		uint64_t offset;
		enum nbd_error error; /* 0: NBD_EINVAL */
	} cases[] = {
		{0, 5, 4096, 0},
		{0, 99, 4096, 0},
		{2, NBD_WRITE_ZEROES, 4096, 0},
		{0, NBD_READ, 0, 0},
		{0, NBD_READ, NBD_REQUEST_MAX + 1, 0},
		{0, NBD_WRITE, 0, 0},
		{4, NBD_WRITE, 9000, 9000},
		{0, NBD_WRITE, NBD_REQUEST_MAX + 4096, NBD_REQUEST_MAX + 4096},
		/* Its second part would begin at 0. */
		{0, NBD_WRITE, 2 * NBD_BUFFER_BYTES, 2 * NBD_BUFFER_BYTES,
		 -(uint64_t)NBD_BUFFER_BYTES, NBD_ENOSPC},
	};
	static uint8_t payload[65536];
	struct world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(w, cases[i].flags, cases[i].type, i, cases[i].offset, cases[i].length);
		for (uint32_t left = cases[i].payload; left;) {
			uint32_t bytes = (uint32_t)min_u64(left, sizeof(payload));

			put(w, payload, bytes);
			left -= bytes;
			while (readable(w))
				fetch(w);
		}
		fetch_all(w);
		nbd_server_publish(&w->server);
		assert_true(answered(w, i, cases[i].error ? cases[i].error : NBD_EINVAL));
		assert_int_equal(w->server.free_count, NBD_BUFFERS);
	}
	assert_int_equal(w->count, 0);
	ask(w, 0, NBD_FLUSH, 1, 0, 0);
	fetch_all(w);
	assert_int_equal(w->count, 1);
	complete(w, 0, LS_OK);
}

static void test_end(void **state)
{
	struct world *w = *state;
	uint8_t wrong[NBD_REQUEST_BYTES] = {1};

	ask(w, 0, NBD_READ, 1, 0, 4096);
	fetch_all(w);
	put(w, wrong, sizeof(wrong));
	fetch_all(w);
	assert_true(w->server.ended);
	complete(w, 0, LS_OK);
	nbd_server_publish(&w->server);
	assert_false(answered(w, 1, 0));
	assert_int_equal(nbd_server_events(&w->server), 0);
}

static void test_disconnect(void **state)
{
	struct world *w = *state;

	ask(w, 0, NBD_DISCONNECT, 1, 0, 0);
	ask(w, 0, NBD_FLUSH, 2, 0, 0);
	fetch_all(w);
	assert_true(w->server.ended);
	assert_int_equal(w->count, 0);
}

/* What is left in a connection that was shut is not taken: it was sent again on another one. */
static void test_shut_is_not_read(void **state)
{
	struct world *w = *state;
	uint8_t payload[4096] = {7};

	ask(w, 0, NBD_WRITE, 1, 0, 4096);
	put(w, payload, sizeof(payload));
	shutdown(w->kernel, SHUT_RDWR);
	fetch_all(w);
	assert_true(w->server.ended);
	assert_int_equal(w->count, 0);
}

/* Nor is anything read of one that the look said nothing of. */
static void test_not_looked_at_is_not_read(void **state)
{
	struct world *w = *state;

	ask(w, 0, NBD_FLUSH, 1, 0, 0);
	ask(w, 0, NBD_FLUSH, 2, 0, 0);
	assert_int_equal(nbd_server_fetch(&w->server, 32), 0);
	nbd_server_look(&w->server, EPOLLIN);
	assert_int_equal(nbd_server_fetch(&w->server, 1), 1);
	assert_int_equal(nbd_server_fetch(&w->server, 1), 0);
	assert_int_equal(w->count, 1);
	complete(w, 0, LS_OK);
}

static void test_a_full_socket(void **state)
{
	struct world *w = *state;
	static uint8_t data[NBD_BUFFER_BYTES];
	size_t total = 0;
	ssize_t n;

	for (unsigned i = 0; i < 8; i++)
		ask(w, 0, NBD_READ, i, 0, NBD_BUFFER_BYTES);
	fetch_all(w);
	for (unsigned i = 0; i < 8; i++)
		complete(w, i, LS_OK);
	nbd_server_publish(&w->server);
	assert_true(w->server.blocked);
	assert_true(nbd_server_events(&w->server) & EPOLLOUT);
	for (bool more = true; more;) {
		more = false;
		while ((n = recv(w->kernel, data, sizeof(data), MSG_DONTWAIT)) > 0) {
			total += (size_t)n;
			more = true;
		}
		fetch(w);
		nbd_server_publish(&w->server);
	}
	assert_int_equal(total, 8 * (NBD_REPLY_BYTES + NBD_BUFFER_BYTES));
	assert_false(nbd_server_events(&w->server) & EPOLLOUT);
	assert_int_equal(w->server.free_count, NBD_BUFFERS);
}

/* The kernel is gone while answers wait, and while a payload is half there. */
static void test_gone_in_the_middle(void **state)
{
	struct world *w = *state;
	uint8_t half[2048] = {0};

	ask(w, 0, NBD_FLUSH, 1, 0, 0);
	fetch_all(w);
	ask(w, 0, NBD_WRITE, 2, 0, 4096);
	put(w, half, sizeof(half));
	fetch_all(w);
	close(w->kernel);
	w->kernel = open("/dev/null", O_RDONLY);
	complete(w, 0, LS_OK);
	nbd_server_publish(&w->server);
	assert_true(w->server.ended);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		EACH(test_write_in_pieces),
		EACH(test_read_of_several_buffers),
		EACH(test_error_of_one_part_is_that_of_all),
		EACH(test_more_than_there_are_buffers),
		EACH(test_operations),
		EACH(test_refused),
		EACH(test_end),
		EACH(test_disconnect),
		EACH(test_shut_is_not_read),
		EACH(test_not_looked_at_is_not_read),
		EACH(test_a_full_socket),
		EACH(test_gone_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
