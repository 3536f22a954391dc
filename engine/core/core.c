/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/core.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void piece_start(struct piece *p);
static void piece_decide(struct piece *p);
static void local_done(struct leg *leg);
static void remote_credit(struct call *call);
static void remote_answered(struct call *call, const struct frame *completion);
static void remote_lost(struct call *call, bool sent);

int core_init(struct core *core, const struct engine_env *env, uint32_t pieces)
{
	core->env = *env;
	list_init(&core->free);
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
		list_add_tail(&core->free, &p->node);
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

/* --- requests --- */

static void request_finish(struct core *core, struct request *r)
{
	struct volume *v = r->volume;

	core->requests--;
	if (r->ranged)
		range_release(&v->ranges, &r->range);
	/* A refusal promises that nothing was written; another piece may have been. */
	if (r->status != LS_OK && r->status < LS_LOCAL_IO && r->begun)
		r->status = LS_PEER_LOST;
	if (v) {
		switch (r->op) {
		case REQUEST_READ:
			v->stats.reads++;
			v->stats.read_bytes += r->length;
			break;
		case REQUEST_WRITE:
			v->stats.writes++;
			v->stats.written_bytes += r->length;
			break;
		case REQUEST_FLUSH:
			v->stats.flushes++;
			break;
		default:
			v->stats.discards++;
			break;
		}
		/* Not what was refused, or what a stopping engine left to the next one. */
		v->stats.errors += r->status >= LS_LOCAL_IO && r->status != LS_SHUTDOWN;
	}
	r->done(r);
}

static enum ls_status request_check(const struct core *core, const struct request *r)
{
	const struct volume *v = r->volume;
	bool data = r->op == REQUEST_READ || r->op == REQUEST_WRITE;
	bool fua = r->op == REQUEST_WRITE || r->op == REQUEST_WRITE_ZEROES;
	uint64_t in_block;

	if (core->stopping)
		return LS_SHUTDOWN;
	if (!v || !v->ready)
		return LS_NO_VOLUME;
	in_block = v->record.block_bytes - 1; /* a power of two, less one */
	if (r->op < REQUEST_READ || r->op > REQUEST_WRITE_ZEROES || r->flags & ~(fua ? LS_FUA : 0u))
		return LS_INVALID;
	if (v->record.role != VOLUME_PRIMARY)
		return LS_NOT_PRIMARY;
	if (r->op == REQUEST_FLUSH)
		return LS_OK;
	if (r->length == 0)
		return LS_INVALID;
	if ((r->offset | r->length) & in_block)
		return LS_UNALIGNED;
	if (r->offset > v->size_bytes || r->length > v->size_bytes - r->offset)
		return LS_OUT_OF_RANGE;
	if (data && r->length > REQUEST_MAX_BYTES)
		return LS_TOO_LARGE;
	if (data && (!r->buf || (uintptr_t)r->buf & in_block))
		return LS_BAD_BUFFER;
	return LS_OK;
}

/* How much of @r the next piece takes: never across a border, so that it lies in one extent. */
static uint64_t cut_length(const struct request *r)
{
	bool data = r->op == REQUEST_READ || r->op == REQUEST_WRITE;
	/* A power of two. */
	uint64_t unit = data ? PIECE_BYTES_MAX : PIECE_SPAN_MAX, at = r->offset + r->cut;

	if (r->op == REQUEST_FLUSH)
		return 0;
	return min_u64(r->length - r->cut, unit - (at & (unit - 1)));
}

static struct piece *piece_cut(struct core *core, struct request *r)
{
	static const enum leg_code codes[] = {
		[REQUEST_READ] = LEG_READ,
		[REQUEST_WRITE] = LEG_WRITE,
		[REQUEST_FLUSH] = LEG_FLUSH,
		/* A deallocate may leave anything; only zeroes make both legs equal. */
		[REQUEST_DISCARD] = LEG_WRITE_ZEROES,
		[REQUEST_WRITE_ZEROES] = LEG_WRITE_ZEROES,
	};
	struct piece *p = LIST_ENTRY(list_pop(&core->free), struct piece, node);

	core->in_use++;
	core->reads_in_use += r->op == REQUEST_READ;
	r->volume->active++;
	p->state = PIECE_CREDIT;
	p->volume = r->volume;
	p->request = r;
	p->code = codes[r->op];
	p->fua = r->flags & LS_FUA;
	p->offset = r->offset + r->cut;
	p->length = cut_length(r);
	p->buf = r->buf ? (uint8_t *)r->buf + r->cut : NULL;
	p->region = r->region;
	p->changes = p->code == LEG_WRITE || p->code == LEG_WRITE_ZEROES;
	p->marked = p->local_ended = false;
	p->legs_open = 0;
	p->remotes = p->credits = 0;
	p->local_status = p->remote_status = LS_OK;
	p->started_ns = core->now_ns;
	r->cut += p->length;
	r->pieces_open++;
	return p;
}

/* To be cut at the end of the pass. */
static void cut_later(struct core *core, struct request *r)
{
	list_add_tail(r->op == REQUEST_READ ? &core->reading : &core->cutting, &r->node);
}

/* There is a free piece, and @r is in no list. */
static void cut_one(struct core *core, struct request *r)
{
	struct piece *p = piece_cut(core, r);

	if (r->cut < r->length && r->op != REQUEST_FLUSH)
		cut_later(core, r);
	piece_start(p);
}

static uint32_t pieces_left(const struct core *core)
{
	return core->piece_count - core->in_use;
}

/*
 * Reads never have all: what a read waits for, when its device failed, may be a write that has
 * its range and needs a piece.
 */
static bool reads_enough(const struct core *core)
{
	return core->reads_in_use >= core->piece_count - core->piece_count / 16;
}

/*
 * A volume has as many active pieces as are free, at most: so a device that hangs, or one client,
 * leaves half of the pieces to the other volumes, a second one a quarter.
 */
static bool may_cut(const struct core *core, const struct request *r)
{
	uint32_t left = pieces_left(core);

	return r->volume->active < left && (r->op != REQUEST_READ || !reads_enough(core));
}

/* One piece of the first request in @list; false: there is none, or no piece for it. */
static bool cut_next(struct core *core, struct list *list)
{
	struct request *r;

	if (list_empty(list) || pieces_left(core) == 0)
		return false;
	r = LIST_ENTRY(list_pop(list), struct request, node);
	if (may_cut(core, r))
		cut_one(core, r);
	else
		list_add_tail(&r->volume->uncut, &r->node);
	return true;
}

/* Nothing more of it is begun; what is under way of it ends first. */
static void leave_uncut(struct core *core, struct request *r)
{
	if (r->status == LS_OK)
		r->status = LS_SHUTDOWN;
	if (r->pieces_open == 0)
		request_finish(core, r);
}

/* Cuts what the free pieces allow, one piece of each request in turn: nobody waits long. */
static void cut_all(struct core *core)
{
	struct list *node;
	bool more;

	while (core->stopping &&
	       ((node = list_pop(&core->reading)) || (node = list_pop(&core->cutting))))
		leave_uncut(core, LIST_ENTRY(node, struct request, node));
	do {
		more = !reads_enough(core) && cut_next(core, &core->reading);
		more |= cut_next(core, &core->cutting);
	} while (more);
}

/*
 * A piece of @v's is active no more: two for one, so that it can come to many again; and all after
 * the last one, because nothing else would lead here.
 */
static void less_active(struct core *core, struct volume *v)
{
	v->active--;
	for (int i = 0; UNLIKELY(!list_empty(&v->uncut)) && (i < 2 || v->active == 0); i++)
		cut_later(core, LIST_ENTRY(list_pop(&v->uncut), struct request, node));
}

static void request_granted(struct range *range)
{
	struct request *r = CONTAINER_OF(range, struct request, range);

	cut_later(r->core, r);
}

/* True: it has its place, and no earlier one overlaps it. */
static bool take_place(struct core *core, struct request *r)
{
	if (r->op == REQUEST_READ || r->op == REQUEST_FLUSH)
		return true;
	r->ranged = true;
	r->core = core;
	r->range.granted = request_granted;
	return range_acquire(&r->volume->ranges, &r->range, r->offset, r->length);
}

void core_submit(struct core *core, struct request *r)
{
	struct volume *v = r->volume;

	core->requests++;
	r->submitted_ns = core->now_ns;
	r->failed_legs = 0;
	r->cut = 0;
	r->pieces_open = 0;
	r->begun = r->ranged = false;
	list_init(&r->node);
	r->status = request_check(core, r);
	if (r->status != LS_OK) {
		request_finish(core, r);
		return;
	}
	if (UNLIKELY(!take_place(core, r)))
		return;
	/* The usual case needs no list: nobody waits, and one piece is all of it. */
	if (UNLIKELY(!list_empty(&v->uncut)))
		list_add_tail(&v->uncut, &r->node);
	else if (LIKELY(list_empty(&core->cutting) && list_empty(&core->reading) &&
			may_cut(core, r)))
		cut_one(core, r);
	else
		cut_later(core, r);
	if (UNLIKELY(!list_empty(&core->cutting) || !list_empty(&core->reading)))
		cut_all(core);
}

void core_run(struct core *core)
{
	struct list *node;

	/* In most passes there is nothing. */
	if (LIKELY(list_empty(&core->ready) && list_empty(&core->cutting) &&
		   list_empty(&core->reading) && list_empty(&core->fetches)))
		return;
	/* What ends here may let others go on; nothing else would wake the owner for them. */
	do {
		while ((node = list_pop(&core->ready))) {
			struct piece *p = LIST_ENTRY(node, struct piece, node);

			p->volume->active++;
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

static void piece_outcome(const struct piece *p, struct request *r)
{
	enum ls_status status = worse(p->remote_status, p->local_status);

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
	p->core->reads_in_use -= p->code == LEG_READ;
	/* The head: it is in the cache. */
	list_add_tail(p->core->free.next, &p->node);
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
		 p->code == LEG_FLUSH ? "flush" : "write", (unsigned long long)p->offset,
		 p->local_status != LS_OK ? "the local leg" : "the peer's leg",
		 ls_status_text(worse(p->local_status, p->remote_status)));
	if (here)
		p->core->write_failed_here(p->core->engine, p->volume, p->offset,
					   p->changes ? p->length : 0, text);
	else
		p->core->leg_failed(p->core->engine, p->volume, text);
}

/*
 * The legs are over.  True: the piece is held, because its local leg is good and its remote
 * one is to be made up for, by a durable note or by doing it again.
 */
static bool held_back(struct piece *p)
{
	bool failed = p->local_status != LS_OK || p->remote_status != LS_OK;

	if (!p->remotes || !failed || p->code == LEG_READ)
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

static void piece_finish(struct piece *p)
{
	struct core *core = p->core;
	struct request *r = p->request;

	piece_outcome(p, r);
	/* A leg that failed may hold anything. */
	if (p->changes && (p->local_status != LS_OK || p->remote_status != LS_OK))
		sumlog_forget(&p->volume->sums, p->offset, p->length);
	if (p->code == LEG_WRITE && p->remotes) {
		core->stats.write_count++;
		core->stats.write_ns_sum += core->now_ns - p->started_ns;
	}
	if (p->code == LEG_READ || p->code == LEG_WRITE)
		core->piece_ended(core->engine, p->remotes != 0, p->started_ns);
	less_active(core, p->volume);
	piece_free(p);
	if (--r->pieces_open > 0 || !list_empty(&r->node))
		return;
	request_finish(core, r);
}

static void leg_closed(struct piece *p)
{
	assert(p->legs_open > 0);
	if (--p->legs_open > 0)
		return;
	p->core->flying--;
	if (!held_back(p))
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
	if (UNLIKELY(p->code == LEG_FLUSH))
		local_flushed(p);
	else if (UNLIKELY(p->code == LEG_READ && leg->status != LS_OK))
		read_elsewhere(p);
	else
		leg_closed(p);
}

static void remote_send(struct piece *p, unsigned i)
{
	static const uint8_t commands[] = {
		[LEG_WRITE] = FRAME_WRITE,
		[LEG_FLUSH] = FRAME_FLUSH,
		[LEG_WRITE_ZEROES] = FRAME_WRITE_ZEROES,
	};
	bool data = p->code == LEG_WRITE, crc = data && p->core->payload_crc;
	struct frame f = {
		.command = commands[p->code],
		.flags = (uint16_t)((p->fua && !MUTANT(FUA_DROPPED) ? FRAME_FUA : 0) |
				    (crc ? FRAME_CRC : 0)),
		.volume = p->volume->record.replicas[i].volume_number,
		.length = (uint32_t)p->length,
		.offset = p->code == LEG_FLUSH ? 0 : p->offset,
		.payload_crc = crc ? p->crc : 0,
	};

	channel_send(p->remote[i].call.channel, &p->remote[i].call, &f, data ? p->buf : NULL,
		     data ? (uint32_t)p->length : 0, p->region);
}

/* What both legs will hold; it is forgotten if one of them fails. */
static void note_sums(struct piece *p)
{
	struct sumlog *log = &p->volume->sums;

	if (p->remotes && p->code == LEG_WRITE && p->core->payload_crc)
		p->crc = sumlog_payload(log, p->offset, p->buf, (uint32_t)p->length);
	else if (p->remotes && p->code == LEG_WRITE_ZEROES)
		sumlog_zeroes(log, p->offset, p->length);
	else if (p->changes)
		sumlog_forget(log, p->offset, p->length);
}

/* Every credit is there: the wire first, because that branch is the longer one. */
static void piece_fly(struct piece *p)
{
	p->state = PIECE_FLIGHT;
	p->core->flying++;
	p->request->begun = true;
	p->legs_open = !p->local_ended;
	note_sums(p);
	if (p->marked && !p->remotes)
		intent_dirty(&p->volume->map.intent, p->offset, p->length);
	for (uint32_t left = p->remotes; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);

		p->legs_open++;
		p->remote[i].open = true;
		remote_send(p, i);
	}
	if (p->local_ended)
		return;
	/* One by one: the rest of it is the leg's own. */
	p->local.code = p->code;
	p->local.fua = p->fua;
	p->local.offset = p->offset;
	p->local.length = p->length;
	p->local.buf = p->buf;
	p->local.region = p->region;
	if (p->changes)
		volume_changes(p->volume);
	else if (UNLIKELY(p->code == LEG_FLUSH))
		volume_flush_begin(p->volume, &p->local, p->volume->flushes_told);
	leg_start(&p->local, &p->volume->record, p->volume->pool->stores);
}

/* Takes one credit after the other; goes on from remote_credit() when it has to wait. */
static void take_credits(struct piece *p)
{
	for (uint32_t left = p->remotes & ~p->credits; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);

		if (!channel_credit(p->volume->channels[i], &p->remote[i].call, false))
			return;
		p->credits |= 1u << i;
	}
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
static void piece_decide(struct piece *p)
{
	const struct volume *v = p->volume;

	p->state = PIECE_CREDIT;
	p->remotes = p->credits = 0;
	p->remote_status = LS_OK;
	if (p->code == LEG_READ) {
		take_credits(p);
	} else if (v->record.role != VOLUME_PRIMARY) {
		refuse(p, LS_NOT_PRIMARY);
	} else if (undecided(p)) {
		hold(p);
	} else if (volume_mirrors(v)) {
		if (p->code != LEG_FLUSH || !MUTANT(FLUSH_LOCAL))
			p->remotes = (1u << v->record.replica_count) - 1;
		take_credits(p);
	} else if (volume_alone(v) && !v->yields) {
		if (p->local_ended)
			piece_finish(p);
		else
			take_credits(p);
	} else {
		refuse(p, LS_SHUTDOWN);
	}
}

static void map_ready(struct map_wait *wait, bool ok)
{
	struct piece *p = CONTAINER_OF(wait, struct piece, map);

	if (ok) {
		piece_decide(p);
		return;
	}
	p->local_status = LS_LOCAL_IO;
	piece_finish(p);
}

static void piece_start(struct piece *p)
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
	switch (status) {
	case LS_OK:
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
