/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/client_engine.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq_layout.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int queue_make(struct fake_engine *f, const struct attach_hello *hello, int memory,
		      struct err *err)
{
	assert(!f->queue && !!(hello->flags & ATTACH_HELLO_MEMORY) == (memory >= 0));
	if (memory < 0)
		return shmq_create(hello->queue_depth, hello->arena_bytes, &f->queue, err);
	f->adopted++;
	return shmq_adopt(hello->queue_depth, hello->arena_bytes, memory, &f->queue, err);
}

/* A client that ends meanwhile goes without it; that end is what is read next. */
static void answer(struct fake_engine *f, const void *reply, size_t bytes, const int *fds,
		   unsigned nr_fds)
{
	int rc = attach_send(f->socket, reply, bytes, fds, nr_fds);

	assert(rc == 0 || rc == -EPIPE || rc == -ECONNRESET);
}

static void hello_answer(struct fake_engine *f, const char *bytes, size_t length, int memory)
{
	struct attach_hello_reply reply;
	struct attach_hello hello;
	struct err err = {0};
	struct shmq_fds fds;
	int rc = attach_hello_check(bytes, length, &hello, &err);

	if (!rc && f->way == FAKE_REFUSES)
		rc = err_set(&err, -ENOMEM, "cannot register 32 MiB: raise LimitMEMLOCK");
	if (!rc && f->busy) {
		f->busy--;
		rc = err_set(&err, -EBUSY, "the former session is in flight");
	}
	if (!rc)
		rc = queue_make(f, &hello, memory, &err);
	else if (memory >= 0)
		close(memory);
	if (rc) {
		attach_hello_reply_fail(&reply, &err);
		answer(f, &reply, sizeof(reply), NULL, 0);
		return;
	}
	attach_hello_reply_set(&reply, hello.queue_depth, hello.arena_bytes);
	if (f->way == FAKE_OTHER_VERSION)
		reply.reply.abi_version = 42;
	fds = shmq_fds(f->queue);
	answer(f, &reply, sizeof(reply), (int[]){fds.memory, fds.doorbell, fds.wakeup},
	       f->way == FAKE_NO_MEMORY ? 0 : ATTACH_NR_FDS);
}

static void open_answer(struct fake_engine *f, const char *bytes, size_t length)
{
	const struct ls_volume_info info = {f->volume_bytes, 512, 65536, 1, 1};
	const uint8_t id[ATTACH_ID_BYTES] = {f->id};
	struct attach_open_reply reply;
	struct attach_open open;
	struct err err = {0};
	int rc = attach_open_check(bytes, length, &open, &err);

	if (!rc && (!f->id || strcmp(open.name, FAKE_VOLUME) != 0))
		rc = err_set(&err, -ENOENT, "no such volume; the pool has '%s'", FAKE_VOLUME);
	if (!rc && f->way == FAKE_STOPS_AT_OPEN)
		rc = err_set(&err, -ESHUTDOWN, "the engine is stopping");
	if (rc)
		attach_open_reply_fail(&reply, &err);
	else
		attach_open_reply_set(&reply, f->handle, &info, id);
	answer(f, &reply, sizeof(reply), NULL, 0);
}

static void socket_close(struct fake_engine *f)
{
	if (f->socket >= 0)
		close(f->socket);
	f->socket = -1;
}

static void session_close(struct fake_engine *f)
{
	socket_close(f);
	shmq_destroy(f->queue);
	f->queue = NULL;
}

static void message_answer(struct fake_engine *f)
{
	char buffer[ATTACH_MESSAGE_MAX];
	unsigned got = 0;
	int memory = -1;
	ssize_t n = attach_receive(f->socket, buffer, &memory, 1, &got);
	bool hello = n > 0 && attach_type(buffer, (size_t)n) == ATTACH_HELLO;
	bool ignored = hello && (f->way == FAKE_NO_ANSWER || f->way == FAKE_HANGS_UP);

	if (ignored && got)
		close(memory);
	if (n <= 0 || f->way == (hello ? FAKE_HANGS_UP : FAKE_ENDS_AT_OPEN))
		session_close(f);
	else if (hello && !ignored)
		hello_answer(f, buffer, (size_t)n, got ? memory : -1);
	else if (!hello)
		open_answer(f, buffer, (size_t)n);
}

/* Reads and writes in earnest; a small part of the core's checks. */
static enum ls_status request_do(struct fake_engine *f, const struct shmq_request *r)
{
	struct region *arena = shmq_arena(f->queue);
	char *data = (char *)arena->base + r->buffer;

	if (f->way == FAKE_STOPS)
		return LS_SHUTDOWN;
	if (r->volume != f->handle)
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

static void request_serve(struct fake_engine *f, const struct shmq_request *r, uint64_t tag)
{
	enum ls_status status;

	if (f->fetched < FAKE_JOURNAL_MAX)
		f->journal[f->fetched] = *r;
	f->fetched++;
	if (f->way == FAKE_HOLDS)
		return;
	status = request_do(f, r);
	f->served++;
	if (f->way == FAKE_KEEPS_SILENT || !f->completes)
		return;
	f->completes--;
	shmq_complete(f->queue, tag, status, 0, 1000);
	shmq_publish(f->queue);
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
		session_close(f);
		return 0;
	}
	for (int i = 0; i < n; i++)
		request_serve(f, &r[i], f->way == FAKE_REPEATS ? r[0].tag : r[i].tag);
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
		if (f->queue)
			(void)!read(shmq_fds(f->queue).doorbell, &count, sizeof(count));
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

void fake_restart(struct fake_engine *f, enum fake_way way)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	f->way = way;
	f->fetched = 0;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert(bind(f->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(f->listener, 5) == 0);
	assert(pthread_create(&f->thread, NULL, engine_main, f) == 0);
	f->running = true;
}

struct fake_engine *fake_start(enum fake_way way)
{
	struct fake_engine *f = calloc(1, sizeof(*f));

	assert(f);
	f->socket = -1;
	f->volume_bytes = FAKE_VOLUME_BYTES;
	f->handle = FAKE_HANDLE;
	f->id = 1;
	f->completes = UINT_MAX;
	sem_init(&f->followed, 0, 0);
	snprintf(f->folder, sizeof(f->folder), "/tmp/ls-client-XXXXXX");
	assert(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/s", f->folder);
	f->control = eventfd(0, EFD_CLOEXEC);
	fake_restart(f, way);
	return f;
}

void fake_order(struct fake_engine *f, enum fake_order order)
{
	uint64_t one = 1;

	f->order = order;
	assert(write(f->control, &one, sizeof(one)) == sizeof(one));
	while (sem_wait(&f->followed))
		assert(errno == EINTR);
	if (order == FAKE_DIE) {
		pthread_join(f->thread, NULL);
		f->running = false;
	}
}

void fake_await(struct fake_engine *f, uint64_t fetched, bool asleep)
{
	struct shmq_header *header;
	struct shmq_layout layout;

	while (f->fetched < fetched)
		sched_yield();
	/* A client that has left by now took the queue with it. */
	if (!asleep)
		return;
	layout = shmq_layout_of(shmq_depth(f->queue), 4096);
	header = (void *)((char *)shmq_arena(f->queue)->base - layout.arena_offset);
	while (!atomic_load(&header->client_sleep))
		sched_yield();
}

void fake_stop(struct fake_engine *f)
{
	if (f->running)
		fake_order(f, FAKE_DIE);
	close(f->control);
	sem_destroy(&f->followed);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
}
