/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/micro/quick.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_STRIDE (LINK_PAYLOAD_OFFSET + QUICK_SLOT_BYTES)
#define EVENTS 1024u
#define MESSAGE UINT32_MAX

struct quick_event {
	uint32_t slot; /* MESSAGE = none */
	uint32_t length;
	uint8_t bytes[LINK_MESSAGE_MAX];
};

static struct quick_link *of(struct link *link)
{
	return CONTAINER_OF(link, struct quick_link, link);
}

/* --- the link --- */

static int on_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	(void)link;
	memset(grant, 0, LINK_GRANT_BYTES);
	return 0;
}

static bool on_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	(void)grant;
	link->granted_count = QUICK_SLOTS;
	link->granted_bytes = QUICK_SLOT_BYTES;
	return true;
}

static struct quick_event *event_add(struct quick_link *to)
{
	if (to->head == to->tail)
		to->head = to->tail = to->events;
	assert(to->tail < to->events + EVENTS);
	return to->tail++;
}

/* Several become one transfer, as with the real links. */
static void on_send(struct link *link, const void *bytes, uint32_t length)
{
	struct quick_link *to = of(link)->other;
	struct quick_event *e = to->open;

	if (!e || e->length + length > LINK_MESSAGE_MAX) {
		e = to->open = event_add(to);
		e->slot = MESSAGE;
		e->length = 0;
	}
	/* Nearly always one header. */
	if (length == LINK_HEADER_BYTES)
		memcpy(e->bytes + e->length, bytes, LINK_HEADER_BYTES);
	else
		memcpy(e->bytes + e->length, bytes, length);
	e->length += length;
}

static void on_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		     const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct quick_link *to = of(link)->other;
	struct quick_event *e = event_add(to);

	(void)region;
	to->open = NULL;
	e->slot = slot;
	e->length = payload_bytes;
	memcpy(link_slot_header(&to->link, slot), header, LINK_HEADER_BYTES);
	if (payload && to->brings_payload)
		memcpy(link_slot_payload(&to->link, slot), payload, payload_bytes);
}

static void on_flush(struct link *link)
{
	of(link)->other->open = NULL;
}

static unsigned on_poll(struct link *link, unsigned budget)
{
	struct quick_link *l = of(link);
	unsigned handled = 0;

	while (handled < budget && l->head != l->tail) {
		const struct quick_event *e = l->head++;

		handled++;
		if (e->slot == MESSAGE)
			link->handler->message(link->owner, e->bytes, e->length);
		else
			link->handler->landed(link->owner, e->slot, link_slot_header(link, e->slot),
					      e->length);
	}
	return handled;
}

static bool on_arm(struct link *link)
{
	return of(link)->head != of(link)->tail;
}

static void on_shut(struct link *link, const char *reason)
{
	(void)link;
	fprintf(stderr, "bench-micro: the session has ended: %s\n", reason);
	exit(1);
}

static const struct link_ops link_ops = {
	.grant = on_grant,
	.use_grant = on_use_grant,
	.send = on_send,
	.write = on_write,
	.flush = on_flush,
	.poll = on_poll,
	.arm = on_arm,
	.shut = on_shut,
};

static struct quick_link *end_create(void)
{
	struct quick_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->link = (struct link){
		.ops = &link_ops,
		.slot_count = QUICK_SLOTS,
		.slot_bytes = QUICK_SLOT_BYTES,
		.slot_stride = SLOT_STRIDE,
		.fd = -1,
		.numa_node = -1,
	};
	snprintf(l->link.backend, sizeof(l->link.backend), "quick");
	l->link.slots.length_bytes = (size_t)QUICK_SLOTS * SLOT_STRIDE;
	l->link.slots.base = aligned_alloc(LINK_PAYLOAD_OFFSET, l->link.slots.length_bytes);
	l->events = l->head = l->tail = calloc(EVENTS, sizeof(*l->events));
	if (!l->link.slots.base || !l->events)
		return NULL;
	l->brings_payload = true;
	return l;
}

struct quick_link *quick_link_create(void)
{
	struct quick_link *a = end_create(), *b = end_create();

	if (!a || !b)
		return NULL;
	a->other = b;
	b->other = a;
	return a;
}

static void end_settle(struct quick_link *l)
{
	l->brings_payload = false;
	memset(l->link.slots.base, 0, l->link.slots.length_bytes);
}

void quick_link_settle(struct quick_link *l)
{
	end_settle(l);
	end_settle(l->other);
}

void quick_link_forget(struct quick_link *l)
{
	l->head = l->tail = l->events;
	l->open = NULL;
}

/* --- the store --- */

static void on_submit(struct store *store, struct store_op *op)
{
	struct quick_store *s = CONTAINER_OF(store, struct quick_store, store);

	*s->last = op;
	s->last = &op->next;
}

static void on_close(struct store *store)
{
	(void)store;
}

static const struct store_ops store_ops = {.submit = on_submit, .close = on_close};

void quick_store_init(struct quick_store *s, uint64_t size_bytes)
{
	*s = (struct quick_store){.store.ops = &store_ops};
	s->store.geometry = (struct store_geometry){
		.size_bytes = size_bytes,
		.block_bytes = 4096,
		.io_max_bytes = 1u << 20,
		.zeroes_max_bytes = 1u << 20,
		.discard_max_bytes = 1u << 20,
		.atomic_bytes = 4096,
		.numa_node = -1,
		.backend = "quick",
	};
	s->last = &s->first;
}

void quick_store_poll(struct quick_store *s)
{
	struct store_op *op = s->first, *next;

	s->first = NULL;
	s->last = &s->first;
	for (; op; op = next) {
		next = op->next;
		store_op_done(op, LS_OK);
	}
}
