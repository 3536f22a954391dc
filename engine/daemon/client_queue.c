/* SPDX-License-Identifier: BSD-3-Clause */
/* A client with a queue in shared memory: engine/doc/client-queue.md. */
#include "engine/daemon/client_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

_Static_assert((int)SHMQ_READ == (int)REQUEST_READ && (int)SHMQ_WRITE == (int)REQUEST_WRITE &&
		       (int)SHMQ_FLUSH == (int)REQUEST_FLUSH &&
		       (int)SHMQ_DISCARD == (int)REQUEST_DISCARD &&
		       (int)SHMQ_WRITE_ZEROES == (int)REQUEST_WRITE_ZEROES,
	       "a descriptor's operation is a request's");

static void queue_done(struct request *request)
{
	struct client_request *r = CONTAINER_OF(request, struct client_request, request);
	struct shard_client *c = r->client;
	struct shard *shard = c->shard;
	uint64_t ns = shard->now_ns - request->submitted_ns;

	c->in_flight--;
	shard->client_in_flight--;
	shard->stats.completions++;
	r->next_free = c->free_requests;
	c->free_requests = r;
	/* Nobody is there to look at the ring of one that left; a broken one is not told. */
	if (UNLIKELY(c->leave || c->broken))
		return;
	shmq_complete(c->queue, r->tag, request->status, request->failed_legs,
		      (uint32_t)min_u64(ns, UINT32_MAX));
}

/* The place of a read's or write's data, or NULL when it is not all inside the arena. */
static void *buffer_of(const struct region *arena, const struct shmq_request *d,
		       uint32_t block_bytes)
{
	if (d->op != SHMQ_READ && d->op != SHMQ_WRITE)
		return NULL;
	if (d->buffer > arena->length_bytes || d->length > arena->length_bytes - d->buffer)
		return NULL;
	return d->buffer % block_bytes ? NULL : (char *)arena->base + d->buffer;
}

static void queue_submit(struct shard_client *c, const struct shmq_request *d)
{
	struct client_request *r = c->free_requests;
	struct client_volume *v = d->volume < c->volume_count ? &c->volumes[d->volume] : NULL;
	struct shard *shard = c->shard;

	/* shmq_fetch() gives no more than the queue is deep, counting what is in flight. */
	assert(r);
	c->free_requests = r->next_free;
	c->in_flight++;
	shard->client_in_flight++;
	r->tag = d->tag;
	r->request.volume = v ? v->volume : NULL;
	r->request.op = d->op;
	r->request.flags = d->flags;
	r->request.offset = d->offset;
	r->request.length = d->length;
	r->request.buf = v ? buffer_of(c->arena, d, v->block_bytes) : NULL;
	r->request.region = c->arena;
	r->request.done = queue_done;
	engine_submit(shard->engine, &r->request);
}

static unsigned queue_fetch(struct shard_client *c)
{
	struct shmq_request batch[CLIENT_FETCH_MAX];
	int count = shmq_fetch(c->queue, batch, CLIENT_FETCH_MAX);

	if (UNLIKELY(count < 0)) {
		client_break(c, NOTE_CLIENT_BROKEN);
		return 1;
	}
	for (int i = 0; i < count; i++)
		queue_submit(c, &batch[i]);
	c->fetched += (unsigned)count;
	c->shard->stats.requests += (unsigned)count;
	return (unsigned)count;
}

static void queue_publish(struct shard_client *c)
{
	shmq_publish(c->queue);
}

static bool queue_arm(struct shard_client *c)
{
	return shmq_arm(c->queue);
}

static bool queue_ready(struct shard_client *c)
{
	return shmq_ready(c->queue);
}

static void queue_disarm(struct shard_client *c)
{
	shmq_disarm(c->queue);
}

static int queue_watch(struct shard_client *c, struct err *err)
{
	return shard_watch_bell(c->shard, shmq_fds(c->queue).doorbell, err);
}

static void queue_stop(struct shard_client *c)
{
	shard_unwatch(c->shard, shmq_fds(c->queue).doorbell);
}

static const struct client_kind queue_kind = {
	.fetch = queue_fetch,
	.publish = queue_publish,
	.arm = queue_arm,
	.ready = queue_ready,
	.disarm = queue_disarm,
	.watch = queue_watch,
	.stop = queue_stop,
};

int client_init(struct shard_client *c, uint64_t id, struct shmq *queue, struct err *err)
{
	uint32_t depth = shmq_depth(queue);

	*c = (struct shard_client){
		.kind = &queue_kind,
		.id = id,
		.queue = queue,
		.arena = shmq_arena(queue),
	};
	c->requests = calloc(depth, sizeof(*c->requests));
	if (!c->requests)
		return err_set(err, -ENOMEM, "no memory for a queue of %u requests", depth);
	for (uint32_t i = 0; i < depth; i++) {
		c->requests[i].client = c;
		c->requests[i].next_free = c->free_requests;
		c->free_requests = &c->requests[i];
	}
	return 0;
}
