/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/core_internal.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void piece_decide(struct piece *p);
static void local_done(struct leg *leg);
static void remote_credit(struct call *call);
static void remote_answered(struct call *call, const struct frame *completion);
static void remote_lost(struct call *call, bool sent);

int core_init(struct core *core, const struct engine_env *env, uint32_t pieces)
{
	core->env = *env;
	list_init(&core->ready);
	list_init(&core->cutting);
	list_init(&core->reading);
	core->pieces = calloc(pieces, sizeof(*core->pieces));
	if (!core->pieces)
		return -ENOMEM;
	core->piece_count = pieces;
	for (uint32_t i = 0; i < pieces; i++) {
		struct piece *p = &core->pieces[i];

		p->core = core;
		p->local.done = local_done;
		for (unsigned k = 0; k < VOLUME_REPLICAS_MAX; k++) {
			p->remote[k].piece = p;
			p->remote[k].call.credit = remote_credit;
			p->remote[k].call.answered = remote_answered;
			p->remote[k].call.lost = remote_lost;
			list_init(&p->remote[k].call.node);
		}
		p->next_free = core->free;
		core->free = p;
	}
	return 0;
}

void core_fini(struct core *core)
{
	assert((core->in_use == 0 && core->requests == 0) || !core->pieces);
	fetch_fini(core);
	free(core->pieces);
}

void core_capture(struct core *core, bool sent, const uint8_t bytes[FRAME_BYTES])
{
	struct core_capture *c = &core->capture[core->captured++];

	core->capture_left--;
	c->at_ns = core->now_ns;
	c->sent = sent;
	memcpy(c->bytes, bytes, FRAME_BYTES);
}

void core_run(struct core *core)
{
	struct list *node;

	/* In most passes there is nothing. */
	if (LIKELY(list_empty(&core->ready) && nobody_cuts(core) && list_empty(&core->fetches)))
		return;
	/* What ends here may let others go on; nothing else would wake the owner for them. */
	do {
		while ((node = list_pop(&core->ready))) {
			struct piece *p = LIST_ENTRY(node, struct piece, node);

			p->volume->active++;
			p->state = PIECE_CREDIT;
			p->remotes = p->credits = 0;
			p->remote_status = LS_OK;
			piece_decide(p);
		}
		fetch_run(core);
		cut_all(core);
	} while (!list_empty(&core->ready) || fetch_waits(core));
}

/* --- pieces --- */

static enum ls_status worse(enum ls_status a, enum ls_status b)
{
	return a != LS_OK ? a : b;
}

static bool piece_failed(const struct piece *p)
{
	return (p->local_status | p->remote_status) != LS_OK;
}

static NOINLINE void note_failure(const struct piece *p, struct request *r)
{
	enum ls_status status = worse(p->remote_status, p->local_status);

	/* A leg that failed may hold anything. */
	if (p->changes)
		sumlog_forget(&p->volume->sums, p->offset, p->length);
	if (p->local_status != LS_OK)
		r->failed_legs |= LS_LEG_LOCAL;
	if (p->remote_status != LS_OK)
		r->failed_legs |= LS_LEG_PEER;
	if (p->local_status == LS_LOCAL_IO && p->remote_status == LS_PEER_IO)
		status = LS_BOTH_IO;
	r->status = worse(r->status, status);
}

/* It waits, but not for a device or the wire. */
static void piece_parks(struct piece *p)
{
	p->state = PIECE_HELD;
	less_active(p->core, p->volume);
}

/* Anew, at the end of the pass. */
static void decide_later(struct piece *p)
{
	piece_parks(p);
	list_add_tail(&p->core->ready, &p->node);
}

static void piece_free(struct piece *p)
{
	if (p->marked)
		intent_end(&p->volume->map.intent, p->offset, p->length);
	p->state = PIECE_FREE;
	p->request = NULL;
	p->core->in_use--;
	p->core->reads_in_use -= p->code == STORE_READ;
	p->next_free = p->core->free;
	p->core->free = p;
}

/* As if it had not been cut: its request waits instead.  False: it is not the last that was. */
static bool piece_uncut(struct piece *p)
{
	struct request *r = p->request;
	struct volume *v = p->volume;

	if (p->local_ended || p->offset + p->length != r->offset + r->cut)
		return false;
	p->local_ended = true; /* it has not done anything: no sample */
	r->cut -= p->length;
	r->pieces_open--;
	list_del(&r->node);
	list_add_tail(&v->held_requests, &r->node);
	less_active(p->core, v);
	piece_free(p);
	return true;
}

/* Writes that only wait for a peer shall not take the pieces of everybody else. */
static void hold(struct piece *p)
{
	struct core *core = p->core;
	struct volume *v = p->volume;

	if (!piece_uncut(p)) {
		piece_parks(p);
		list_add_tail(&v->held, &p->node);
	}
	core->writes_held(core->engine, v);
}

/* The replicas may differ here from now on.  Apart, because of what its text costs the rest. */
static NOINLINE void note_divergence(struct piece *p)
{
	bool here = p->local_status != LS_OK && p->remote_status == LS_OK;
	char text[200];

	if (p->changes && !here)
		intent_dirty(&p->volume->map.intent, p->offset, p->length);
	if (p->remote_status == LS_PEER_LOST)
		return; /* the session's end has been told */
	snprintf(text, sizeof(text), "a %s at byte %llu failed on %s: %s",
		 p->code == STORE_FLUSH ? "flush" : "write", (unsigned long long)p->offset,
		 p->local_status != LS_OK ? "the local leg" : "the peer's leg",
		 ls_status_text(worse(p->local_status, p->remote_status)));
	if (here)
		p->core->write_failed_here(p->core->engine, p->volume, p->offset,
					   p->changes ? p->length : 0, text);
	else
		p->core->leg_failed(p->core->engine, p->volume, text);
}

/*
 * The legs are over, and one has failed.  True: the piece is held, because its local leg is good
 * and its remote one is to be made up for, by a durable note or by doing it again.
 */
static NOINLINE bool held_back(struct piece *p)
{
	if (!p->remotes || p->code == STORE_READ)
		return false;
	note_divergence(p);
	/* A client that changes its buffer in flight has nobody else to blame. */
	if (p->local_status != LS_OK || p->remote_status == LS_CHECKSUM)
		return false;
	if (p->core->stopping) {
		/* The next engine does it again. */
		if (p->remote_status == LS_PEER_LOST)
			p->remote_status = LS_SHUTDOWN;
		return false;
	}
	if (MUTANT(ACK_BEFORE_STALE)) {
		p->remote_status = LS_OK;
		return false;
	}
	p->local_ended = true;
	/* The next session may be up already. */
	decide_later(p);
	return true;
}

static inline void piece_finish(struct piece *p)
{
	struct core *core = p->core;
	struct request *r = p->request;

	if (UNLIKELY(piece_failed(p)))
		note_failure(p, r);
	if (p->code == STORE_WRITE && p->remotes) {
		core->stats.write_count++;
		core->stats.write_ns_sum += core->now_ns - p->started_ns;
	}
	if (UNLIKELY(core->now_ns <= core->sampled_until_ns) &&
	    (p->code == STORE_READ || p->code == STORE_WRITE))
		core->piece_ended(core->engine, p->remotes != 0, p->started_ns);
	less_active(core, p->volume);
	piece_free(p);
	if (--r->pieces_open > 0 || !list_empty(&r->node))
		return;
	request_finish(core, r);
}

static inline void leg_closed(struct piece *p)
{
	assert(p->legs_open > 0);
	if (--p->legs_open > 0)
		return;
	p->core->flying--;
	if (LIKELY(!piece_failed(p)) || !held_back(p))
		piece_finish(p);
}

static void fetched(struct fetch *f, enum ls_status status)
{
	struct piece *p = CONTAINER_OF(f, struct piece, fetch);

	p->volume->active++;
	if (status == LS_OK)
		p->local_status = LS_OK;
	else if (status == LS_PEER_IO)
		p->remote_status = LS_PEER_IO;
	leg_closed(p);
}

/* What the local devices cannot read, the peer may have. */
static NOINLINE void read_elsewhere(struct piece *p)
{
	p->volume->stats.read_errors++;
	/* It may wait for a write, and that for a piece. */
	less_active(p->core, p->volume);
	p->fetch = (struct fetch){
		.volume = p->volume,
		.offset = p->offset,
		.length = p->length,
		.buf = p->buf,
		.done = fetched,
	};
	fetch_start(p->core, &p->fetch);
}

static NOINLINE void local_flushed(struct piece *p)
{
	p->local_status = volume_flush_end(p->volume, &p->local, true);
	leg_closed(p);
}

static void local_done(struct leg *leg)
{
	struct piece *p = CONTAINER_OF(leg, struct piece, local);

	p->local_status = leg->status;
	p->volume->changing -= p->changes;
	if (p->remotes)
		p->core->stats.write_local_ns_sum += p->core->now_ns - p->started_ns;
	if (UNLIKELY(p->code == STORE_FLUSH))
		local_flushed(p);
	else if (UNLIKELY(p->code == STORE_READ && leg->status != LS_OK))
		read_elsewhere(p);
	else
		leg_closed(p);
}

static inline void remote_send(struct piece *p, unsigned i)
{
	static const uint8_t commands[] = {
		[STORE_WRITE] = FRAME_WRITE,
		[STORE_FLUSH] = FRAME_FLUSH,
		[STORE_WRITE_ZEROES] = FRAME_WRITE_ZEROES,
	};
	bool fua = p->local.op.flags & STORE_FUA && !MUTANT(FUA_DROPPED);
	bool crc = p->code == STORE_WRITE && p->core->payload_crc;
	struct call *call = &p->remote[i].call;
	struct frame f;

	/* One by one: the rest of it is the channel's. */
	f.command = commands[p->code];
	f.flags = (uint16_t)((fua ? FRAME_FUA : 0) | (crc ? FRAME_CRC : 0));
	f.volume = p->volume->record.replicas[i].volume_number;
	f.length = (uint32_t)p->length;
	f.offset = p->offset;
	f.payload_crc = p->crc;
	channel_send(call->channel, call, &f, p->buf, p->buf ? f.length : 0, p->local.op.region);
}

static inline void remote_start(struct piece *p, unsigned i)
{
	p->legs_open++;
	p->remote[i].open = true;
	remote_send(p, i);
}

/* What both legs will hold; it is forgotten if one of them fails. */
static void note_sums(struct piece *p)
{
	struct sumlog *log = &p->volume->sums;

	p->crc = 0;
	if (!p->changes)
		return;
	if (p->remotes && p->code == STORE_WRITE_ZEROES)
		sumlog_zeroes(log, p->offset, p->length);
	else if (p->remotes && p->core->payload_crc)
		p->crc = sumlog_payload(log, p->offset, p->buf, (uint32_t)p->length);
	else
		sumlog_forget(log, p->offset, p->length);
}

/* Every credit is there: the wire first, because that branch is the longer one. */
static inline void piece_fly(struct piece *p)
{
	p->state = PIECE_FLIGHT;
	p->core->flying++;
	p->request->begun = true;
	p->legs_open = !p->local_ended;
	note_sums(p);
	if (p->marked && !p->remotes)
		intent_dirty(&p->volume->map.intent, p->offset, p->length);
	/* The first by itself: nearly always there is no other. */
	if (LIKELY(p->remotes & 1))
		remote_start(p, 0);
	for (uint32_t left = p->remotes >> 1, i = 1; UNLIKELY(left); left >>= 1, i++)
		if (left & 1)
			remote_start(p, i);
	if (p->local_ended)
		return;
	if (p->changes)
		volume_changes(p->volume);
	else if (UNLIKELY(p->code == STORE_FLUSH))
		volume_flush_begin(p->volume, &p->local, p->volume->flushes_told);
	leg_start(&p->local, &p->volume->record, p->volume->pool->stores);
}

/* False: it has to wait. */
static inline bool take_credit(struct piece *p, unsigned i)
{
	if (p->credits >> i & 1)
		return true;
	if (!channel_credit(p->volume->channels[i], &p->remote[i].call, false))
		return false;
	p->credits |= 1u << i;
	return true;
}

/* Takes one credit after the other; goes on from remote_credit() when it has to wait. */
static inline void take_credits(struct piece *p)
{
	if (LIKELY(p->remotes & 1) && !take_credit(p, 0))
		return;
	for (uint32_t left = p->remotes >> 1, i = 1; UNLIKELY(left); left >>= 1, i++)
		if (left & 1 && !take_credit(p, i))
			return;
	piece_fly(p);
}

static void refuse(struct piece *p, enum ls_status status)
{
	/* One leg may have it: that is not "nothing was done".  (LS_SHUTDOWN never says so.) */
	p->remote_status = p->local_ended && status != LS_SHUTDOWN ? LS_PEER_LOST : status;
	piece_finish(p);
}

/* The mirror's state does not say yet what a write of the primary is to do. */
static bool undecided(const struct piece *p)
{
	const struct volume *v = p->volume;

	return v->promoting ||
	       !(volume_mirrors(v) || (volume_alone(v) && !v->yields) || p->core->stopping);
}

/* Which legs the mirror's state asks for; holds the piece when it does not say yet. */
static inline void piece_decide(struct piece *p)
{
	const struct volume *v = p->volume;

	if (p->code != STORE_READ) {
		if (v->record.role != VOLUME_PRIMARY) {
			refuse(p, LS_NOT_PRIMARY);
			return;
		}
		if (undecided(p)) {
			hold(p);
			return;
		}
		if (volume_mirrors(v)) {
			if (p->code != STORE_FLUSH || !MUTANT(FLUSH_LOCAL))
				p->remotes = (1u << v->record.replica_count) - 1;
		} else if (!volume_alone(v) || v->yields) {
			refuse(p, LS_SHUTDOWN);
			return;
		} else if (p->local_ended) {
			piece_finish(p);
			return;
		}
	}
	take_credits(p);
}

static void map_ready(struct map_wait *wait, bool ok)
{
	struct piece *p = CONTAINER_OF(wait, struct piece, map);

	p->state = PIECE_CREDIT;
	if (ok) {
		piece_decide(p);
		return;
	}
	p->local_status = LS_LOCAL_IO;
	piece_finish(p);
}

inline void piece_start(struct piece *p)
{
	struct volume *v = p->volume;

	/* One that would only be held goes back: later, with others behind it, it could not. */
	if (!p->changes || !volume_tracks(v) ||
	    UNLIKELY(!volume_mirrors(v) && (v->record.role != VOLUME_PRIMARY || undecided(p)))) {
		piece_decide(p);
		return;
	}
	p->marked = true;
	if (intent_begin(&v->map.intent, p->offset, p->length)) {
		piece_decide(p);
		return;
	}
	p->state = PIECE_INTENT;
	p->map.done = map_ready;
	map_wait(v, &p->map, p->offset, p->length);
}

void core_release(struct core *core, struct volume *v)
{
	struct list *node;

	list_splice_tail(&core->ready, &v->held);
	list_splice_tail(&core->cutting, &v->held_requests);
	/* Reads, too: when the engine stops, nothing else may be left that would do it. */
	while ((node = list_pop(&v->uncut)))
		cut_later(core, LIST_ENTRY(node, struct request, node));
}

/* Nothing of it was sent: what it holds of peers goes back, and it is decided anew. */
static void decide_again(struct piece *p)
{
	for (unsigned i = 0; i < VOLUME_REPLICAS_MAX; i++)
		if (p->credits & 1u << i && p->remote[i].call.message)
			channel_return_credit(&p->remote[i].call);
	p->remotes = p->credits = 0;
	decide_later(p);
}

static void remote_credit(struct call *call)
{
	struct remote_leg *leg = CONTAINER_OF(call, struct remote_leg, call);
	struct piece *p = leg->piece;
	const struct volume *v = p->volume;
	unsigned i = (unsigned)(leg - p->remote);

	if (leg->open) {
		/* It is sent again. */
		remote_send(p, i);
		return;
	}
	p->credits |= 1u << i;
	/* Meanwhile this node may have become a target: then not even the local leg may go. */
	if (v->record.role == VOLUME_PRIMARY && volume_mirrors(v) &&
	    v->channels[i] == call->channel)
		take_credits(p);
	else
		decide_again(p);
}

static void remote_closed(struct remote_leg *leg, enum ls_status status)
{
	struct piece *p = leg->piece;

	leg->open = false;
	p->remote_status = worse(p->remote_status, status);
	p->core->stats.write_remote_ns_sum += p->core->now_ns - p->started_ns;
	leg_closed(p);
}

/* What the peer says, as its client hears it: "refused" here would mean "not even begun". */
static enum ls_status status_of_peer(uint32_t status)
{
	if (LIKELY(status == LS_OK))
		return LS_OK;
	switch (status) {
	case LS_CHECKSUM:
	case LS_NO_SPACE:
		return (enum ls_status)status;
	case LS_LOCAL_IO:
		return MUTANT(PEER_ERROR_IGNORED) ? LS_OK : LS_PEER_IO;
	case LS_SHUTDOWN:
		return LS_PEER_LOST;
	default:
		return LS_PROTOCOL;
	}
}

static void remote_answered(struct call *call, const struct frame *f)
{
	struct remote_leg *leg = CONTAINER_OF(call, struct remote_leg, call);
	struct piece *p = leg->piece;
	enum ls_status status = status_of_peer(f->status);

	p->core->stats.write_peer_device_ns_sum += (uint32_t)f->offset;
	remote_closed(leg, status);
}

static void remote_lost(struct call *call, bool sent)
{
	struct remote_leg *leg = CONTAINER_OF(call, struct remote_leg, call);
	struct piece *p = leg->piece;

	(void)sent;
	if (leg->open) {
		remote_closed(leg, LS_PEER_LOST);
		return;
	}
	decide_again(p);
}
