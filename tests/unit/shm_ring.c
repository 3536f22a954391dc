/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's side of the client queue against honest and hostile clients, one thread. */
#include "tests/unit/shm_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define DEPTH 8u
#define ARENA 65536u

static int set_up(void **state)
{
	static struct shm_peer peer;

	shm_peer_init(&peer, DEPTH, ARENA);
	*state = &peer;
	return 0;
}

static int tear_down(void **state)
{
	shm_peer_fini(*state);
	return 0;
}

static void complete(struct shmq *q, uint64_t tag)
{
	shmq_complete(q, tag, LS_OK, 0, 17);
}

static void poke(_Atomic uint32_t *index, uint32_t value)
{
	atomic_store_explicit(index, value, memory_order_release);
}

/* All requests of one round trip, @n at a time. */
static void round_trip(struct shm_peer *p, uint64_t tag, unsigned n)
{
	struct shmq_request r[DEPTH];

	for (unsigned i = 0; i < n; i++)
		shm_peer_queue(p, tag + i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(r[i].tag, tag + i);
		assert_int_equal(r[i].offset, (tag + i) * 4096);
		assert_int_equal(r[i].length, 4096);
		assert_int_equal(r[i].buffer, (tag + i) % 7 * 4096);
		assert_int_equal(r[i].volume, 3);
		assert_int_equal(r[i].op, SHMQ_WRITE);
		assert_int_equal(r[i].flags, LS_FUA);
		complete(p->queue, r[i].tag);
	}
	assert_int_equal(shm_peer_take(p), UINT64_MAX);
	shmq_publish(p->queue);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(shm_peer_take(p), tag + i);
	assert_int_equal(shm_peer_take(p), UINT64_MAX);
	assert_int_equal(shmq_in_flight(p->queue), 0);
}

static void test_ring_wraps(void **state)
{
	for (uint64_t i = 0; i < 1000; i++)
		round_trip(*state, i * DEPTH, 1 + i % DEPTH);
	assert_int_equal(shmq_wakeups(((struct shm_peer *)*state)->queue), 0);
}

static void test_depth_one(void **state)
{
	struct shm_peer p;

	(void)state;
	shm_peer_init(&p, 1, 1);
	assert_int_equal(shmq_arena(p.queue)->length_bytes, 4096);
	assert_int_equal(shmq_depth(p.queue), 1);
	for (uint64_t i = 0; i < 5; i++)
		round_trip(&p, i, 1);
	shm_peer_fini(&p);
}

static void test_fetch_in_parts(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];

	for (unsigned i = 0; i < DEPTH; i++)
		shm_peer_queue(p, i);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 0);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, 0), 0);
	assert_int_equal(shmq_fetch(p->queue, r, 3), 3);
	assert_int_equal(shmq_fetch(p->queue, r + 3, 3), 3);
	assert_int_equal(shmq_fetch(p->queue, r + 6, 3), 2);
	assert_int_equal(shmq_in_flight(p->queue), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(r[i].tag, i);
}

/* A client that never takes completions but goes on submitting: fetching stops at the depth. */
static void test_completions_never_overflow(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];
	unsigned fetched = 0;
	int n;

	for (unsigned round = 0; round < 4 * DEPTH; round++) {
		if (p->sq_tail - fetched < DEPTH)
			shm_peer_queue(p, round);
		shm_peer_show(p);
		n = shmq_fetch(p->queue, r, DEPTH);
		assert_in_range(n, 0, 1);
		fetched += (unsigned)n;
		if (n)
			complete(p->queue, r[0].tag);
		shmq_publish(p->queue);
		assert_true(p->header->cq_tail <= DEPTH);
	}
	assert_int_equal(fetched, DEPTH);
	assert_false(shmq_arm(p->queue)); /* Or the engine would spin for this client. */
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(shm_peer_take(p), i);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), DEPTH);
}

static void test_in_flight_counts(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];

	for (unsigned i = 0; i < DEPTH; i++)
		shm_peer_queue(p, i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), DEPTH);
	shm_peer_queue(p, 100); /* One more than the rules allow. */
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 0);
	complete(p->queue, 0);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 0); /* Not taken. */
	shmq_publish(p->queue);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 0);
	assert_int_equal(shm_peer_take(p), 0);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 1);
	assert_int_equal(r[0].tag, 100);
}

static void assert_broken(struct shm_peer *p)
{
	struct shmq_request r[DEPTH];

	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), -EPROTO);
	/* For good, even when the client puts things right. */
	poke(&p->header->sq_tail, p->sq_tail);
	poke(&p->header->cq_head, p->cq_head);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), -EPROTO);
	assert_false(shmq_arm(p->queue));
}

static void test_tail_jumps(void **state)
{
	struct shm_peer *p = *state;

	round_trip(p, 0, 3);
	poke(&p->header->sq_tail, p->sq_tail + DEPTH + 1);
	assert_broken(p);
}

static void test_tail_far_away(void **state)
{
	struct shm_peer *p = *state;

	poke(&p->header->sq_tail, 0x80000000u);
	assert_broken(p);
}

static void test_tail_goes_back(void **state)
{
	struct shm_peer *p = *state;

	round_trip(p, 0, 3);
	poke(&p->header->sq_tail, p->sq_tail - 1);
	assert_broken(p);
}

/* Back, but not behind what was fetched. */
static void test_tail_takes_back_shown(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];

	for (unsigned i = 0; i < 4; i++)
		shm_peer_queue(p, i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, 1), 1);
	poke(&p->header->sq_tail, 2);
	assert_broken(p);
}

/* Fills the completion ring, so that the engine has to look at the head. */
static void fill(struct shm_peer *p)
{
	struct shmq_request r[DEPTH];

	for (unsigned i = 0; i < DEPTH; i++)
		shm_peer_queue(p, i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		complete(p->queue, i);
	shm_peer_queue(p, DEPTH);
	shm_peer_show(p);
}

static void test_head_beyond_tail(void **state)
{
	struct shm_peer *p = *state;

	fill(p);
	shmq_publish(p->queue);
	poke(&p->header->cq_head, DEPTH + 1);
	assert_broken(p);
}

static void test_head_beyond_published(void **state)
{
	struct shm_peer *p = *state;

	fill(p); /* Written, but not shown. */
	poke(&p->header->cq_head, 1);
	assert_broken(p);
}

static void test_head_goes_back(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];

	fill(p);
	shmq_publish(p->queue);
	for (unsigned i = 0; i < 4; i++)
		shm_peer_take(p);
	for (unsigned i = 1; i < 4; i++)
		shm_peer_queue(p, DEPTH + i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 4);
	shm_peer_queue(p, 99);
	shm_peer_show(p);
	poke(&p->header->cq_head, 3);
	assert_broken(p);
}

/* A queue that broke still completes what is in flight, and arming tells of the break once. */
static void test_broken_still_completes(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[DEPTH];

	shm_peer_queue(p, 1);
	shm_peer_queue(p, 2);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), 2);
	poke(&p->header->sq_tail, 1000);
	assert_true(shmq_arm(p->queue));
	assert_int_equal(shmq_fetch(p->queue, r, DEPTH), -EPROTO);
	complete(p->queue, 2);
	complete(p->queue, 1);
	shmq_publish(p->queue);
	assert_int_equal(shm_peer_take(p), 2);
	assert_int_equal(shm_peer_take(p), 1);
	assert_int_equal(shmq_in_flight(p->queue), 0);
}

/* What the client does to the memory after the fetch does not change the fetched copy. */
static void test_fetched_copy_stays(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r, copy;
	struct shmq_completion done;

	shm_peer_queue(p, 5);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, &r, 1), 1);
	copy = r;
	memset(p->sq, 0xff, DEPTH * sizeof(*p->sq));
	memset((char *)p->header, 0xff, 64); /* The sizes, too, are not read back. */
	assert_memory_equal(&r, &copy, sizeof(r));
	shmq_complete(p->queue, r.tag, LS_PEER_IO, LS_LEG_PEER, 1234);
	shmq_publish(p->queue);
	done = p->cq[0];
	assert_int_equal(done.tag, 5);
	assert_int_equal(done.status, LS_PEER_IO);
	assert_int_equal(done.failed_legs, LS_LEG_PEER);
	assert_int_equal(done.engine_ns, 1234);
	assert_int_equal(shm_peer_take(p), 5);
	round_trip(p, 6, DEPTH);
}

static void test_sealed(void **state)
{
	struct shm_peer *p = *state;

	assert_int_equal(ftruncate(p->fds.memory, 0), -1);
	assert_int_equal(ftruncate(p->fds.memory, 1 << 30), -1);
	assert_int_equal(fcntl(p->fds.memory, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void test_arm(void **state)
{
	struct shm_peer *p = *state;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int edges = epoll_create1(EPOLL_CLOEXEC);
	struct shmq_request r;

	assert_int_equal(epoll_ctl(edges, EPOLL_CTL_ADD, p->fds.doorbell, &event), 0);
	assert_false(shmq_arm(p->queue));
	assert_false(shm_readable(p->fds.doorbell, 0));
	shm_peer_queue(p, 1);
	shm_peer_show(p);
	shm_peer_queue(p, 2);
	shm_peer_show(p);
	assert_int_equal(p->rings, 1); /* One for each sleep. */
	assert_true(shm_readable(p->fds.doorbell, 0));
	shmq_disarm(p->queue);
	assert_int_equal(shmq_fetch(p->queue, &r, 1), 1);
	assert_int_equal(epoll_wait(edges, &event, 1, 0), 1);
	assert_int_equal(epoll_wait(edges, &event, 1, 0), 0); /* A ring ends one sleep. */
	assert_true(shmq_arm(p->queue)); /* One is left. */
	assert_int_equal(shmq_fetch(p->queue, &r, 1), 1);
	shm_peer_queue(p, 3);
	shm_peer_show(p);
	assert_int_equal(p->rings, 1); /* An arming that returned true is undone. */
	assert_int_equal(shmq_fetch(p->queue, &r, 1), 1);
	assert_false(shmq_arm(p->queue));
	assert_int_equal(epoll_wait(edges, &event, 1, 0), 0);
	shm_peer_queue(p, 4);
	shm_peer_show(p);
	assert_int_equal(p->rings, 2);
	/* The next one, too, though nobody has read. */
	assert_int_equal(epoll_wait(edges, &event, 1, 0), 1);
	close(edges);
}

static void test_wake(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r[3];
	char bytes[64];

	for (unsigned i = 0; i < 3; i++)
		shm_peer_queue(p, i);
	shm_peer_show(p);
	assert_int_equal(shmq_fetch(p->queue, r, 3), 3);
	assert_false(shm_peer_arm(p));
	shmq_publish(p->queue);
	assert_int_equal(shmq_wakeups(p->queue), 0); /* Nothing new. */
	for (unsigned i = 0; i < 2; i++) {
		complete(p->queue, i);
		shmq_publish(p->queue);
	}
	assert_int_equal(shmq_wakeups(p->queue), 1);
	assert_int_equal(recv(p->fds.wakeup, bytes, sizeof(bytes), MSG_DONTWAIT), 8);
	assert_true(shm_peer_arm(p));
	complete(p->queue, 2);
	shmq_publish(p->queue);
	assert_int_equal(shmq_wakeups(p->queue), 2);
}

/* A client may spoil the descriptors that it shares: the engine must not block for it. */
static void test_descriptors_cannot_block(void **state)
{
	struct shm_peer *p = *state;
	struct shmq_request r;
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(fcntl(p->fds.doorbell, F_SETFL, 0), 0);
	assert_int_equal(fcntl(p->fds.wakeup, F_SETFL, 0), 0);
	assert_false(shmq_arm(p->queue));
	assert_int_equal(write(p->fds.doorbell, &full, sizeof(full)), sizeof(full));
	assert_false(shmq_arm(p->queue));
	shmq_disarm(p->queue); /* Whoever fills a bell cannot ring it any more: itself alone. */
	assert_int_equal(send(p->fds.wakeup, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
	for (unsigned i = 0; i < 5000; i++) { /* Never reads its wake-ups. */
		shm_peer_queue(p, i);
		shm_peer_show(p);
		assert_int_equal(shmq_fetch(p->queue, &r, 1), 1);
		shm_peer_arm(p);
		complete(p->queue, i);
		shmq_publish(p->queue);
		assert_int_equal(shm_peer_take(p), i);
	}
	assert_int_equal(shmq_wakeups(p->queue), 5000);
}

static void test_wakeup_ends_with_the_queue(void **state)
{
	struct shm_peer p;
	char byte;
	int fd;

	(void)state;
	shm_peer_init(&p, DEPTH, ARENA);
	fd = dup(p.fds.wakeup);
	assert_false(shm_readable(fd, 0));
	shm_peer_fini(&p);
	assert_true(shm_readable(fd, 0));
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
}

static void test_create_refuses(void **state)
{
	struct shmq *q = NULL;
	struct err err;

	(void)state;
	assert_int_equal(shmq_create(0, 4096, &q, &err), -EINVAL);
	assert_int_equal(shmq_create(3, 4096, &q, &err), -EINVAL);
	assert_int_equal(shmq_create(2 * SHMQ_DEPTH_MAX, 4096, &q, &err), -EINVAL);
	assert_int_equal(shmq_create(1, 0, &q, &err), -EINVAL);
	assert_int_equal(shmq_create(1, SHMQ_ARENA_MAX + 1, &q, &err), -EINVAL);
	assert_null(q);
	shmq_destroy(NULL);
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* Memory that a client hands in is taken over in every case: this gives a copy of @fd away. */
static int adopt(int fd, uint32_t depth, uint64_t arena_bytes, struct shmq **queue)
{
	struct err err = {0};
	int rc = shmq_adopt(depth, arena_bytes, fcntl(fd, F_DUPFD_CLOEXEC, 0), queue, &err);

	assert_int_equal(rc, err.code);
	return rc;
}

/* The memory of an engine that is gone: the arena stays, the rings begin anew, and it works. */
static void test_adopted_memory(void **state)
{
	struct shm_peer *p = *state;
	int memory = fcntl(p->fds.memory, F_DUPFD_CLOEXEC, 0);
	struct shmq *next;

	round_trip(p, 0, 5);
	shm_peer_queue(p, 1);
	shm_peer_show(p);
	assert_true(shmq_arm(p->queue));
	shm_peer_arm(p);
	memset(shmq_arena(p->queue)->base, 'x', ARENA);
	/* A hole is filled before anybody runs into it. */
	assert_int_equal(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (char *)shmq_arena(p->queue)->base - (char *)p->header, 4096),
			 0);
	assert_true(shmq_memory_fits(memory));
	assert_true(shmq_has_memory(p->queue, memory));
	assert_int_equal(adopt(memory, DEPTH, ARENA, &next), 0);
	shm_peer_fini(p);

	shm_peer_use(p, next, DEPTH, ARENA);
	assert_int_equal(((char *)shmq_arena(next)->base)[0], 0);
	assert_int_equal(((char *)shmq_arena(next)->base)[4096], 'x');
	assert_int_equal(((char *)shmq_arena(next)->base)[ARENA - 1], 'x');
	assert_int_equal(p->header->engine_sleep, 0);
	assert_int_equal(p->header->client_sleep, 0);
	assert_int_equal(shm_peer_take(p), UINT64_MAX);
	round_trip(p, 100, DEPTH);
	close(memory);
}

/* A memfd of @bytes with @seals, made with @flags. */
static int memfd_of(uint64_t bytes, unsigned flags, int seals)
{
	int fd = memfd_create("test", flags | MFD_ALLOW_SEALING);

	if (fd < 0)
		return fd;
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_foreign_memory(void **state)
{
	const uint64_t bytes = shmq_layout_of(DEPTH, ARENA).total_bytes;
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char path[] = "/tmp/ls-shm-XXXXXX";
	int ends[2], own = memfd_of(bytes, 0, seals);
	struct shmq *queue = NULL;
	int fds[] = {
		memfd_of(bytes, 0, F_SEAL_GROW | F_SEAL_SEAL),
		memfd_of(bytes, 0, F_SEAL_SHRINK | F_SEAL_SEAL),
		memfd_of(bytes, 0, F_SEAL_SHRINK | F_SEAL_GROW),
		memfd_of(round_up_u64(bytes, 2u << 20), MFD_HUGETLB, seals),
		mkstemp(path),
		-1,
	};

	(void)state;
	assert_int_equal(pipe(ends), 0);
	fds[ARRAY_SIZE(fds) - 1] = ends[0];
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] < 0) /* huge pages: not in every kernel */
			continue;
		assert_false(shmq_memory_fits(fds[i]));
		assert_int_equal(adopt(fds[i], DEPTH, ARENA, &queue), -EINVAL);
		close(fds[i]);
	}
	/* Of the right kind, but not for this queue; or it cannot be written. */
	assert_int_equal(adopt(own, DEPTH, ARENA + 4096, &queue), -EINVAL);
	assert_int_equal(adopt(own, DEPTH * 64, ARENA, &queue), -EINVAL);
	assert_int_equal(adopt(own, 3, ARENA, &queue), -EINVAL);
	assert_int_equal(adopt(own, DEPTH, 0, &queue), -EINVAL);
	close(own);
	own = memfd_of(bytes, 0, seals | F_SEAL_WRITE);
	assert_int_equal(adopt(own, DEPTH, ARENA, &queue), -EPERM);
	close(own);
	assert_null(queue);
	close(ends[1]);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(test_ring_wraps),
		cmocka_unit_test(test_depth_one),
		RING_TEST(test_fetch_in_parts),
		RING_TEST(test_completions_never_overflow),
		RING_TEST(test_in_flight_counts),
		RING_TEST(test_tail_jumps),
		RING_TEST(test_tail_far_away),
		RING_TEST(test_tail_goes_back),
		RING_TEST(test_tail_takes_back_shown),
		RING_TEST(test_head_beyond_tail),
		RING_TEST(test_head_beyond_published),
		RING_TEST(test_head_goes_back),
		RING_TEST(test_broken_still_completes),
		RING_TEST(test_fetched_copy_stays),
		RING_TEST(test_sealed),
		RING_TEST(test_arm),
		RING_TEST(test_wake),
		RING_TEST(test_descriptors_cannot_block),
		cmocka_unit_test(test_wakeup_ends_with_the_queue),
		cmocka_unit_test(test_create_refuses),
		RING_TEST(test_adopted_memory),
		cmocka_unit_test(test_foreign_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
