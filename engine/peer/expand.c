/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Expand: a volume gets larger on both nodes, the target first.  engine/doc/mirror.md has the
 * steps and what a crash at each leaves.
 *
 * That a volume grows is durable as soon as its extents hold more than its size; from then on
 * it goes on by itself, after any crash, until the two are the same again.
 */
#include "engine/peer/node.h"

#include "engine/base/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_NS UINT64_C(20000000)
#define BODY_BYTES 16u

bool expand_pending(const struct volume *v)
{
	return record_capacity(&v->record) > v->size_bytes;
}

/* What has failed is tried again, but not at once. */
static void again_later(struct mirror *m)
{
	m->expand.retry_at_ns = m->engine->core.now_ns + UINT64_C(5000000000);
}

static void PRINTF_LIKE(3, 4) end(struct mirror *m, int code, const char *fmt, ...)
{
	struct list *node;
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m->engine->admin_open -= m->expand.phase >= EXPAND_ZERO;
	m->expand.phase = EXPAND_IDLE;
	m->expand.failed_to = code && m->expand.served ? m->expand.to : 0;
	/* What an operator waits for is told as the end of his operation. */
	if (code && list_empty(&m->expand.jobs))
		tell_error(m->engine, m->volume, "expand", "%s", text);
	while ((node = list_pop(&m->expand.jobs)))
		job_done(LIST_ENTRY(node, struct job, node), code, "%s", text);
	m->engine->next_tick_ns = 0;
}

static void phase(struct mirror *m, enum expand_phase next)
{
	m->expand.phase = next;
	m->engine->next_tick_ns = 0;
}

/* --- the new area becomes zeroes --- */

static void zeroed(struct leg *leg)
{
	struct mirror *m = CONTAINER_OF(leg, struct mirror, expand.leg);
	struct volume *v = m->volume;
	struct expand *x = &m->expand;
	enum ls_status status = leg->status;

	core_administer(&m->engine->core, true);
	if (leg->op.code == STORE_FLUSH)
		status = volume_flush_end(v, leg, false);
	else
		v->zeroing = false;
	if (status == LS_SHUTDOWN) {
		end(m, -ESHUTDOWN, "this node is stopping; it grows by itself afterwards");
	} else if (status != LS_OK) {
		again_later(m);
		end(m, -EIO,
		    "writing zeroes to the new area failed: %s; the size is as before, and it is "
		    "tried again by itself",
		    ls_status_text(status));
	} else if (leg->op.code == STORE_WRITE_ZEROES) {
		/* A power cut must not bring back what was there before. */
		*leg = (struct leg){.op.code = STORE_FLUSH, .done = zeroed};
		volume_flush_begin(v, leg, x->flushes_failed);
		leg_start(leg, &v->record, v->pool->stores);
	} else if (v->size_bytes >= x->to) {
		/* It has had the size already, from a try of which the source saw no end. */
		x->zeroed_from = x->from;
		x->zeroed_to = x->to;
		end(m, 0, "its end is zeroes again");
	} else {
		phase(m, EXPAND_DRAIN);
	}
	core_administer(&m->engine->core, false);
}

static void zero(struct mirror *m)
{
	struct volume *v = m->volume;
	struct expand *x = &m->expand;

	phase(m, EXPAND_ZERO);
	m->engine->admin_open++;
	sumlog_forget(&v->sums, x->from, x->to - x->from);
	volume_unflushed(v);
	v->zeroing = true;
	x->flushes_failed = v->flushes_failed;
	x->leg = (struct leg){
		.op.code = STORE_WRITE_ZEROES,
		.offset = x->from,
		.length = x->to - x->from,
		.stop = &m->engine->core.stopping,
		.done = zeroed,
	};
	leg_start(&x->leg, &v->record, v->pool->stores);
}

/* --- the size --- */

static void size_committed(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;
	struct expand *x = &m->expand;
	bool other_regions = x->next.shift != v->map.intent.shift;

	if (status == LS_OK) {
		intent_inherit(&x->next, &v->map.intent);
		intent_fini(&v->map.intent);
		v->map.intent = x->next;
		v->size_bytes = v->record.size_bytes;
		x->zeroed_from = x->from;
		x->zeroed_to = x->to;
		/* A page whose regions have another size counts as: everything may differ. */
		if (other_regions) {
			m->resync_at = 0;
			mend_stop(m); /* it counts in regions, too */
			map_write(v);
		}
	} else {
		intent_fini(&x->next);
		again_later(m);
	}
	range_release(&v->ranges, &x->range);
	if (status == LS_OK)
		end(m, 0, "the size is %llu MiB now", (unsigned long long)(v->size_bytes / MIB(1)));
	else
		end(m, -EIO,
		    "the pool's volume table could not be written: %s; the size is as before, and "
		    "it is tried again by itself",
		    ls_status_text(status));
	mirror_kick(m);
}

static void record_size(struct mirror *m)
{
	struct volume_record *r = &m->volume->record;
	uint64_t size = m->expand.to;
	uint8_t shift = intent_shift_for(size, r->region_shift);

	if (intent_init(&m->expand.next, size, shift) < 0) {
		range_release(&m->volume->ranges, &m->expand.range);
		end(m, -ENOMEM, "out of memory");
		return;
	}
	mirror_change(m, "it has grown on %s",
		      volume_tracks(m->volume) ? "both nodes" : "this node");
	r->size_bytes = size;
	r->region_shift = shift;
	mirror_commit(m, size_committed);
	phase(m, EXPAND_RECORDING);
}

/* Nothing is in flight on the volume, and what comes waits. */
static void drained(struct range *range)
{
	phase(CONTAINER_OF(range, struct mirror, expand.range), EXPAND_SIZE);
}

static void drain(struct mirror *m)
{
	struct volume *v = m->volume;

	m->expand.range.granted = drained;
	phase(m, EXPAND_DRAINING);
	if (range_acquire(&v->ranges, &m->expand.range, 0, m->expand.to))
		drained(&m->expand.range);
}

/* --- the target first --- */

static void undone(struct mirror *m, enum ls_status status)
{
	/* Not durable: it is tried again, and the peer says no again. */
	m->expand.retry_at_ns =
		status == LS_OK ? 0 : m->engine->core.now_ns + UINT64_C(60000000000);
	end(m, -ENOSPC, "node '%s' has no room for it: nothing was changed", m->peer->name);
}

static void undo(struct mirror *m)
{
	struct volume_record *r = &m->volume->record;

	mirror_change(m, "the peer has no room");
	pool_give_back(r, (record_capacity(r) - r->size_bytes) / POOL_UNIT_BYTES);
	mirror_commit(m, undone);
	phase(m, EXPAND_RESERVING);
}

static void end_lost(struct mirror *m)
{
	end(m, -EPIPE,
	    "node '%s' is lost, or not in sync any more; the volume grows by itself when both are "
	    "in sync again",
	    m->volume->record.replicas[0].node_name);
}

static void asked(struct mirror *m, const struct frame *f)
{
	struct expand *x = &m->expand;

	if (x->phase != EXPAND_ASKED)
		return;
	if (f && f->status == LS_OK && f->offset == 0) {
		zero(m);
	} else if (f && f->status == LS_OK) {
		x->retry_at_ns = m->engine->core.now_ns + ASK_AGAIN_NS;
		phase(m, EXPAND_ASK);
	} else if (f && f->status == LS_NO_SPACE) {
		phase(m, EXPAND_UNDO);
	} else if (f && f->status == LS_PROTOCOL) {
		/* It has left the mirror, which this node has yet to hear: not again at once. */
		again_later(m);
		end_lost(m);
	} else {
		again_later(m);
		end(m, -EIO, "node '%s' could not make it larger: %s; it is tried again by itself",
		    m->peer->name,
		    !f ? "it was lost"
		       : ls_status_text(f->status == LS_LOCAL_IO ? LS_PEER_IO
								 : (enum ls_status)f->status));
	}
}

/* As its target it goes on: it has no writes of its own to wait for. */
static bool waits_for_peer(const struct mirror *m)
{
	const struct volume *v = m->volume;

	return !m->expand.served && volume_tracks(v) && v->mirror != MIRROR_SYNCED;
}

static void ask(struct mirror *m)
{
	const struct volume *v = m->volume;

	if (!volume_tracks(v)) {
		zero(m);
		return;
	}
	if (waits_for_peer(m) || !peer_up(m->peer)) {
		end_lost(m);
		return;
	}
	if (m->engine->core.now_ns < m->expand.retry_at_ns || !mirror_buffer(m))
		return;
	put_u64(m->buffer, m->expand.from);
	put_u64(m->buffer + 8, m->expand.to);
	phase(m, EXPAND_ASKED);
	mirror_call(m, FRAME_EXPAND, BODY_BYTES, asked);
}

/* --- the space --- */

static void reserved(struct mirror *m, enum ls_status status)
{
	if (status != LS_OK) {
		end(m, -EIO,
		    "the pool's volume table could not be written: %s; nothing was changed",
		    ls_status_text(status));
		return;
	}
	core_log(&m->engine->core, 6, "volume '%s': grows to %llu MiB", m->volume->record.name,
		 (unsigned long long)(m->expand.to / MIB(1)));
	if (m->expand.served)
		zero(m);
	else
		phase(m, EXPAND_ASK);
}

/* The space was taken in the record already; @before is what the record was. */
static void reserve(struct mirror *m)
{
	mirror_commit(m, reserved);
	phase(m, EXPAND_RESERVING);
}

static void begin(struct mirror *m, uint64_t to, bool served)
{
	struct expand *x = &m->expand;

	x->from = m->volume->size_bytes;
	x->to = to;
	x->served = served;
	x->zeroed_from = x->zeroed_to = x->retry_at_ns = 0;
}

/* --- from outside --- */

bool expand_busy(const struct mirror *m)
{
	return m->expand.phase != EXPAND_IDLE;
}

/* May what was begun before a crash go on now? */
static bool due(const struct mirror *m)
{
	const struct volume *v = m->volume;

	return expand_pending(v) && v->record.role == VOLUME_PRIMARY && !m->engine->stopping &&
	       (v->mirror == MIRROR_NONE || v->mirror == MIRROR_SYNCED) &&
	       m->engine->core.now_ns >= m->expand.retry_at_ns;
}

void expand_run(struct mirror *m)
{
	switch (m->expand.phase) {
	case EXPAND_IDLE:
		if (!due(m) || m->op || pair_records(m->volume)) {
			if (m->expand.retry_at_ns > m->engine->core.now_ns)
				tick_at(m, m->expand.retry_at_ns);
			break;
		}
		begin(m, record_capacity(&m->volume->record), false);
		phase(m, EXPAND_ASK);
		ask(m);
		break;
	case EXPAND_ASK:
		ask(m);
		break;
	case EXPAND_DRAIN:
		if (m->engine->stopping)
			end(m, -ESHUTDOWN, "this node is stopping; it grows by itself afterwards");
		else if (waits_for_peer(m))
			end_lost(m);
		else
			drain(m);
		break;
	case EXPAND_SIZE:
		record_size(m);
		break;
	case EXPAND_UNDO:
		undo(m);
		break;
	default:
		break; /* something is under way */
	}
}

void expand_stop(struct mirror *m)
{
	struct expand *x = &m->expand;

	x->zeroed_from = x->zeroed_to = 0;
	if (x->phase == EXPAND_ASK || x->phase == EXPAND_ASKED || x->phase == EXPAND_DRAIN) {
		end_lost(m);
	} else if (x->phase == EXPAND_DRAINING) {
		/* It may wait for writes that are held, which only an operator frees. */
		range_abandon(&m->volume->ranges, &x->range);
		end_lost(m);
	}
	/* The end of a session is no failure of this node's, and what was one is over. */
	x->failed_to = 0;
}

static void PRINTF_LIKE(3, 4) op_refuse(struct mirror *m, int code, const char *fmt, ...)
{
	struct job *job = m->op->job;
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	free(m->op);
	m->op = NULL;
	m->engine->next_tick_ns = 0;
	job_done(job, code, "%s", text);
}

static void op_join(struct mirror *m)
{
	list_add_tail(&m->expand.jobs, &m->op->job->node);
	free(m->op);
	m->op = NULL;
}

void operation_expand(struct mirror *m, struct mirror_op *op)
{
	struct volume *v = m->volume;
	struct volume_record *r = &v->record;
	uint64_t to = round_up_u64(op->bytes, POOL_UNIT_BYTES), more;

	if (r->role != VOLUME_PRIMARY) {
		op_refuse(m, -EINVAL,
			  "volume '%s' is secondary on this node: expand it at node '%s'", r->name,
			  r->replica_count ? r->replicas[0].node_name : "?");
	} else if (to < v->size_bytes) {
		op_refuse(m, -EINVAL, "volume '%s' has %llu MiB: a volume cannot become smaller",
			  r->name, (unsigned long long)(v->size_bytes / MIB(1)));
	} else if (to == v->size_bytes) {
		op_refuse(m, 0, "volume '%s' has %llu MiB already", r->name,
			  (unsigned long long)(v->size_bytes / MIB(1)));
	} else if (v->mirror != MIRROR_NONE && v->mirror != MIRROR_SYNCED) {
		op_refuse(m, -EBUSY,
			  "volume '%s' is mirrored, but not in sync with node '%s' (%s): expand it "
			  "when it is, or unpair it first",
			  r->name, r->replicas[0].node_name, mirror_state_name(v->mirror));
	} else if (expand_pending(v)) {
		op_refuse(m, -EBUSY, "volume '%s' is growing to %llu MiB; wait for that first",
			  r->name, (unsigned long long)(record_capacity(r) / MIB(1)));
	} else {
		more = (to - v->size_bytes) / POOL_UNIT_BYTES;
		mirror_change(m, "it is to grow");
		if (!pool_allocate(v->pool, more, r)) {
			op_refuse(m, -ENOSPC,
				  "pool '%s' has no room for %llu MiB more: %llu MiB are free",
				  v->pool->name, (unsigned long long)more,
				  (unsigned long long)pool_units_free(v->pool));
			return;
		}
		op_join(m);
		begin(m, to, false);
		reserve(m);
	}
}

/* The target makes itself larger, up to the end of @to.  LS_OK: it has begun. */
static enum ls_status serve_begin(struct mirror *m, uint64_t from, uint64_t to)
{
	struct volume *v = m->volume;
	uint64_t have = record_capacity(&v->record);

	if (m->committing || m->op || m->engine->stopping)
		return LS_BUSY;
	begin(m, to, true);
	/* Behind the source's end nothing counts, whatever it is. */
	m->expand.from = min_u64(from, v->size_bytes);
	if (have >= to) {
		zero(m);
		return LS_OK;
	}
	mirror_change(m, "its source is to grow");
	if (!pool_allocate(v->pool, (to - have) / POOL_UNIT_BYTES, &v->record))
		return LS_NO_SPACE;
	reserve(m);
	return LS_OK;
}

enum ls_status expand_target(struct mirror *m)
{
	if (expand_busy(m))
		return LS_BUSY;
	return serve_begin(m, m->volume->size_bytes, m->their_size);
}

void expand_serve(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	const struct volume *v = m->volume;
	struct expand *x = &m->expand;
	uint8_t body[BODY_BYTES];
	uint64_t from, to;
	enum ls_status status;

	if (length != sizeof(body)) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	/* It has left the mirror, or was promoted. */
	if (v->record.role != VOLUME_SECONDARY || v->mirror != MIRROR_SYNCED) {
		channel_answer(s, LS_PROTOCOL, 0, 0);
		return;
	}
	memcpy(body, payload, sizeof(body));
	from = get_u64(body);
	to = get_u64(body + 8);
	if (from == 0 || from >= to || from % POOL_UNIT_BYTES || !volume_bytes_valid(to)) {
		channel_answer(s, LS_INVALID, 0, 0);
	} else if (expand_busy(m)) {
		channel_answer(s, LS_OK, 0, 1);
	} else if (x->zeroed_from <= from && x->zeroed_to == to && v->size_bytes >= to) {
		channel_answer(s, LS_OK, 0, 0);
	} else if (x->failed_to == to) {
		/* Once: the source tells its operator, and asks anew after a while. */
		x->failed_to = 0;
		channel_answer(s, LS_LOCAL_IO, 0, 0);
	} else {
		status = serve_begin(m, from, to);
		channel_answer(s, status == LS_BUSY ? LS_OK : status, 0, 1);
	}
}
