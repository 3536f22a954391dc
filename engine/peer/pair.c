/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pairing, the source's side: asks the peer for the target volume, records it, then copies
 * the whole volume while clients go on writing to both.
 *
 * Why the copy loses no write: from the moment it begins every write goes to both legs,
 * and a chunk is copied under its range (I2), so a write is either before the chunk's read
 * or behind its arrival at the target.
 *
 * One pairing is active at a time; the others wait in order.
 */
#include "engine/peer/node.h"
#include "engine/peer/job.h"
#include "engine/peer/pair_body.h"

#include "engine/base/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void copy_more(struct pairing *p);

static struct pairing *active(struct engine *e)
{
	struct list *node = list_first(&e->pairings);

	return node ? LIST_ENTRY(node, struct pairing, node) : NULL;
}

static uint8_t *body_page(const struct engine *e)
{
	return (uint8_t *)e->copy_region->base + (size_t)COPY_UNITS * PIECE_BYTES_MAX;
}

/* --- the end --- */

static void PRINTF_LIKE(3, 4) finish(struct pairing *p, int code, const char *fmt, ...)
{
	struct engine *e = p->engine;
	struct list *node;
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert(p->units_busy == 0);
	core_administer(&e->core, true);
	list_del(&p->node);
	p->volume->pairing = NULL;
	if (p->volume->mirror == MIRROR_WAITING)
		p->volume->mirror = MIRROR_NONE;
	core_log(&e->core, code ? 3 : 6, "pair '%s': %s", p->volume->record.name, text);
	while ((node = list_pop(&p->jobs)))
		job_done(LIST_ENTRY(node, struct job, node), code, "%s", text);
	free(p);
	e->next_tick_ns = 0;
	core_administer(&e->core, false);
}

static void fail_lost(struct pairing *p)
{
	const struct volume *v = p->volume;

	finish(p, -EPIPE,
	       "the peer '%s' was lost while pairing volume '%s' (%s); the copy is not complete. "
	       "Run "
	       "`lockstep pair` again when the peer is back",
	       p->peer->name, v->record.name,
	       v->mirror == MIRROR_LOST ? v->mirror_error : p->peer->last_error);
}

static void call_lost(struct call *call, bool sent)
{
	(void)sent;
	fail_lost(CONTAINER_OF(call, struct pairing, call));
}

/* --- asking --- */

static void refused(struct pairing *p, enum pair_answer why)
{
	static const struct {
		int code;
		const char *text;
	} answers[] = {
		[PAIR_NO_POOL] = {-ENOENT,
				  "has no such pool, or several: name one with --target-pool"},
		[PAIR_NO_SPACE] = {-ENOSPC, "has no room for it: its pool is full or its table is"},
		[PAIR_EXISTS] = {-EEXIST,
				 "has a volume of that name that is not this one's target; "
				 "choose another with --target"},
		[PAIR_BLOCKS] = {-EINVAL,
				 "has devices with 4096-byte blocks, this volume has 512-byte "
				 "ones"},
		[PAIR_IN_USE] = {-EBUSY, "is stopping"},
		[PAIR_BAD_REQUEST] = {-EPROTO, "does not understand the request"},
		[PAIR_IO] = {-EIO, "could not write its volume table; see its log"},
	};

	if (why >= ARRAY_SIZE(answers) || !answers[why].text)
		why = PAIR_BAD_REQUEST;
	finish(p, answers[why].code, "node '%s' %s (target volume '%s')", p->peer->name,
	       answers[why].text, p->target);
}

static void recorded(struct pool_commit *commit, enum ls_status status)
{
	struct pairing *p = CONTAINER_OF(commit, struct pairing, commit);
	struct volume *v = p->volume;

	p->engine->admin_open--;
	if (status != LS_OK) {
		finish(p, -EIO, "the volume table could not be written: %s",
		       ls_status_text(status));
		return;
	}
	if (!p->peer->session || p->peer->session->phase != PHASE_UP || p->peer->channel.shut) {
		fail_lost(p);
		return;
	}
	v->channels[0] = &p->peer->channel;
	v->mirror = MIRROR_COPYING;
	v->mirror_error[0] = '\0';
	intent_clear(&v->intent);
	p->phase = PAIRING_COPY;
	p->started_ns = p->engine->core.now_ns;
	copy_more(p);
}

static void pair_answered(struct call *call, const struct frame *f)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct volume *v = p->volume;
	struct replica_record *r = &v->record.replicas[0];

	if (f->status != LS_OK || f->volume == 0) {
		refused(p, f->status == LS_OK ? PAIR_BAD_REQUEST : (enum pair_answer)f->offset);
		return;
	}
	*r = (struct replica_record){
		.node_address = p->peer->node_address,
		.volume_number = f->volume,
	};
	snprintf(r->node_name, sizeof(r->node_name), "%s", p->peer->name);
	snprintf(r->volume_name, sizeof(r->volume_name), "%s", p->target);
	v->record.replica_count = 1;
	p->phase = PAIRING_RECORD;
	p->commit.done = recorded;
	p->engine->admin_open++;
	pool_commit(v->pool, &p->commit);
}

static void ask_send(struct call *call)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct engine *e = p->engine;
	const struct volume_record *r = &p->volume->record;
	struct frame f = {.command = FRAME_PAIR, .length = PAIR_BODY_BYTES};
	struct pair_body b = {
		.size_bytes = r->size_bytes,
		.block_bytes = r->block_bytes,
		.source_number = r->number,
	};

	memcpy(b.source_uuid, r->uuid, 16);
	memcpy(b.source, r->name, sizeof(b.source));
	memcpy(b.target, p->target, sizeof(b.target));
	memcpy(b.pool, p->target_pool, sizeof(b.pool));
	pair_body_encode(&b, body_page(e));
	channel_send(call->channel, call, &f, body_page(e), PAIR_BODY_BYTES, e->copy_region);
}

static void control_call(struct pairing *p, void (*send)(struct call *),
			 void (*answered)(struct call *, const struct frame *))
{
	p->call.credit = send;
	p->call.answered = answered;
	p->call.lost = call_lost;
	if (channel_credit(&p->peer->channel, &p->call, true))
		send(&p->call);
}

static void try_ask(struct pairing *p)
{
	struct engine *e = p->engine;
	struct peer *peer = p->peer;

	if (peer->session && peer->session->phase == PHASE_UP && !peer->channel.shut) {
		p->phase = PAIRING_ASKED;
		control_call(p, ask_send, pair_answered);
		return;
	}
	if (e->core.now_ns < p->deadline_ns && !e->stopping)
		return;
	finish(p, -ENOTCONN, "the peer '%s' is not connected: %s", peer->name,
	       peer->last_error[0] ? peer->last_error
				   : (peer->address[0] ? "it does not answer"
						       : "it has not dialled this node"));
}

/* --- the copy --- */

static void synced_answered(struct call *call, const struct frame *f)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct volume *v = p->volume;

	if (f->status != LS_OK || v->mirror != MIRROR_COPYING) {
		volume_mirror_lost(v, "the target did not confirm the initial copy");
		fail_lost(p);
		return;
	}
	v->mirror = MIRROR_SYNCED;
	intent_clear(&v->intent);
	finish(p, 0, "volume '%s' is mirrored to '%s' at node '%s' and in sync", v->record.name,
	       p->target, p->peer->name);
}

static void synced_send(struct call *call)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct frame f = {
		.command = FRAME_SYNCED,
		.volume = p->volume->record.replicas[0].volume_number,
	};

	channel_send(call->channel, call, &f, NULL, 0, NULL);
}

static void flush_answered(struct call *call, const struct frame *f)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);

	if (f->status != LS_OK) {
		volume_mirror_lost(p->volume, "the target could not flush the initial copy");
		fail_lost(p);
		return;
	}
	p->phase = PAIRING_SYNCED;
	control_call(p, synced_send, synced_answered);
}

static void flush_send(struct call *call)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct frame f = {
		.command = FRAME_FLUSH,
		.volume = p->volume->record.replicas[0].volume_number,
	};

	channel_send(call->channel, call, &f, NULL, 0, NULL);
}

/* Nothing more is to be copied, or the copy has failed; the last unit is back. */
static void copy_ended(struct pairing *p)
{
	struct volume *v = p->volume;

	if (p->status == LS_LOCAL_IO) {
		volume_mirror_lost(v, "a local read of the initial copy failed");
		finish(p, -EIO,
		       "reading volume '%s' for the initial copy failed on the local device",
		       v->record.name);
	} else if (p->status == LS_PEER_IO) {
		volume_mirror_lost(v, "a write of the initial copy failed at the target");
		finish(p, -EIO,
		       "writing the initial copy of '%s' failed on the device of node '%s'",
		       v->record.name, p->peer->name);
	} else if (p->status != LS_OK || v->mirror != MIRROR_COPYING) {
		fail_lost(p);
	} else {
		p->phase = PAIRING_FLUSH;
		control_call(p, flush_send, flush_answered);
	}
}

static void unit_end(struct copy_unit *u, enum ls_status status)
{
	struct pairing *p = u->pairing;

	if (status != LS_OK && p->status == LS_OK)
		p->status = status;
	if (status == LS_OK)
		p->done_bytes += u->length;
	range_release(&p->volume->ranges, &u->range);
	u->busy = false;
	p->units_busy--;
	copy_more(p);
}

static void unit_answered(struct call *call, const struct frame *f)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);

	if (f->status == LS_CHECKSUM) {
		/* The buffer is ours and unchanged: send it again. */
		if (channel_credit(call->channel, call, false))
			call->credit(call);
		return;
	}
	unit_end(u, f->status == LS_OK ? LS_OK : LS_PEER_IO);
}

static void unit_lost(struct call *call, bool sent)
{
	(void)sent;
	unit_end(CONTAINER_OF(call, struct copy_unit, call), LS_PEER_LOST);
}

static void unit_send(struct call *call)
{
	struct copy_unit *u = CONTAINER_OF(call, struct copy_unit, call);
	struct engine *e = u->pairing->engine;
	bool crc = e->core.payload_crc && !u->zeroes;
	struct frame f = {
		.command = u->zeroes ? FRAME_WRITE_ZEROES : FRAME_WRITE,
		.flags = crc ? FRAME_CRC : 0,
		.volume = u->pairing->volume->record.replicas[0].volume_number,
		.length = (uint32_t)u->length,
		.offset = u->offset,
		.payload_crc = crc ? crc32c(u->buf, u->length) : 0,
	};

	channel_send(call->channel, call, &f, u->zeroes ? NULL : u->buf,
		     u->zeroes ? 0 : (uint32_t)u->length, e->copy_region);
}

static bool all_zeroes(const uint8_t *p, uint64_t length)
{
	/* The first word is zero and each byte equals the one eight before it. */
	return get_u64(p) == 0 && memcmp(p, p + 8, length - 8) == 0;
}

static void unit_read(struct leg *leg)
{
	struct copy_unit *u = CONTAINER_OF(leg, struct copy_unit, leg);
	struct pairing *p = u->pairing;

	if (leg->status != LS_OK || p->volume->mirror != MIRROR_COPYING) {
		unit_end(u, leg->status != LS_OK ? LS_LOCAL_IO : LS_PEER_LOST);
		return;
	}
	u->zeroes = all_zeroes(u->buf, u->length);
	u->call.credit = unit_send;
	u->call.answered = unit_answered;
	u->call.lost = unit_lost;
	if (channel_credit(p->volume->channels[0], &u->call, false))
		unit_send(&u->call);
}

static void unit_granted(struct range *range)
{
	struct copy_unit *u = CONTAINER_OF(range, struct copy_unit, range);
	const struct volume *v = u->pairing->volume;

	u->leg = (struct leg){
		.code = LEG_READ,
		.offset = u->offset,
		.length = u->length,
		.buf = u->buf,
		.region = u->pairing->engine->copy_region,
		.done = unit_read,
	};
	leg_start(&u->leg, &v->record, v->pool->stores);
}

static void unit_start(struct pairing *p, struct copy_unit *u)
{
	struct volume *v = p->volume;

	u->pairing = p;
	u->busy = true;
	p->units_busy++;
	u->offset = p->next_offset;
	u->length = min_u64(PIECE_BYTES_MAX, v->record.size_bytes - u->offset);
	p->next_offset += u->length;
	u->range.granted = unit_granted;
	if (range_acquire(&v->ranges, &u->range, u->offset, u->length))
		unit_granted(&u->range);
}

static void copy_more(struct pairing *p)
{
	bool more = p->status == LS_OK && p->volume->mirror == MIRROR_COPYING &&
		    p->next_offset < p->volume->record.size_bytes;

	for (unsigned i = 0; more && i < COPY_UNITS; i++) {
		if (!p->units[i].busy && p->next_offset < p->volume->record.size_bytes)
			unit_start(p, &p->units[i]);
	}
	if (!more && p->units_busy == 0)
		copy_ended(p);
}

/* --- from outside --- */

void pair_run(struct engine *e)
{
	struct pairing *p = active(e);

	if (!p)
		return;
	if (p->phase == PAIRING_QUEUED) {
		p->phase = PAIRING_WAIT_PEER;
		p->deadline_ns = e->core.now_ns + e->settings.peer_timeout_ns;
	}
	if (p->phase == PAIRING_WAIT_PEER)
		try_ask(p);
}

static bool already_there(struct volume *v, const struct peer *peer, const char *target,
			  struct job *job)
{
	const struct replica_record *r = &v->record.replicas[0];

	if (v->record.replica_count == 0)
		return false;
	if (strcmp(r->node_name, peer->name) != 0 || strcmp(r->volume_name, target) != 0) {
		job_done(job, -EEXIST, "volume '%s' is mirrored to '%s' at node '%s' already",
			 v->record.name, r->volume_name, r->node_name);
		return true;
	}
	if (v->mirror == MIRROR_SYNCED) {
		job_done(job, 0, "volume '%s' is mirrored to '%s' at node '%s' already and in sync",
			 v->record.name, r->volume_name, r->node_name);
		return true;
	}
	return false;
}

void pair_request(struct engine *e, struct job *job, struct volume *v, struct peer *peer,
		  const char *target, const char *target_pool)
{
	struct pairing *p;

	if (already_there(v, peer, target, job))
		return;
	p = v->pairing;
	if (p && (p->peer != peer || strcmp(p->target, target) != 0)) {
		job_done(job, -EBUSY, "volume '%s' is being paired with '%s' at node '%s'",
			 v->record.name, p->target, p->peer->name);
		return;
	}
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p) {
			job_done(job, -ENOMEM, "out of memory");
			return;
		}
		p->engine = e;
		p->volume = v;
		p->peer = peer;
		snprintf(p->target, sizeof(p->target), "%s", target);
		snprintf(p->target_pool, sizeof(p->target_pool), "%s",
			 target_pool ? target_pool : "");
		list_init(&p->jobs);
		for (unsigned i = 0; i < COPY_UNITS; i++)
			p->units[i].buf =
				(uint8_t *)e->copy_region->base + (size_t)i * PIECE_BYTES_MAX;
		v->pairing = p;
		if (v->mirror == MIRROR_NONE)
			v->mirror = MIRROR_WAITING;
		list_add_tail(&e->pairings, &p->node);
	}
	list_add_tail(&p->jobs, &job->node);
	e->next_tick_ns = 0;
	pair_run(e);
}
