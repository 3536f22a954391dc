/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever comes through the socket of a block device, in whatever pieces, and however
 * slowly answers are taken, every part that is submitted lies within its buffer, and all buffers
 * come back.
 *
 * Steps: 0 n BYTES: they are sent; 1: the shard looks and takes; 2 i s: a request in flight ends;
 * 3 n: so many bytes of answers are taken; 4: the other side shuts the socket; others: 1.
 */
#include "engine/daemon/nbd_server.h"
#include "tests/fuzz/input.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct nbd_server server;
static struct request *flying[NBD_BUFFERS];
static unsigned count;
static int kernel;

static void submit(void *ctx, struct request *r)
{
	const uint8_t *base = server.region.base, *buf = r->buf;
	bool data = r->op == REQUEST_READ || r->op == REQUEST_WRITE;

	(void)ctx;
	if (count == NBD_BUFFERS || data != (buf != NULL))
		abort();
	if (data && (r->length > NBD_BUFFER_BYTES || buf < base ||
		     (size_t)(buf - base) % NBD_BUFFER_BYTES ||
		     (size_t)(buf - base) + r->length > server.region.length_bytes))
		abort();
	flying[count++] = r;
}

static void completed(void *ctx)
{
	(void)ctx;
}

static void end_one(unsigned i, uint8_t status)
{
	struct request *r = flying[i];

	flying[i] = flying[--count];
	r->status = status % 16;
	r->done(r);
}

static void look(void)
{
	struct pollfd fd = {.fd = server.fd, .events = POLLIN | POLLOUT | POLLRDHUP};

	if (poll(&fd, 1, 0) >= 0)
		nbd_server_look(&server, (uint32_t)fd.revents);
	nbd_server_fetch(&server, 32);
	nbd_server_publish(&server);
}

static void send_some(struct input *in)
{
	uint8_t bytes[256];
	size_t length = take_u8(in);

	length = take_bytes(in, bytes, length);
	/* A full socket, and one that was shut, take less. */
	(void)!send(kernel, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(struct input *in)
{
	static uint8_t taken[65536];

	switch (take_u8(in)) {
	case 0:
		send_some(in);
		break;
	case 2:
		if (count)
			end_one(take_u8(in) % count, take_u8(in));
		break;
	case 3:
		(void)!recv(kernel, taken, take_u16(in), MSG_DONTWAIT);
		break;
	case 4:
		shutdown(kernel, SHUT_RDWR);
		break;
	default:
		look();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct err err;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || nbd_server_init(&server, ends[1], &err))
		abort();
	kernel = ends[0];
	server.submit = submit;
	server.completed = completed;
	while (in.left)
		step(&in);
	look();
	while (count)
		end_one(0, 0);
	nbd_server_end(&server);
	if (server.free_count != NBD_BUFFERS || server.in_flight)
		abort();
	nbd_server_fini(&server);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
