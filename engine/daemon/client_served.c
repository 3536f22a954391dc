/* SPDX-License-Identifier: BSD-3-Clause */
/* A client at the other end of a socket, the kernel's nbd: engine/doc/block-device.md. */
#include "engine/core/volume.h"
#include "engine/daemon/client_internal.h"

#include <errno.h>
#include <string.h>

/*
 * The kernel ends a connection that owes an answer for 30 s where it has several: without a limit,
 * a volume that waits for its peer would in time have all places of clients.
 */
#define SERVED_OWING_MAX 16u

static void served_submit(void *ctx, struct request *request)
{
	struct shard_client *c = ctx;

	c->in_flight++;
	c->shard->client_in_flight++;
	c->shard->stats.requests++;
	engine_submit(c->shard->engine, request);
}

static void served_completed(void *ctx)
{
	struct shard_client *c = ctx;

	c->in_flight--;
	c->shard->client_in_flight--;
	c->shard->stats.completions++;
}

static unsigned served_fetch(struct shard_client *c)
{
	unsigned taken;

	if (UNLIKELY(c->shard->stopping))
		nbd_server_leave(c->server);
	taken = nbd_server_fetch(c->server, CLIENT_FETCH_MAX);
	c->fetched += taken;
	if (LIKELY(!c->server->ended))
		return taken;
	client_break(c, NOTE_CLIENT_ENDED);
	return taken + 1;
}

static void watch_what_counts(struct shard_client *c)
{
	uint32_t events = nbd_server_events(c->server);

	if (events == c->watched)
		return;
	shard_watch_again(c->shard, events, c->server);
	c->watched = events;
}

static void served_publish(struct shard_client *c)
{
	nbd_server_publish(c->server);
	/* What is awaited must be watched for at once: a shard that is busy does not sleep. */
	if (UNLIKELY(nbd_server_events(c->server) & ~c->watched))
		watch_what_counts(c);
}

static bool served_ready(struct shard_client *c)
{
	return c->server->ended || nbd_server_ready(c->server);
}

static bool served_arm(struct shard_client *c)
{
	watch_what_counts(c);
	/* What has ended since is told before it is slept. */
	return served_ready(c);
}

/* It is readable for as long as there is something to read. */
static void served_disarm(struct shard_client *c)
{
	(void)c;
}

static int served_watch(struct shard_client *c, struct err *err)
{
	int rc;

	c->watched = nbd_server_events(c->server);
	rc = shard_watch_for(c->shard, c->server->fd, c->watched, c->server, err);
	c->shard->served_count += !rc;
	return rc;
}

static void served_stop(struct shard_client *c)
{
	c->shard->served_count--;
	shard_unwatch(c->shard, c->server->fd);
	nbd_server_end(c->server);
}

static const struct client_kind served_kind = {
	.fetch = served_fetch,
	.publish = served_publish,
	.arm = served_arm,
	.ready = served_ready,
	.disarm = served_disarm,
	.watch = served_watch,
	.stop = served_stop,
};

void client_init_served(struct shard_client *c, uint64_t id, struct nbd_server *server)
{
	*c = (struct shard_client){
		.kind = &served_kind,
		.id = id,
		.server = server,
		.arena = &server->region,
	};
	server->submit = served_submit;
	server->completed = served_completed;
	server->ctx = c;
}

/* Connections of @volume's that have died, or were given up, while requests of theirs are open. */
static unsigned owing(const struct shard *shard, const struct volume *volume)
{
	unsigned count = 0;

	for (unsigned i = 0; i < shard->client_count; i++) {
		const struct shard_client *c = shard->clients[i];

		count += c->server && (c->broken || c->leave) && c->in_flight &&
			 c->volumes[0].volume == volume;
	}
	return count;
}

/* What waits for an answer in the kernel was written to one volume, and must get into no other. */
static bool another(const struct volume *volume, const struct attach_serve *serve)
{
	static const uint8_t any[ATTACH_ID_BYTES];

	return memcmp(serve->id, any, sizeof(any)) != 0 &&
	       memcmp(serve->id, volume->record.uuid, sizeof(serve->id)) != 0;
}

int client_serve(struct shard *shard, struct shard_client *c, const struct attach_serve *serve,
		 struct err *err)
{
	const char *name = serve->name;
	struct volume *volume = engine_volume_get(shard_engine(shard), name);
	int rc;

	if (!volume)
		return err_set(err, -ENOENT, "there is no volume '%s' on this node", name);
	if (another(volume, serve))
		rc = err_set(err, -ESTALE,
			     "volume '%s' is another one than the one that was attached, which was "
			     "deleted: `lockstep detach %s --force`, and attach the new one",
			     name, name);
	else if (volume->record.role != VOLUME_PRIMARY)
		rc = err_set(err, -EROFS,
			     "volume '%s' is secondary on this node: attach it on its primary, or "
			     "`lockstep promote %s` here",
			     name, name);
	else if (owing(shard, volume) >= SERVED_OWING_MAX)
		rc = err_set(err, -EBUSY,
			     "%u connections of a block device of volume '%s' have died with "
			     "requests that wait still: there is no other one until some of them "
			     "are done",
			     SERVED_OWING_MAX, name);
	else
		rc = client_enter(shard, c, err);
	if (rc) {
		engine_volume_put(volume);
		return rc;
	}
	c->server->volume = volume;
	c->volumes[c->volume_count++] = (struct client_volume){
		.volume = volume,
		.block_bytes = volume->record.block_bytes,
	};
	return 0;
}
