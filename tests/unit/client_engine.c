/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/client_engine.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq_layout.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void hello_answer(struct fake_engine *f, const char *bytes, size_t length)
{
	struct attach_hello_reply reply;
	struct attach_hello hello;
	struct err err = {0};
	struct shmq_fds fds;
	int rc = attach_hello_check(bytes, length, &hello, &err);

	if (!rc && f->way == FAKE_REFUSES)
		rc = err_set(&err, -ENOMEM, "cannot register 32 MiB: raise LimitMEMLOCK");
	if (!rc)
		rc = shmq_create(hello.queue_depth, hello.arena_bytes, &f->queue, &err);
	if (rc) {
		attach_hello_reply_fail(&reply, &err);
		assert(attach_send(f->socket, &reply, sizeof(reply), NULL, 0) == 0);
		return;
	}
	attach_hello_reply_set(&reply, hello.queue_depth, hello.arena_bytes);
	if (f->way == FAKE_OTHER_VERSION)
		reply.reply.abi_version = 42;
	fds = shmq_fds(f->queue);
	rc = attach_send(f->socket, &reply, sizeof(reply),
			 (int[]){fds.memory, fds.doorbell, fds.wakeup},
			 f->way == FAKE_NO_MEMORY ? 0 : ATTACH_NR_FDS);
	assert(rc == 0);
}

static void open_answer(struct fake_engine *f, const char *bytes, size_t length)
{
	const struct ls_volume_info info = {FAKE_VOLUME_BYTES, 512, 65536, 1, 1};
	struct attach_open_reply reply;
	struct attach_open open;
	struct err err = {0};
	int rc = attach_open_check(bytes, length, &open, &err);

	if (!rc && strcmp(open.name, FAKE_VOLUME) != 0)
		rc = err_set(&err, -ENOENT, "no such volume; the pool has '%s'", FAKE_VOLUME);
	if (rc)
		attach_open_reply_fail(&reply, &err);
	else
		attach_open_reply_set(&reply, FAKE_HANDLE, &info);
	assert(attach_send(f->socket, &reply, sizeof(reply), NULL, 0) == 0);
}

static void socket_close(struct fake_engine *f)
{
	if (f->socket >= 0)
		close(f->socket);
	f->socket = -1;
}

static void message_answer(struct fake_engine *f)
{
	char buffer[ATTACH_MESSAGE_MAX];
	ssize_t n = attach_receive(f->socket, buffer, NULL, 0, NULL);

	if (n <= 0 || f->way == FAKE_HANGS_UP)
		socket_close(f);
	else if (attach_type(buffer, (size_t)n) == ATTACH_HELLO)
		hello_answer(f, buffer, (size_t)n);
	else
		open_answer(f, buffer, (size_t)n);
}

/* Reads and writes in earnest; a small part of the core's checks. */
static enum ls_status request_do(struct fake_engine *f, const struct shmq_request *r)
{
	struct region *arena = shmq_arena(f->queue);
	char *data = (char *)arena->base + r->buffer;

	if (r->volume != FAKE_HANDLE)
		return LS_NO_VOLUME;
	if (r->flags & ~LS_FUA)
		return LS_INVALID;
	if (r->op == SHMQ_FLUSH)
		return LS_OK;
	if (r->offset > FAKE_VOLUME_BYTES || r->length > FAKE_VOLUME_BYTES - r->offset)
		return LS_OUT_OF_RANGE;
	if (r->op == SHMQ_DISCARD || r->op == SHMQ_WRITE_ZEROES) {
		memset(f->volume + r->offset, 0, r->length);
		return LS_OK;
	}
	if (r->buffer > arena->length_bytes || r->length > arena->length_bytes - r->buffer)
		return LS_BAD_BUFFER;
	if (r->op == SHMQ_WRITE)
		memcpy(f->volume + r->offset, data, r->length);
	else if (r->op == SHMQ_READ)
		memcpy(data, f->volume + r->offset, r->length);
	else
		return LS_INVALID;
	return LS_OK;
}

/* Returns the number of requests that it did. */
static int queue_serve(struct fake_engine *f)
{
	struct shmq_request r[16];
	int n;

	if (!f->queue)
		return 0;
	n = shmq_fetch(f->queue, r, 16);
	if (n < 0) { /* The client broke the rules: it is dropped. */
		shmq_destroy(f->queue);
		f->queue = NULL;
		socket_close(f);
		return 0;
	}
	for (int i = 0; i < n && f->way != FAKE_HOLDS; i++)
		shmq_complete(f->queue, r[i].tag, request_do(f, &r[i]), 0, 1000);
	shmq_publish(f->queue);
	f->fetched += (uint64_t)n;
	return n;
}

static void order_follow(struct fake_engine *f)
{
	int order = f->order;

	if (order == FAKE_GO_ON)
		return;
	if (order != FAKE_CLOSE_QUEUE)
		socket_close(f);
	if (order != FAKE_CLOSE_SOCKET) {
		shmq_destroy(f->queue);
		f->queue = NULL;
	}
	if (order == FAKE_DIE) {
		close(f->listener);
		f->listener = -1;
	}
	f->order = FAKE_GO_ON;
	sem_post(&f->followed);
}

static void *engine_main(void *arg)
{
	struct fake_engine *f = arg;
	uint64_t count;

	for (;;) {
		order_follow(f);
		if (f->listener < 0)
			return NULL;
		if (queue_serve(f) || (f->queue && shmq_arm(f->queue)))
			continue;
		struct pollfd fds[] = {
			{.fd = f->control, .events = POLLIN},
			{.fd = f->socket < 0 ? f->listener : f->socket, .events = POLLIN},
			{.fd = f->queue ? shmq_fds(f->queue).doorbell : -1, .events = POLLIN},
		};
		poll(fds, 3, -1);
		if (f->queue)
			shmq_disarm(f->queue);
		if (fds[0].revents)
			assert(read(f->control, &count, sizeof(count)) == sizeof(count));
		if (fds[1].revents && f->socket < 0)
			f->socket = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		else if (fds[1].revents)
			message_answer(f);
	}
}

struct fake_engine *fake_start(enum fake_way way)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct fake_engine *f = calloc(1, sizeof(*f));

	assert(f);
	f->way = way;
	f->socket = -1;
	sem_init(&f->followed, 0, 0);
	snprintf(f->folder, sizeof(f->folder), "/tmp/ls-client-XXXXXX");
	assert(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/s", f->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	f->control = eventfd(0, EFD_CLOEXEC);
	assert(bind(f->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(f->listener, 5) == 0);
	assert(pthread_create(&f->thread, NULL, engine_main, f) == 0);
	return f;
}

void fake_order(struct fake_engine *f, enum fake_order order)
{
	uint64_t one = 1;

	f->order = order;
	assert(write(f->control, &one, sizeof(one)) == sizeof(one));
	while (sem_wait(&f->followed))
		assert(errno == EINTR);
}

void fake_await(struct fake_engine *f, uint64_t fetched, bool asleep)
{
	struct shmq_header *header;
	struct shmq_layout layout;

	while (f->fetched < fetched)
		sched_yield();
	layout = shmq_layout_of(shmq_depth(f->queue), 4096);
	header = (void *)((char *)shmq_arena(f->queue)->base - layout.arena_offset);
	while (asleep && !atomic_load(&header->client_sleep))
		sched_yield();
}

void fake_stop(struct fake_engine *f)
{
	if (f->listener >= 0)
		fake_order(f, FAKE_DIE);
	pthread_join(f->thread, NULL);
	close(f->control);
	sem_destroy(&f->followed);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
}
