/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The range is held from before the peer reads until the write-back is over: no write comes
 * in between, so what is written back is what the block holds.
 *
 * The range is taken before the unit: a range may be waited for as long as a fail-closed
 * volume's writes are held, and that must not keep the units from other volumes.  Who has a
 * unit waits for nothing but this node's devices and the peer's answer.
 */
#include "engine/core/fetch.h"

#include "engine/base/crc32c.h"
#include "engine/core/core.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_EVERY_NS NS_PER_S

struct fetch_unit {
	struct fetch *fetch; /* NULL = free */
	uint8_t *buf; /* FETCH_BYTES_MAX */
	struct map_wait map;
	struct call call;
	struct leg leg;
	bool marked; /* the write-back is announced in the write-intent map */
	bool arrived; /* the bytes are in buf */
};

int fetch_init(struct core *core, const struct region *region, void *memory)
{
	list_init(&core->fetches);
	core->fetch_region = region;
	core->fetch_units = calloc(FETCH_UNITS, sizeof(*core->fetch_units));
	if (!core->fetch_units)
		return -ENOMEM;
	for (unsigned i = 0; i < FETCH_UNITS; i++)
		core->fetch_units[i].buf = (uint8_t *)memory + (size_t)i * FETCH_BYTES_MAX;
	return 0;
}

void fetch_fini(struct core *core)
{
	for (unsigned i = 0; core->fetch_units && i < FETCH_UNITS; i++)
		assert(!core->fetch_units[i].fetch);
	free(core->fetch_units);
}

/* Does the peer hold the same bytes here, as far as this node's map knows (I8)? */
static bool peer_has(const struct fetch *f)
{
	const struct volume *v = f->volume;

	return v->record.role == VOLUME_PRIMARY && volume_mirrors(v) && v->channels[0] &&
	       !intent_dirty_in(&v->map.intent, f->offset, f->length);
}

/* --- the end --- */

/* A disk that dies fails thousands of reads: the counters have them all, events one a second. */
static void tell(const struct fetch *f, const char *what, const char *how)
{
	struct core *core = f->core;
	char text[160];

	if (f->silent || core->now_ns < core->fetch_told_at_ns)
		return;
	core->fetch_told_at_ns = core->now_ns + TELL_EVERY_NS;
	snprintf(text, sizeof(text), "byte %llu could not be read here: %s",
		 (unsigned long long)f->offset, how);
	core_administer(core, true);
	core_event(core, &(struct engine_event){
				 .kind = EVENT_ERROR,
				 .level = 4,
				 .volume = f->volume->record.name,
				 .what = what,
				 .reason = text,
				 .bytes = f->length,
			 });
	core_administer(core, false);
}

static void fetch_end(struct fetch *f, enum ls_status status)
{
	struct volume_stats *stats = &f->volume->stats;

	if (status == LS_OK && f->written_back) {
		stats->repairs++;
		tell(f, "read repaired", "it was read from the peer, and written back");
	} else if (status == LS_OK) {
		stats->repair_failures++;
		tell(f, "read helped", "it was read from the peer, but could not be written back");
	} else if (status == LS_PEER_IO) {
		tell(f, "read", "nor could the peer");
	} else {
		tell(f, "read", "no peer has it for certain");
	}
	f->done(f, status);
}

static void unit_end(struct fetch_unit *u, enum ls_status status)
{
	struct fetch *f = u->fetch;

	if (u->marked)
		intent_end(&f->volume->map.intent, f->offset, f->length);
	u->fetch = NULL;
	if (!f->ranged)
		range_release(&f->volume->ranges, &f->range);
	fetch_end(f, status);
}

static void written_back(struct leg *leg)
{
	struct fetch_unit *u = CONTAINER_OF(leg, struct fetch_unit, leg);
	struct fetch *f = u->fetch;

	f->volume->changing--;
	f->written_back = leg->status == LS_OK;
	unit_end(u, LS_OK);
}

/* The bytes are here.  Whatever befalls the write-back, the read has succeeded. */
static void write_back(struct fetch_unit *u)
{
	struct fetch *f = u->fetch;
	struct volume *v = f->volume;

	v->stats.fetched_bytes += f->length;
	if (f->buf)
		memcpy(f->buf, u->buf, f->length);
	/* A resync into this node may have begun: then the block is the source's to write. */
	if (!u->marked || v->record.role != VOLUME_PRIMARY) {
		unit_end(u, LS_OK);
		return;
	}
	/* FUA: what is rewritten may have been durable already, and stays so (I4). */
	u->leg = (struct leg){
		.op.code = STORE_WRITE,
		.op.flags = STORE_FUA,
		.offset = f->offset,
		.length = f->length,
		.op.buf = u->buf,
		.op.region = f->core->fetch_region,
		.done = written_back,
	};
	volume_changes(v);
	leg_start(&u->leg, &v->record, v->pool->stores);
}

/* --- READ and DATA --- */

static enum ls_status data_arrived(struct call *call, const uint8_t *payload, uint32_t length,
				   uint32_t crc)
{
	struct fetch_unit *u = CONTAINER_OF(call, struct fetch_unit, call);

	if (u->arrived || length != u->fetch->length)
		return LS_PROTOCOL;
	/* The peer can still write the slot: what is checked is the copy. */
	memcpy(u->buf, payload, length);
	if (crc32c(u->buf, length) != crc)
		return LS_CHECKSUM;
	u->arrived = true;
	return LS_OK;
}

static void read_answered(struct call *call, const struct frame *f)
{
	struct fetch_unit *u = CONTAINER_OF(call, struct fetch_unit, call);

	if (f->status == LS_OK && u->arrived)
		write_back(u);
	else
		unit_end(u, f->status == LS_LOCAL_IO ? LS_PEER_IO : LS_PROTOCOL);
}

static void read_lost(struct call *call, bool sent)
{
	(void)sent;
	unit_end(CONTAINER_OF(call, struct fetch_unit, call), LS_PEER_LOST);
}

static void read_send(struct call *call)
{
	struct fetch_unit *u = CONTAINER_OF(call, struct fetch_unit, call);
	const struct fetch *f = u->fetch;
	struct frame frame = {
		.command = FRAME_READ,
		.volume = f->volume->record.replicas[0].volume_number,
		.length = (uint32_t)f->length,
		.offset = f->offset,
	};

	/* Much may have happened while it waited for the credit. */
	if (!peer_has(f) || f->volume->channels[0] != call->channel) {
		channel_return_credit(call);
		unit_end(u, LS_NO_PEER);
		return;
	}
	channel_send(call->channel, call, &frame, NULL, 0, NULL);
}

static void unit_read(struct fetch_unit *u)
{
	if (!peer_has(u->fetch)) {
		unit_end(u, LS_NO_PEER);
		return;
	}
	u->call.credit = read_send;
	u->call.data = data_arrived;
	u->call.answered = read_answered;
	u->call.lost = read_lost;
	if (channel_credit(u->fetch->volume->channels[0], &u->call, false))
		read_send(&u->call);
}

/* --- the way there --- */

static void map_ready(struct map_wait *wait, bool ok)
{
	struct fetch_unit *u = CONTAINER_OF(wait, struct fetch_unit, map);
	const struct fetch *f = u->fetch;

	/* The map cannot be written: the read can be helped all the same, the block cannot. */
	if (!ok) {
		intent_end(&f->volume->map.intent, f->offset, f->length);
		u->marked = false;
	}
	unit_read(u);
}

static void unit_begin(struct fetch_unit *u)
{
	struct fetch *f = u->fetch;

	u->arrived = u->marked = false;
	if (!peer_has(f)) {
		unit_end(u, LS_NO_PEER);
		return;
	}
	/* A write-back that is torn leaves a block that differs. */
	u->marked = true;
	if (intent_begin(&f->volume->map.intent, f->offset, f->length)) {
		unit_read(u);
		return;
	}
	u->map.done = map_ready;
	map_wait(f->volume, &u->map, f->offset, f->length);
}

void fetch_run(struct core *core)
{
	for (unsigned i = 0; i < FETCH_UNITS && !list_empty(&core->fetches); i++) {
		struct fetch_unit *u = &core->fetch_units[i];

		if (u->fetch)
			continue;
		u->fetch = LIST_ENTRY(list_pop(&core->fetches), struct fetch, node);
		unit_begin(u);
	}
}

bool fetch_waits(const struct core *core)
{
	for (unsigned i = 0; !list_empty(&core->fetches) && i < FETCH_UNITS; i++)
		if (!core->fetch_units[i].fetch)
			return true;
	return false;
}

static void fetch_granted(struct range *range)
{
	struct fetch *f = CONTAINER_OF(range, struct fetch, range);

	list_add_tail(&f->core->fetches, &f->node);
}

void fetch_start(struct core *core, struct fetch *f)
{
	assert(f->length > 0 &&
	       f->offset / FETCH_BYTES_MAX == (f->offset + f->length - 1) / FETCH_BYTES_MAX);
	f->core = core;
	f->written_back = false;
	if (!peer_has(f)) {
		fetch_end(f, LS_NO_PEER);
		return;
	}
	f->range.granted = fetch_granted;
	if (f->ranged || range_acquire(&f->volume->ranges, &f->range, f->offset, f->length))
		list_add_tail(&core->fetches, &f->node);
}
