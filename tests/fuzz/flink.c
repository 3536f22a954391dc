/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/flink.h"

#include "engine/base/wire.h"
#include "tests/fuzz/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOT_STRIDE (LINK_PAYLOAD_OFFSET + FLINK_SLOT_BYTES)

struct flink_event {
	struct flink_event *next;
	bool request;
	uint32_t slot, payload_bytes, length;
	uint8_t bytes[];
};

static struct flink *of(struct link *link)
{
	return CONTAINER_OF(link, struct flink, link);
}

static void drop_events(struct flink *l)
{
	struct flink_event *next;

	for (; l->first; l->first = next) {
		next = l->first->next;
		free(l->first);
	}
	l->last = &l->first;
}

static int on_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	flink_grant_encode(grant, (uint16_t)link->slot_count, link->slot_bytes);
	return 0;
}

void flink_grant_encode(uint8_t grant[LINK_GRANT_BYTES], uint16_t slots, uint32_t slot_bytes)
{
	memset(grant, 0, LINK_GRANT_BYTES);
	put_u16(grant, slots);
	put_u32(grant + 2, slot_bytes);
}

static bool on_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	uint32_t count = get_u16(grant), bytes = get_u32(grant + 2);
	uint32_t most = of(link)->use_slots;

	if (count == 0 || count > LINK_SLOTS_MAX || bytes == 0 || bytes > 4u << 20)
		return false;
	link->granted_count = most && count > most ? most : count;
	link->granted_bytes = bytes;
	return true;
}

static void on_send(struct link *link, const void *bytes, uint32_t length)
{
	struct flink *l = of(link);

	l->hooks->sent(l->owner, l, bytes, length);
}

static void on_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		     const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct flink *l = of(link);

	(void)region;
	l->hooks->written(l->owner, l, slot, header, payload, payload_bytes);
}

static void on_flush(struct link *link)
{
	(void)link;
}

static bool on_arm(struct link *link)
{
	return of(link)->first || of(link)->reason[0];
}

static void on_shut(struct link *link, const char *reason)
{
	struct flink *l = of(link);

	drop_events(l);
	if (!l->reason[0])
		l->hooks->ended(l->owner, l);
	snprintf(l->reason, sizeof(l->reason), "%.150s", reason[0] ? reason : "shut");
}

static void pass_up(struct flink *l, const struct flink_event *e)
{
	struct link *link = &l->link;

	if (e->request)
		link->handler->landed(link->owner, e->slot, link_slot_header(link, e->slot),
				      e->payload_bytes);
	else
		link->handler->message(link->owner, e->bytes, e->length);
}

static unsigned on_poll(struct link *link, unsigned budget)
{
	struct flink *l = of(link);
	char reason[sizeof(l->reason)];
	unsigned n = 0;

	while (n < budget && l->first && !link->guard.shut) {
		struct flink_event *e = l->first;

		l->first = e->next;
		if (!l->first)
			l->last = &l->first;
		if (e->request && !link->guard.granted)
			flink_down(l, "a request, and no slot was granted");
		else
			pass_up(l, e);
		free(e);
		n++;
	}
	if (l->reason[0] && !l->first) {
		/* The link may be gone when down() returns. */
		memcpy(reason, l->reason, sizeof(reason));
		link->handler->down(link->owner, reason);
	}
	return n;
}

static void on_destroy(struct link *link)
{
	struct flink *l = of(link);

	l->hooks->destroyed(l->owner, l);
	drop_events(l);
	munmap(link->slots.base, link->slots.length_bytes);
	free(l);
}

static const struct link_ops flink_ops = {
	.grant = on_grant,
	.use_grant = on_use_grant,
	.send = on_send,
	.write = on_write,
	.flush = on_flush,
	.poll = on_poll,
	.arm = on_arm,
	.shut = on_shut,
	.destroy = on_destroy,
};

struct flink *flink_create(const struct flink_hooks *hooks, void *owner)
{
	struct flink *l = calloc(1, sizeof(*l));
	size_t bytes = (size_t)FLINK_SLOTS * SLOT_STRIDE;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (!l || base == MAP_FAILED)
		fuzz_fail("no memory");
	l->hooks = hooks;
	l->owner = owner;
	l->last = &l->first;
	l->link = (struct link){
		.ops = &flink_ops,
		.slots = {.base = base, .length_bytes = bytes, .buffer_first = REGION_NO_BUFFERS},
		.slot_count = FLINK_SLOTS,
		.slot_bytes = FLINK_SLOT_BYTES,
		.slot_stride = SLOT_STRIDE,
		.fd = -1,
		.backend = "fuzz",
		.address = "somewhere",
		.numa_node = -1,
	};
	return l;
}

static struct flink_event *add_event(struct flink *l, uint32_t bytes)
{
	struct flink_event *e = calloc(1, sizeof(*e) + bytes);

	if (!e)
		fuzz_fail("no memory");
	*l->last = e;
	l->last = &e->next;
	return e;
}

void flink_message(struct flink *l, const uint8_t *bytes, uint32_t length)
{
	struct flink_event *e;

	if (l->reason[0])
		return;
	if (length == 0 || length > LINK_MESSAGE_MAX) {
		flink_down(l, "a message of a length that is none");
		return;
	}
	/* As long as it is, so that AddressSanitizer sees a step beyond it. */
	e = add_event(l, length);
	e->length = length;
	memcpy(e->bytes, bytes, length);
}

void flink_request(struct flink *l, uint32_t slot, const uint8_t *header, const void *payload,
		   uint32_t payload_bytes, uint32_t told)
{
	struct flink_event *e;

	if (l->reason[0])
		return;
	if (slot >= l->link.slot_count || payload_bytes > l->link.slot_bytes ||
	    told > l->link.slot_bytes) {
		flink_down(l, "a request outside of the slots");
		return;
	}
	memcpy(link_slot_header(&l->link, slot), header, LINK_HEADER_BYTES);
	if (payload_bytes)
		memcpy(link_slot_payload(&l->link, slot), payload, payload_bytes);
	e = add_event(l, 0);
	e->request = true;
	e->slot = slot;
	e->payload_bytes = told;
}

void flink_down(struct flink *l, const char *reason)
{
	if (l->reason[0])
		return;
	snprintf(l->reason, sizeof(l->reason), "%.150s", reason);
	l->hooks->ended(l->owner, l);
}
