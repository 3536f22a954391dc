/* SPDX-License-Identifier: BSD-3-Clause */
/* What one mirrored write costs in the core, part by part. */
#include "bench/micro/bench_c.h"
#include "bench/micro/benches.h"
#include "bench/micro/quick.h"
#include "engine/core/channel.h"
#include "engine/core/core.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH 7u

static void *zeroed(size_t count, size_t bytes)
{
	void *p = calloc(count, bytes);

	if (!p)
		abort();
	return p;
}

/* What the loop itself costs: it is subtracted from the others' instructions. */
static void empty(struct bench *b)
{
	while (bench_next(b))
		bench_sink(0);
}

/* --- frames and message identifications --- */

static void frame_encoded(struct bench *b)
{
	struct frame f = {.version = FRAME_VERSION, .command = FRAME_WRITE, .length = 4096};
	uint8_t bytes[FRAME_BYTES];

	while (bench_next(b)) {
		f.message++;
		frame_encode(&f, bytes);
		bench_sink(bytes[FRAME_BYTES - 1]);
	}
}

static void frame_decoded(struct bench *b)
{
	struct frame f = {.version = FRAME_VERSION, .command = FRAME_WRITE, .length = 4096};
	uint8_t bytes[FRAME_BYTES];

	frame_encode(&f, bytes);
	while (bench_next(b))
		bench_sink(frame_decode(bytes, &f));
}

/* Takes and matches one while as many as the argument says are out. */
static void msgid_matched(struct bench *b)
{
	struct msgid_table t;
	int owner;

	if (msgid_init(&t, 8192) < 0)
		abort();
	msgid_reset(&t, EPOCH, 8192);
	for (int64_t i = 1; i < b->arg; i++)
		msgid_take(&t, &owner);
	while (bench_next(b)) {
		uint64_t id = msgid_take(&t, &owner);

		bench_sink((uintptr_t)msgid_find(&t, id));
		msgid_release(&t, id);
	}
	msgid_fini(&t);
}

/* --- ranges --- */

static void never_granted(struct range *range)
{
	(void)range;
	abort();
}

static void granted(struct range *range)
{
	bench_sink(range->offset);
}

struct ranges {
	struct range_set set;
	struct range *all;
	uint64_t count;
};

/* @count writes of 4 KiB in flight, at places of their own in 4 GiB. */
static void ranges_init(struct ranges *r, uint64_t count)
{
	r->count = count;
	r->all = zeroed(count, sizeof(*r->all));
	range_set_init(&r->set);
	for (uint64_t i = 0; i < count; i++) {
		r->all[i].granted = never_granted;
		if (!range_acquire(&r->set, &r->all[i], i * 1000003 % 65536 * 65536, 4096))
			abort();
	}
}

/* One comes and goes while as many as the argument says are in flight. */
static void range_came_and_went(struct bench *b)
{
	struct ranges r;
	uint64_t at = 0;

	ranges_init(&r, (uint64_t)b->arg);
	while (bench_next(b)) {
		struct range *one = &r.all[at++ % r.count];
		uint64_t offset = one->offset;

		range_release(&r.set, one);
		bench_sink(range_acquire(&r.set, one, offset, 4096));
	}
	free(r.all);
}

/* One that overlaps one in flight waits for it, is granted by its end, and takes its place. */
static void range_overlapped(struct bench *b)
{
	struct range spare = {.granted = granted}, *holds, *waits = &spare, *other;
	struct ranges r;

	ranges_init(&r, (uint64_t)b->arg);
	holds = &r.all[0];
	holds->granted = granted;
	while (bench_next(b)) {
		if (range_acquire(&r.set, waits, holds->offset, 4096))
			abort();
		range_release(&r.set, holds);
		other = holds;
		holds = waits;
		waits = other;
	}
	free(r.all);
}

/* --- the write-intent map --- */

#define MAP_VOLUME GIB(64)

static void map_of(struct intent *m)
{
	if (intent_init(m, MAP_VOLUME, intent_shift_for(MAP_VOLUME, INTENT_SHIFT_DEFAULT)) < 0)
		abort();
}

static uint64_t random_block(uint64_t *at)
{
	*at = *at * 6364136223846793005u + 1442695040888963407u;
	return (*at >> 16) % (MAP_VOLUME / 4096) * 4096;
}

/* A write whose region is durable already. */
static void intent_hot(struct bench *b)
{
	uint64_t at = 0, offset;
	struct intent m;

	map_of(&m);
	intent_dirty_all(&m);
	intent_encode(&m, 1, zeroed(1, MAP_PAGE_BYTES));
	intent_written(&m, true);
	while (bench_next(b)) {
		offset = random_block(&at);
		bench_sink(intent_begin(&m, offset, 4096));
		intent_end(&m, offset, 4096);
	}
	intent_fini(&m);
}

/* A write whose region is not: it is put on the page, which is written. */
static void intent_cold(struct bench *b)
{
	uint8_t *page = zeroed(1, MAP_PAGE_BYTES);
	uint64_t at = 0, offset;
	struct intent m;

	map_of(&m);
	while (bench_next(b)) {
		offset = at++ % m.regions << m.shift;
		if (offset == 0)
			intent_reset(&m);
		bench_sink(intent_begin(&m, offset, 4096));
		intent_encode(&m, 1, page);
		intent_written(&m, true);
		intent_end(&m, offset, 4096);
	}
	intent_fini(&m);
	free(page);
}

/* --- extents --- */

static void leg_ended(struct leg *leg)
{
	bench_sink(leg->status);
}

/* A local leg on the last of as many extents as the argument says, to the store and back. */
static void leg_on_last_extent(struct bench *b)
{
	struct volume_record record = {.extent_count = (unsigned)b->arg};
	struct quick_store quick;
	struct store *stores[1] = {&quick.store};
	char *buf = aligned_alloc(4096, 4096);
	struct leg leg;

	quick_store_init(&quick, GIB(1));
	for (unsigned i = 0; i < record.extent_count; i++)
		record.extents[i] = (struct extent){.start = 2 * i, .count = 1};
	while (bench_next(b)) {
		leg = (struct leg){
			.op.code = STORE_WRITE,
			.offset = (record.extent_count - 1) * POOL_UNIT_BYTES,
			.length = 4096,
			.op.buf = (uint8_t *)buf,
			.done = leg_ended,
		};
		leg_start(&leg, &record, stores);
		quick_store_poll(&quick);
	}
	free(buf);
}

/* --- requests of a channel and their completions --- */

#define CALLS_MAX 32u

struct calls {
	struct core core;
	struct channel channel;
	struct quick_link *link;
	struct call all[CALLS_MAX];
};

static void call_answered(struct call *call, const struct frame *completion)
{
	bench_sink((uintptr_t)call ^ completion->message);
}

static void calls_init(struct calls *c)
{
	static uint8_t grant[LINK_GRANT_BYTES];
	static const struct link_handler handler = {
		.message = (void (*)(void *, const uint8_t *, uint32_t))abort,
		.landed = (void (*)(void *, uint32_t, const uint8_t *, uint32_t))abort,
		.down = (void (*)(void *, const char *))abort,
	};

	c->link = quick_link_create();
	c->core.own_address = 1;
	c->core.now_ns = 1;
	if (!c->link || channel_init(&c->channel, &c->core, QUICK_SLOTS) < 0)
		abort();
	link_attach(&c->link->link, &handler, c);
	link_grant(&c->link->link, grant);
	if (!link_use_grant(&c->link->link, grant))
		abort();
	channel_open(&c->channel, &c->link->link, 2, EPOCH);
	quick_link_settle(c->link);
	for (unsigned i = 0; i < CALLS_MAX; i++)
		c->all[i].answered = call_answered;
}

static void call_send(struct calls *c, struct call *call, uint8_t answer[FRAME_BYTES])
{
	struct frame f = {.command = FRAME_FLUSH};

	if (!channel_credit(&c->channel, call, false))
		abort();
	channel_send(&c->channel, call, &f, NULL, 0, NULL);
	f.flags = FRAME_COMPLETION;
	f.target = 1;
	f.initiator = 2;
	frame_encode(&f, answer);
}

/* One request, and its part in a message of as many completions as the argument says. */
static void completions_fan_out(struct bench *b)
{
	struct calls *c = zeroed(1, sizeof(*c));
	uint8_t message[CALLS_MAX * FRAME_BYTES];
	unsigned sent = 0, together = (unsigned)b->arg;

	calls_init(c);
	while (bench_next(b)) {
		call_send(c, &c->all[sent], message + sent * FRAME_BYTES);
		if (++sent < together)
			continue;
		channel_message(&c->channel, message, sent * FRAME_BYTES);
		quick_link_forget(c->link->other);
		sent = 0;
	}
}

#define ADD(NAME, RUN, ...)                                                                        \
	bench_add(&(struct bench_spec){.name = (NAME), .run = (RUN), __VA_ARGS__})

void add_core_benches(void)
{
	static const int64_t in_flight[] = {1, 64, 4096}, extents[] = {1, VOLUME_EXTENTS_MAX},
			     together[] = {1, 8, 32};

	ADD("bench/empty", empty);
	ADD("frame/encode", frame_encoded);
	ADD("frame/decode", frame_decoded);
	ADD("msgid/take_match_release", msgid_matched, .args = in_flight, .args_count = 3);
	ADD("range/acquire_release", range_came_and_went, .args = in_flight, .args_count = 3);
	ADD("range/wait_granted", range_overlapped, .args = in_flight, .args_count = 3);
	ADD("intent/hot", intent_hot);
	ADD("intent/cold", intent_cold);
	ADD("leg/last_extent", leg_on_last_extent, .args = extents, .args_count = 2);
	ADD("channel/call_completed", completions_fan_out, .args = together, .args_count = 3);
}
