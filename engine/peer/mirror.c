/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A volume and its peer: exchange of state, decision, going alone, and the end of a
 * session.  engine/doc/mirror.md has the states and the argument.
 *
 * While STATE is out (STEP_STATE to STEP_EXPECT_BEGIN) this node's generations and role
 * stand still: the peer decides by what it was told.
 */
#include "engine/peer/node.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool peer_up(const struct peer *p)
{
	return p && p->session && p->session->phase == PHASE_UP && !p->channel.shut;
}

static struct peer *peer_of(struct engine *e, const struct volume *v)
{
	for (unsigned i = 0; v->record.replica_count && i < e->peer_count; i++) {
		struct peer *p = &e->peers[i];

		if (strcmp(p->name, v->record.replicas[0].node_name) == 0)
			return p;
	}
	return NULL;
}

struct mirror *mirror_get(struct engine *e, struct volume *v)
{
	struct mirror *m = v->peering;

	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m)
			return NULL;
		m->engine = e;
		m->volume = v;
		list_init(&m->ops);
		list_init(&m->jobs);
		list_init(&m->expand.jobs);
		list_init(&m->resync_node);
		list_init(&m->verify.node);
		list_init(&m->call.node);
		/* As found on the device: meanwhile the peer may have become primary. */
		if (v->record.association == ASSOCIATION_ACTIVE)
			m->late_until_ns = e->core.now_ns + e->settings.peer_timeout_ns;
		v->peering = m;
	}
	/* Until a commit that unpairs is durable, the session still has to do with the volume. */
	if (!m->committing)
		m->peer = peer_of(e, v);
	return m;
}

void mirror_free(struct volume *v)
{
	struct mirror *m = v->peering;

	if (!m)
		return;
	assert(!m->calling && !m->committing && list_empty(&m->ops) && list_empty(&m->jobs));
	assert(!expand_busy(m) && !m->verify.job && !m->verify.units && !m->mend.busy);
	free(m);
	v->peering = NULL;
}

void mirror_reason(struct volume *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->mirror_reason, sizeof(v->mirror_reason), fmt, ap);
	va_end(ap);
}

void mirror_jobs_done(struct mirror *m, int code, const char *text)
{
	struct list *node;

	while ((node = list_pop(&m->jobs)))
		job_done(LIST_ENTRY(node, struct job, node), code, "%s", text);
}

static void jobs_tick(struct mirror *m)
{
	char text[300];

	if (list_empty(&m->jobs) || peer_up(m->peer))
		return;
	if (m->engine->core.now_ns < m->jobs_until_ns) {
		tick_at(m, m->jobs_until_ns);
		return;
	}
	snprintf(text, sizeof(text),
		 "node '%s' is not connected: %s. The resync begins by itself when it is",
		 m->volume->record.replicas[0].node_name,
		 m->peer ? m->peer->last_error : "this node has no such peer");
	mirror_jobs_done(m, -ENOTCONN, text);
}

/* That which is durable: a break, a resume or an unpair that is being written may fail. */
static enum association association_now(const struct volume *v)
{
	const struct mirror *m = v->peering;

	return m->committing ? m->before.association : v->record.association;
}

/* What the mirror is by what is recorded, when the peer is not there. */
static enum mirror_state state_of_record(const struct volume *v)
{
	switch (association_now(v)) {
	case ASSOCIATION_NONE:
		return MIRROR_NONE;
	case ASSOCIATION_BROKEN:
		return MIRROR_BROKEN;
	case ASSOCIATION_ACTIVE:
		break;
	}
	return v->alone_durable && v->record.role == VOLUME_PRIMARY ? MIRROR_ALONE : MIRROR_WAITING;
}

/* The same, but a split brain stays one until it is resolved. */
static enum mirror_state state_without_peer(const struct volume *v)
{
	bool split = v->mirror == MIRROR_SPLIT && association_now(v) == ASSOCIATION_ACTIVE;

	return split ? MIRROR_SPLIT : state_of_record(v);
}

static void enter(struct volume *v, enum mirror_state state)
{
	struct engine *e = v->peering->engine;

	mirror_set(e, v, state);
	core_release(&e->core, v);
	e->next_tick_ns = 0;
}

/* --- one request to the peer, one commit --- */

bool mirror_busy(const struct mirror *m)
{
	return m->calling || m->committing || (m->step >= STEP_STATE && m->step < STEP_SOURCE);
}

bool mirror_served(const struct engine *e, const struct volume *v)
{
	for (unsigned i = 0; i < e->peer_count; i++)
		if (channel_serves(&e->peers[i].channel, v))
			return true;
	return false;
}

static uint8_t *control_buffer(const struct engine *e, unsigned i)
{
	return (uint8_t *)e->copy_region->base + (size_t)COPY_UNITS * (PIECE_BYTES_MAX + 4096) +
	       (size_t)i * CONTROL_BUFFER_BYTES;
}

bool mirror_buffer(struct mirror *m)
{
	struct engine *e = m->engine;

	assert(!m->buffer);
	for (unsigned i = 0; i < CONTROL_BUFFERS; i++) {
		if (e->control_busy[i])
			continue;
		e->control_busy[i] = true;
		m->buffer = control_buffer(e, i);
		return true;
	}
	return false; /* the next one that is returned wakes who waits */
}

void mirror_buffer_free(struct mirror *m)
{
	struct engine *e = m->engine;

	for (unsigned i = 0; i < CONTROL_BUFFERS; i++)
		if (m->buffer == control_buffer(e, i))
			e->control_busy[i] = false;
	m->buffer = NULL;
	e->next_tick_ns = 0;
}

static void call_send(struct call *call)
{
	struct mirror *m = CONTAINER_OF(call, struct mirror, call);
	struct frame f = {
		.command = m->command,
		.volume = m->volume->record.replicas[0].volume_number,
		.length = m->bytes,
		.offset = m->volume->record.number,
	};

	if (m->bytes) {
		f.flags = FRAME_CRC;
		f.payload_crc = crc32c(m->buffer, m->bytes);
	}
	channel_send(call->channel, call, &f, m->bytes ? m->buffer : NULL, m->bytes,
		     m->bytes ? m->engine->copy_region : NULL);
}

/* One commit at a time: what the answer leads to may be another one. */
static void answer_later(struct mirror *m, const struct frame *f)
{
	m->answer_waits = true;
	m->answer_lost = !f;
	if (f)
		m->answer = *f;
}

static void call_over(struct mirror *m, const struct frame *f)
{
	bool stale = m->stale;

	if (m->buffer)
		mirror_buffer_free(m);
	if (m->committing) {
		answer_later(m, f);
		return;
	}
	core_administer(&m->engine->core, true);
	m->calling = m->stale = m->answer_waits = false;
	if (!stale)
		m->answered(m, f);
	mirror_kick(m);
	core_administer(&m->engine->core, false);
}

static void call_answered(struct call *call, const struct frame *f)
{
	call_over(CONTAINER_OF(call, struct mirror, call), f);
}

static void call_lost(struct call *call, bool sent)
{
	(void)sent;
	call_over(CONTAINER_OF(call, struct mirror, call), NULL);
}

void mirror_call(struct mirror *m, uint8_t command, uint32_t bytes,
		 void (*answered)(struct mirror *, const struct frame *))
{
	assert(!m->calling && m->buffer && peer_up(m->peer));
	m->calling = true;
	m->stale = false;
	m->command = command;
	m->bytes = bytes;
	m->answered = answered;
	m->call.credit = call_send;
	m->call.answered = call_answered;
	m->call.lost = call_lost;
	if (channel_credit(&m->peer->channel, &m->call, true))
		call_send(&m->call);
}

void mirror_change(struct mirror *m, const char *fmt, ...)
{
	va_list ap;

	assert(!m->committing);
	m->before = m->volume->record;
	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
}

static void record_written(struct pool_commit *commit, enum ls_status status)
{
	struct mirror *m = CONTAINER_OF(commit, struct mirror, commit);
	struct volume *v = m->volume;

	core_administer(&m->engine->core, true);
	m->engine->admin_open--;
	m->committing = v->unpairing = v->promoting = false;
	m->doubtful = status != LS_OK;
	if (status == LS_OK) {
		tell_changes(m->engine, v, &m->before, m->why);
	} else {
		v->record = m->before;
		tell_error(m->engine, v, "pool's table", "it was not written: %s",
			   ls_status_text(status));
	}
	m->committed(m, status);
	if (m->answer_waits && !m->committing)
		call_over(m, m->answer_lost ? NULL : &m->answer);
	core_administer(&m->engine->core, false);
}

void mirror_commit(struct mirror *m, void (*committed)(struct mirror *, enum ls_status))
{
	m->committing = true;
	m->volume->unpairing = m->before.association != ASSOCIATION_NONE &&
			       m->volume->record.association == ASSOCIATION_NONE;
	m->volume->promoting =
		m->before.role != VOLUME_PRIMARY && m->volume->record.role == VOLUME_PRIMARY;
	m->committed = committed;
	m->commit.done = record_written;
	m->engine->admin_open++;
	pool_commit(m->volume->pool, &m->commit);
}

/* --- going alone --- */

static void alone_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	if (status != LS_OK) {
		m->alone_at_ns = m->engine->core.now_ns + RETRY_NS;
		mirror_kick(m);
		return;
	}
	v->alone_durable = true;
	enter(v, v->mirror == MIRROR_WAITING ? MIRROR_ALONE : v->mirror);
	mirror_kick(m);
}

static void alone_record(struct mirror *m)
{
	struct volume *v = m->volume;

	mirror_change(m, "goes on without node '%s'", v->record.replicas[0].node_name);
	generation_go_alone(&v->record.generations, generation_fresh(m->engine));
	if (MUTANT(ALONE_NOT_DURABLE))
		alone_committed(m, LS_OK);
	else
		mirror_commit(m, alone_committed);
}

static bool may_go_alone(const struct mirror *m)
{
	const struct volume *v = m->volume;

	if (!volume_holds(v) || v->record.role != VOLUME_PRIMARY || v->alone_durable ||
	    m->engine->stopping)
		return false;
	if (v->mirror == MIRROR_BROKEN || v->mirror == MIRROR_SPLIT)
		return true;
	return v->mirror == MIRROR_WAITING &&
	       (v->record.policy == POLICY_FAIL_OPEN || MUTANT(CLOSED_GOES_ALONE));
}

/*
 * The session may be lost meanwhile, or the peer unable to record it: that keeps nobody from
 * writing.  A peer that is primary, or is being asked to become it, is something else: first the
 * two tell each other.
 */
static void stale_answered(struct mirror *m, const struct frame *f)
{
	if (f && (f->status == LS_BUSY || f->status == LS_NOT_PRIMARY)) {
		m->alone_at_ns = m->engine->core.now_ns + RETRY_NS;
		if (m->step == STEP_IDLE && peer_up(m->peer))
			mirror_restart(m);
		return;
	}
	if (may_go_alone(m))
		alone_record(m);
}

/*
 * A peer that is connected is told first, and calls itself incomplete: should this node be lost
 * before the resync begins, nobody takes that replica for whole.
 */
static void go_alone(struct mirror *m)
{
	if (m->volume->mirror != MIRROR_WAITING || !peer_up(m->peer) || MUTANT(STALE_UNTOLD))
		alone_record(m);
	else if (mirror_buffer(m))
		mirror_call(m, FRAME_STALE, 0, stale_answered);
}

static bool alone_due(const struct mirror *m)
{
	uint64_t at = max_u64(m->alone_at_ns, m->late_until_ns);

	if (m->engine->core.now_ns >= at)
		return true;
	tick_at(m, at);
	return false;
}

void mirror_writes_held(void *engine, struct volume *v)
{
	struct engine *e = engine;

	/* What comes now is administration; the next tick begins it. */
	(void)v;
	e->next_tick_ns = 0;
}

/* --- exchange of state --- */

static void state_answered(struct mirror *m, const struct frame *f)
{
	struct volume *v = m->volume;

	if (m->step != STEP_STATE)
		return;
	if (f && f->status == LS_OK) {
		m->told = m->known = true;
		m->told_ns = m->engine->core.now_ns;
		mirror_decide(m);
		return;
	}
	m->step = STEP_IDLE;
	m->heard = m->known = false;
	v->yields = false;
	if (!f)
		return;
	if (f->status == LS_NO_VOLUME)
		m->late_until_ns = 0;
	m->retry_at_ns = m->engine->core.now_ns + 5 * RETRY_NS;
	mirror_reason(v, "node '%s' does not know this mirror: %s", m->peer->name,
		      ls_status_text((enum ls_status)f->status));
	enter(v, state_without_peer(v));
	mirror_jobs_done(m, -ENOENT, v->mirror_reason);
}

bool mirror_leads(const struct mirror *m)
{
	return m->engine->core.own_address < m->peer->node_address;
}

void mirror_restart(struct mirror *m)
{
	m->retry_at_ns = 0;
	/* The answer to the leader's last STATE has not left yet: it will say what is true then. */
	if (m->step == STEP_STATE && m->heard && !m->told && !m->calling)
		return;
	m->stale |= m->calling && m->command == FRAME_STATE;
	m->step = STEP_STATE;
	m->told = m->heard = false;
	m->turn = mirror_leads(m) ? m->turn + 1 : 0;
	m->reply_to = 0;
	mirror_kick(m);
}

static void send_state(struct mirror *m)
{
	if (!mirror_buffer(m))
		return;
	m->told_dirty = m->volume->map.intent.dirty_regions;
	/* Who does not know of it must come to the same decision. */
	m->told_lost = volume_lost(m->volume) && m->peer->session->version >= WIRE_VERSION_LOST;
	mirror_call(m, FRAME_STATE, state_encode(m, m->buffer), state_answered);
}

static void begin_answered(struct mirror *m, const struct frame *f)
{
	struct volume *v = m->volume;

	if (m->step != STEP_BEGIN)
		return;
	if (!f || f->status != LS_OK) {
		m->step = STEP_IDLE;
		m->heard = false;
		m->retry_at_ns = m->engine->core.now_ns + RETRY_NS;
		if (f)
			mirror_reason(v, "node '%s' did not take the resync: %s", m->peer->name,
				      ls_status_text((enum ls_status)f->status));
		enter(v, state_without_peer(v));
		/* It will be ready, or lacks a device that works. */
		if (f && (f->status == LS_LOCAL_IO || f->status == LS_NO_SPACE))
			mirror_jobs_done(m, -EIO, v->mirror_reason);
		return;
	}
	/* A write was acknowledged alone meanwhile: the target must know that it lacks it. */
	if (!m->begin_dirty && v->map.intent.dirty_regions) {
		mirror_restart(m);
		return;
	}
	m->step = STEP_SOURCE;
	m->wish = WISH_NONE;
	v->channels[0] = &m->peer->channel;
	mirror_reason(v, "resync to node '%s': %s", m->peer->name, m->decision.reason);
	enter(v, MIRROR_COPYING);
	resync_start(m);
}

static void send_begin(struct mirror *m)
{
	if (!mirror_buffer(m))
		return;
	memset(m->buffer, 0, BEGIN_BODY_BYTES);
	generations_encode(&m->volume->record.generations, m->buffer);
	m->begin_dirty = m->volume->map.intent.dirty_regions > 0;
	m->buffer[64] = m->begin_dirty;
	m->buffer[65] = m->decision.overridden;
	mirror_call(m, FRAME_BEGIN, BEGIN_BODY_BYTES, begin_answered);
}

/* The association that has the higher sequence counts on both. */
static void association_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	m->retry_at_ns = status == LS_OK ? 0 : m->engine->core.now_ns + RETRY_NS;
	if (status == LS_OK && v->record.association == ASSOCIATION_BROKEN) {
		mirror_reason(v, "broken by the operator of node '%s'", m->peer->name);
		mirror_jobs_done(m, -ECANCELED, v->mirror_reason);
	} else if (status == LS_OK) {
		mirror_reason(v, "resumed by the operator of node '%s'", m->peer->name);
	}
	enter(v, status == LS_OK ? state_of_record(v) : state_without_peer(v));
	if (status == LS_OK && v->record.association == ASSOCIATION_ACTIVE && peer_up(m->peer))
		mirror_restart(m);
	mirror_kick(m);
}

static bool associations_agree(struct mirror *m)
{
	struct volume_record *r = &m->volume->record;
	bool broken = r->association == ASSOCIATION_BROKEN;
	bool theirs_broken = m->their_association == ASSOCIATION_BROKEN;
	/* Equal numbers: both operators were at it while the nodes did not meet.  Broken wins. */
	bool tie = m->their_sequence == r->association_sequence;

	if ((m->their_sequence > r->association_sequence || (tie && theirs_broken && !broken)) &&
	    !MUTANT(BREAK_NOT_FOLLOWED)) {
		m->step = STEP_IDLE;
		mirror_change(m, "by the operator of node '%s'", m->peer->name);
		r->association = m->their_association;
		r->association_sequence = m->their_sequence;
		mirror_commit(m, association_committed);
		return false;
	}
	/* The peer follows, and sends its state again if there is something to do. */
	if (m->their_sequence < r->association_sequence || broken) {
		m->step = STEP_IDLE;
		enter(m->volume, state_without_peer(m->volume));
		return false;
	}
	return true;
}

static void refuse_resync(struct mirror *m)
{
	struct volume *v = m->volume;
	bool split = m->decision.verdict == VERDICT_SPLIT;

	m->step = STEP_IDLE;
	m->wish = WISH_NONE;
	mirror_reason(v, "%s: %s%s", split ? "split brain" : "no resync", m->decision.reason,
		      split ? "; choose with `lockstep resolve`" : "");
	if (!split)
		tell_error(m->engine, v, "resync", "%s", v->mirror_reason);
	enter(v, split ? MIRROR_SPLIT : state_without_peer(v));
	mirror_jobs_done(m, -ESTALE, v->mirror_reason);
}

static void ours(const struct mirror *m, struct replica_state *s)
{
	const struct volume *v = m->volume;

	*s = (struct replica_state){
		.node_address = m->engine->core.own_address,
		.generations = v->record.generations,
		.consistent = v->record.consistent,
		.primary = v->record.role == VOLUME_PRIMARY,
		.dirty = v->map.intent.dirty_regions > 0,
		.lost = m->told_lost,
		.wish = m->wish,
	};
}

static void leave_split(struct mirror *m)
{
	if (m->volume->mirror != MIRROR_SPLIT)
		return;
	mirror_reason(m->volume, "the split brain is resolved: %s", m->decision.reason);
	mirror_set(m->engine, m->volume, MIRROR_WAITING);
}

void mirror_decide(struct mirror *m)
{
	struct volume *v = m->volume;
	struct replica_state mine;

	if (m->step != STEP_STATE || !m->heard || m->committing || (!m->told && !mirror_leads(m)))
		return;
	v->yields = false;
	m->late_until_ns = 0;
	if (!associations_agree(m))
		return;
	ours(m, &mine);
	m->decision = decide(&mine, &m->theirs);
	v->yields = m->decision.verdict == VERDICT_TARGET && mine.primary;
	core_log(&m->engine->core, 6, "volume '%s': %s%s: %s", v->record.name,
		 m->decision.verdict == VERDICT_SOURCE	 ? "resync from here"
		 : m->decision.verdict == VERDICT_TARGET ? "resync from the peer"
							 : "no resync",
		 m->decision.everything ? " (everything)" : "", m->decision.reason);
	switch (m->decision.verdict) {
	case VERDICT_SOURCE:
		leave_split(m);
		/* A target that never held anything: checksums would only cost. */
		m->resync_blind = !m->theirs.consistent && !m->theirs.generations.history[0];
		if (m->decision.everything)
			intent_dirty_all(&v->map.intent);
		else
			intent_merge(&v->map.intent, m->map_shift, m->map, m->map_bytes);
		if (v->size_bytes > m->their_size)
			intent_dirty(&v->map.intent, m->their_size, v->size_bytes - m->their_size);
		m->step = STEP_BEGIN;
		mirror_kick(m);
		break;
	case VERDICT_TARGET:
		/*
		 * Written alone since STATE: the source would not copy it.  From here on writes are
		 * held, so what is told now stays true.
		 */
		if (v->map.intent.dirty_regions != m->told_dirty) {
			mirror_restart(m);
			break;
		}
		leave_split(m);
		m->step = STEP_EXPECT_BEGIN;
		break;
	default:
		refuse_resync(m);
	}
}

/* --- the end of a session, and of a leg --- */

void mirror_stop(struct volume *v, const char *reason)
{
	struct mirror *m = v->peering;
	bool mirrored = volume_mirrors(v);

	if (!m)
		return;
	/* The commit under way, if any, goes on; what was asked of the peer counts no more. */
	m->stale |= m->calling && m->command != FRAME_PROMOTE && m->command != FRAME_BREAK &&
		    m->command != FRAME_UNPAIR;
	m->step = STEP_IDLE;
	m->told = m->heard = false;
	v->yields = false;
	resync_stop(m);
	expand_stop(m);
	verify_stop(m, -EPIPE, reason[0] ? reason : "the mirror was stopped");
	mend_stop(m);
	v->flushes_copied = v->flushes_mended;
	if (m->op)
		m->op->stopped = true;
	for (unsigned i = 0; i < VOLUME_REPLICAS_MAX; i++)
		v->channels[i] = NULL;
	if (mirrored && !MUTANT(FORGETS_IN_FLIGHT))
		intent_dirty_marked(&v->map.intent);
	if (mirrored || !v->mirror_reason[0])
		mirror_reason(v, "%s", reason);
	/* Who waits for it to be in sync must not depend on the peer to ask again. */
	if (!list_empty(&m->jobs) && !m->retry_at_ns)
		m->retry_at_ns = m->engine->core.now_ns + RETRY_NS;
	if (v->mirror != MIRROR_NONE)
		enter(v, state_without_peer(v));
}

void mirror_disconnect(struct engine *e, struct channel *channel, const char *reason)
{
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at)))
		if (v->peering && v->peering->peer && &v->peering->peer->channel == channel) {
			v->peering->known = false;
			mirror_stop(v, reason);
		}
}

void mirror_connect(struct engine *e, struct peer *p)
{
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at))) {
		struct mirror *m;

		if (!v->ready || !volume_tracks(v) ||
		    v->record.replicas[0].node_address != p->node_address)
			continue;
		m = mirror_get(e, v);
		/* One that is up, because another pool was there before, goes on. */
		if (m && m->peer == p && !volume_mirrors(v))
			mirror_restart(m);
	}
}

void mirror_synced(struct mirror *m)
{
	m->volume->mirror_reason[0] = '\0';
	enter(m->volume, MIRROR_SYNCED);
	if (!mend_lost(m))
		mirror_is_synced(m);
}

void mirror_is_synced(struct mirror *m)
{
	struct volume *v = m->volume;
	char text[300];

	v->mirror_reason[0] = '\0';
	snprintf(text, sizeof(text), "volume '%s' is mirrored with '%s' at node '%s' and in sync",
		 v->record.name, v->record.replicas[0].volume_name,
		 v->record.replicas[0].node_name);
	mirror_jobs_done(m, 0, text);
}

/* --- going on --- */

void mirror_kick(struct mirror *m)
{
	if (m->calling || m->committing)
		return;
	if (m->step == STEP_STATE && !m->told && peer_up(m->peer)) {
		send_state(m);
	} else if (m->step == STEP_BEGIN && peer_up(m->peer)) {
		send_begin(m);
	} else if (m->step == STEP_STATE) {
		mirror_decide(m);
	} else if (!mirror_busy(m) && !m->op && !list_empty(&m->ops) && !expand_busy(m) &&
		   !pair_records(m->volume)) {
		m->op = LIST_ENTRY(list_pop(&m->ops), struct mirror_op, node);
		m->op->run(m, m->op);
	} else if (!mirror_busy(m) && may_go_alone(m) && alone_due(m)) {
		go_alone(m);
	} else if (!mirror_busy(m)) {
		expand_run(m);
	}
}

static void volume_tick(struct engine *e, struct volume *v)
{
	uint64_t now = e->core.now_ns;
	struct mirror *m;

	/* One that is not paired (any more) may have operations that wait. */
	if (!v->ready || (!volume_tracks(v) && !v->peering && !expand_pending(v)))
		return;
	m = mirror_get(e, v);
	if (!m)
		return;
	/* Held writes first: a peer that refuses to talk is no reason to wait. */
	mirror_kick(m);
	/* Neither is one that listens and says nothing. */
	if (m->step == STEP_STATE && m->told && !m->heard && peer_up(m->peer) &&
	    now - m->told_ns > e->settings.request_timeout_ns)
		session_fail(m->peer->session, "the peer does not say what it has");
	if (m->retry_at_ns && now >= m->retry_at_ns && !mirror_busy(m) && m->step == STEP_IDLE &&
	    !volume_mirrors(v)) {
		m->retry_at_ns = 0;
		if (peer_up(m->peer))
			mirror_restart(m);
	}
	jobs_tick(m);
	/* A write that ended late, after the resync of its region. */
	if (v->mirror == MIRROR_SYNCED && v->map.intent.dirty_regions && !mirror_busy(m) &&
	    peer_up(m->peer)) {
		mirror_stop(v, "a write of an earlier session ended late");
		mirror_restart(m);
	}
	round_run(m);
	mend_run(m);
}

void mirror_tick(struct engine *e, bool all)
{
	const struct volume_set *set = all ? &e->volumes_used : &e->restless;
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next_in(e, set, &at))) {
		volume_tick(e, v);
		volume_ticked(e, v);
	}
	resync_run(e);
	verify_more(e);
}
