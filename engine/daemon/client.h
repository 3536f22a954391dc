/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shard's side of one client: takes its requests, has the engine do them, and answers.
 * Made and freed on the control thread (door.c); between client_enter() or client_serve() and
 * client_leave()'s answer it is the shard's.
 *
 * There are two kinds: a process with a queue in shared memory (client_queue.c), and the kernel's
 * nbd at the other end of a socket (client_served.c).
 */
#ifndef LS_DAEMON_CLIENT_H
#define LS_DAEMON_CLIENT_H

#include "engine/core/request.h"
#include "engine/daemon/nbd_server.h"
#include "engine/shm/attach.h"
#include "engine/shm/shmq.h"

/* Requests of one client in one pass, so that one can't starve the others. */
#define CLIENT_FETCH_MAX 32

struct call;
struct shard;
struct shard_client;

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

/* On the shard. */
struct client_kind {
	/* Returns how many were taken. */
	unsigned (*fetch)(struct shard_client *client);
	void (*publish)(struct shard_client *client);
	/* Before a sleep: what comes from now on ends it.  True: something is there already. */
	bool (*arm)(struct shard_client *client);
	/* Something is there; what is armed stays so. */
	bool (*ready)(struct shard_client *client);
	void (*disarm)(struct shard_client *client);
	/* What comes from it ends a sleep from now on; -ENOSPC, -ENOMEM: it does not. */
	int (*watch)(struct shard_client *client, struct err *err);
	/* Nothing more is taken, and nobody is answered. */
	void (*stop)(struct shard_client *client);
};

struct shard_client {
	const struct client_kind *kind;
	uint64_t id;
	struct shard *shard;
	struct region *arena;
	struct client_volume volumes[ATTACH_VOLUMES_MAX];
	unsigned volume_count;
	uint32_t in_flight; /* submitted to the engine and not done */
	uint64_t fetched;
	bool broken; /* nothing more is taken from it: a hostile ring, or the end of a socket */
	struct call *leave; /* answered when nothing is in flight */

	/* A queue's. */
	struct shmq *queue;
	struct client_request *requests, *free_requests; /* as many as the queue is deep */
	/* A served one's. */
	struct nbd_server *server;
	uint32_t watched; /* what epoll was asked for */
};

/* Control thread. */
int client_init(struct shard_client *client, uint64_t id, struct shmq *queue,
		struct err *err) MUST_CHECK;
void client_init_served(struct shard_client *client, uint64_t id, struct nbd_server *server);
void client_fini(struct shard_client *client);

/* On the shard, from calls.  -EMFILE: CLIENTS_MAX; what watch() says. */
int client_enter(struct shard *shard, struct shard_client *client, struct err *err) MUST_CHECK;
/* Returns a handle for descriptors; the same for a volume that is open already. */
int client_open(struct shard_client *client, const char *name, struct ls_volume_info *info,
		uint8_t id[ATTACH_ID_BYTES], struct err *err) MUST_CHECK;
/* Enters, and serves what @serve names: primary here (-EROFS), and that very volume (-ESTALE). */
int client_serve(struct shard *shard, struct shard_client *client, const struct attach_serve *serve,
		 struct err *err) MUST_CHECK;
/* Takes nothing more; returns @call when the last request is done. */
void client_leave(struct shard_client *client, struct call *call);

/* On the shard, from the loop. */
unsigned clients_fetch(struct shard *shard);
void clients_publish(struct shard *shard);
bool clients_arm(struct shard *shard);
/* Some has something to fetch; what is armed stays so. */
bool clients_ready(struct shard *shard);
void clients_disarm(struct shard *shard);
/* Lets those go that left and have nothing in flight. */
void clients_sweep(struct shard *shard);
/* At the end of the shard: lets all go. */
void clients_drop_all(struct shard *shard);

#endif
