/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: requests that overlap take effect in the order in which they came, however they are cut;
 * what waits, for a peer or for a device that hangs, does not take the pieces of the others; and
 * a core that stops leaves what it has not begun.
 */
#include "engine/core/core.h"
#include "tests/support/t.h"

#include <stdlib.h>
#include <string.h>

#define PIECES 16u
#define VOLUMES 8u
#define SIZE_BYTES MIB(512)
#define REQUESTS 64u

struct asked {
	struct request request;
	unsigned done, turn;
};

/* A device that does what it was told to do only when the test says so. */
static struct {
	struct core core;
	struct store store, second;
	struct store *stores[1];
	struct pool pool;
	struct volume volume[VOLUMES];
	struct store_op *queue[4096]; /* in flight, in order of submission */
	unsigned queued;
	struct asked asked[REQUESTS];
	unsigned ended, told_held;
	enum ls_status last_status;
	struct region region;
	uint8_t *buffer;
} w;

static void on_submit(struct store *store, struct store_op *op)
{
	(void)store;
	assert_true(w.queued < ARRAY_SIZE(w.queue));
	w.queue[w.queued++] = op;
}

static void on_flush_failed(struct store *store)
{
	for (unsigned i = 0; i < VOLUMES; i++)
		if (w.pool.stores[w.volume[i].record.extents[0].device] == store)
			volume_flush_failed(&w.volume[i]);
}

static void on_log(void *ctx, int level, const char *text)
{
	(void)ctx, (void)level, (void)text;
}

static void on_held(void *engine, struct volume *volume)
{
	(void)engine, (void)volume;
	w.told_held++;
}

static void on_piece_ended(void *engine, bool mirrored, uint64_t since_ns)
{
	(void)engine, (void)mirrored, (void)since_ns;
}

/* The first that is in flight on @volume's blocks, or on any (NULL), ends; then a pass. */
static bool device_ends(const struct volume *volume, enum ls_status status)
{
	for (unsigned i = 0; i < w.queued; i++) {
		struct store_op *op = w.queue[i];
		const struct leg *leg = CONTAINER_OF(op, struct leg, op);

		if (volume && leg->record != &volume->record)
			continue;
		w.queued--;
		memmove(w.queue + i, w.queue + i + 1, (w.queued - i) * sizeof(w.queue[0]));
		store_op_done(op, status);
		core_run(&w.core);
		return true;
	}
	return false;
}

/* The last one that was submitted overtakes the others. */
static void newest_is_done(void)
{
	struct store_op *op;

	assert_true(w.queued > 0);
	op = w.queue[--w.queued];
	store_op_done(op, LS_OK);
	core_run(&w.core);
}

static bool device_does(const struct volume *volume)
{
	return device_ends(volume, LS_OK);
}

static void on_done(struct request *r)
{
	struct asked *a = CONTAINER_OF(r, struct asked, request);

	a->done++;
	a->turn = ++w.ended;
	w.last_status = r->status;
}

static struct asked *ask(unsigned i, struct volume *v, enum request_op op, uint64_t offset,
			 uint64_t length)
{
	struct asked *a = &w.asked[i];

	a->request.volume = v;
	a->request.op = op;
	a->request.offset = offset;
	a->request.length = length;
	a->request.buf = op == REQUEST_READ || op == REQUEST_WRITE ? w.buffer : NULL;
	a->request.region = &w.region;
	a->request.done = on_done;
	core_submit(&w.core, &a->request);
	core_run(&w.core);
	return a;
}

static int setup(void **state)
{
	static const struct store_ops ops = {.submit = on_submit};
	struct engine_env env = {.log = on_log};

	(void)state;
	memset(&w, 0, sizeof(w));
	w.buffer = aligned_alloc(4096, REQUEST_MAX_BYTES);
	w.region = (struct region){.base = w.buffer, .length_bytes = REQUEST_MAX_BYTES};
	w.store.ops = &ops;
	w.store.geometry = (struct store_geometry){
		.size_bytes = GIB(64),
		.block_bytes = 512,
		.io_max_bytes = MIB(1),
		.zeroes_max_bytes = GIB(1),
	};
	w.store.flush_failed = on_flush_failed;
	w.second = w.store;
	w.stores[0] = w.pool.stores[0] = &w.store;
	w.pool.stores[1] = &w.second;
	w.pool.device_count = 2;
	assert_int_equal(core_init(&w.core, &env, PIECES), 0);
	list_init(&w.core.fetches);
	w.core.writes_held = on_held;
	w.core.piece_ended = on_piece_ended;
	for (unsigned i = 0; i < VOLUMES; i++) {
		struct volume *v = &w.volume[i];

		v->ready = true;
		v->pool = &w.pool;
		v->size_bytes = v->record.size_bytes = SIZE_BYTES;
		v->record.block_bytes = 512;
		v->record.role = VOLUME_PRIMARY;
		v->record.extent_count = 1;
		v->record.extents[0] = (struct extent){.start = i * SIZE_BYTES / POOL_UNIT_BYTES,
						       .count = SIZE_BYTES / POOL_UNIT_BYTES};
		assert_int_equal(map_init(&v->map, SIZE_BYTES, 20), 0);
		assert_int_equal(sumlog_init(&v->sums, SIZE_BYTES), 0);
		range_set_init(&v->ranges);
		list_init(&v->held);
		list_init(&v->held_requests);
		list_init(&v->uncut);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (device_does(NULL))
		;
	assert_int_equal(w.core.requests, 0);
	assert_int_equal(w.core.in_use, 0);
	for (unsigned i = 0; i < VOLUMES; i++) {
		assert_int_equal(w.volume[i].active, 0);
		assert_int_equal(w.volume[i].ranges.count, 0);
		sumlog_fini(&w.volume[i].sums);
		map_fini(&w.volume[i].map);
	}
	core_fini(&w.core);
	free(w.buffer);
	return 0;
}

/* As after the loss of the peer of a fail-closed volume. */
static void loses_peer(struct volume *v)
{
	v->record.association = ASSOCIATION_ACTIVE;
	v->mirror = MIRROR_WAITING;
	v->alone_durable = false;
}

static void finds_peer(struct volume *v)
{
	v->record.association = ASSOCIATION_NONE;
	v->mirror = MIRROR_NONE;
	core_release(&w.core, v);
	core_run(&w.core);
}

static void a_later_write_waits_for_all_of_an_earlier_one(void **state)
{
	struct volume *v = &w.volume[0];
	struct asked *zeroes, *inside, *beside;

	(void)state;
	/* More pieces than there are, and the write goes where the last of them will. */
	zeroes = ask(0, v, REQUEST_WRITE_ZEROES, 0, 2 * PIECES * PIECE_SPAN_MAX / 2);
	inside = ask(1, v, REQUEST_WRITE, PIECES * PIECE_SPAN_MAX - 4096, 4096);
	beside = ask(2, v, REQUEST_WRITE, PIECES * PIECE_SPAN_MAX, 4096);
	while (!inside->done)
		assert_true(device_does(v));
	assert_int_equal(zeroes->done, 1);
	assert_int_equal(beside->done, 1);
	assert_true(zeroes->turn < inside->turn);
	assert_true(beside->turn < zeroes->turn);
}

static void a_device_that_hangs_leaves_pieces_to_others(void **state)
{
	struct asked *other, *read;

	(void)state;
	/* Reads and writes, of one volume after the other. */
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < PIECES; k++)
			ask(i * PIECES + k, &w.volume[i], i == 1 ? REQUEST_WRITE : REQUEST_READ,
			    k * 4096, 4096);
	assert_true(w.core.in_use < PIECES);
	other = ask(3 * PIECES, &w.volume[3], REQUEST_WRITE, 0, MIB(1));
	while (!other->done)
		assert_true(device_does(&w.volume[3]));
	read = ask(3 * PIECES + 1, &w.volume[3], REQUEST_READ, 0, MIB(1));
	while (!read->done)
		assert_true(device_does(&w.volume[3]));
	assert_int_equal(w.asked[0].done, 0);
}

static void what_waits_for_a_peer_has_no_piece(void **state)
{
	unsigned asked = 0;
	struct asked *read, *other, *first;

	(void)state;
	for (unsigned i = 0; i < VOLUMES - 1; i++) {
		loses_peer(&w.volume[i]);
		ask(asked++, &w.volume[i], REQUEST_WRITE, 0, MIB(1));
		ask(asked++, &w.volume[i], REQUEST_FLUSH, 0, 0);
		for (unsigned k = 0; k < 4; k++)
			ask(asked++, &w.volume[i], REQUEST_WRITE, k * 4096, 4096);
	}
	assert_int_equal(w.core.in_use, 0);
	assert_int_equal(w.queued, 0);
	assert_true(w.told_held >= VOLUMES - 1);
	/* Neither does it keep a read of the same volume waiting, nor anything of another one. */
	read = ask(asked++, &w.volume[0], REQUEST_READ, 0, MIB(1));
	other = ask(asked++, &w.volume[VOLUMES - 1], REQUEST_WRITE, 0, MIB(1));
	while (device_does(NULL))
		;
	assert_int_equal(read->done, 1);
	assert_int_equal(other->done, 1);
	assert_int_equal(w.ended, 2);
	first = &w.asked[0];
	for (unsigned i = 0; i < VOLUMES - 1; i++)
		finds_peer(&w.volume[i]);
	while (device_does(NULL))
		;
	assert_int_equal(w.ended, asked);
	assert_int_equal(first->request.status, LS_OK);
	assert_true(first->turn < w.asked[2].turn);
}

static void a_request_cut_in_part_waits_with_its_rest(void **state)
{
	struct volume *v = &w.volume[0];
	struct asked *zeroes;

	(void)state;
	zeroes = ask(0, v, REQUEST_WRITE_ZEROES, 0, PIECES * PIECE_SPAN_MAX);
	assert_int_equal(w.queued, PIECES / 2);
	loses_peer(v);
	while (device_does(NULL))
		;
	assert_int_equal(w.core.in_use, 0);
	assert_int_equal(zeroes->done, 0);
	finds_peer(v);
	while (device_does(NULL))
		;
	assert_int_equal(zeroes->done, 1);
	assert_int_equal(zeroes->request.status, LS_OK);
}

static void a_stop_waits_for_what_was_begun_only(void **state)
{
	struct volume *v = &w.volume[0];
	unsigned begun;

	(void)state;
	ask(0, v, REQUEST_WRITE_ZEROES, 0, SIZE_BYTES);
	begun = w.queued;
	assert_true(begun > 0 && begun < SIZE_BYTES / PIECE_SPAN_MAX);
	/* Behind it; for want of a piece; and for want of a peer. */
	ask(1, v, REQUEST_WRITE, 0, 4096);
	for (unsigned i = 2; i < 40; i++)
		ask(i, v, REQUEST_READ, 0, 4096);
	loses_peer(&w.volume[1]);
	ask(40, &w.volume[1], REQUEST_WRITE, 0, 4096);
	w.core.stopping = true;
	for (unsigned i = 0; i < VOLUMES; i++)
		core_release(&w.core, &w.volume[i]);
	core_run(&w.core);
	assert_int_equal(w.asked[40].request.status, LS_SHUTDOWN);
	for (; begun; begun--)
		assert_true(device_does(v));
	assert_int_equal(w.asked[0].request.status, LS_SHUTDOWN);
	assert_int_equal(w.asked[1].request.status, LS_SHUTDOWN);
	while (device_does(NULL))
		;
	assert_int_equal(w.ended, 41);
	assert_int_equal(w.core.requests, 0);
}

/* Volume @i flushes, and the device ends it with @status; what the client hears. */
static enum ls_status flushes(unsigned i, enum ls_status status)
{
	struct asked *a = ask(0, &w.volume[i], REQUEST_FLUSH, 0, 0);

	assert_true(device_ends(&w.volume[i], status));
	assert_int_equal(a->done, 1);
	memset(a, 0, sizeof(*a));
	return w.last_status;
}

static void writes(unsigned i, enum ls_status status)
{
	struct asked *a = ask(0, &w.volume[i], REQUEST_WRITE, 0, 4096);

	assert_true(device_ends(&w.volume[i], status));
	assert_int_equal(a->done, 1);
	memset(a, 0, sizeof(*a));
}

/* A device tells it once, to who asks first: the others' blocks may be lost as well. */
static void a_flush_that_failed_counts_for_each_volume(void **state)
{
	(void)state;
	w.volume[2].record.extents[0].device = 1;
	/* Volume 1's and two of volume 3's are under way when that of volume 0 fails. */
	for (unsigned i = 0; i < 4; i++)
		ask(1 + i, &w.volume[i], REQUEST_FLUSH, 0, 0);
	ask(5, &w.volume[3], REQUEST_FLUSH, 0, 0);
	assert_true(device_ends(&w.volume[0], LS_LOCAL_IO));
	while (device_does(NULL))
		;
	assert_int_equal(w.asked[1].request.status, LS_LOCAL_IO);
	assert_int_equal(w.asked[2].request.status, LS_LOCAL_IO);
	assert_int_equal(w.asked[3].request.status, LS_OK); /* its device is another one */
	assert_int_equal(w.asked[4].request.status, LS_LOCAL_IO);
	assert_int_equal(w.asked[5].request.status, LS_LOCAL_IO);
	/* Volume 4 asks afterwards; each is told once. */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(flushes(i, LS_OK), LS_OK);
	assert_int_equal(flushes(4, LS_OK), LS_LOCAL_IO);
	assert_int_equal(flushes(4, LS_OK), LS_OK);
	/* Writes that fail are their own. */
	writes(0, LS_LOCAL_IO);
	assert_int_equal(flushes(1, LS_OK), LS_OK);
	w.volume[2].record.extents[0].device = 0;
}

static void who_has_flushed_all_has_lost_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(flushes(i, LS_OK), LS_OK);
	writes(1, LS_OK);
	/* A write that begins while a flush is under way is not in it. */
	ask(10, &w.volume[2], REQUEST_FLUSH, 0, 0);
	ask(11, &w.volume[2], REQUEST_WRITE, 0, 4096);
	assert_true(device_does(&w.volume[2]) && device_does(&w.volume[2]));
	/* Two that overlap: the later one covers what was written in between. */
	ask(12, &w.volume[3], REQUEST_FLUSH, 0, 0);
	ask(14, &w.volume[3], REQUEST_WRITE, 0, 4096);
	newest_is_done();
	ask(13, &w.volume[3], REQUEST_FLUSH, 0, 0);
	assert_true(device_does(&w.volume[3]) && device_does(&w.volume[3]));
	assert_int_equal(flushes(5, LS_LOCAL_IO), LS_LOCAL_IO);
	assert_int_equal(flushes(0, LS_OK), LS_OK);
	assert_int_equal(flushes(1, LS_OK), LS_LOCAL_IO);
	assert_int_equal(flushes(2, LS_OK), LS_LOCAL_IO);
	assert_int_equal(flushes(3, LS_OK), LS_OK);
}

/* The failure may be older than what has ended, and be told later. */
static void a_flush_under_way_keeps_others_from_being_flushed(void **state)
{
	(void)state;
	ask(10, &w.volume[0], REQUEST_FLUSH, 0, 0);
	assert_int_equal(flushes(1, LS_OK), LS_OK);
	assert_true(device_ends(&w.volume[0], LS_LOCAL_IO));
	assert_int_equal(flushes(1, LS_OK), LS_LOCAL_IO);
	assert_int_equal(flushes(1, LS_OK), LS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_later_write_waits_for_all_of_an_earlier_one,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_device_that_hangs_leaves_pieces_to_others, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_waits_for_a_peer_has_no_piece, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_request_cut_in_part_waits_with_its_rest, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_stop_waits_for_what_was_begun_only, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_flush_that_failed_counts_for_each_volume, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_has_flushed_all_has_lost_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_flush_under_way_keeps_others_from_being_flushed,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
