/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to shard.c, loop.c and the clients. */
#ifndef LS_DAEMON_SHARD_INTERNAL_H
#define LS_DAEMON_SHARD_INTERNAL_H

#include "engine/base/clock.h"
#include "engine/control/sample.h"
#include "engine/daemon/client.h"
#include "engine/daemon/shard.h"

#include <semaphore.h>
#include <stdatomic.h>

struct shard {
	/* Constant after start. */
	struct shard_config config;
	struct store_queue *queue;
	struct fabric *fabric;
	int epoll_fd, alarm_fd, bell_in, bell_out;
	pthread_t thread;

	/* Between threads. */
	struct call_box *calls_in, *calls_out;
	struct link_box *links_in;
	struct note_box *notes_out;
	sem_t started;
	struct err start_err;
	uint64_t refused_said_ns; /* the CM thread's */
	/* CM thread: inside a handler; the control thread: no more links are wanted. */
	atomic_int handlers;
	atomic_bool closing;

	/* The control thread's. */
	unsigned calls_open;

	/* The shard thread's. */
	struct engine *engine;
	struct region copy_region;
	struct shard_client *clients[CLIENTS_MAX];
	unsigned client_count, client_first;
	unsigned leaving_count;
	unsigned served_count; /* those at sockets */
	bool looked; /* at all descriptors, since the last pass */
	struct clock clock;
	uint64_t alarm_ns; /* when it goes off; UINT64_MAX = it is not set */
	uint64_t now_ns;
	uint32_t client_in_flight; /* of all clients */
	unsigned judged_spins, judged_hits, unspun_left; /* loop.c: how spinning pays */
	bool news; /* rings bell_out at the end of the pass */
	bool stopping;
	uint64_t notes_lost;
	struct loop_stats stats;
	struct sampler sampler;
};

/* loop.c: runs until the engine has stopped. */
void loop_run(struct shard *shard);
/* shard.c: calls and link events; returns how many there were. */
unsigned shard_inbox(struct shard *shard);
bool shard_inbox_empty(const struct shard *shard);
/*
 * Adds @fd to what ends a sleep, when it has one of epoll's @events, which are told to @server
 * unless it is NULL; -ENOSPC, -ENOMEM.  A bell is an eventfd of which each ring ends one sleep:
 * nobody empties it, which saves a system call before each.
 */
int shard_watch_for(struct shard *shard, int fd, uint32_t events, struct nbd_server *server,
		    struct err *err) MUST_CHECK;
int shard_watch_bell(struct shard *shard, int fd, struct err *err) MUST_CHECK;
/* Other @events for the socket of one that is watched. */
void shard_watch_again(struct shard *shard, uint32_t events, struct nbd_server *server);
void shard_unwatch(struct shard *shard, int fd);
void shard_note(struct shard *shard, const struct note *note);

#endif
