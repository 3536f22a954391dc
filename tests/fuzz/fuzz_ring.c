/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a process leaves in the memory of its queue, at whatever moment, the engine
 * neither asserts nor crashes, reads and writes only inside the arena, and ends each request
 * that it fetched (invariant I13).
 *
 * The engine's side is the real one: shmq.c under client.c under an engine with a volume.  Only
 * the shard's thread is missing; the input says when each part of its loop runs.
 */
#include "engine/daemon/client.h"
#include "engine/daemon/shard_internal.h"
#include "engine/shm/shmq_layout.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/world.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 400u
#define END_PASSES 400u

struct scene {
	struct node node;
	uint64_t now_ns;
	struct shmq *queue;
	struct shard_client client;
	struct shard shard;
	uint8_t *memory; /* the client's own mapping */
	size_t bytes;
	uint32_t depth;
	struct shmq_header *header;
	struct shmq_descriptor *sq;
};

static void open_volume(struct scene *s, const char *name)
{
	struct client_volume *v = &s->client.volumes[s->client.volume_count++];
	struct ls_volume_info info;

	v->volume = engine_volume_get(s->node.engine, name);
	if (!v->volume)
		fuzz_fail("the volume is not there");
	engine_volume_info(v->volume, &info);
	v->block_bytes = info.block_bytes;
}

static void begin(struct scene *s, struct input *in)
{
	uint8_t how = take_u8(in);
	uint64_t arena = 1 + 4096u * (uint64_t)(take_u8(in) % 64);
	struct shmq_layout layout;
	struct err err;

	memset(s, 0, sizeof(*s));
	node_create(&s->node, "a", 0xa1);
	node_make_pool(&s->node, &s->now_ns);
	node_make_volume(&s->node, &s->now_ns, "own", MIB(1));
	node_guard(&s->node, "own");
	node_make_volume(&s->node, &s->now_ns, "vol", MIB(2));
	s->depth = 1u << how % 8;
	if (shmq_create(s->depth, arena, &s->queue, &err) ||
	    client_init(&s->client, 1, s->queue, &err))
		fuzz_fail(err.text);
	layout = shmq_layout_of(s->depth, arena);
	s->bytes = layout.total_bytes;
	s->memory = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 shmq_fds(s->queue).memory, 0);
	s->shard.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->shard.notes_out = note_box_create();
	if (s->memory == MAP_FAILED || s->shard.epoll_fd < 0 || !s->shard.notes_out)
		fuzz_fail("no memory or descriptors");
	s->header = (void *)s->memory;
	s->sq = (void *)(s->memory + SHMQ_PAGE_BYTES);
	s->client.shard = &s->shard;
	s->shard.engine = s->node.engine;
	s->shard.clients[s->shard.client_count++] = &s->client;
	if (shard_watch_bell(&s->shard, shmq_fds(s->queue).doorbell, &err))
		fuzz_fail(err.text);
	open_volume(s, "vol");
}

/* What the client does */

static uint64_t near(struct input *in, uint64_t edge)
{
	uint8_t how = take_u8(in);

	switch (how % 4) {
	case 0:
		return (uint64_t)512 * take_u8(in);
	case 1:
		return edge - (uint64_t)512 * (how >> 2);
	case 2:
		return edge + take_u8(in) - 128u;
	default:
		return take_u64(in);
	}
}

static void describe(struct scene *s, struct input *in, uint32_t slot)
{
	struct shmq_descriptor *d = &s->sq[slot & (s->depth - 1)];
	uint64_t arena = shmq_arena(s->queue)->length_bytes;

	d->op = take_u8(in);
	d->flags = d->op >> 4;
	d->op &= 15;
	d->tag = slot;
	d->volume = take_u8(in) & 3 ? 0 : take_u32(in);
	d->offset = near(in, MIB(2));
	d->length = near(in, arena);
	d->buffer = near(in, arena);
}

static void submit(struct scene *s, struct input *in)
{
	uint32_t tail = atomic_load(&s->header->sq_tail);

	describe(s, in, tail);
	atomic_store(&s->header->sq_tail, tail + 1);
}

static void take(struct scene *s)
{
	atomic_store(&s->header->cq_head, atomic_load(&s->header->cq_tail));
}

static void scribble(struct scene *s, struct input *in)
{
	size_t at = (size_t)take_u16(in) % s->bytes;
	uint8_t length = take_u8(in);

	if (length > s->bytes - at)
		length = (uint8_t)(s->bytes - at);
	take_bytes(in, s->memory + at, length);
}

static void move_index(struct scene *s, struct input *in)
{
	uint8_t which = take_u8(in);
	_Atomic uint32_t *index = which & 1 ? &s->header->cq_head : &s->header->sq_tail;

	if (which & 2)
		atomic_store(index, take_u32(in));
	else
		atomic_fetch_add(index, (uint32_t)(int8_t)take_u8(in));
	if (which & 4)
		atomic_store(&s->header->client_sleep, take_u8(in));
}

static void drain_notes(struct scene *s)
{
	struct note note;

	while (note_pop(s->shard.notes_out, &note))
		;
}

static void pass(struct scene *s)
{
	s->now_ns += NS_PER_MS;
	s->shard.now_ns = s->now_ns;
	node_pass(&s->node, s->now_ns);
}

static void step(struct scene *s, struct input *in)
{
	uint8_t what = take_u8(in);

	switch (what % 12) {
	case 0:
	case 1:
		for (unsigned i = 0; i <= what / 64u; i++)
			submit(s, in);
		break;
	case 2:
		take(s);
		break;
	case 3:
		scribble(s, in);
		break;
	case 4:
		move_index(s, in);
		break;
	case 5:
		describe(s, in, what / 12u);
		break;
	case 6:
	case 7:
		clients_fetch(&s->shard);
		break;
	case 8:
		pass(s);
		break;
	case 9:
		clients_publish(&s->shard);
		break;
	case 10:
		if (!clients_arm(&s->shard))
			clients_disarm(&s->shard);
		break;
	default:
		s->node.disk->hold = what & 16;
		s->node.disk->fail = what >> 5;
	}
	if (shmq_in_flight(s->queue) > s->depth || s->client.in_flight > s->depth)
		fuzz_fail("more is in flight than the queue is deep");
	drain_notes(s);
}

static void end(struct scene *s)
{
	unsigned i;

	disks_let_go();
	engine_stop(s->node.engine);
	for (i = 0; i < END_PASSES && !engine_stopped(s->node.engine); i++)
		pass(s);
	if (i == END_PASSES || s->client.in_flight)
		fuzz_fail("a request does not end");
	clients_publish(&s->shard);
	engine_volume_put(s->client.volumes[0].volume);
	client_fini(&s->client);
	shmq_destroy(s->queue);
	munmap(s->memory, s->bytes);
	note_box_destroy(s->shard.notes_out);
	close(s->shard.epoll_fd);
	node_destroy(&s->node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scene scene;
	struct input in = {.at = data, .left = size};

	begin(&scene, &in);
	for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
		step(&scene, &in);
	end(&scene);
	return 0;
}
