/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients: overlapping reads, writes, flushes, discards and zeroes; and hostile requests. */
#include "tests/sim/sim_check.h"

#include <string.h>

#define POISON 0xa5

static uint64_t draw(struct sim_node *node, uint64_t n)
{
	return rng_below(&node->world->rng, n);
}

static struct sim_request *free_request(struct sim_node *node)
{
	if (node->requests_open >= node->world->profile.depth[node->number])
		return NULL;
	for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++) {
		if (!node->requests[i].open)
			return &node->requests[i];
	}
	return NULL;
}

/* @count pages that hang together; false when the arena has none. */
static bool take_pages(struct sim_node *node, struct sim_request *request, unsigned count)
{
	unsigned total = (unsigned)ARRAY_SIZE(node->pages), first = 0;

	while (first + count <= total) {
		const uint8_t *taken = memrchr(node->pages + first, 1, count);

		if (taken) {
			first = (unsigned)(taken - node->pages) + 1;
			continue;
		}
		request->page_first = first;
		request->page_count = count;
		memset(node->pages + first, 1, count);
		return true;
	}
	return false;
}

static void *buffer_of(struct sim_node *node, const struct sim_request *request)
{
	return (uint8_t *)node->arena.base + (uint64_t)request->page_first * SIM_PAGE_BYTES;
}

/* The client has it back. */
static void finish(struct sim_node *node, struct sim_request *request)
{
	request->open = request->parked = false;
	node->requests_open--;
	if (request->page_count)
		memset(node->pages + request->page_first, 0, request->page_count);
	if (request->volume)
		request->volume->requests_open--;
}

static void ended(struct request *base)
{
	struct sim_request *request = CONTAINER_OF(base, struct sim_request, request);
	struct sim_world *world = request->world;
	struct sim_node *node = &world->node[request->node];

	if (base->status == LS_SHUTDOWN && node->restarting) {
		SIM_NOTE(world, node->number, "request %x waits for the restart", request->id);
		check_buffer(request);
		request->parked = true;
		return;
	}
	check_done(request);
	if (request->must_succeed && base->status != LS_OK)
		sim_fail(world, "heal", "request %llx failed with status %u, but nothing is wrong",
			 (unsigned long long)request->id, base->status);
	finish(node, request);
	if (!request->volume)
		return;
	if (base->status == LS_NO_PEER || base->status == LS_PEER_LOST)
		request->volume->lost_seq = world->seq;
}

static struct sim_request *prepare(struct sim_node *node, struct sim_volume *volume)
{
	struct sim_request *request = free_request(node);
	struct sim_world *world = node->world;

	if (!request)
		return NULL;
	memset(request, 0, sizeof(*request));
	request->world = world;
	request->volume = volume;
	request->node = node->number;
	request->index = (unsigned)(request - node->requests);
	request->seq = world->seq++;
	request->id = request->seq << 8 | node->number << 7 | request->index;
	request->at_ns = world->now_ns;
	request->request.volume = volume ? volume->handle : NULL;
	request->request.region = &node->arena;
	request->request.done = ended;
	return request;
}

static void submit(struct sim_node *node, struct sim_request *request)
{
	struct sim_world *world = node->world;
	struct request *r = &request->request;

	SIM_NOTE(world, node->number, "request %x: op %u, flags %u, %u+%u%s", request->id, r->op,
		 r->flags, r->offset, r->length, SIM_STR(request->hostile ? ", hostile" : ""));
	request->open = true;
	/* A flush of before has failed, of which nobody was told: this one is. */
	if (r->op == REQUEST_FLUSH && r->volume &&
	    r->volume->flushes_failed != r->volume->flushes_told)
		request->must_succeed = false;
	node->requests_open++;
	if (request->volume)
		request->volume->requests_open++;
	world->totals.requests++;
	check_submitted(request);
	engine_submit(node->engine, r);
}

/* Most requests are short; the few long ones are most of the bytes. */
static uint64_t longest_bytes(struct sim_node *node)
{
	static const struct {
		uint64_t weight, bytes;
	} sizes[] = {{44, KIB(1)},  {28, KIB(4)},  {31, KIB(16)},
		     {12, KIB(64)}, {4, KIB(256)}, {1, KIB(1024)}};
	uint64_t dice = draw(node, 120);
	unsigned i = 0;

	for (; dice >= sizes[i].weight; i++)
		dice -= sizes[i].weight;
	return sizes[i].bytes;
}

/* Most requests hit a few hot blocks, so that they overlap. */
static void choose_range(struct sim_node *node, struct sim_request *request, uint64_t blocks,
			 uint32_t block_bytes)
{
	uint64_t limit = longest_bytes(node) / block_bytes, at;
	uint64_t count = 1 + draw(node, max_u64(limit, 1));

	if (limit > 1 && !draw(node, 4))
		count = limit;
	count = min_u64(count, REQUEST_MAX_BYTES / block_bytes);
	if (draw(node, 3))
		at = draw(node, min_u64(node->world->profile.hot_blocks, blocks));
	else
		at = draw(node, blocks);
	if (request->request.op >= REQUEST_DISCARD && !draw(node, 32))
		count = blocks;
	count = min_u64(count, blocks - at);
	request->first_block = at;
	request->block_count = count;
	request->request.offset = at * block_bytes;
	request->request.length = count * block_bytes;
}

static bool give_buffer(struct sim_node *node, struct sim_request *request, uint32_t block_bytes)
{
	struct request *r = &request->request;
	uint8_t *buf;

	if (r->op != REQUEST_READ && r->op != REQUEST_WRITE)
		return true;
	if (!take_pages(node, request,
			(unsigned)((r->length + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES)))
		return false;
	r->buf = buf = buffer_of(node, request);
	/* A buffer need only be aligned to the block. */
	if (block_bytes < SIM_PAGE_BYTES && r->length <= SIM_PAGE_BYTES / 2 && draw(node, 2))
		r->buf = buf += SIM_PAGE_BYTES / 2;
	for (uint64_t b = 0; b < request->block_count; b++) {
		if (r->op == REQUEST_WRITE)
			pattern_fill(buf + b * block_bytes, block_bytes, request->id,
				     request->first_block + b);
		else
			memset(buf + b * block_bytes, POISON, 32);
	}
	return true;
}

/* What is so when it is submitted. */
static void remember(struct sim_request *request, const struct ls_volume_info *info)
{
	struct sim_volume *volume = request->volume;
	enum mirror_state mirror = check_mirror(volume);

	request->primary = info->primary;
	request->mirrored = mirror == MIRROR_COPYING || mirror == MIRROR_SYNCED;
	request->synced = mirror == MIRROR_SYNCED;
	request->closed = volume->status.policy == POLICY_FAIL_CLOSED;
	request->generation = volume->status.generations.current;
	/* In the generation that the peer has, too: not one that it goes on with alone already. */
	request->waited = mirror == MIRROR_WAITING && volume->shared_generation &&
			  volume->shared_generation == request->generation;
	request->must_succeed = request->world->phase == SIM_HEAL && info->primary;
}

/* The same request once more, to another engine. */
static void again(struct sim_node *node, struct sim_request *request)
{
	struct request *r = &request->request;
	struct sim_volume *volume = request->volume;
	struct ls_volume_info info;

	*r = (struct request){
		.volume = volume ? volume->handle : NULL,
		.op = r->op,
		.flags = r->flags,
		.offset = r->offset,
		.length = r->length,
		.buf = r->buf,
		.region = r->region,
		.done = ended,
	};
	memset(request->leg, 0, sizeof(request->leg));
	request->parked = request->touched = false;
	request->again = true;
	if (volume && !request->hostile) {
		engine_volume_info(volume->handle, &info);
		remember(request, &info);
	}
	SIM_NOTE(node->world, node->number, "request %x is asked for again", request->id);
	engine_submit(node->engine, r);
}

void sim_client_again(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++) {
		struct sim_request *request = &node->requests[i];
		struct sim_volume *volume = request->volume;

		if (!request->open || !request->parked)
			continue;
		if (volume && volume->alive && !node->stopping)
			sim_client_open(node, volume);
		if (!node->stopping && (!volume || volume->handle)) {
			again(node, request);
			continue;
		}
		/* Nobody is told how it ended. */
		check_forgotten(request);
		finish(node, request);
	}
}

/* One on a volume that is open, of which it is remembered how it is. */
static struct sim_request *prepare_open(struct sim_node *node, struct sim_volume *volume,
					struct ls_volume_info *info)
{
	struct sim_request *request = prepare(node, volume);

	if (!request)
		return NULL;
	engine_volume_info(volume->handle, info);
	remember(request, info);
	return request;
}

bool sim_client_write(struct sim_node *node, struct sim_volume *volume, uint64_t first_block,
		      uint64_t block_count)
{
	struct ls_volume_info info;
	struct sim_request *request = prepare_open(node, volume, &info);

	if (!request)
		return false;
	request->first_block = first_block;
	request->block_count = block_count;
	request->request.op = REQUEST_WRITE;
	request->request.offset = first_block * info.block_bytes;
	request->request.length = block_count * info.block_bytes;
	if (!give_buffer(node, request, info.block_bytes))
		return false;
	submit(node, request);
	return true;
}

bool sim_client_flush(struct sim_node *node, struct sim_volume *volume)
{
	struct ls_volume_info info;
	struct sim_request *request = prepare_open(node, volume, &info);

	if (!request)
		return false;
	request->must_succeed = false;
	request->request.op = REQUEST_FLUSH;
	submit(node, request);
	return true;
}

bool sim_client_one(struct sim_node *node, struct sim_volume *volume)
{
	static const uint8_t ops[] = {REQUEST_READ,  REQUEST_READ,    REQUEST_READ,
				      REQUEST_WRITE, REQUEST_WRITE,   REQUEST_WRITE,
				      REQUEST_WRITE, REQUEST_WRITE,   REQUEST_WRITE,
				      REQUEST_FLUSH, REQUEST_DISCARD, REQUEST_WRITE_ZEROES};
	struct ls_volume_info info;
	struct sim_request *request = prepare_open(node, volume, &info);
	struct request *r;

	if (!request)
		return false;
	r = &request->request;
	r->op = ops[draw(node, ARRAY_SIZE(ops))];
	if (r->op != REQUEST_FLUSH) {
		choose_range(node, request, info.size_bytes / info.block_bytes, info.block_bytes);
		if (!give_buffer(node, request, info.block_bytes))
			return false;
	}
	if (r->op == REQUEST_WRITE && !draw(node, 5))
		r->flags = LS_FUA;
	submit(node, request);
	return true;
}

/* What no honest client sends.  Each must be refused and touch nothing. */
static void make_hostile(struct sim_node *node, struct sim_request *request,
			 const struct ls_volume_info *info)
{
	struct request *r = &request->request;
	uint64_t block = info->block_bytes, size = info->size_bytes;

	r->op = (uint16_t)(REQUEST_READ + draw(node, 2));
	r->length = block;
	switch (draw(node, 9)) {
	case 0:
		r->op = (uint16_t)(draw(node, 2) ? 0 : 6 + draw(node, 60000));
		break;
	case 1:
		r->flags = (uint16_t)(2u << draw(node, 14));
		break;
	case 2:
		r->length = 0;
		break;
	case 3:
		r->length = REQUEST_MAX_BYTES + block;
		break;
	case 4:
		r->offset = 1 + draw(node, block - 1);
		break;
	case 5:
		r->length = block + 1 + draw(node, block - 1);
		break;
	case 6:
		r->offset = size - block + block * draw(node, 2);
		r->length = 2 * block;
		break;
	case 7:
		r->offset = UINT64_MAX - block + 1;
		r->length = 2 * block;
		break;
	default:
		r->buf = draw(node, 2) ? NULL : (uint8_t *)r->buf + 8 * (1 + draw(node, 8));
		break;
	}
}

static void hostile_one(struct sim_node *node, struct sim_volume *volume)
{
	struct sim_request *request = prepare(node, draw(node, 12) ? volume : NULL);
	struct ls_volume_info info;

	if (!request)
		return;
	engine_volume_info(volume->handle, &info);
	if (!take_pages(node, request, REQUEST_MAX_BYTES / SIM_PAGE_BYTES + 2))
		return;
	request->hostile = true;
	request->request.buf = buffer_of(node, request);
	make_hostile(node, request, &info);
	if (!request->volume)
		request->request.op = REQUEST_FLUSH;
	submit(node, request);
}

void sim_client_open(struct sim_node *node, struct sim_volume *volume)
{
	struct ls_volume_info info;

	if (volume->handle)
		return;
	volume->handle = engine_volume_get(node->engine, volume->name);
	if (!volume->handle)
		return;
	engine_volume_info(volume->handle, &info);
	if (info.size_bytes > SIM_VOLUME_BYTES_MAX)
		sim_fail(node->world, "sim", "a volume of %llu bytes",
			 (unsigned long long)info.size_bytes);
	if (!volume->history.heads)
		history_init(&volume->history, node->world->history,
			     info.size_bytes / info.block_bytes,
			     volume->zeroed && info.primary ? SIM_ZERO : SIM_ANY);
	check_map(node);
}

void sim_client_close(struct sim_volume *volume)
{
	if (!volume->handle)
		return;
	engine_volume_put(volume->handle);
	volume->handle = NULL;
}

static struct sim_volume *some_volume(struct sim_node *node, bool open)
{
	struct sim_volume *pick = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < node->volume_count; i++) {
		struct sim_volume *v = &node->volumes[i];

		if (v->used && v->alive && (v->handle || !open) && draw(node, ++count) == 0)
			pick = v;
	}
	return pick;
}

void sim_client_run(struct sim_node *node)
{
	struct sim_volume *volume = some_volume(node, true);
	unsigned burst = 1 + (unsigned)draw(node, 3);

	if (!rng_chance(&node->world->rng, node->world->profile.clients[node->number]))
		return;
	if (!draw(node, 40)) {
		volume = some_volume(node, false);
		if (volume && volume->handle && !volume->requests_open && !draw(node, 3))
			sim_client_close(volume);
		else if (volume)
			sim_client_open(node, volume);
		return;
	}
	while (volume && burst--) {
		if (!draw(node, 25))
			hostile_one(node, volume);
		else
			sim_client_one(node, volume);
		volume = some_volume(node, true);
	}
}
