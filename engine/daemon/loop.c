/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shard's loop and its polling policy.
 *
 * Sleeping loses no wake-up because of its order: arm every source, look at every source
 * once more, sleep.  What comes after the look finds its source armed, and rings its bell or
 * makes a descriptor readable; epoll remembers either, so it need not come in time.  A
 * control-thread call needs no arming: it always rings bell_in after the push.
 *
 * A sleep has no time limit: one would cost two readings of the kernel's clock, and a timer set and
 * cancelled, each time, for deadlines that are a hundred milliseconds away.  The alarm stays set
 * instead, and may go off early.
 */
#include "engine/daemon/shard_internal.h"
#include "engine/daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

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
/* A sleep of at least this that only the alarm ended is looked into: look_for_lost(). */
#define LATE_NS (10 * NS_PER_MS)
/* Who brought work rings within this, even if it loses its CPU before: a client, or soft-RoCE. */
#define RING_MS 100

/* Of descriptors that one look finds. */
#define EVENTS_MAX (CLIENTS_MAX + 32)

/* What has come since the last look; returns epoll_wait()'s, without the alarm. */
static int look(struct shard *shard, int limit_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int found = epoll_wait(shard->epoll_fd, events, EVENTS_MAX, limit_ms), count = found;

	/* Task work of io_uring ends the wait with EINTR: look again, like any event. */
	assert(found >= 0 || errno == EINTR);
	/* Sockets of which nothing was found are not read from in this pass: block-device.md. */
	for (int i = 0; i < found; i++) {
		if (events[i].data.ptr == &shard->alarm_fd) {
			shard->alarm_ns = UINT64_MAX;
			count--;
		} else if (events[i].data.ptr) {
			nbd_server_look(events[i].data.ptr, events[i].events);
		}
	}
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
	if (work && UNLIKELY(shard->now_ns >= shard->sampler.due_ns))
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

/*
 * The alarm goes off at the engine's next deadline, or before; false: that has passed.  How long a
 * sleep can last is in @limit_ns then.
 */
static bool set_alarm(struct shard *shard, uint64_t *limit_ns)
{
	uint64_t deadline = engine_deadline_ns(shard->engine), now = clock_now(&shard->clock);
	struct itimerspec at = {0};

	if (deadline <= now)
		return false;
	/* Rounded up, so that it has passed when we look. */
	if (deadline != UINT64_MAX)
		deadline = round_up_u64(deadline, NS_PER_MS);
	if (deadline < shard->alarm_ns) {
		shard->alarm_ns = deadline;
		at.it_value.tv_sec = (time_t)(deadline / NS_PER_S);
		at.it_value.tv_nsec = (long)(deadline % NS_PER_S);
		timerfd_settime(shard->alarm_fd, TFD_TIMER_ABSTIME, &at, NULL);
	}
	*limit_ns = shard->alarm_ns > now ? shard->alarm_ns - now : 0;
	return true;
}

/* There is work; all that was armed stays so, as for engine and store to arm anew is to look. */
static bool ready(struct shard *shard)
{
	bool engine = engine_arm(shard->engine);

	return engine || store_queue_arm(shard->queue) || clients_ready(shard) ||
	       !shard_inbox_empty(shard);
}

/*
 * The alarm alone ended a sleep, and everything is armed still.  Work that is there is about to
 * ring: that is waited for, and nothing is begun before that would ring, too.  When nothing rings,
 * the wake-up was lost.  False: there was nothing to do, as in most of an idle engine's ticks.
 */
static bool look_for_lost(struct shard *shard)
{
	if (ready(shard) && !look(shard, RING_MS))
		shard->stats.late_wakes++;
	return pass(shard) > 0;
}

/* False: the next pass would find nothing, nor would one that spins. */
static bool sleep_once(struct shard *shard)
{
	uint64_t limit_ns = 0;
	bool awake = true;
	int count;

	if (arm(shard)) {
		shard->stats.armed_hits++;
	} else {
		shard->stats.sleeps++;
		count = look(shard, set_alarm(shard, &limit_ns) ? -1 : 0);
		shard->stats.wakes += count > 0;
		shard->stats.interrupted += count < 0;
		if (count == 0 && limit_ns >= LATE_NS)
			awake = look_for_lost(shard);
	}
	clients_disarm(shard);
	return awake;
}

/* Of clients, or on our device: the peers'. */
static bool many_in_flight(const struct shard *shard)
{
	struct store_queue_stats device = store_queue_stats(shard->queue);

	return shard->client_in_flight > SPIN_IN_FLIGHT_MAX ||
	       device.submitted - device.completed > SPIN_IN_FLIGHT_MAX;
}

static bool may_spin(struct shard *shard)
{
	if (shard->config.polling != POLLING_ADAPTIVE || !shard->config.spin_ns ||
	    many_in_flight(shard))
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
		while (!sleep_once(shard) && !finished(shard))
			;
	}
	watch.on = false;
}
