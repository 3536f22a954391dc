/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rest: nothing is under way, and nothing waits for a moment of its own.  An engine at rest has
 * late ticks, and costs next to nothing; a volume at rest is looked at by late ticks only, and a
 * thousand of them cost one that is written to next to nothing.
 *
 * Whatever begins afterwards either asks for a tick (next_tick_ns = 0, or tick_at()) or has its
 * first time limit long after the late tick: a request that the peer does not answer, a clearing
 * round.
 */
#include "engine/peer/node.h"

/* A ping is due after a third of the peer's time limit: it leaves before half of it. */
#define REST_NS (500 * NS_PER_MS)
#define REST_OF_TIMEOUT 8

static bool session_rests(const struct session *s)
{
	return s->phase == PHASE_FREE || (s->phase == PHASE_UP && !s->peer->channel.shut &&
					  channel_oldest_ns(&s->peer->channel) == UINT64_MAX);
}

/* Neither does it dial. */
static bool peer_rests(const struct peer *p)
{
	return !p->name[0] || (peer_up(p) && !p->removal);
}

/* A mirror in sync with nothing to clear or to mend, or none. */
static bool volume_rests(const struct volume *v)
{
	if (!v->ready || expand_pending(v))
		return false;
	if (!volume_tracks(v))
		return true;
	return v->mirror == MIRROR_SYNCED && !v->map.intent.marked && !volume_lost(v);
}

bool mirror_idle(const struct mirror *m)
{
	return !m->calling && !m->committing && !m->op && list_empty(&m->ops) &&
	       list_empty(&m->jobs) && !m->round_open && !m->verify.units && !m->mend.busy &&
	       !expand_busy(m);
}

/* Also one that is not paired any more may have operations that wait. */
static bool mirror_rests(const struct mirror *m)
{
	return mirror_idle(m) && !mirror_busy(m);
}

static bool rests(const struct engine *e)
{
	unsigned at = 0;

	if (e->stopping || e->admin_open || e->pools_coming || !list_empty(&e->pairings) ||
	    !list_empty(&e->resyncs) || !list_empty(&e->verifies))
		return false;
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (!session_rests(&e->sessions[i]))
			return false;
	for (unsigned i = 0; i < e->peer_count; i++)
		if (!peer_rests(&e->peers[i]))
			return false;
	return !volume_next_in(e, &e->restless, &at);
}

void tick_at(const struct mirror *m, uint64_t at_ns)
{
	volume_set_put(&m->engine->restless, m->volume, true);
	m->engine->next_tick_ns = min_u64(m->engine->next_tick_ns, at_ns);
}

/* Also when all_at_ns would be over by the next tick: so none is looked at later than at rest. */
bool tick_takes_all(struct engine *e, bool asked)
{
	uint64_t now = e->core.now_ns;
	uint64_t limit = min_u64(e->settings.peer_timeout_ns, e->settings.request_timeout_ns);

	if (!asked && !e->stopping && now + TICK_NS <= e->all_at_ns)
		return false;
	e->all_at_ns = now + min_u64(REST_NS, limit / REST_OF_TIMEOUT);
	return true;
}

void volume_ticked(struct engine *e, const struct volume *v)
{
	volume_set_put(&e->restless, v,
		       !volume_rests(v) || (v->peering && !mirror_rests(v->peering)));
}

void engine_rest(struct engine *e)
{
	/* Whoever asked for another moment in this tick gets it. */
	if (e->next_tick_ns == e->core.now_ns + TICK_NS && e->all_at_ns > e->next_tick_ns &&
	    rests(e))
		e->next_tick_ns = e->all_at_ns;
}
