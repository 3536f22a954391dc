/* SPDX-License-Identifier: BSD-3-Clause */
/* What all clients have alike. */
#include "engine/core/volume.h"
#include "engine/daemon/client_internal.h"
#include "engine/daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(NOTES_RESERVED >= CLIENTS_MAX + 16, "a note of the end of each client fits");

_Static_assert(sizeof(((struct volume_record *)0)->uuid) == ATTACH_ID_BYTES, "an identity fits");

void client_fini(struct shard_client *c)
{
	free(c->requests);
}

int client_enter(struct shard *shard, struct shard_client *c, struct err *err)
{
	int rc;

	if (shard->client_count == CLIENTS_MAX)
		return err_set(err, -EMFILE,
			       "%d processes and connections of block devices are attached "
			       "already, the most there can be",
			       CLIENTS_MAX);
	c->shard = shard;
	rc = c->kind->watch(c, err);
	if (rc)
		return rc;
	store_queue_region_add(shard->queue, c->arena, ARENA_BUFFER_BYTES);
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

/* Who does not listen any more is not to be woken. */
static void client_stop(struct shard_client *c)
{
	if (!c->broken && !c->leave)
		c->kind->stop(c);
}

void client_break(struct shard_client *c, enum note_kind why)
{
	struct note note = {.kind = why, .client_id = c->id};

	client_stop(c);
	c->broken = true;
	shard_note(c->shard, &note);
}

void client_leave(struct shard_client *c, struct call *call)
{
	assert(!c->leave);
	client_stop(c);
	c->leave = call;
	c->shard->leaving_count++;
}

/* Lets go of everything that @c holds on the shard. */
static void client_release(struct shard *shard, struct shard_client *c)
{
	for (unsigned i = 0; i < c->volume_count; i++)
		engine_volume_put(c->volumes[i].volume);
	c->volume_count = 0;
	client_stop(c);
	store_queue_region_remove(shard->queue, c->arena);
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
		c->kind->publish(c);
		client_release(shard, c);
		if (c->leave)
			shard_return(shard, c->leave);
	}
}

unsigned clients_fetch(struct shard *shard)
{
	unsigned count = shard->client_count, work = 0;

	if (!count)
		return 0;
	/* Another one goes first in every pass. */
	if (++shard->client_first >= count)
		shard->client_first = 0;
	for (unsigned i = 0; i < count; i++) {
		struct shard_client *c = shard->clients[(shard->client_first + i) % count];

		if (LIKELY(!c->broken && !c->leave))
			work += c->kind->fetch(c);
	}
	return work;
}

void clients_publish(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++)
		shard->clients[i]->kind->publish(shard->clients[i]);
}

bool clients_arm(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++) {
		struct shard_client *c = shard->clients[i];

		if (!c->broken && !c->leave && c->kind->arm(c)) {
			/* Those before it are armed; a doorbell too many does no harm. */
			return true;
		}
	}
	return false;
}

bool clients_ready(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++) {
		struct shard_client *c = shard->clients[i];

		if (!c->broken && !c->leave && c->kind->ready(c))
			return true;
	}
	return false;
}

void clients_disarm(struct shard *shard)
{
	for (unsigned i = 0; i < shard->client_count; i++)
		shard->clients[i]->kind->disarm(shard->clients[i]);
}
