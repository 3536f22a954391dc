/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/contract/store_support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct store_target target;

bool target_is_file(void)
{
	return target.folder[0] != '\0';
}

int target_open(struct store_queue *queue, struct store **store, struct err *err)
{
	return store_open(queue, target.uri, target.size_bytes, store, err);
}

/* Queue and store are made on a thread of their own, as the control thread does. */
static void *open_elsewhere(void *argument)
{
	struct env *e = argument;
	struct err err = {0};

	if (queue_create_at(target.rung, ENV_DEPTH, &e->queue, &err) < 0 ||
	    target_open(e->queue, &e->store, &err) < 0) {
		printf("%s\n", err.text);
		return argument;
	}
	return NULL;
}

int env_setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	pthread_t control;
	void *failed;

	pthread_create(&control, NULL, open_elsewhere, e);
	pthread_join(control, &failed);
	if (failed)
		return -1;
	assert_int_equal(e->queue->rung, target.rung);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, store_queue_fd(e->queue), &event);
	*state = e;
	return 0;
}

int env_teardown(void **state)
{
	struct env *e = *state;

	close(e->epoll_fd);
	assert_int_equal(e->store->in_flight, 0);
	assert_int_equal(store_queue_stats(e->queue).bounced, 0);
	store_close(e->store);
	store_queue_destroy(e->queue);
	free(e);
	return 0;
}

void buffer_fill(void *buf, size_t bytes, uint32_t seed)
{
	uint32_t *word = buf;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = (uint32_t)(i * 2654435761u) ^ (seed * 40503u + 1);
}

void *buffer_new(size_t bytes, uint32_t seed)
{
	void *buf = aligned_alloc(4096, round_up_u64(bytes, 4096));

	assert_non_null(buf);
	buffer_fill(buf, bytes, seed);
	return buf;
}

void assert_filled(const void *buf, size_t bytes, uint32_t seed)
{
	void *expected = buffer_new(bytes, seed);

	assert_memory_equal(buf, expected, bytes);
	free(expected);
}

void assert_zeroes(const void *buf, size_t bytes)
{
	const unsigned char *byte = buf;

	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(byte[i], 0);
}

static void probe_done(struct store_op *op)
{
	struct probe *p = CONTAINER_OF(op, struct probe, op);

	p->done_count++;
	if (p->polling)
		assert_true(*p->polling);
	if (p->again)
		store_submit(op->store, &p->again->op);
}

struct probe probe_make(enum store_code code, uint64_t offset, uint64_t length, void *buf)
{
	return (struct probe){
		.op = {.code = code,
		       .offset = offset,
		       .length = length,
		       .buf = buf,
		       .done = probe_done,
		       /* Not a status: shows that the store sets it. */
		       .status = LS_PROTOCOL},
	};
}

void probe_wait(struct env *e, struct probe *p)
{
	while (p->done_count == 0) {
		struct epoll_event event;

		store_queue_flush(e->queue);
		if (store_queue_poll(e->queue, 64) > 0 || store_queue_arm(e->queue))
			continue;
		/* 0: nothing in all that time. -1: a signal, that is, task work. */
		assert_int_not_equal(epoll_wait(e->epoll_fd, &event, 1, WAIT_LIMIT_MS), 0);
	}
}

enum ls_status run_probe(struct env *e, struct store *store, struct probe *p)
{
	store_submit(store, &p->op);
	assert_int_equal(p->done_count, 0);
	probe_wait(e, p);
	assert_int_equal(p->done_count, 1);
	return p->op.status;
}

enum ls_status run(struct env *e, enum store_code code, uint64_t offset, uint64_t length, void *buf)
{
	struct probe p = probe_make(code, offset, length, buf);

	return run_probe(e, e->store, &p);
}

void lay(struct env *e, uint64_t total, uint32_t seed)
{
	uint32_t piece = (uint32_t)min_u64(total, e->store->geometry.io_max_bytes);
	void *buf = buffer_new(piece, seed);

	for (uint64_t at = 0; at < total; at += piece)
		assert_int_equal(run(e, STORE_WRITE, at, min_u64(piece, total - at), buf), LS_OK);
	free(buf);
}

void assert_range(struct env *e, uint64_t at, uint64_t bytes, bool zeroes)
{
	const struct store_geometry *g = &e->store->geometry;
	void *buf = buffer_new(g->io_max_bytes, 0);

	for (uint64_t end = at + bytes; at < end;) {
		uint64_t piece = min_u64(g->io_max_bytes, end - at);

		assert_int_equal(run(e, STORE_READ, at, piece, buf), LS_OK);
		if (zeroes)
			assert_zeroes(buf, piece);
		at += piece;
	}
	free(buf);
}

/* The linker sends calls of malloc() here (--wrap): see CMakeLists.store.cmake. */

static unsigned long allocation_count;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	allocation_count++;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	allocation_count++;
	return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	allocation_count++;
	return __real_realloc(old, bytes);
}

unsigned long allocations(void)
{
	return allocation_count;
}
