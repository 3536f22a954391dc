/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's queue: the client library on one side, the engine's side on the other, between them
 * the real shared memory, mapped twice.  Nothing is done with a request but to complete it.
 */
#include "bench/micro/bench_c.h"
#include "bench/micro/benches.h"
#include "engine/include/lockstep.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEPTH 128u
#define BATCH_MAX 32u
/* Long enough that no wait ends in a sleep. */
#define SPIN_US 1000000u

struct ring {
	char folder[32], path[64];
	int listener;
	struct shmq *queue; /* the engine's side */
	int session;
	struct ls_connection *client;
	void *buf;
	pthread_t thread;
	_Atomic bool stop;
};

_Noreturn static void give_up(const char *what)
{
	fprintf(stderr, "bench-micro: a client's queue: %s\n", what);
	exit(1);
}

/* --- set-up --- */

/* The engine's part of the handshake, once. */
static void *attach_one(void *arg)
{
	struct ring *r = arg;
	char bytes[ATTACH_MESSAGE_MAX];
	struct attach_hello_reply reply;
	struct attach_hello hello;
	struct shmq_fds fds;
	struct err err;
	ssize_t n;

	r->session = accept(r->listener, NULL, NULL);
	n = attach_receive(r->session, bytes, NULL, 0, NULL);
	if (n <= 0 || attach_hello_check(bytes, (size_t)n, &hello, &err) ||
	    shmq_create(hello.queue_depth, hello.arena_bytes, &r->queue, &err))
		give_up("it cannot be made");
	attach_hello_reply_set(&reply, hello.queue_depth, hello.arena_bytes);
	fds = shmq_fds(r->queue);
	if (attach_send(r->session, &reply, sizeof(reply),
			(int[]){fds.memory, fds.doorbell, fds.wakeup}, ATTACH_NR_FDS))
		give_up("it cannot be handed over");
	return NULL;
}

static void ring_open(struct ring *r)
{
	struct ls_options options = {
		.size = sizeof(options),
		.queue_depth = DEPTH,
		.arena_bytes = 1u << 20,
		.reconnect_ms = LS_RECONNECT_NEVER,
		.spin_us = SPIN_US,
	};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char message[256];

	*r = (struct ring){.folder = "/tmp/bench-micro.XXXXXX"};
	if (!mkdtemp(r->folder))
		give_up("no folder for its socket");
	snprintf(r->path, sizeof(r->path), "%s/socket", r->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", r->path);
	r->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (r->listener < 0 || bind(r->listener, (void *)&address, sizeof(address)) ||
	    listen(r->listener, 1) || pthread_create(&r->thread, NULL, attach_one, r))
		give_up("no socket");
	options.socket = r->path;
	if (ls_connect(&options, &r->client, message, sizeof(message)))
		give_up(message);
	pthread_join(r->thread, NULL);
	r->buf = ls_buf_alloc(r->client, 4096);
	unlink(r->path);
	rmdir(r->folder);
}

static void ring_close(struct ring *r)
{
	ls_disconnect(r->client);
	shmq_destroy(r->queue);
	close(r->session);
	close(r->listener);
}

/* --- both sides --- */

/* What the engine's loop does with a client in one pass; returns how much there was. */
static int serve(struct ring *r)
{
	struct shmq_request batch[BATCH_MAX];
	int n = shmq_fetch(r->queue, batch, BATCH_MAX);

	if (n < 0)
		give_up("it is broken");
	for (int i = 0; i < n; i++)
		shmq_complete(r->queue, batch[i].tag, LS_OK, 0, 0);
	shmq_publish(r->queue);
	return n;
}

static void submit(struct ring *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (ls_write(r->client, 0, r->buf, (uint64_t)i * 4096, 4096, 0, i))
			give_up("it is full");
	ls_submit(r->client);
}

static void take(struct ring *r, unsigned count)
{
	struct ls_completion done[BATCH_MAX];
	unsigned taken = 0;

	while (taken < count) {
		int n = ls_wait(r->client, done, BATCH_MAX, -1);

		if (n < 0)
			give_up(ls_error(r->client));
		taken += (unsigned)n;
	}
}

/* Both sides in one thread: what they do, without what it costs to move cache lines. */
static void ring_alone(struct bench *b)
{
	unsigned count = (unsigned)b->arg, queued = 0;
	struct ring r;

	ring_open(&r);
	while (bench_next(b)) {
		if (++queued < count)
			continue;
		submit(&r, count);
		serve(&r);
		take(&r, count);
		queued = 0;
	}
	ring_close(&r);
}

/* --- two cores --- */

static void pin(unsigned which)
{
	cpu_set_t all, one;

	if (sched_getaffinity(getpid(), sizeof(all), &all))
		give_up("the CPUs are not known");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || which-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

static void pause_briefly(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static bool two_cpus(struct bench *b, cpu_set_t *mine)
{
	if (!sched_getaffinity(0, sizeof(*mine), mine) && CPU_COUNT(mine) >= 2)
		return true;
	bench_skip(b, "it takes two CPUs");
	return false;
}

/* Two words, each written by one side, far enough from each other. */
struct lines {
	alignas(256) _Atomic uint64_t there;
	alignas(256) _Atomic uint64_t back;
	pthread_t thread;
};

#define LINES_END UINT64_MAX

static void *line_side(void *arg)
{
	struct lines *l = arg;
	uint64_t seen = 0, now;

	pin(1);
	while (seen != LINES_END) {
		now = atomic_load_explicit(&l->there, memory_order_acquire);
		if (now == seen)
			continue;
		seen = now;
		atomic_store_explicit(&l->back, now, memory_order_release);
	}
	return NULL;
}

/* One word there and one back, both sides looking without a pause. */
static void line_round_trip(struct bench *b)
{
	struct lines l = {0};
	cpu_set_t before;
	uint64_t turn = 0;

	if (!two_cpus(b, &before))
		return;
	if (pthread_create(&l.thread, NULL, line_side, &l))
		give_up("no thread");
	pin(0);
	while (bench_next(b)) {
		atomic_store_explicit(&l.there, ++turn, memory_order_release);
		while (atomic_load_explicit(&l.back, memory_order_acquire) != turn)
			;
	}
	atomic_store(&l.there, LINES_END);
	pthread_join(l.thread, NULL);
	sched_setaffinity(0, sizeof(before), &before);
}

static void *engine_side(void *arg)
{
	struct ring *r = arg;

	pin(1);
	/* A pass of the real loop looks at other things, too, before it comes back to a client. */
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed))
		if (!serve(r))
			pause_briefly();
	return NULL;
}

/* As many requests as the argument says go to the other core and come back. */
static void ring_round_trip(struct bench *b)
{
	cpu_set_t before;
	struct ring r;

	if (!two_cpus(b, &before))
		return;
	ring_open(&r);
	if (pthread_create(&r.thread, NULL, engine_side, &r))
		give_up("no thread");
	pin(0);
	while (bench_next(b)) {
		submit(&r, (unsigned)b->arg);
		take(&r, (unsigned)b->arg);
	}
	atomic_store(&r.stop, true);
	pthread_join(r.thread, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	ring_close(&r);
}

void add_ring_benches(void)
{
	static const int64_t counts[] = {1, 8, 32};

	bench_add(&(struct bench_spec){
		.name = "ring/line_round_trip",
		.run = line_round_trip,
		.uncounted = "two threads that wait for each other",
	});
	bench_add(&(struct bench_spec){
		.name = "ring/round_trip",
		.run = ring_round_trip,
		.args = counts,
		.args_count = 3,
		.uncounted = "two threads that wait for each other",
	});
	bench_add(&(struct bench_spec){
		.name = "ring/one_request",
		.run = ring_alone,
		.args = counts,
		.args_count = 3,
	});
}
