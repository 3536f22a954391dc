/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shard's side of one client: fetches its descriptors, turns them into requests, and
 * returns their completions.  Made and freed on the control thread (door.c); between
 * client_enter() and client_leave()'s answer it is the shard's.
 */
#ifndef LS_DAEMON_CLIENT_H
#define LS_DAEMON_CLIENT_H

#include "engine/core/request.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"

/* Descriptors of one client in one pass, so that one can't starve the others. */
#define CLIENT_FETCH_MAX 32

struct call;
struct shard;

struct client_request {
	struct request request;
	struct shard_client *client;
	uint64_t tag;
	struct client_request *next_free;
};

struct client_volume {
	struct volume *volume;
	uint32_t block_bytes;
};

struct shard_client {
	uint64_t id;
	struct shmq *queue;
	struct shard *shard;
	struct client_request *requests, *free_requests; /* as many as the queue is deep */
	struct client_volume volumes[ATTACH_VOLUMES_MAX];
	unsigned volume_count;
	uint32_t in_flight; /* submitted to the engine and not done */
	uint64_t fetched;
	bool broken; /* hostile ring: nothing more is fetched */
	struct call *leave; /* answered when nothing is in flight */
};

/* Control thread. */
int client_init(struct shard_client *client, uint64_t id, struct shmq *queue,
		struct err *err) MUST_CHECK;
void client_fini(struct shard_client *client);

/* On the shard, from calls.  -EMFILE: CLIENTS_MAX. */
int client_enter(struct shard *shard, struct shard_client *client, struct err *err) MUST_CHECK;
/* Returns a handle for descriptors; the same for a volume that is open already. */
int client_open(struct shard_client *client, const char *name, struct ls_volume_info *info,
		uint8_t id[ATTACH_ID_BYTES], struct err *err) MUST_CHECK;
/* Fetches nothing more; returns @call when the last request is done. */
void client_leave(struct shard_client *client, struct call *call);

/* On the shard, from the loop. */
unsigned clients_fetch(struct shard *shard);
void clients_publish(struct shard *shard);
bool clients_arm(struct shard *shard);
void clients_disarm(struct shard *shard);
/* Lets those go that left and have nothing in flight. */
void clients_sweep(struct shard *shard);
/* At the end of the shard: lets all go. */
void clients_drop_all(struct shard *shard);

#endif
