/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions: who is connected, for how long, and in which order one ends and the next
 * begins.  At most one session per peer is up; the next is accepted only when nothing of
 * the old one is in a device any more (I5).
 */
#include "engine/peer/node.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define REJECT_LINGER_NS (1000 * NS_PER_MS)
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 5000u

_Static_assert(SESSIONS_MAX <= 32, "engine.sessions_used has a bit for each");

static uint32_t session_bit(const struct session *s)
{
	return 1u << (s - s->engine->sessions);
}

static uint32_t sessions_alive(const struct engine *e)
{
	return e->sessions_used & ~e->sessions_down;
}

/* The next of @left, which loses it.  What begins meanwhile is not among them. */
static struct session *session_next(struct engine *e, uint32_t *left)
{
	struct session *s = *left ? &e->sessions[__builtin_ctz(*left)] : NULL;

	*left &= *left - 1;
	return s;
}

struct peer *peer_find(struct engine *e, const char *name)
{
	/* No place that is empty: it has no key, either. */
	if (!name[0])
		return NULL;
	for (unsigned i = 0; i < e->peer_count; i++)
		if (strcmp(e->peers[i].name, name) == 0)
			return &e->peers[i];
	return NULL;
}

/* --- link events --- */

static void on_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct session *s = owner;

	switch (s->phase) {
	case PHASE_UP:
		channel_message(&s->peer->channel, bytes, length);
		break;
	case PHASE_FREE:
	case PHASE_REJECTED:
	case PHASE_CLOSING:
	case PHASE_DOWN:
		break;
	default:
		core_administer(&s->engine->core, true);
		handshake_message(s, bytes, length);
		core_administer(&s->engine->core, false);
	}
}

static void on_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct session *s = owner;

	if (s->phase == PHASE_UP)
		channel_landed(&s->peer->channel, slot, header, payload_bytes);
	else if (s->phase != PHASE_CLOSING)
		session_fail(s, "a request before the session was up");
}

static void next_dial(struct peer *p)
{
	struct engine *e = p->engine;
	uint32_t jitter;

	/* A random part, so that two nodes do not cross their dials for ever. */
	e->core.env.random(e->core.env.ctx, &jitter, sizeof(jitter));
	p->backoff_ms =
		(uint32_t)min_u64(max_u64(2u * p->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
	p->dial_at_ns = e->core.now_ns + (p->backoff_ms + jitter % p->backoff_ms) * NS_PER_MS;
	e->next_tick_ns = 0;
}

static void note_error(struct session *s, const char *reason)
{
	struct peer *p = s->peer;

	if (s->phase == PHASE_UP)
		tell_session(s->engine, p, false, "%s", reason);
	else
		core_log(&s->engine->core, 6, "peer '%s' (%s): %s", p ? p->name : "?",
			 s->link->address, reason);
	if (p && p->session != s && p->session)
		return; /* a session is up: what befell another attempt is no news */
	if (p)
		snprintf(p->last_error, sizeof(p->last_error), "%s", reason);
}

static void on_down(void *owner, const char *reason)
{
	struct session *s = owner;
	struct peer *p = s->peer;
	/* The peer took back a dial, for ours mostly, before it had proved anything: no news. */
	bool taken_back = !s->dialled && s->phase < PHASE_DRAIN && p && p->last_error[0];

	if (s->phase != PHASE_CLOSING && s->phase != PHASE_REJECTED && !taken_back)
		note_error(s, reason);
	s->phase = PHASE_DOWN;
	s->engine->sessions_down |= session_bit(s);
	s->engine->next_tick_ns = 0;
	if (!p || p->session != s)
		return;
	mirror_disconnect(s->engine, &p->channel, p->last_error);
	p->pinging = false;
	channel_lost(&p->channel);
}

static const struct link_handler link_handler = {
	.message = on_message,
	.landed = on_landed,
	.down = on_down,
};

static const struct channel_handler channel_handler = {
	.control = mirror_control,
};

static void session_close(struct session *s, const char *reason)
{
	s->phase = PHASE_CLOSING;
	core_administer(&s->engine->core, true);
	link_shut(s->link, reason);
	core_administer(&s->engine->core, false);
}

void session_fail(struct session *s, const char *reason)
{
	if (s->phase == PHASE_CLOSING || s->phase == PHASE_DOWN)
		return;
	if (s->phase != PHASE_REJECTED)
		note_error(s, reason);
	if (s->peer && s->peer->session == s) {
		s->peer->channel.shut = true;
		/* No write may count on this peer any more, though answers may still come. */
		mirror_disconnect(s->engine, &s->peer->channel, reason);
	}
	session_close(s, reason);
}

void session_yield(struct session *s)
{
	static const char reason[] = "the peer's own dial wins";

	core_log(&s->engine->core, 6, "peer '%s' (%s): %s", s->peer->name, s->link->address,
		 reason);
	session_close(s, reason);
}

/* A shut may lose what was sent last: the other side reads REJECT and closes. */
void session_rejected(struct session *s, const char *reason)
{
	note_error(s, reason);
	s->phase = PHASE_REJECTED;
	s->deadline_ns = s->engine->core.now_ns + REJECT_LINGER_NS;
	s->engine->next_tick_ns = 0;
}

/* --- coming and going --- */

static bool handshake_with(const struct engine *e, const struct peer *p)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (e->sessions[i].phase != PHASE_FREE && e->sessions[i].peer == p)
			return true;
	return false;
}

void session_fail_all(struct engine *e, const struct peer *p, const char *reason)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (e->sessions[i].phase != PHASE_FREE && e->sessions[i].peer == p)
			session_fail(&e->sessions[i], reason);
}

bool session_none_with(const struct engine *e, const struct peer *p)
{
	return !p->session && !p->dialling && !handshake_with(e, p);
}

void session_opened(struct engine *e, struct link *link, struct peer *dialled)
{
	struct session *s = NULL;

	if (dialled)
		dialled->dialling = false;
	for (unsigned i = 0; i < SESSIONS_MAX && !s; i++)
		if (e->sessions[i].phase == PHASE_FREE)
			s = &e->sessions[i];
	/* The peer's own dial may have come first: one handshake with it at a time. */
	if (!s || e->stopping || (dialled && (dialled->removal || handshake_with(e, dialled)))) {
		if (dialled)
			next_dial(dialled);
		e->core.env.release_link(e->core.env.ctx, link);
		return;
	}
	*s = (struct session){
		.engine = e,
		.link = link,
		.peer = dialled,
		.dialled = dialled != NULL,
		.phase = PHASE_EXPECT_HELLO,
		.deadline_ns = e->core.now_ns + e->settings.peer_timeout_ns,
	};
	e->sessions_used |= session_bit(s);
	link_attach(link, &link_handler, s);
	e->next_tick_ns = 0;
	if (dialled)
		handshake_hello(s);
}

void session_dial_failed(struct peer *p, const char *reason)
{
	p->dialling = false;
	if (!p->session)
		snprintf(p->last_error, sizeof(p->last_error), "%s", reason);
	next_dial(p);
}

void session_established(struct session *s)
{
	struct peer *p = s->peer;
	struct engine *e = s->engine;

	assert(!p->session);
	e->last_epoch = (uint32_t)max_u64(e->last_epoch, s->epoch);
	p->node_address = s->peer_address;
	p->session = s;
	p->sessions++;
	p->backoff_ms = 0;
	p->last_error[0] = '\0';
	p->pinging = false;
	s->phase = PHASE_UP;
	p->channel.handler = &channel_handler;
	p->channel.owner = p;
	channel_open(&p->channel, s->link, s->peer_address, s->epoch);
	tell_session(e, p, true, "session %08x over %s (%s, %u slots)", s->epoch, s->link->backend,
		     s->link->address, s->link->granted_count);
	e->next_tick_ns = 0;
	mirror_connect(e, p);
}

void session_reap(struct engine *e)
{
	uint32_t left = e->sessions_down;
	struct session *s;

	while ((s = session_next(e, &left))) {
		struct peer *p = s->peer;
		bool owner = p && p->session == s;

		if (owner && !channel_idle(&p->channel) && !MUTANT(NOT_DRAINED))
			continue;
		e->core.env.release_link(e->core.env.ctx, s->link);
		s->link = NULL;
		s->phase = PHASE_FREE;
		e->sessions_used &= ~session_bit(s);
		e->sessions_down &= ~session_bit(s);
		if (p && (owner || s->dialled))
			next_dial(p);
		if (!owner)
			continue;
		p->session = NULL;
		for (unsigned k = 0; k < SESSIONS_MAX; k++) {
			struct session *next = &e->sessions[k];

			if (next->phase != PHASE_DRAIN || next->peer != p || p->session)
				continue;
			core_administer(&e->core, true);
			handshake_drained(next);
			core_administer(&e->core, false);
		}
	}
}

bool session_none(const struct engine *e)
{
	return e->sessions_used == 0;
}

/* --- time --- */

static void ping_answered(struct call *call, const struct frame *completion)
{
	(void)completion;
	CONTAINER_OF(call, struct peer, ping)->pinging = false;
}

static void ping_lost(struct call *call, bool sent)
{
	(void)sent;
	CONTAINER_OF(call, struct peer, ping)->pinging = false;
}

static void ping_send(struct call *call)
{
	struct frame f = {.command = FRAME_PING};

	channel_send(call->channel, call, &f, NULL, 0, NULL);
}

static void keep_alive(struct session *s)
{
	struct engine *e = s->engine;
	struct peer *p = s->peer;
	uint64_t now = e->core.now_ns, silence = now - p->channel.last_heard_ns;
	uint64_t oldest = channel_oldest_ns(&p->channel);
	char text[160];

	if (silence > e->settings.peer_timeout_ns) {
		snprintf(text, sizeof(text), "the peer was silent for %llu ms",
			 (unsigned long long)(silence / NS_PER_MS));
		session_fail(s, text);
		return;
	}
	if (oldest < now && now - oldest > e->settings.request_timeout_ns) {
		snprintf(text, sizeof(text), "the peer did not answer a request for %llu ms",
			 (unsigned long long)((now - oldest) / NS_PER_MS));
		session_fail(s, text);
		return;
	}
	if (p->pinging || silence < e->settings.peer_timeout_ns / 3)
		return;
	p->pinging = true;
	p->ping.credit = ping_send;
	p->ping.answered = ping_answered;
	p->ping.lost = ping_lost;
	if (channel_credit(&p->channel, &p->ping, true))
		ping_send(&p->ping);
}

void session_tick(struct engine *e)
{
	uint64_t now = e->core.now_ns;
	bool any = false;

	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &e->sessions[i];

		any |= s->phase != PHASE_FREE;
		if (s->phase == PHASE_UP && !s->peer->channel.shut)
			keep_alive(s);
		else if (s->phase == PHASE_REJECTED && now > s->deadline_ns)
			session_close(s, "rejected");
		else if (s->phase != PHASE_FREE && s->phase < PHASE_UP && now > s->deadline_ns)
			session_fail(s, "the handshake took too long");
	}
	for (unsigned i = 0; i < e->peer_count && !e->stopping; i++) {
		struct peer *p = &e->peers[i];

		any = true; /* mirrors have deadlines of their own, whoever dials */
		if (!p->address[0] || p->removal || now < p->dial_at_ns || !session_none_with(e, p))
			continue;
		p->dialling = true;
		e->core.env.dial(e->core.env.ctx, p->address, p);
	}
	if (any || !list_empty(&e->pairings))
		e->next_tick_ns = min_u64(e->next_tick_ns, now + TICK_NS);
}

unsigned session_poll(struct engine *e, unsigned budget)
{
	uint32_t left = sessions_alive(e);
	struct session *s;
	unsigned n = 0;

	while ((s = session_next(e, &left)))
		n += link_poll(s->link, budget);
	return n;
}

void session_flush(struct engine *e)
{
	uint32_t left = sessions_alive(e);
	struct session *s;

	while ((s = session_next(e, &left)))
		link_flush(s->link);
}

bool session_arm(struct engine *e)
{
	uint32_t left = sessions_alive(e);
	struct session *s;
	bool now = false;

	while ((s = session_next(e, &left)))
		now |= link_arm(s->link);
	return now;
}
