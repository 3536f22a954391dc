/* SPDX-License-Identifier: BSD-3-Clause */
/* What the control thread knows: everything hangs off one struct daemon. */
#ifndef LS_DAEMON_DAEMON_H
#define LS_DAEMON_DAEMON_H

#include "engine/daemon/events.h"
#include "engine/daemon/machine.h"
#include "engine/config/options.h"
#include "engine/daemon/shard.h"
#include "engine/daemon/state.h"
#include "engine/daemon/topo.h"

#include <systemd/sd-event.h>

#define DAEMON_VERSION "0.1.0"

struct control;
struct door;
struct watchdog;

/* The devices of a pool of node.json: opened before the shard runs, handed over afterwards. */
struct pool_stores {
	struct store *stores[POOL_DEVICES_MAX];
	unsigned count; /* 0: they could not be opened, or were handed over */
};

struct daemon {
	struct options options;
	char config_file[OPTION_TEXT_MAX + 1]; /* "" = none was read */
	struct machine machine;
	struct state state;
	sd_event *event;
	struct topo *topo;
	struct topo_pick pick;
	char bind_error[200]; /* why the shard is not pinned to pick.core; "" = it is */
	unsigned hardware_threads;
	enum polling polling;
	uint32_t spin_us; /* what it is, where the option says "auto" */
	char polling_why[200];
	struct store_queue *store_queue;
	struct shard *shard;
	struct fabric *fabric;
	char listen[160]; /* URI with the real port */
	struct event_log *events;
	struct control *control;
	struct door *door;
	struct watchdog *watchdog; /* NULL: nobody asks for one */
	struct pool_stores pool_stores[ENGINE_POOLS_MAX]; /* as in @state */
	/* NUMA nodes of all devices, for the choice of the core. */
	int device_nodes[ENGINE_POOLS_MAX * POOL_DEVICES_MAX];
	unsigned device_count;
	unsigned opening; /* pools that the engine is still opening */
	bool ready, stopping;
};

/* Begins to stop; again: nothing more.  From a signal or `shutdown`: @why. */
void daemon_stop(struct daemon *d, const char *why);

/* pools.c */
/* Opens all stores of node.json; failures go to d->state.pools. */
void pools_open_stores(struct daemon *d);
/* Hands them to the engine; d->opening counts down to 0. */
void pools_start(struct daemon *d);
/* Opens @paths for a new pool.  On failure nothing stays open. */
int pools_open_new(struct daemon *d, const char *const *paths, unsigned count, uint64_t size_bytes,
		   bool force, struct store **stores, struct err *err) MUST_CHECK;

/* placement.c: polling policy and core. */
void placement_polling(struct daemon *d);
int placement_choose(struct daemon *d, struct err *err) MUST_CHECK;
/* Pins the shard; a failure is logged and shown, not fatal, unless --core asked for it. */
int placement_apply(struct daemon *d, struct err *err) MUST_CHECK;
/* New devices: chooses again. */
void placement_add_devices(struct daemon *d, struct store *const *stores, unsigned count);

/* peers.c: hands the peers of node.json to the engine. */
void peers_start(struct daemon *d);

/* listen.c: a listening socket; a stale file is replaced, a live one is refused. */
int listen_unix(const char *path, int type, struct err *err) MUST_CHECK;
/* As sd_event_add_io(), of a listening socket; @on_accept takes one connection, if it can. */
int listen_watch(sd_event *event, sd_event_source **source, int fd, sd_event_io_handler_t on_accept,
		 void *userdata) MUST_CHECK;

#endif
