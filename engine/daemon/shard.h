/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shard: one pinned thread that owns the engine, its store queue, all links and all client
 * queues.  What other threads want of it they send as calls (mail.h).
 *
 * Functions here are for the control thread, unless they say otherwise.
 */
#ifndef LS_DAEMON_SHARD_H
#define LS_DAEMON_SHARD_H

#include "engine/control/engine.h"
#include "engine/control/sample.h"
#include "engine/daemon/mail.h"
#include "engine/config/options.h"
#include "nvme/store_queue.h"
#include "verbs/fabric.h"

#include <pthread.h>

#define CLIENTS_MAX 256
/* Fixed buffers of client arenas and the copy memory; below the 508 KiB of one command. */
#define ARENA_BUFFER_BYTES KIB(256)

struct shard;
struct shard_client;

struct shard_config {
	struct engine_config engine;
	enum polling polling; /* not POLLING_AUTO: it was decided */
	uint64_t spin_ns;
	bool spin_judged; /* adaptive: stop spinning for a while when it seldom pays */
};

int shard_create(const struct shard_config *config, struct store_queue *queue, struct shard **shard,
		 struct err *err) MUST_CHECK;
/* Give this to fabric_create() with the shard as owner.  Runs on the CM thread. */
extern const struct fabric_handler shard_fabric_handler;
/* Starts the thread; fails when the engine cannot be created. */
int shard_start(struct shard *shard, struct fabric *fabric, struct err *err) MUST_CHECK;
pthread_t shard_thread(const struct shard *shard);

/*
 * Sends @call.  False when CALLS_MAX are under way: the caller answers "busy".  Every call
 * that was sent comes back through shard_take_returned().
 */
bool shard_call(struct shard *shard, struct call *call) MUST_CHECK;
/* On the shard: gives @call back. */
void shard_return(struct shard *shard, struct call *call);

/* Readable when there are notes or returned calls. */
int shard_bell(const struct shard *shard);
void shard_bell_quiet(struct shard *shard);
bool shard_take_note(struct shard *shard, struct note *note);
struct call *shard_take_returned(struct shard *shard);

/* After NOTE_STOPPED: ends the thread; calls that it never ran come back, too. */
void shard_join(struct shard *shard);
/* After shard_join() and before fabric_destroy(): no link is left afterwards. */
void shard_drop_links(struct shard *shard);
void shard_destroy(struct shard *shard);

/* On the shard, from a call. */
struct engine *shard_engine(struct shard *shard);
struct store_queue *shard_store_queue(struct shard *shard);
void shard_log(struct shard *shard, int level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Refuses new requests, lets those in flight end; then the thread ends with NOTE_STOPPED. */
void shard_stop(struct shard *shard);

struct loop_stats {
	uint64_t passes, idle_passes;
	uint64_t sleeps; /* epoll_wait() */
	uint64_t wakes; /* of these, ended by a descriptor */
	uint64_t interrupted; /* ended by EINTR: looked again */
	uint64_t armed_hits; /* armed, and then there was work at once: did not sleep */
	uint64_t spins, spin_hits; /* idle periods that were spun, and those that work ended */
	uint64_t spin_pauses; /* times that spinning was judged useless for a while */
	uint64_t late_wakes; /* lost wake-ups that a long sleep's end has shown; see LATE_MS */
	uint64_t requests, completions; /* of clients */
};

struct client_status {
	uint64_t id, requests, wakeups;
	uint32_t depth, in_flight;
	unsigned volume_count;
	bool broken;
};

struct shard_status {
	struct engine_status engine;
	struct loop_stats loop;
	struct store_queue_stats store;
	char store_describe[160];
	enum polling polling;
	uint64_t spin_ns;
	uint64_t data_path_allocations, data_path_locks;
	struct sample_histogram latency[SAMPLE_OPS][SAMPLE_HOPS];
	unsigned client_count;
	struct client_status clients[CLIENTS_MAX];
};

/* On the shard. */
void shard_status(struct shard *shard, struct shard_status *status);

#endif
