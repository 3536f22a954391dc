/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/peer/pace.h"

/* Clients that were silent for so long are not there. */
#define AWAY_NS (50 * NS_PER_MS)
/* The copy runs for so many requests of clients, or so long, and pauses for so many. */
#define RUN_SAMPLES 128u
#define RUN_NS_MAX NS_PER_S
#define QUIET_SAMPLES 16u
/* A pause costs the copy at most this part of the run before it, within these. */
#define PAUSE_PART 8u
#define PAUSE_NS_MIN (2 * NS_PER_MS)
#define PAUSE_NS_MAX (125 * NS_PER_MS)
/* One request that took very long for its own reasons may not decide. */
#define OUTLIER 4u
/* What a copy that was late may make up for, under a hand limit. */
#define LATE_NS (100 * NS_PER_MS)

void pace_init(struct pace *p, uint64_t window_max, uint64_t chunk_max)
{
	*p = (struct pace){
		.window_max = window_max,
		.chunk_max = chunk_max,
		.window = PACE_WINDOW_FIRST,
		.wake_ns = UINT64_MAX,
	};
}

/* --- the window --- */

static uint64_t mean(uint64_t sum, uint32_t count)
{
	return sum / count;
}

/* How long clients' requests take beside the copy, in percent of without; 0 = not known. */
static uint64_t slowdown(const struct pace_latency *l)
{
	if (!l->base_ns || l->beside < QUIET_SAMPLES)
		return 0;
	return 100 * mean(l->beside_sum_ns, l->beside) / l->base_ns;
}

static void learn_base(struct pace_latency *l)
{
	uint64_t now;

	/* Too few in this pause: those of the next one are added. */
	if (l->quiet < QUIET_SAMPLES)
		return;
	now = mean(l->quiet_sum_ns, l->quiet);
	l->base_ns = max_u64(l->base_ns ? (l->base_ns + now) / 2 : now, 1);
	l->quiet = 0;
	l->quiet_sum_ns = 0;
}

/*
 * Shrinks by half as soon as clients take half as long again, grows by a quarter while they
 * hardly feel it: the harm ends at once, and what is granted is what was tried.
 */
static void judge(struct pace *p)
{
	uint64_t worst = 0;

	for (unsigned i = 0; i < PACE_CLASSES; i++) {
		struct pace_latency *l = &p->latency[i];

		learn_base(l);
		if (!slowdown(l))
			continue;
		worst = max_u64(worst, slowdown(l));
		l->beside = 0;
		l->beside_sum_ns = 0;
	}
	if (worst > 150)
		p->window = max_u64(p->window / 2, PACE_WINDOW_MIN);
	else if (worst && worst < 125)
		p->window =
			min_u64(p->window + max_u64(p->window / 4, PACE_WINDOW_MIN), p->window_max);
	p->window = p->window / PACE_WINDOW_MIN * PACE_WINDOW_MIN;
}

/* --- pauses --- */

static bool run_over(const struct pace *p, uint64_t now)
{
	uint32_t samples = 0;

	for (unsigned i = 0; i < PACE_CLASSES; i++)
		samples += p->latency[i].beside;
	return samples >= RUN_SAMPLES || (samples && now - p->run_ns >= RUN_NS_MAX);
}

static bool heard_enough(const struct pace *p)
{
	bool any = false;

	for (unsigned i = 0; i < PACE_CLASSES; i++) {
		const struct pace_latency *l = &p->latency[i];

		if (l->beside >= QUIET_SAMPLES && l->quiet < QUIET_SAMPLES)
			return false;
		any |= l->quiet >= QUIET_SAMPLES;
	}
	return any;
}

static bool pausing(struct pace *p, uint64_t now)
{
	uint64_t run = now - p->run_ns;

	if (!p->pausing && run_over(p, now)) {
		p->pausing = true;
		p->pause_ns = min_u64(max_u64(run / PAUSE_PART, PAUSE_NS_MIN), PAUSE_NS_MAX);
		p->quiet_ns = now;
	}
	if (!p->pausing)
		return false;
	if (p->chunks || (!heard_enough(p) && now < p->quiet_ns + p->pause_ns))
		return true;
	p->pausing = false;
	p->run_ns = now;
	judge(p);
	return false;
}

void pace_client(struct pace *p, uint64_t now, enum pace_class class, uint64_t since)
{
	struct pace_latency *l = &p->latency[class];
	uint64_t ns = now - since;

	if (now - p->asked_ns > PACE_UNASKED_NS)
		return;
	p->client_ns = now;
	if (l->base_ns)
		ns = min_u64(ns, OUTLIER * l->base_ns);
	if (p->chunks || since < p->quiet_ns) {
		l->beside++;
		l->beside_sum_ns += ns;
		return;
	}
	l->quiet++;
	l->quiet_sum_ns += ns;
	if (p->pausing && heard_enough(p))
		p->wake_ns = now;
}

/* --- chunks --- */

static uint64_t refuse(struct pace *p, enum pace_bound bound, uint64_t wake_ns)
{
	p->bound = bound;
	p->wake_ns = p->chunks ? UINT64_MAX : wake_ns;
	return 0;
}

uint64_t pace_grant(struct pace *p, uint64_t now, bool clients, uint64_t limit)
{
	uint64_t window, chunk;

	if (now - p->asked_ns > PACE_UNASKED_NS) {
		/* A new copy. */
		p->run_ns = p->second_ns = now;
		p->rate = p->second_bytes = 0;
	}
	p->asked_ns = now;
	p->wake_ns = UINT64_MAX;
	clients |= now - p->client_ns < AWAY_NS;
	if (!clients)
		p->pausing = false;
	else if (pausing(p, now))
		return refuse(p, PACE_CLIENTS, p->quiet_ns + p->pause_ns);
	window = clients ? p->window : p->window_max;
	chunk = min_u64(window, p->chunk_max);
	if (p->under_way && p->under_way + chunk > window)
		return refuse(p, clients ? PACE_CLIENTS : PACE_NOTHING, UINT64_MAX);
	if (limit && now < p->limit_at_ns)
		return refuse(p, PACE_LIMIT, p->limit_at_ns);
	return chunk;
}

void pace_begin(struct pace *p, uint64_t now, uint64_t bytes, uint64_t limit)
{
	p->under_way += bytes;
	p->chunks++;
	if (!limit)
		return;
	p->limit_at_ns = max_u64(p->limit_at_ns, now > LATE_NS ? now - LATE_NS : 0);
	p->limit_at_ns += bytes * NS_PER_S / limit;
}

void pace_end(struct pace *p, uint64_t now, uint64_t bytes, uint64_t local_ns, uint64_t remote_ns)
{
	uint64_t second = now - p->second_ns;

	p->under_way -= bytes;
	p->chunks--;
	p->quiet_ns = now;
	p->second_bytes += bytes;
	p->local_ns += local_ns;
	p->remote_ns += remote_ns;
	if (second < NS_PER_S)
		return;
	p->rate = p->second_bytes * 1000 / (second / NS_PER_MS);
	p->second_ns = now;
	p->second_bytes = 0;
	p->local_ns /= 2;
	p->remote_ns /= 2;
}

uint64_t pace_rate(const struct pace *p, uint64_t now)
{
	uint64_t second = now - p->second_ns;

	if (p->rate && second < 2 * NS_PER_S)
		return p->rate;
	return second < NS_PER_MS ? 0 : p->second_bytes * 1000 / (second / NS_PER_MS);
}
