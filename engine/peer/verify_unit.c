/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One chunk of a verify.  All of it happens under the chunk's range (I2), so that no write is
 * in flight where two replicas are compared:
 *
 *   RANGE - read here - CHECK with a checksum of each part -+- all equal: END
 *     parts differ: read here and CHECK once more           |
 *     they still do: CHECK against what the log says they should be, if it knows any
 *     then run by run of parts with one blame: tell; first, if wanted and possible, send it
 *     to the peer, or fetch it from there, its region marked in the write-intent map before
 *   END
 */
#include "engine/peer/node.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/base/wire.h"

#include <errno.h>
#include <stdio.h>

#define ROUNDS 2u

static void next_run(struct verify_unit *u);
static void read_here(struct verify_unit *u);

static bool current(const struct verify_unit *u)
{
	return u->mirror->verify.job && u->turn == u->mirror->verify.turn;
}

static uint64_t bit_of(uint64_t at)
{
	return UINT64_C(1) << at / CHECK_BYTES;
}

static uint64_t all_parts(const struct verify_unit *u)
{
	return (UINT64_C(2) << (u->length / CHECK_BYTES - 1)) - 1;
}

static void unit_end(struct verify_unit *u)
{
	struct mirror *m = u->mirror;
	struct engine *e = m->engine;
	uint64_t now = e->core.now_ns;

	u->busy = false;
	m->verify.units--;
	pace_end(&e->pace, now, u->length, u->read_ns - u->began_ns, now - u->read_ns);
	range_release(&m->volume->ranges, &u->range);
	if (current(u))
		m->verify.result->compared_bytes += u->length;
	else
		e->next_tick_ns = 0; /* somebody may wait for the last of them */
	resync_more(e);
	verify_more(e);
}

/* It cannot go on; what was found so far has been told. */
static void unit_stop(struct verify_unit *u, int code, const char *reason)
{
	core_administer(&u->mirror->engine->core, true);
	if (current(u))
		verify_stop(u->mirror, code, reason);
	core_administer(&u->mirror->engine->core, false);
	unit_end(u);
}

/* --- requests to the peer --- */

static void unit_lost(struct call *call, bool sent)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);

	(void)sent;
	if (u->marked)
		intent_end(&u->mirror->volume->map.intent, u->offset + u->run_at, u->run_bytes);
	u->marked = false;
	unit_stop(u, -EPIPE, "the peer was lost");
}

static void unit_call(struct verify_unit *u, void (*send)(struct call *),
		      void (*answered)(struct call *, const struct frame *))
{
	struct volume *v = u->mirror->volume;

	u->call.credit = send;
	u->call.answered = answered;
	u->call.lost = unit_lost;
	/* The session may have ended while the device read. */
	if (!current(u) || !v->channels[0]) {
		unit_lost(&u->call, false);
		return;
	}
	if (channel_credit(v->channels[0], &u->call, false))
		send(&u->call);
}

/* The peer can not compare now, perhaps because it is no secondary any more. */
static void refused(struct verify_unit *u, const struct frame *f)
{
	char text[120];

	snprintf(text, sizeof(text), "the peer refused to compare: %s",
		 ls_status_text((enum ls_status)f->status));
	unit_stop(u, -EIO, text);
}

static void send_sums(struct verify_unit *u, uint16_t flags)
{
	uint32_t bytes = (uint32_t)(8 * u->length / CHECK_BYTES);
	struct frame f = {
		.command = FRAME_CHECK,
		.flags = flags | FRAME_CRC,
		.volume = u->mirror->volume->record.replicas[0].volume_number,
		.length = (uint32_t)u->length,
		.offset = u->offset,
		.payload_crc = crc32c(u->sums, bytes),
	};

	channel_send(u->call.channel, &u->call, &f, u->sums, bytes, u->mirror->engine->copy_region);
}

/* --- repair --- */

static void tell_run(struct verify_unit *u, bool repaired)
{
	struct verify_place place = {
		.offset = u->offset + u->run_at,
		.length = u->run_bytes,
		.blame = u->blame,
		.unreadable = u->unreadable,
		.repaired = repaired,
	};

	verify_found(u->mirror, &place);
	u->run_at += u->run_bytes;
}

static void repair_over(struct verify_unit *u, bool repaired)
{
	if (u->marked)
		intent_end(&u->mirror->volume->map.intent, u->offset + u->run_at, u->run_bytes);
	u->marked = false;
	if (!current(u)) {
		unit_end(u);
		return;
	}
	tell_run(u, repaired);
	next_run(u);
}

static void repair_answered(struct call *call, const struct frame *f)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);

	repair_over(u, f->status == LS_OK);
}

static void repair_send(struct call *call)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);
	const uint8_t *data = u->buf + u->run_at;
	struct frame f = {
		.command = FRAME_WRITE,
		.flags = FRAME_CRC,
		.volume = u->mirror->volume->record.replicas[0].volume_number,
		.length = (uint32_t)u->run_bytes,
		.offset = u->offset + u->run_at,
		.payload_crc = crc32c(data, u->run_bytes),
	};

	channel_send(call->channel, call, &f, data, f.length, u->mirror->engine->copy_region);
}

static void repair_marked(struct map_wait *wait, bool ok)
{
	struct verify_unit *u = CONTAINER_OF(wait, struct verify_unit, map);

	if (ok)
		unit_call(u, repair_send, repair_answered);
	else
		repair_over(u, false);
}

static void fetched(struct fetch *fetch, enum ls_status status)
{
	repair_over(CONTAINER_OF(fetch, struct verify_unit, fetch),
		    status == LS_OK && fetch->written_back);
}

/* From the peer to here; fetch.c marks the region itself. */
static void repair_here(struct verify_unit *u)
{
	u->fetch = (struct fetch){
		.volume = u->mirror->volume,
		.offset = u->offset + u->run_at,
		.length = u->run_bytes,
		.ranged = true,
		.silent = !u->unreadable,
		.done = fetched,
	};
	fetch_start(&u->mirror->engine->core, &u->fetch);
}

/* A write that both replicas have, the local one already: its region is marked first (I3). */
static void repair_there(struct verify_unit *u)
{
	struct volume *v = u->mirror->volume;

	u->marked = true;
	u->map.done = repair_marked;
	if (intent_begin(&v->map.intent, u->offset + u->run_at, u->run_bytes))
		repair_marked(&u->map, true);
	else
		map_wait(v, &u->map, u->offset + u->run_at, u->run_bytes);
}

/* --- who is to blame --- */

static enum verify_blame blame_of(const struct verify_unit *u, uint64_t at)
{
	bool here = u->wrong_here & bit_of(at), there = u->wrong_there & bit_of(at);

	if (here && there)
		return VERIFY_BOTH;
	return here ? VERIFY_LOCAL : there ? VERIFY_PEER : VERIFY_UNKNOWN;
}

/* Tells, or repairs, the next run of parts that differ and have one blame. */
static void next_run(struct verify_unit *u)
{
	for (;;) {
		uint64_t end;

		while (u->run_at < u->length && !(u->differs & bit_of(u->run_at)))
			u->run_at += CHECK_BYTES;
		if (u->run_at >= u->length) {
			unit_end(u);
			return;
		}
		u->blame = blame_of(u, u->run_at);
		for (end = u->run_at;
		     end < u->length && u->differs & bit_of(end) && blame_of(u, end) == u->blame;)
			end += CHECK_BYTES;
		u->run_bytes = end - u->run_at;
		if (!u->mirror->verify.repair || u->blame == VERIFY_BOTH) {
			tell_run(u, false);
			continue;
		}
		/* Where nothing is known, the primary counts. */
		if (u->blame == VERIFY_LOCAL)
			repair_here(u);
		else
			repair_there(u);
		return;
	}
}

static void judged(struct call *call, const struct frame *f)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);

	if (!current(u)) {
		unit_end(u);
	} else if (f->status == LS_OK || f->status == LS_LOCAL_IO) {
		u->wrong_there = u->logged & (f->status == LS_OK ? f->offset : UINT64_MAX);
		next_run(u);
	} else {
		refused(u, f);
	}
}

/* What the log does not know is compared with 0, and the answer for it ignored. */
static void judge_send(struct call *call)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);
	uint32_t crc;

	for (uint64_t at = 0; at < u->length; at += CHECK_BYTES) {
		bool known = sumlog_find(&u->mirror->volume->sums, u->offset + at, &crc);

		put_u64(u->sums + 8 * (at / CHECK_BYTES), known ? crc : 0);
	}
	send_sums(u, FRAME_CRC_PARTS);
}

static void judge(struct verify_unit *u)
{
	const struct volume *v = u->mirror->volume;
	uint32_t crc;

	u->run_at = 0;
	u->logged = u->wrong_here = u->wrong_there = 0;
	if (u->unreadable) {
		u->wrong_there = u->differs;
		next_run(u);
		return;
	}
	for (uint64_t at = 0; at < u->length; at += CHECK_BYTES) {
		if (!(u->differs & bit_of(at)))
			continue;
		/* A write that only this node's device has failed, and that is not mended yet. */
		if (intent_lacking_at(&v->map.intent, u->offset + at)) {
			u->wrong_here |= bit_of(at);
		} else if (sumlog_find(&v->sums, u->offset + at, &crc)) {
			u->logged |= bit_of(at);
			if (crc32c(u->buf + at, CHECK_BYTES) != crc)
				u->wrong_here |= bit_of(at);
		}
	}
	if (u->logged)
		unit_call(u, judge_send, judged);
	else
		next_run(u);
}

/* --- comparing --- */

static void checked(struct call *call, const struct frame *f)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);

	/* What the peer says of a mirror that has been stopped since is worth nothing. */
	if (!current(u)) {
		unit_end(u);
		return;
	}
	if (f->status != LS_OK && f->status != LS_LOCAL_IO) {
		refused(u, f);
		return;
	}
	u->unreadable = f->status == LS_LOCAL_IO;
	u->differs = u->unreadable ? all_parts(u) : f->offset & all_parts(u);
	if (!u->differs)
		unit_end(u);
	else if (++u->round < ROUNDS)
		read_here(u);
	else
		judge(u);
}

static void check_send(struct call *call)
{
	struct verify_unit *u = CONTAINER_OF(call, struct verify_unit, call);

	for (uint64_t at = 0; at < u->length; at += CHECK_BYTES)
		put_u64(u->sums + 8 * (at / CHECK_BYTES), checksum64(u->buf + at, CHECK_BYTES));
	send_sums(u, 0);
}

static void unreadable_here(struct verify_unit *u)
{
	u->run_at = 0;
	u->unreadable = true;
	u->differs = u->wrong_here = all_parts(u);
	u->wrong_there = 0;
	next_run(u);
}

static void was_read(struct leg *leg)
{
	struct verify_unit *u = CONTAINER_OF(leg, struct verify_unit, leg);

	u->read_ns = u->mirror->engine->core.now_ns;
	if (leg->status == LS_OK)
		unit_call(u, check_send, checked);
	else if (!current(u))
		unit_end(u);
	else if (++u->round < ROUNDS)
		read_here(u);
	else
		unreadable_here(u);
}

static void read_here(struct verify_unit *u)
{
	const struct volume *v = u->mirror->volume;

	u->leg = (struct leg){
		.op.code = STORE_READ,
		.offset = u->offset,
		.length = u->length,
		.op.buf = u->buf,
		.op.region = u->mirror->engine->copy_region,
		.done = was_read,
	};
	leg_start(&u->leg, &v->record, v->pool->stores);
}

static void granted(struct range *range)
{
	struct verify_unit *u = CONTAINER_OF(range, struct verify_unit, range);

	u->began_ns = u->read_ns = u->mirror->engine->core.now_ns;
	read_here(u);
}

void verify_unit_start(struct mirror *m, struct verify_unit *u, uint64_t offset, uint64_t length)
{
	struct engine *e = m->engine;
	size_t i = (size_t)(u - e->verify_units);

	*u = (struct verify_unit){
		.mirror = m,
		.turn = m->verify.turn,
		.busy = true,
		.buf = copy_buffer(e, i),
		.sums = copy_sums(e, i),
		.offset = offset,
		.length = length,
	};
	m->verify.units++;
	pace_begin(&e->pace, e->core.now_ns, length, 0);
	list_init(&u->call.node);
	u->range.granted = granted;
	if (MUTANT(VERIFY_UNLOCKED))
		offset = UINT64_C(1) << 60;
	if (range_acquire(&m->volume->ranges, &u->range, offset, length))
		granted(&u->range);
}

void verify_units_abandon(struct mirror *m)
{
	struct engine *e = m->engine;

	for (unsigned i = 0; i < COPY_UNITS; i++) {
		struct verify_unit *u = &e->verify_units[i];

		if (!u->busy || u->mirror != m || !range_waits(&u->range))
			continue;
		u->busy = false;
		m->verify.units--;
		pace_end(&e->pace, e->core.now_ns, u->length, 0, 0);
		range_abandon(&m->volume->ranges, &u->range);
		e->next_tick_ns = 0;
	}
}
