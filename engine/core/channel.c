/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/channel.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/core/core.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int channel_init(struct channel *c, struct core *core, uint32_t slots)
{
	*c = (struct channel){.core = core};
	list_init(&c->waiting);
	list_init(&c->control_waiting);
	if (msgid_init(&c->ids, LINK_SLOTS_MAX) < 0)
		return -ENOMEM;
	c->serves = calloc(slots, sizeof(*c->serves));
	if (!c->serves) {
		msgid_fini(&c->ids);
		return -ENOMEM;
	}
	c->serve_count = slots;
	return 0;
}

void channel_fini(struct channel *c)
{
	assert(!c->link && c->serves_busy == 0);
	msgid_fini(&c->ids);
	free(c->serves);
}

void channel_open(struct channel *c, struct link *link, uint64_t peer_address, uint32_t epoch)
{
	assert(!c->link && channel_idle(c) && link->slot_count <= c->serve_count);
	assert(c->core->now_ns > 0); /* see call.sent_ns */
	c->link = link;
	c->own_address = c->core->own_address;
	c->peer_address = peer_address;
	c->epoch = epoch;
	c->payload_max = link->granted_bytes;
	c->last_heard_ns = c->core->now_ns;
	c->shut = false;
	msgid_reset(&c->ids, epoch, link->granted_count);
	/* The session has no others. */
	for (uint32_t i = 0; i < link->slot_count; i++)
		c->serves[i] = (struct serve){.channel = c, .expected = MSGID_TAG_ONE | i};
}

bool channel_idle(const struct channel *c)
{
	return c->serves_busy == 0;
}

/* A peer that breaks the protocol loses its session, and nothing else (I13). */
static void violation(struct channel *c, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "the peer broke the protocol: %s", what);
	core_log(c->core, 3, "session %08x: %s; ending the session", c->epoch, text);
	c->shut = true;
	core_administer(c->core, true);
	link_shut(c->link, text);
	core_administer(c->core, false);
}

/* --- requests that we send --- */

static bool credit_left(const struct channel *c, bool control)
{
	return c->ids.free_count > (control ? 0 : CHANNEL_RESERVE);
}

inline bool channel_credit(struct channel *c, struct call *call, bool control)
{
	struct list *queue = control ? &c->control_waiting : &c->waiting;

	call->channel = c;
	call->control = control;
	call->message = 0;
	/* Nobody overtakes those who wait already. */
	if (list_empty(queue) && credit_left(c, control)) {
		call->message = msgid_take(&c->ids, call);
		return true;
	}
	list_add_tail(queue, &call->node);
	return false;
}

void channel_return_credit(struct call *call)
{
	assert(call->message && call->sent_ns == 0);
	msgid_return(&call->channel->ids, call->message);
	call->message = 0;
}

static void give_credits(struct channel *c)
{
	struct list *node;

	while ((!list_empty(&c->control_waiting) && credit_left(c, true)) ||
	       (!list_empty(&c->waiting) && credit_left(c, false))) {
		struct call *call;

		node = list_pop(&c->control_waiting);
		if (!node)
			node = list_pop(&c->waiting);
		call = LIST_ENTRY(node, struct call, node);
		call->message = msgid_take(&c->ids, call);
		call->credit(call);
	}
}

inline void channel_send(struct channel *c, struct call *call, struct frame *frame,
			 const void *payload, uint32_t payload_bytes, const struct region *region)
{
	const uint8_t *header;

	assert(c->ids.slot[msgid_slot(call->message)].owner == call);
	assert(payload_bytes <= c->payload_max);
	frame->version = FRAME_VERSION;
	frame->target = c->peer_address;
	frame->initiator = c->own_address;
	frame->message = call->message;
	frame->epoch = c->epoch;
	frame->status = 0;
	call->command = frame->command;
	call->sent_ns = c->core->now_ns; /* not 0, which is not sent */
	header = frame_seal(frame);
	if (UNLIKELY(c->core->capture_left > 0))
		core_capture(c->core, true, header);
	link_write(c->link, msgid_slot(call->message), header, payload, payload_bytes, region);
	c->requests_sent++;
}

static void completion(struct channel *c, const struct frame *f)
{
	struct call *call = msgid_find(&c->ids, f->message);

	/* Late, repeated or invented: it misses.  A waiting call has an ID but was not sent. */
	if (!call || call->sent_ns == 0 || f->epoch != c->epoch) {
		c->stale++;
		return;
	}
	if (f->command != call->command) {
		violation(c, "a completion names another command than its request");
		return;
	}
	msgid_release(&c->ids, f->message);
	call->message = 0;
	call->sent_ns = 0;
	if (f->status == LS_CHECKSUM && call->resends < CHANNEL_RESENDS) {
		call->resends++;
		if (channel_credit(c, call, call->control))
			call->credit(call);
	} else {
		call->resends = 0;
		call->answered(call, f);
	}
	if (!c->shut)
		give_credits(c);
}

void channel_message(struct channel *c, const uint8_t *bytes, uint32_t length)
{
	struct frame f;

	if (c->shut)
		return;
	c->last_heard_ns = c->core->now_ns;
	if (length % FRAME_BYTES != 0) {
		violation(c, "a message that is not whole frames");
		return;
	}
	for (uint32_t at = 0; at < length && !c->shut; at += FRAME_BYTES) {
		enum frame_verdict verdict = frame_decode(bytes + at, &f);

		if (verdict != FRAME_OK) {
			violation(c, frame_verdict_name(verdict));
			return;
		}
		if (!(f.flags & FRAME_COMPLETION) || f.target != c->own_address ||
		    f.initiator != c->peer_address) {
			violation(c, "a message that is no completion from the peer to this node");
			return;
		}
		if (UNLIKELY(c->core->capture_left > 0))
			core_capture(c->core, false, bytes + at);
		completion(c, &f);
	}
}

uint64_t channel_oldest_ns(const struct channel *c)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = 0; c->link && i < c->ids.slots; i++) {
		const struct call *call = c->ids.slot[i].owner;

		if (call && call->sent_ns)
			oldest = min_u64(oldest, call->sent_ns);
	}
	return oldest;
}

/* --- requests that we serve --- */

static inline void completion_send(const struct serve *s, enum ls_status status, uint32_t volume,
				   uint64_t value)
{
	struct channel *c = s->channel;
	const uint8_t *bytes;
	struct frame f;

	/* One by one: nothing is written twice. */
	f.version = FRAME_VERSION;
	f.command = s->frame.command;
	f.flags = FRAME_COMPLETION;
	f.target = c->peer_address;
	f.initiator = c->own_address;
	f.message = s->frame.message;
	f.volume = volume;
	f.length = 0;
	f.offset = value;
	f.status = status;
	f.epoch = c->epoch;
	f.payload_crc = 0;
	bytes = frame_seal(&f);
	if (UNLIKELY(c->core->capture_left > 0))
		core_capture(c->core, true, bytes);
	link_send(c->link, bytes, FRAME_BYTES);
}

inline void channel_answer(struct serve *s, enum ls_status status, uint32_t volume, uint64_t value)
{
	struct channel *c = s->channel;

	assert(s->state == SERVE_BUSY);
	s->state = SERVE_FREE;
	s->volume = NULL;
	c->serves_busy -= c->link || !MUTANT(SERVE_LEAKED);
	c->requests_served++;
	/* The session may have ended while the device worked: then nobody is told. */
	if (!c->shut)
		completion_send(s, status, volume, value);
}

static uint32_t saturate(uint64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static uint64_t part_sum(const struct serve *s, const uint8_t *data, uint32_t length)
{
	return s->frame.flags & FRAME_CRC_PARTS ? crc32c(data, length) : checksum64(data, length);
}

/*
 * Which of the checksummed parts differ from what is on the device.  After a flush that failed a
 * cache may read well what it has lost: all of them, to be written again.
 */
static uint64_t differences(const struct serve *s)
{
	const struct volume *v = s->volume;
	bool lost = v->mirror == MIRROR_COPYING && volume_lost(v);
	const uint8_t *data = link_slot_payload(s->channel->link, msgid_slot(s->frame.message));
	uint64_t mask = 0;

	for (uint32_t at = 0, i = 0; at < s->frame.length; at += CHECK_BYTES, i++) {
		uint32_t n = (uint32_t)min_u64(CHECK_BYTES, s->frame.length - at);

		if (lost || part_sum(s, data + at, n) != s->sums[i])
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

static void check_read(struct leg *leg)
{
	struct serve *s = CONTAINER_OF(leg, struct serve, leg);
	/* The session may be over, and its slots with it. */
	bool compare = leg->status == LS_OK && s->channel->link && !s->channel->shut;

	channel_answer(s, leg->status, 0, compare ? differences(s) : 0);
}

/* --- READ, and the DATA that carries its bytes --- */

static void data_send(struct call *call)
{
	struct serve *s = CONTAINER_OF(call, struct serve, data);
	struct channel *c = s->channel;
	const uint8_t *bytes = link_slot_payload(c->link, msgid_slot(s->frame.message));
	struct frame f = {
		.command = FRAME_DATA,
		.flags = FRAME_CRC,
		.length = s->frame.length,
		.offset = s->frame.message,
		.payload_crc = crc32c(bytes, s->frame.length),
	};

	channel_send(c, call, &f, bytes, f.length, &c->link->slots);
}

static void data_answered(struct call *call, const struct frame *f)
{
	struct serve *s = CONTAINER_OF(call, struct serve, data);

	channel_answer(s, f->status == LS_OK ? LS_OK : LS_PROTOCOL, 0, 0);
}

static void data_lost(struct call *call, bool sent)
{
	(void)sent;
	channel_answer(CONTAINER_OF(call, struct serve, data), LS_PEER_LOST, 0, 0);
}

/* The slot of the READ holds its bytes, and is the peer's again with the completion only. */
static void read_done(struct leg *leg)
{
	struct serve *s = CONTAINER_OF(leg, struct serve, leg);
	struct channel *c = s->channel;

	/* The session may be over, and its slots with it. */
	if (leg->status != LS_OK || !c->link || c->shut) {
		channel_answer(s, leg->status, 0, 0);
		return;
	}
	s->data.credit = data_send;
	s->data.answered = data_answered;
	s->data.lost = data_lost;
	if (channel_credit(c, &s->data, true))
		data_send(&s->data);
}

/* Bytes that a READ of ours asked for. */
static void serve_data(struct channel *c, struct serve *s, const uint8_t *payload,
		       uint32_t payload_bytes)
{
	const struct frame *f = &s->frame;
	struct call *call = msgid_find(&c->ids, f->offset);
	enum ls_status status;

	if (!call || call->sent_ns == 0 || call->command != FRAME_READ)
		status = LS_PROTOCOL;
	else if (f->length != payload_bytes || !(f->flags & FRAME_CRC))
		status = LS_CHECKSUM; /* cut short on the way */
	else
		status = call->data(call, payload, payload_bytes, f->payload_crc);
	c->payload_mismatches += status == LS_CHECKSUM;
	channel_answer(s, status, 0, 0);
}

/* In all and at the device, which is the same: no request waits between the two. */
static uint64_t times(const struct serve *s)
{
	uint32_t ns = saturate(s->channel->core->now_ns - s->landed_ns);

	return (uint64_t)ns << 32 | ns;
}

static void serve_flushed(struct leg *leg)
{
	struct serve *s = CONTAINER_OF(leg, struct serve, leg);

	channel_answer(s, volume_flush_end(s->volume, leg, false), 0, times(s));
}

static void serve_changed(struct leg *leg)
{
	struct serve *s = CONTAINER_OF(leg, struct serve, leg);

	s->volume->changing--;
	if (UNLIKELY(leg->status != LS_OK))
		sumlog_forget(&s->volume->sums, s->frame.offset, s->frame.length);
	channel_answer(s, leg->status, 0, times(s));
}

/* What is done by the local devices, and how; without done(): something else. */
static const struct serve_kind {
	enum store_code code;
	bool moves; /* to or from the slot */
	bool changes;
	void (*done)(struct leg *leg);
} serve_kinds[FRAME_LAST + 1] = {
	[FRAME_WRITE] = {STORE_WRITE, true, true, serve_changed},
	[FRAME_FLUSH] = {STORE_FLUSH, false, false, serve_flushed},
	[FRAME_DISCARD] = {STORE_WRITE_ZEROES, false, true, serve_changed},
	[FRAME_WRITE_ZEROES] = {STORE_WRITE_ZEROES, false, true, serve_changed},
	[FRAME_CHECK] = {STORE_READ, true, false, check_read},
	[FRAME_READ] = {STORE_READ, true, false, read_done},
};

/* Of what is no write, and lies within the volume. */
static enum ls_status serve_check_other(const struct channel *c, const struct serve *s,
					uint32_t payload_bytes)
{
	const struct frame *f = &s->frame;

	switch (f->command) {
	case FRAME_READ:
		if (f->length > RANGE_CHUNK_BYTES || payload_bytes)
			return LS_PROTOCOL;
		return c->core->readable(c->core->engine, s->volume, f->offset, f->length)
			       ? LS_OK
			       : LS_BUSY;
	case FRAME_CHECK:
		if (f->length > RANGE_CHUNK_BYTES ||
		    payload_bytes != 8 * ((f->length + CHECK_BYTES - 1) / CHECK_BYTES))
			return LS_PROTOCOL;
		return LS_OK;
	default:
		return LS_OK;
	}
}

/* LS_OK when the request is one that this node may do on the volume. */
static enum ls_status serve_check(const struct channel *c, const struct serve *s,
				  uint32_t payload_bytes)
{
	const struct frame *f = &s->frame;
	const struct volume *v = s->volume;

	if (!v || !v->ready)
		return LS_NO_VOLUME;
	if (v->record.replica_count == 0 || v->record.replicas[0].node_address != c->peer_address ||
	    v->channels[0] != c)
		return LS_NOT_PRIMARY;
	if (UNLIKELY(f->flags & FRAME_FUA) && !serve_kinds[f->command].changes)
		return LS_INVALID;
	/* Also of a primary: a secondary that was one has a map to clear. */
	if (f->command == FRAME_FLUSH)
		return f->length || f->offset ? LS_INVALID : LS_OK;
	if (v->record.role != VOLUME_SECONDARY)
		return LS_NOT_PRIMARY;
	if (f->length == 0)
		return LS_INVALID;
	if ((f->length | f->offset) & (v->record.block_bytes - 1))
		return LS_UNALIGNED;
	if ((f->offset > v->size_bytes || f->length > v->size_bytes - f->offset) &&
	    !MUTANT(BOUNDS_UNCHECKED))
		return LS_OUT_OF_RANGE;
	if (LIKELY(f->command == FRAME_WRITE))
		return f->length != payload_bytes ? LS_PROTOCOL : LS_OK;
	return serve_check_other(c, s, payload_bytes);
}

/* Is the payload what was sent?  What the volume is about to hold goes to its log. */
static bool serve_sums(struct serve *s, const uint8_t *payload, uint32_t payload_bytes)
{
	const struct frame *f = &s->frame;
	struct sumlog *log = &s->volume->sums;
	bool crc = f->flags & FRAME_CRC;

	if (LIKELY(f->command == FRAME_WRITE)) {
		if (crc && sumlog_payload(log, f->offset, payload, f->length) == f->payload_crc)
			return true;
		sumlog_forget(log, f->offset, f->length);
		return !crc || MUTANT(PAYLOAD_UNCHECKED);
	}
	switch (f->command) {
	case FRAME_DISCARD:
	case FRAME_WRITE_ZEROES:
		sumlog_zeroes(log, f->offset, f->length);
		return true;
	case FRAME_CHECK:
		return !crc || crc32c(payload, payload_bytes) == f->payload_crc;
	default:
		return true;
	}
}

/* Of a command that the decoder knows. */
static bool is_io(uint8_t command)
{
	return serve_kinds[command].done;
}

static void serve_io(struct channel *c, struct serve *s, const struct serve_kind *kind,
		     uint8_t *payload, uint32_t payload_bytes)
{
	const struct frame *f = &s->frame;
	enum ls_status status;

	s->volume = core_volume(c->core, f->volume);
	status = serve_check(c, s, payload_bytes);
	if (status == LS_OK && !serve_sums(s, payload, payload_bytes)) {
		c->payload_mismatches++;
		status = LS_CHECKSUM;
	}
	if (status != LS_OK) {
		channel_answer(s, status, 0, 0);
		return;
	}
	if (f->command == FRAME_CHECK)
		memcpy(s->sums, payload, payload_bytes);
	if (MUTANT(ACK_ON_ARRIVAL))
		completion_send(s, LS_OK, 0, 0);
	/* One by one: the rest of it is the leg's own. */
	s->leg.op.code = kind->code;
	s->leg.op.flags = f->flags & FRAME_FUA ? STORE_FUA : 0;
	s->leg.op.buf = kind->moves ? payload : NULL;
	s->leg.op.region = &c->link->slots;
	s->leg.offset = f->offset;
	s->leg.length = f->length;
	s->leg.done = kind->done;
	if (LIKELY(kind->changes))
		volume_changes(s->volume);
	else if (kind->code == STORE_FLUSH)
		/* Of all since: it fails for the peer until this replica is whole again. */
		volume_flush_begin(s->volume, &s->leg, s->volume->flushes_copied);
	leg_start(&s->leg, &s->volume->record, s->volume->pool->stores);
}

void channel_landed(struct channel *c, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct serve *s = &c->serves[slot];
	const struct serve_kind *kind;
	enum frame_verdict verdict;
	uint8_t *payload;

	if (c->shut)
		return;
	c->last_heard_ns = c->core->now_ns;
	if (s->state != SERVE_FREE) {
		violation(c, "a request in a slot whose last request is not answered yet");
		return;
	}
	verdict = frame_decode(header, &s->frame);
	if (verdict != FRAME_OK) {
		violation(c, frame_verdict_name(verdict));
		return;
	}
	if (s->frame.target != c->own_address || s->frame.initiator != c->peer_address ||
	    s->frame.epoch != c->epoch || s->frame.message != (c->ids.epoch | s->expected)) {
		violation(c, "a request with a stale or foreign identification");
		return;
	}
	kind = &serve_kinds[s->frame.command];
	if (s->frame.flags & FRAME_COMPLETION ||
	    (!kind->done && frame_of_handshake(s->frame.command))) {
		violation(c, "a request with a command that is none");
		return;
	}
	if (UNLIKELY(c->core->capture_left > 0))
		core_capture(c->core, false, header);
	s->expected += MUTANT(ID_REUSED) ? 0 : MSGID_TAG_ONE;
	s->state = SERVE_BUSY;
	s->landed_ns = c->core->now_ns;
	c->serves_busy++;
	payload = link_slot_payload(c->link, slot);
	if (LIKELY(kind->done))
		serve_io(c, s, kind, payload, payload_bytes);
	else if (s->frame.command == FRAME_PING)
		channel_answer(s, LS_OK, 0, 0);
	else if (s->frame.command == FRAME_DATA)
		serve_data(c, s, payload, payload_bytes);
	else
		c->handler->control(c, s, payload, payload_bytes);
}

bool channel_serves(const struct channel *c, const struct volume *v)
{
	for (uint32_t i = 0; c->serves_busy && i < c->serve_count; i++) {
		const struct serve *s = &c->serves[i];

		if (s->state == SERVE_BUSY && s->volume == v && is_io(s->frame.command))
			return true;
	}
	return false;
}

/* --- the end --- */

static void lose_waiting(struct list *queue)
{
	struct list all;
	struct list *node;

	list_init(&all);
	list_splice_tail(&all, queue);
	while ((node = list_pop(&all))) {
		struct call *call = LIST_ENTRY(node, struct call, node);

		call->resends = 0;
		call->lost(call, false);
	}
}

void channel_lost(struct channel *c)
{
	assert(c->link);
	c->link = NULL;
	c->shut = true;
	for (uint32_t i = 0; i < c->ids.slots; i++) {
		struct call *call = c->ids.slot[i].owner;
		bool sent;

		if (!call)
			continue;
		sent = call->sent_ns != 0;
		msgid_release(&c->ids, call->message);
		call->message = 0;
		call->sent_ns = 0;
		call->resends = 0;
		call->lost(call, sent);
	}
	lose_waiting(&c->control_waiting);
	lose_waiting(&c->waiting);
}
