/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operator's operations on a mirror.  Each waits until nothing else is under way on the
 * volume, records what it does before it acts, and may be asked twice.
 */
#include "engine/peer/node.h"

#include "engine/base/mutant.h"
#include "engine/base/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void operation_add(struct engine *e, struct job *job, struct volume *v,
		   const struct mirror_op *what)
{
	struct mirror *m = mirror_get(e, v);
	struct mirror_op *op = m ? calloc(1, sizeof(*op)) : NULL;

	if (!op) {
		job_done(job, -ENOMEM, "out of memory");
		return;
	}
	*op = *what;
	op->job = job;
	list_init(&op->node);
	list_add_tail(&m->ops, &op->node);
	e->next_tick_ns = 0;
	mirror_kick(m);
}

static struct job *op_take(struct mirror *m)
{
	struct job *job = m->op->job;

	free(m->op);
	m->op = NULL;
	m->engine->next_tick_ns = 0;
	return job;
}

static void PRINTF_LIKE(3, 4) op_end(struct mirror *m, int code, const char *fmt, ...)
{
	struct job *job = op_take(m);
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	job_done(job, code, "%s", text);
}

/* While a request to it was under way the peer may have unpaired the volume. */
static const char *peer_name(const struct mirror *m)
{
	return m->peer ? m->peer->name : "(unpaired)";
}

static void op_failed_table(struct mirror *m, enum ls_status status)
{
	op_end(m, -EIO,
	       "the pool's volume table could not be written: %s; not done, but after a restart it "
	       "may be: ask again",
	       ls_status_text(status));
	/* The mirror may have been stopped for it. */
	m->retry_at_ns = m->engine->core.now_ns + 1;
}

static bool paired(struct mirror *m)
{
	if (volume_tracks(m->volume))
		return true;
	op_end(m, -EINVAL, "volume '%s' is not paired", m->volume->record.name);
	return false;
}

/* The operation goes back to the head of the queue; the next tick runs it again. */
static void op_later(struct mirror *m)
{
	list_add_tail(m->ops.next, &m->op->node);
	m->op = NULL;
}

/* A buffer for the request; false: later. */
static bool op_buffer(struct mirror *m)
{
	if (mirror_buffer(m))
		return true;
	op_later(m);
	return false;
}

/* --- break --- */

static void break_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;
	/* Its operator has taken it up again already: its STATE must not be forgotten. */
	bool asked = m->step != STEP_IDLE;

	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	mirror_reason(v, "broken by the operator");
	mirror_stop(v, "");
	mirror_jobs_done(m, -ECANCELED, "the mirror was broken by the operator");
	if (asked && peer_up(m->peer))
		mirror_restart(m);
	op_end(m, 0,
	       "the mirror of '%s' is broken%s; node '%s' has a consistent copy. Take it up again "
	       "with `lockstep resume`",
	       v->record.name, peer_up(m->peer) ? "" : " (the peer learns of it when it is back)",
	       v->record.replicas[0].node_name);
}

static void break_record(struct mirror *m)
{
	struct volume_record *r = &m->volume->record;

	mirror_change(m, "broken by the operator");
	r->association = ASSOCIATION_BROKEN;
	r->association_sequence++;
	mirror_commit(m, break_committed);
}

static void break_answered(struct mirror *m, const struct frame *f)
{
	/* Both operators at once: the other one has unpaired it. */
	if (!paired(m))
		return;
	/* Lost: the peer may have done it, and if not, it follows at the next STATE. */
	if (!f || f->status == LS_OK || f->status == LS_NO_VOLUME) {
		break_record(m);
		return;
	}
	op_end(m, -EIO, "node '%s' could not record the break: %s", peer_name(m),
	       ls_status_text((enum ls_status)f->status));
	m->retry_at_ns = m->engine->core.now_ns + 1;
}

void operation_break(struct mirror *m, struct mirror_op *op)
{
	struct volume *v = m->volume;

	(void)op;
	if (!paired(m))
		return;
	if (v->record.association == ASSOCIATION_BROKEN) {
		op_end(m, 0, "the mirror of '%s' is broken already", v->record.name);
		return;
	}
	if (!peer_up(m->peer)) {
		break_record(m);
		return;
	}
	if (v->mirror == MIRROR_COPYING) {
		op_end(m, -EBUSY,
		       "a resync of '%s' is under way: its target is no consistent copy yet; "
		       "break it when it is in sync",
		       v->record.name);
		return;
	}
	if (!op_buffer(m))
		return;
	/* New writes are held from here on: the peer's copy is that of one moment. */
	mirror_stop(v, "being broken by the operator");
	put_u32(m->buffer, v->record.association_sequence + 1);
	put_u32(m->buffer + 4, 0);
	mirror_call(m, FRAME_BREAK, 8, break_answered);
}

/* --- resume, resolve --- */

static void wait_for_sync(struct mirror *m)
{
	struct engine *e = m->engine;

	list_add_tail(&m->jobs, &op_take(m)->node);
	/* A peer that is not there has a while to come. */
	m->jobs_until_ns = e->core.now_ns + e->settings.peer_timeout_ns;
	if (peer_up(m->peer))
		mirror_restart(m);
}

static void resume_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	mirror_reason(v, "being resumed");
	mirror_set(m->engine, v,
		   v->alone_durable && v->record.role == VOLUME_PRIMARY ? MIRROR_ALONE
									: MIRROR_WAITING);
	wait_for_sync(m);
}

void operation_resume(struct mirror *m, struct mirror_op *op)
{
	struct volume *v = m->volume;
	struct volume_record *r = &v->record;

	if (!paired(m))
		return;
	if (v->mirror == MIRROR_SYNCED && v->map.intent.lacking_regions) {
		list_add_tail(&m->jobs, &op_take(m)->node);
		mend_now(m);
		return;
	}
	if (v->mirror == MIRROR_SYNCED) {
		op_end(m, 0, "volume '%s' is in sync with node '%s' already", r->name,
		       r->replicas[0].node_name);
		return;
	}
	if (volume_mirrors(v)) {
		list_add_tail(&m->jobs, &op_take(m)->node);
		m->failures = 0;
		resync_again(m);
		return;
	}
	if (op->wish && v->mirror != MIRROR_SPLIT && r->association == ASSOCIATION_ACTIVE) {
		op_end(m, -EINVAL, "volume '%s' has no split brain to resolve", r->name);
		return;
	}
	m->wish = op->wish;
	/* Whoever asks has mended what failed. */
	m->failures = 0;
	if (r->association == ASSOCIATION_ACTIVE) {
		wait_for_sync(m);
		return;
	}
	mirror_change(m, "resumed by the operator");
	r->association = ASSOCIATION_ACTIVE;
	r->association_sequence++;
	mirror_commit(m, resume_committed);
}

/* --- unpair --- */

static void unpair_ended(struct mirror *m, enum ls_status status, bool both)
{
	struct volume *v = m->volume;

	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	mirror_stop(v, "unpaired by the operator");
	mirror_jobs_done(m, -ECANCELED, "the volume was unpaired by the operator");
	mirror_set(m->engine, v, MIRROR_NONE);
	v->mirror_reason[0] = '\0';
	core_release(&m->engine->core, v);
	if (both)
		op_end(m, 0, "volume '%s' is not paired any more", v->record.name);
	else
		op_end(m, 0,
		       "volume '%s' is not paired any more on this node; node '%s' is not "
		       "connected: unpair it there, too",
		       v->record.name, m->before.replicas[0].node_name);
}

static void unpair_committed(struct mirror *m, enum ls_status status)
{
	unpair_ended(m, status, true);
}

static void unpair_committed_here(struct mirror *m, enum ls_status status)
{
	unpair_ended(m, status, false);
}

static void unpair_record(struct mirror *m, void (*committed)(struct mirror *, enum ls_status))
{
	struct volume_record *r = &m->volume->record;

	mirror_change(m, "unpaired by the operator");
	r->association = ASSOCIATION_NONE;
	r->replica_count = 0;
	memset(&r->replicas[0], 0, sizeof(r->replicas[0]));
	mirror_commit(m, committed);
}

static void unpair_answered(struct mirror *m, const struct frame *f)
{
	if (f && (f->status == LS_OK || f->status == LS_NO_VOLUME)) {
		unpair_record(m, unpair_committed);
		return;
	}
	/* It may have forgotten this node, or not: who is asked again will know. */
	if (!f) {
		op_end(m, -EPIPE,
		       "node '%s' was lost before it said that it is unpaired, too; ask again",
		       peer_name(m));
		return;
	}
	op_end(m, -EIO, "node '%s' could not record it: %s", peer_name(m),
	       ls_status_text((enum ls_status)f->status));
	m->retry_at_ns = m->engine->core.now_ns + 1;
}

void operation_unpair(struct mirror *m, struct mirror_op *op)
{
	(void)op;
	if (!volume_tracks(m->volume)) {
		op_end(m, 0, "volume '%s' is not paired", m->volume->record.name);
		return;
	}
	if (!peer_up(m->peer)) {
		unpair_record(m, unpair_committed_here);
		return;
	}
	if (!op_buffer(m))
		return;
	mirror_stop(m->volume, "being unpaired by the operator");
	mirror_call(m, FRAME_UNPAIR, 0, unpair_answered);
}

/* --- roles --- */

static void promote_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	/* Writes that came while the role was being recorded. */
	core_release(&m->engine->core, v);
	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	if (m->before.generations.current != v->record.generations.current) {
		v->alone_durable = true;
		if (v->mirror == MIRROR_WAITING)
			mirror_set(m->engine, v, MIRROR_ALONE);
	}
	op_end(m, 0, "volume '%s' is primary on this node%s", v->record.name,
	       v->alone_durable && volume_tracks(v) ? "; it goes on without its peer" : "");
}

/* Without the peer: what it has is from now on another generation. */
static void promote_alone(struct mirror *m)
{
	struct volume_record *r = &m->volume->record;
	struct generations *g = &r->generations;
	uint64_t fresh = generation_fresh(m->engine);

	/* Its session is being shut, but is not down yet. */
	if (volume_mirrors(m->volume))
		mirror_stop(m->volume, "promoted without the peer");
	mirror_change(m, "promoted by the operator, without the peer");
	r->role = VOLUME_PRIMARY;
	if (volume_tracks(m->volume) && r->consistent) {
		generation_go_alone(g, fresh);
	} else if (!r->consistent) {
		generation_force(g, fresh);
		r->consistent = true;
	}
	mirror_commit(m, promote_committed);
}

/* True: the operation has ended, because this is no whole copy and nobody has said --force. */
static bool op_incomplete(struct mirror *m)
{
	const struct volume_record *r = &m->volume->record;

	if (r->consistent || m->op->force || MUTANT(PROMOTE_INCOMPLETE))
		return false;
	op_end(m, -EUCLEAN,
	       "volume '%s' is no consistent copy: a resync into it has not ended, or node '%s' "
	       "has gone on without it. Wait for the resync, or accept what it has with --force",
	       r->name, peer_name(m));
	return true;
}

/* True: the operation has ended, because the peer has what this node may have lost. */
static bool op_lost(struct mirror *m)
{
	const struct volume *v = m->volume;

	if (!volume_lost(v) || m->op->force || !mirror_known(v) ||
	    (v->mirror != MIRROR_SYNCED && v->mirror != MIRROR_WAITING))
		return false;
	op_end(m, -EBUSY,
	       "a flush of volume '%s' failed on this node's device: what that may have lost comes "
	       "from node '%s' again; promote it when they are in sync",
	       v->record.name, peer_name(m));
	return true;
}

static void promote_record(struct mirror *m)
{
	mirror_change(m, "promoted by the operator");
	m->volume->record.role = VOLUME_PRIMARY;
	mirror_commit(m, promote_committed);
}

static void promote_flushed(struct leg *leg)
{
	struct mirror_op *op = CONTAINER_OF(leg, struct mirror_op, leg);
	struct mirror *m = op->mirror;
	enum ls_status status;

	core_administer(&m->engine->core, true);
	status = volume_flush_end(m->volume, leg, false);
	/* In sync once more, maybe, but then the peer's consent is an old one. */
	if (op->stopped || m->volume->mirror != MIRROR_SYNCED || mirror_busy(m)) {
		op_later(m);
	} else if (status != LS_OK) {
		op_end(m, -EIO,
		       "volume '%s' is not promoted: a flush failed on this node's device: %s; "
		       "look at the device, and ask again when both are in sync",
		       m->volume->record.name, ls_status_text(status));
		mend_run(m);
	} else {
		promote_record(m);
	}
	m->engine->next_tick_ns = 0;
	core_administer(&m->engine->core, false);
}

/*
 * In sync, only the peer's map has what it wrote as the primary, and a primary mends by its own.
 * So all of that is durable here first.
 */
static void promote_flush(struct mirror *m)
{
	struct volume *v = m->volume;
	struct mirror_op *op = m->op;

	if (v->mirror != MIRROR_SYNCED || MUTANT(PROMOTE_UNFLUSHED)) {
		promote_record(m);
		return;
	}
	op->mirror = m;
	op->stopped = false;
	op->leg = (struct leg){.op.code = STORE_FLUSH, .done = promote_flushed};
	volume_flush_begin(v, &op->leg, v->flushes_mended);
	leg_start(&op->leg, &v->record, v->pool->stores);
}

static void promote_answered(struct mirror *m, const struct frame *f)
{
	struct volume *v = m->volume;

	if (f && f->status == LS_NO_VOLUME) {
		/* Deleted or unpaired there: nobody is left to ask. */
		mirror_stop(v, "the peer does not know this mirror any more");
		/* Or it has paired this replica anew while it was being asked. */
		if (!op_incomplete(m))
			promote_alone(m);
		return;
	}
	if (f && f->status == LS_BUSY) {
		op_end(m, -EBUSY,
		       "volume '%s' lacks writes that node '%s' has: promote it when a resync has "
		       "brought them",
		       v->record.name, peer_name(m));
		return;
	}
	if (!f) {
		/* Lost before it answered: as if it had not been there when the operator asked. */
		op_later(m);
		return;
	}
	if (f->status != LS_OK) {
		op_end(m, -EBUSY, "volume '%s' is primary at node '%s': demote it there first",
		       v->record.name, peer_name(m));
		return;
	}
	if (!op_incomplete(m))
		promote_flush(m);
}

void operation_promote(struct mirror *m, struct mirror_op *op)
{
	struct volume *v = m->volume;

	if (v->record.role == VOLUME_PRIMARY) {
		op_end(m, 0, "volume '%s' is primary on this node already", v->record.name);
		return;
	}
	if (op_incomplete(m) || op_lost(m))
		return;
	if (v->mirror == MIRROR_COPYING) {
		op_end(m, -EBUSY, "a resync of '%s' is under way; promote it when it is in sync",
		       v->record.name);
		return;
	}
	/* What the old primary has sent is in the devices or on its way: it may not land later. */
	if (mirror_served(m->engine, v)) {
		op_later(m);
		return;
	}
	/* One that is there is asked, in sync or not; only --force makes it a split brain. */
	if (peer_up(m->peer) &&
	    (v->mirror == MIRROR_SYNCED || (v->mirror == MIRROR_WAITING && !op->force))) {
		if (op_buffer(m))
			mirror_call(m, FRAME_PROMOTE, 0, promote_answered);
		return;
	}
	promote_alone(m);
}

static void demote_committed(struct mirror *m, enum ls_status status)
{
	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	/* The peer, primary from now on, may write. */
	m->volume->blank = false;
	m->verify.left_bytes = 0;
	if (m->volume->mirror == MIRROR_ALONE)
		mirror_set(m->engine, m->volume, MIRROR_WAITING);
	op_end(m, 0, "volume '%s' is secondary on this node", m->volume->record.name);
}

void operation_demote(struct mirror *m, struct mirror_op *op)
{
	struct volume *v = m->volume;

	(void)op;
	if (!paired(m))
		return;
	if (v->record.role == VOLUME_SECONDARY) {
		op_end(m, 0, "volume '%s' is secondary on this node already", v->record.name);
		return;
	}
	if (expand_pending(v)) {
		op_end(m, -EBUSY, "volume '%s' is growing; wait for that first", v->record.name);
		return;
	}
	if (v->open_count > 0 ||
	    v->ranges.count > m->engine->units_busy + m->verify.units + m->mend.busy) {
		op_end(m, -EBUSY, "volume '%s' is in use by %u client%s", v->record.name,
		       v->open_count, v->open_count == 1 ? "" : "s");
		return;
	}
	/*
	 * Its last chunk may be writing to the peer, whose primary may be another one then.  A mend
	 * would go on from chunk to chunk.
	 */
	verify_stop(m, -ECANCELED, "the volume is being demoted");
	mend_stop(m);
	if (m->verify.units || m->mend.busy) {
		op_later(m);
		return;
	}
	/* The next primary must know that the replicas differ here: they tell each other. */
	if (v->map.intent.lacking_regions) {
		mirror_stop(v, "what this node's device lacks is compared");
		m->retry_at_ns = m->engine->core.now_ns + 1;
	}
	mirror_change(m, "demoted by the operator");
	v->record.role = VOLUME_SECONDARY;
	mirror_commit(m, demote_committed);
}

static void policy_committed(struct mirror *m, enum ls_status status)
{
	const struct volume_record *r = &m->volume->record;

	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	op_end(m, 0, "volume '%s' is %s: without its peer it %s", r->name,
	       r->policy == POLICY_FAIL_OPEN ? "fail-open" : "fail-closed",
	       r->policy == POLICY_FAIL_OPEN ? "goes on alone" : "waits");
}

static void limit_committed(struct mirror *m, enum ls_status status)
{
	const struct volume_record *r = &m->volume->record;

	if (status != LS_OK) {
		op_failed_table(m, status);
		return;
	}
	/* A resync that waits for the limit goes on by the new one. */
	m->engine->next_tick_ns = 0;
	if (r->resync_limit_kib)
		op_end(m, 0,
		       "a resync of volume '%s' from this node copies at most %u KiB a second",
		       r->name, r->resync_limit_kib);
	else
		op_end(m, 0, "a resync of volume '%s' from this node has no limit", r->name);
}

/* op->bytes: a second; 0 = no limit. */
void operation_resync_limit(struct mirror *m, struct mirror_op *op)
{
	uint64_t kib = op->bytes / 1024;

	if (op->bytes && (op->bytes < PACE_LIMIT_MIN || kib > UINT32_MAX)) {
		op_end(m, -EINVAL,
		       "a resync can be limited to %llu KiB a second or more, up to 4 TiB",
		       (unsigned long long)(PACE_LIMIT_MIN / 1024));
		return;
	}
	mirror_change(m, "by the operator");
	m->volume->record.resync_limit_kib = (uint32_t)kib;
	mirror_commit(m, limit_committed);
}

/* op->force: fail-closed. */
void operation_policy(struct mirror *m, struct mirror_op *op)
{
	mirror_change(m, "by the operator");
	m->volume->record.policy = op->force ? POLICY_FAIL_CLOSED : POLICY_FAIL_OPEN;
	mirror_commit(m, policy_committed);
}
