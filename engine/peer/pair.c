/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pairing, the source's side: asks the peer for the target volume and records it.  From
 * then on the volume is a mirror of which every region is dirty, and the rest is a resync.
 *
 * One pairing is active at a time; the others wait in order.
 */
#include "engine/peer/node.h"
#include "engine/peer/job.h"
#include "engine/peer/pair_body.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct pairing *active(struct engine *e)
{
	struct list *node = list_first(&e->pairings);

	return node ? LIST_ENTRY(node, struct pairing, node) : NULL;
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
	core_administer(&e->core, true);
	list_del(&p->node);
	p->volume->pairing = NULL;
	/* Before that it is of a call of the mirror that was. */
	if (p->phase >= PAIRING_ASKED)
		mirror_buffer_free(p->volume->peering);
	while ((node = list_pop(&p->jobs)))
		job_done(LIST_ENTRY(node, struct job, node), code, "%s", text);
	free(p);
	e->next_tick_ns = 0;
	core_administer(&e->core, false);
}

static void fail_lost(struct pairing *p)
{
	finish(p, -EPIPE,
	       "the peer '%s' was lost while pairing volume '%s' (%s); run `lockstep pair` again "
	       "when it is back",
	       p->peer->name, p->volume->record.name, p->peer->last_error);
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
		[PAIR_IN_USE] = {-EBUSY, "is stopping, or records something else; ask again"},
		[PAIR_BAD_REQUEST] = {-EPROTO, "does not understand the request"},
		[PAIR_IO] = {-EIO, "could not write its volume table; see its log"},
	};

	if (why >= ARRAY_SIZE(answers) || !answers[why].text)
		why = PAIR_BAD_REQUEST;
	finish(p, answers[why].code, "node '%s' %s (target volume '%s')", p->peer->name,
	       answers[why].text, p->target);
}

/* Paired: what is left to do is a resync, and the jobs wait for its end. */
static void recorded(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;
	struct pairing *p = v->pairing;

	if (status != LS_OK) {
		finish(p, -EIO, "the volume table could not be written: %s",
		       ls_status_text(status));
		return;
	}
	m->verify.left_bytes = 0;
	list_splice_tail(&m->jobs, &p->jobs);
	mirror_set(p->engine, v, MIRROR_WAITING);
	/* The peer is recorded as one that has nothing yet. */
	v->alone_durable = true;
	mirror_get(p->engine, v);
	finish(p, 0, "paired with '%s' at node '%s'", v->record.replicas[0].volume_name,
	       v->record.replicas[0].node_name);
	if (peer_up(m->peer))
		mirror_restart(m);
}

/* The map says durably that everything differs: the pair may be recorded. */
static void all_marked(struct map_wait *wait, bool ok)
{
	struct pairing *p = CONTAINER_OF(wait, struct pairing, map);
	struct volume_record *v = &p->volume->record;
	struct replica_record *r = &v->replicas[0];

	p->engine->admin_open--;
	if (!ok) {
		finish(p, -EIO, "the write-intent map could not be written on the local device");
		return;
	}
	mirror_change(p->volume->peering, "paired by the operator");
	*r = (struct replica_record){
		.node_address = p->peer->node_address,
		.volume_number = p->target_number,
	};
	snprintf(r->node_name, sizeof(r->node_name), "%s", p->peer->name);
	snprintf(r->volume_name, sizeof(r->volume_name), "%s", p->target);
	v->replica_count = 1;
	v->association = ASSOCIATION_ACTIVE;
	v->association_sequence = 0;
	v->generations.base = p->generation;
	v->generations.covered = 0;
	/* To an earlier peer, perhaps: this one has not been offered anything. */
	v->generations.offered = false;
	mirror_commit(p->volume->peering, recorded);
}

static void pair_answered(struct call *call, const struct frame *f)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	struct volume *v = p->volume;

	if (f->status != LS_OK || f->volume == 0) {
		refused(p, f->status == LS_OK ? PAIR_BAD_REQUEST : (enum pair_answer)f->offset);
		return;
	}
	p->target_number = f->volume;
	p->phase = PAIRING_RECORD;
	/*
	 * First the map, then the record: a crash in between leaves a volume that is not paired.
	 * The other way round it would leave a pair whose map knows only what was written since.
	 */
	intent_dirty_all(&v->map.intent);
	p->map.done = all_marked;
	p->engine->admin_open++;
	if (MUTANT(PAIR_UNMARKED))
		all_marked(&p->map, true);
	else
		map_wait(v, &p->map, 0, v->record.size_bytes);
}

static void ask_send(struct call *call)
{
	struct pairing *p = CONTAINER_OF(call, struct pairing, call);
	const struct volume_record *r = &p->volume->record;
	uint8_t *bytes = p->volume->peering->buffer;
	struct frame f = {.command = FRAME_PAIR, .length = PAIR_BODY_BYTES};
	struct pair_body b = {
		.size_bytes = r->size_bytes,
		.block_bytes = r->block_bytes,
		.source_number = r->number,
		.generation = p->generation,
		.region_shift = r->region_shift,
	};

	memcpy(b.source_uuid, r->uuid, 16);
	memcpy(b.source, r->name, sizeof(b.source));
	memcpy(b.target, p->target, sizeof(b.target));
	memcpy(b.pool, p->target_pool, sizeof(b.pool));
	pair_body_encode(&b, bytes);
	f.flags = FRAME_CRC;
	f.payload_crc = crc32c(bytes, PAIR_BODY_BYTES);
	channel_send(call->channel, call, &f, bytes, PAIR_BODY_BYTES, p->engine->copy_region);
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

	if (peer_up(peer) && !e->stopping) {
		if (mirror_busy(p->volume->peering) || p->volume->peering->op ||
		    expand_busy(p->volume->peering))
			return;
		if (volume_tracks(p->volume)) {
			finish(p, -EEXIST, "volume '%s' is still paired: it could not be unpaired",
			       p->volume->record.name);
			return;
		}
		if (!mirror_buffer(p->volume->peering))
			return;
		p->phase = PAIRING_ASKED;
		p->generation = generation_fresh(e);
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

/* --- from outside --- */

bool pair_records(const struct volume *v)
{
	return v->pairing && v->pairing->phase >= PAIRING_ASKED;
}

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
	if (v->mirror == MIRROR_SYNCED)
		job_done(job, 0, "volume '%s' is mirrored to '%s' at node '%s' already and in sync",
			 v->record.name, r->volume_name, r->node_name);
	else
		operation_add(peer->engine, job, v, &(struct mirror_op){.run = operation_resume});
	return true;
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
		p = mirror_get(e, v) ? calloc(1, sizeof(*p)) : NULL;
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
		v->pairing = p;
		list_add_tail(&e->pairings, &p->node);
	}
	list_add_tail(&p->jobs, &job->node);
	e->next_tick_ns = 0;
	pair_run(e);
}
