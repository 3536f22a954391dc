/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/control/sample.h"

#include "engine/peer/node.h"

#include <string.h>

#define US UINT64_C(1000)
#define MS NS_PER_MS
#define S NS_PER_S
/* Pieces that one look takes in, so that a pass is not longer for it. */
#define LOOK_MAX 64u

/* clang-format off */
const uint64_t sample_bounds_ns[SAMPLE_BOUNDS] = {
	2 * US, 5 * US, 10 * US, 20 * US, 50 * US, 100 * US, 200 * US, 500 * US,
	1 * MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS,
	1 * S, 2 * S, 5 * S, 10 * S,
};
/* clang-format on */

const char *sample_op_name(enum sample_op op)
{
	static const char *const names[SAMPLE_OPS] = {"read", "write", "flush"};

	return names[op];
}

const char *sample_hop_name(enum sample_hop hop)
{
	static const char *const names[SAMPLE_HOPS] = {"total", "local", "remote", "peer_device",
						       "wire"};

	return names[hop];
}

static void count(struct sample_histogram *h, uint64_t ns)
{
	unsigned i = 0;

	while (i < SAMPLE_BOUNDS && ns > sample_bounds_ns[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum_ns += ns;
}

static bool op_of(const struct piece *p, enum sample_op *op)
{
	switch (p->code) {
	case STORE_READ:
		*op = SAMPLE_READ;
		return true;
	case STORE_WRITE:
		*op = SAMPLE_WRITE;
		return true;
	case STORE_FLUSH:
		*op = SAMPLE_FLUSH;
		return true;
	default:
		return false;
	}
}

/* One that came in this pass: whatever is older may be here because it is slow. */
static void pick(struct sampler *s, const struct core *core)
{
	uint32_t look = core->piece_count < LOOK_MAX ? core->piece_count : LOOK_MAX;

	for (; look > 0; look--) {
		const struct piece *p = &core->pieces[s->place];

		if (p->state != PIECE_FREE && p->started_ns == core->now_ns && op_of(p, &s->op)) {
			s->piece = p;
			s->started_ns = p->started_ns;
			s->remote = false;
			memset(s->ended, 0, sizeof(s->ended));
			s->due_ns = 0;
			return; /* the place stays: the next one is most likely the same */
		}
		s->place = s->place + 1 < core->piece_count ? s->place + 1 : 0;
	}
}

static void end_hop(struct sampler *s, enum sample_hop hop, uint64_t ns)
{
	if (s->ended[hop])
		return;
	s->ended[hop] = true;
	s->ns[hop] = ns;
}

static void end_remote(struct sampler *s, const struct core *core, uint64_t ns)
{
	/*
	 * What the peer's device took is in the answer, and of that the engine keeps a sum alone.
	 * When this answer was the only one of the pass, what was added is its own.
	 */
	if (!s->ended[SAMPLE_REMOTE] && core->stats.write_remote_ns_sum - s->remote_sum_ns == ns) {
		uint64_t device_ns = core->stats.write_peer_device_ns_sum - s->device_sum_ns;

		end_hop(s, SAMPLE_PEER_DEVICE, device_ns);
		/* The peer counts from the begin of its pass, which may be before it was sent. */
		end_hop(s, SAMPLE_WIRE, ns - min_u64(device_ns, ns));
	}
	end_hop(s, SAMPLE_REMOTE, ns);
}

static void rest(struct sampler *s, const struct core *core)
{
	s->piece = NULL;
	s->due_ns = core->now_ns + SAMPLE_EVERY_NS;
}

static unsigned remotes_open(const struct piece *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < VOLUME_REPLICAS_MAX; i++)
		n += p->remotes >> i & 1 && p->remote[i].open;
	return n;
}

/* It is on its way: which legs have come back? */
static void look_at_legs(struct sampler *s, const struct core *core)
{
	const struct piece *p = s->piece;
	uint64_t ns = core->now_ns - s->started_ns;
	unsigned open = remotes_open(p);

	s->remote = p->remotes != 0;
	if (s->remote && !open)
		end_remote(s, core, ns);
	if (p->legs_open == open)
		end_hop(s, SAMPLE_LOCAL, ns);
}

static void finish(struct sampler *s, const struct core *core)
{
	uint64_t ns = core->now_ns - s->started_ns;

	if (s->remote)
		end_remote(s, core, ns);
	end_hop(s, SAMPLE_LOCAL, ns);
	end_hop(s, SAMPLE_TOTAL, ns);
	for (unsigned hop = 0; hop < SAMPLE_HOPS; hop++)
		if (s->ended[hop])
			count(&s->histograms[s->op][hop], s->ns[hop]);
}

/* How long a failure takes is another question. */
static bool failed(const struct piece *p)
{
	return p->local_status != LS_OK || p->remote_status != LS_OK || p->local_ended;
}

void sample_look(struct sampler *s, const struct engine *engine)
{
	const struct core *core = &engine->core;
	const struct piece *p = s->piece;
	bool again;

	if (!p) {
		if (core->in_use)
			pick(s, core);
		if (!s->piece)
			return;
		p = s->piece;
	}
	/* It is over, and may be another request's already; then how it ended is not known. */
	again = p->started_ns != s->started_ns;
	if (again || p->state == PIECE_FREE) {
		if (again || !failed(p))
			finish(s, core);
		rest(s, core);
		return;
	}
	if (failed(p)) {
		rest(s, core);
		return;
	}
	if (p->state == PIECE_FLIGHT)
		look_at_legs(s, core);
	s->remote_sum_ns = core->stats.write_remote_ns_sum;
	s->device_sum_ns = core->stats.write_peer_device_ns_sum;
}
