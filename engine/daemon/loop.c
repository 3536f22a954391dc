/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shard's loop and its polling policy.
 *
 * Sleeping loses no wake-up because of its order: arm every source, look at every source
 * once more, sleep.  What comes after the look finds its source armed, and rings its bell or
 * makes a descriptor readable; epoll remembers either, so it need not come in time.  A
 * control-thread call needs no arming: it always rings bell_in after the push.
 */
#include "engine/daemon/shard_internal.h"
#include "engine/daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>

/* Events of one link, and completions of the store, in one pass. */
#define POLL_BUDGET 64
/*
 * Spinning pays when one answer is awaited, and costs throughput when many are (floor
 * measurements: from a depth of 4 on, no spinning variant beat plain events).
 */
#define SPIN_IN_FLIGHT_MAX 4
/* judge_spin(): of so many spins so many must end with work, or so many idle periods are slept. */
#define JUDGE_SPINS 64
#define JUDGE_HITS_MIN 16
#define JUDGE_PAUSE 512
/* A sleep of at least this that only its time limit ended is looked into: look_for_lost(). */
#define LATE_MS 10

/* Of descriptors that one look finds. */
#define EVENTS_MAX (CLIENTS_MAX + 32)

/* What has come since the last look; returns epoll_wait()'s. */
static int look(struct shard *shard, int limit_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(shard->epoll_fd, events, EVENTS_MAX, limit_ms);

	/* Task work of io_uring ends the wait with EINTR: look again, like any event. */
	assert(count >= 0 || errno == EINTR);
	/* Sockets of which nothing was found are not read from in this pass: block-device.md. */
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr)
			nbd_server_look(events[i].data.ptr, events[i].events);
	shard->looked = true;
	return count;
}

/* One pass; returns how much there was to do. */
static unsigned pass(struct shard *shard)
{
	unsigned work;

	/* Memory can be looked at, sockets must be asked for. */
	if (UNLIKELY(shard->served_count) && !shard->looked)
		look(shard, 0);
	shard->looked = false;
	shard->now_ns = clock_now(&shard->clock);
	shard->stats.passes++;
	engine_tick(shard->engine, shard->now_ns);
	work = shard_inbox(shard);
	work += clients_fetch(shard);
	work += engine_poll(shard->engine, POLL_BUDGET);
	work += store_queue_poll(shard->queue, POLL_BUDGET);
	/* The wire first: the remote leg is the longer one. */
	engine_flush(shard->engine);
	store_queue_flush(shard->queue);
	clients_publish(shard);
	clients_sweep(shard);
	if (shard->news) {
		shard->news = false;
		bell_ring(shard->bell_out);
	}
	if (UNLIKELY(shard->now_ns >= shard->sampler.due_ns))
		sample_look(&shard->sampler, shard->engine);
	shard->stats.idle_passes += !work;
	return work;
}

/* Every source is asked, even when an earlier one had work: all must be armed alike. */
static bool arm(struct shard *shard)
{
	bool engine = engine_arm(shard->engine);
	bool store = store_queue_arm(shard->queue);
	bool clients = clients_arm(shard);

	return engine || store || clients || !shard_inbox_empty(shard);
}

/* Until the engine's next timer, rounded up so that it has passed when we look. */
static int sleep_ms(struct shard *shard)
{
	uint64_t deadline = engine_deadline_ns(shard->engine);
	uint64_t now = clock_now(&shard->clock);

	if (deadline == UINT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	return (int)min_u64((deadline - now + 999999) / 1000000, 3600 * 1000);
}

/*
 * A sleep ended by time only, and everything is armed still.  Work that is there has rung, maybe
 * this very moment; when there is work and nothing has, its wake-up was lost.
 */
static void look_for_lost(struct shard *shard)
{
	if (pass(shard) && !look(shard, 0))
		shard->stats.late_wakes++;
}

static void sleep_once(struct shard *shard)
{
	int count, limit_ms;

	if (arm(shard)) {
		shard->stats.armed_hits++;
	} else {
		shard->stats.sleeps++;
		limit_ms = sleep_ms(shard);
		count = look(shard, limit_ms);
		shard->stats.wakes += count > 0;
		shard->stats.interrupted += count < 0;
		if (count == 0 && limit_ms >= LATE_MS)
			look_for_lost(shard);
	}
	clients_disarm(shard);
}

static bool may_spin(struct shard *shard)
{
	if (shard->config.polling != POLLING_ADAPTIVE || !shard->config.spin_ns ||
	    shard->client_in_flight > SPIN_IN_FLIGHT_MAX)
		return false;
	if (!shard->unspun_left)
		return true;
	shard->unspun_left--;
	return false;
}

/*
 * Where spinners are in the way of what they wait for (no free core, a hypervisor's I/O
 * thread), or answers take longer than the limit, few spins end with work: then the next
 * idle periods are slept at once, and after them it is tried again.
 */
static void judge_spin(struct shard *shard, bool hit)
{
	if (!shard->config.spin_judged)
		return;
	shard->judged_spins++;
	shard->judged_hits += hit;
	if (shard->judged_spins < JUDGE_SPINS)
		return;
	if (shard->judged_hits < JUDGE_HITS_MIN) {
		shard->unspun_left = JUDGE_PAUSE;
		shard->stats.spin_pauses++;
	}
	shard->judged_spins = shard->judged_hits = 0;
}

/* Looks again and again for a bounded time; true when there was work. */
static bool spin(struct shard *shard)
{
	uint64_t end = clock_now(&shard->clock) + shard->config.spin_ns;
	bool hit;

	do
		hit = pass(shard) > 0;
	while (!hit && shard->now_ns < end);
	shard->stats.spins++;
	shard->stats.spin_hits += hit;
	judge_spin(shard, hit);
	return hit;
}

static bool finished(const struct shard *shard)
{
	return shard->stopping && engine_stopped(shard->engine) && !shard->client_in_flight;
}

void loop_run(struct shard *shard)
{
	clock_init(&shard->clock);
	watch.on = true;
	while (!finished(shard)) {
		unsigned work = pass(shard);

		if (work || shard->config.polling == POLLING_BUSY || finished(shard))
			continue;
		if (may_spin(shard) && spin(shard))
			continue;
		sleep_once(shard);
	}
	watch.on = false;
}
