/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/client.h"
#include "engine/core/volume.h"
#include "engine/daemon/shard_internal.h"
#include "engine/daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(((struct volume_record *)0)->uuid) == ATTACH_ID_BYTES, "an identity fits");
_Static_assert((int)SHMQ_READ == (int)REQUEST_READ && (int)SHMQ_WRITE == (int)REQUEST_WRITE &&
		       (int)SHMQ_FLUSH == (int)REQUEST_FLUSH &&
		       (int)SHMQ_DISCARD == (int)REQUEST_DISCARD &&
		       (int)SHMQ_WRITE_ZEROES == (int)REQUEST_WRITE_ZEROES,
	       "a descriptor's operation is a request's");

int client_init(struct shard_client *c, uint64_t id, struct shmq *queue, struct err *err)
{
	uint32_t depth = shmq_depth(queue);

	*c = (struct shard_client){.id = id, .queue = queue};
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

void client_fini(struct shard_client *c)
{
	free(c->requests);
}

int client_enter(struct shard *shard, struct shard_client *c, struct err *err)
{
	if (shard->client_count == CLIENTS_MAX)
		return err_set(err, -EMFILE,
			       "%d processes are attached already, the most there can be",
			       CLIENTS_MAX);
	c->shard = shard;
	store_queue_region_add(shard->queue, shmq_arena(c->queue), ARENA_BUFFER_BYTES);
	shard_watch_bell(shard, shmq_fds(c->queue).doorbell);
	shard->clients[shard->client_count++] = c;
	return 0;
}

int client_open(struct shard_client *c, const char *name, struct ls_volume_info *info,
		uint8_t id[ATTACH_ID_BYTES], struct err *err)
{
	struct engine *engine = shard_engine(c->shard);
	struct volume *volume = engine_volume_get(engine, name);

	if (!volume)
		return err_set(err, -ENOENT, "there is no volume '%s' on this node", name);
	engine_volume_info(volume, info);
	memcpy(id, volume->record.uuid, ATTACH_ID_BYTES);
	for (unsigned i = 0; i < c->volume_count; i++) {
		if (c->volumes[i].volume == volume) {
			engine_volume_put(volume);
			return (int)i;
		}
	}
	if (c->volume_count == ATTACH_VOLUMES_MAX) {
		engine_volume_put(volume);
		return err_set(err, -EMFILE, "a connection can open %d volumes",
			       ATTACH_VOLUMES_MAX);
	}
	c->volumes[c->volume_count] = (struct client_volume){
		.volume = volume,
		.block_bytes = info->block_bytes,
	};
	return (int)c->volume_count++;
}

static void client_stop_fetching(struct shard_client *c)
{
	/* Who does not listen any more is not to be woken. */
	if (!c->broken && !c->leave)
		shard_unwatch(c->shard, shmq_fds(c->queue).doorbell);
}

void client_leave(struct shard_client *c, struct call *call)
{
	assert(!c->leave);
	client_stop_fetching(c);
	c->leave = call;
	c->shard->leaving_count++;
}

/* Lets go of everything that @c holds on the shard. */
static void client_release(struct shard *shard, struct shard_client *c)
{
	for (unsigned i = 0; i < c->volume_count; i++)
		engine_volume_put(c->volumes[i].volume);
	c->volume_count = 0;
	client_stop_fetching(c);
	store_queue_region_remove(shard->queue, shmq_arena(c->queue));
}

void clients_sweep(struct shard *shard)
{
	if (LIKELY(!shard->leaving_count))
		return;
	watch_pause();
	for (unsigned i = 0; i < shard->client_count;) {
		struct shard_client *c = shard->clients[i];

		if (!c->leave || c->in_flight) {
			i++;
			continue;
		}
		client_release(shard, c);
		shard->clients[i] = shard->clients[--shard->client_count];
		shard->leaving_count--;
		shard_return(shard, c->leave);
	}
	watch_resume();
}

void clients_drop_all(struct shard *shard)
{
	while (shard->client_count) {
		struct shard_client *c = shard->clients[--shard->client_count];

		assert(!c->in_flight);
		shmq_publish(c->queue);
		client_release(shard, c);
		if (c->leave)
			shard_return(shard, c->leave);
	}
}

static void client_done(struct request *request)
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

static void client_submit(struct shard *shard, struct shard_client *c, const struct shmq_request *d)
{
	struct client_request *r = c->free_requests;
	struct client_volume *v = d->volume < c->volume_count ? &c->volumes[d->volume] : NULL;
	struct region *arena = shmq_arena(c->queue);

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
	r->request.buf = v ? buffer_of(arena, d, v->block_bytes) : NULL;
	r->request.region = arena;
	r->request.done = client_done;
	engine_submit(shard->engine, &r->request);
}

static void client_break(struct shard *shard, struct shard_client *c)
{
	struct note note = {.kind = NOTE_CLIENT_BROKEN, .client_id = c->id};

	client_stop_fetching(c);
	c->broken = true;
	shard_note(shard, &note);
}

static unsigned client_fetch(struct shard *shard, struct shard_client *c)
{
	struct shmq_request batch[CLIENT_FETCH_MAX];
	int count;

	if (UNLIKELY(c->broken || c->leave))
		return 0;
	count = shmq_fetch(c->queue, batch, CLIENT_FETCH_MAX);
	if (UNLIKELY(count < 0)) {
		client_break(shard, c);
		return 1;
	}
	for (int i = 0; i < count; i++)
		client_submit(shard, c, &batch[i]);
	c->fetched += (unsigned)count;
	shard->stats.requests += (unsigned)count;
	return (unsigned)count;
}

unsigned clients_fetch(struct shard *shard)
{
	unsigned count = shard->client_count, work = 0;

	if (!count)
		return 0;
	/* Another one goes first in every pass. */
	if (++shard->client_first >= count)
		shard->client_first = 0;
	for (unsigned i = 0; i < count; i++)
		work += client_fetch(shard, shard->clients[(shard->client_first + i) % count]);
	return work;
}

void clients_publish(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++)
		shmq_publish(shard->clients[i]->queue);
}

bool clients_arm(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++) {
		struct shard_client *c = shard->clients[i];

		if (!c->broken && !c->leave && shmq_arm(c->queue)) {
			/* Those before it are armed; a doorbell too many does no harm. */
			return true;
		}
	}
	return false;
}

void clients_disarm(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++)
		shmq_disarm(shard->clients[i]->queue);
}
