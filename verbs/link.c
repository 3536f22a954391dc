/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wrappers of link.h.  They stand on both sides of a backend: calls are checked on the
 * way down, handler calls (the guard) on the way up.  What is asserted here is the code of
 * this project only; whatever a peer sends was checked by the backend before.
 */
#include "verbs/link.h"

#include <assert.h>

static void guard_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct link *link = owner;

	assert(link->guard.polling && !link->guard.shut); /* polling: open */
	assert(length > 0 && length <= LINK_MESSAGE_MAX);
	link->guard.handler->message(link->guard.owner, bytes, length);
}

static void guard_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct link *link = owner;

	assert(link->guard.polling && !link->guard.shut);
	assert(link->guard.granted && slot < link->slot_count);
	assert(payload_bytes <= link->slot_bytes);
	link->guard.handler->landed(link->guard.owner, slot, header, payload_bytes);
}

static void guard_down(void *owner, const char *reason)
{
	struct link *link = owner;

	assert(link->guard.polling && link->guard.open);
	link->guard.open = false;
	/* The owner may destroy the link in its handler: link_poll() must not look at it again. */
	*link->guard.polling = true;
	link->guard.polling = NULL;
	link->guard.handler->down(link->guard.owner, reason);
}

static const struct link_handler guard_handler = {
	.message = guard_message,
	.landed = guard_landed,
	.down = guard_down,
};

void link_attach(struct link *link, const struct link_handler *handler, void *owner)
{
	assert(!link->guard.handler);
	assert(handler->message && handler->landed && handler->down);
	link->guard.handler = handler;
	link->guard.owner = owner;
	link->guard.open = true;
	link->handler = &guard_handler;
	link->owner = link;
}

int link_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	int rc;

	assert(link->guard.open && !link->guard.granted);
	/* Before the call: a peer that guesses may be faster than the return. */
	link->guard.granted = true;
	rc = link->ops->grant(link, grant);
	if (rc < 0)
		link->guard.granted = false;
	return rc;
}

bool link_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	bool ok;

	assert(link->guard.open && link->granted_count == 0);
	ok = link->ops->use_grant(link, grant);
	assert(!ok || (link->granted_count > 0 && link->granted_count <= LINK_SLOTS_MAX));
	return ok;
}

void link_send(struct link *link, const void *bytes, uint32_t length)
{
	assert(link->guard.open);
	assert(length > 0 && length <= LINK_MESSAGE_MAX);
	if (!link->guard.shut)
		link->ops->send(link, bytes, length);
}

void link_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		const void *payload, uint32_t payload_bytes, const struct region *region)
{
	assert(link->guard.open);
	assert(slot < link->granted_count);
	assert(payload_bytes <= link->granted_bytes);
	if (payload) {
		uint64_t at = (uint64_t)((const char *)payload - (const char *)region->base);

		/* What begins before the region is very far behind its begin. */
		assert(payload_bytes > 0 && payload_bytes <= region->length_bytes &&
		       at <= region->length_bytes - payload_bytes);
	} else {
		assert(payload_bytes == 0);
	}
	if (!link->guard.shut)
		link->ops->write(link, slot, header, payload, payload_bytes, region);
}

void link_flush(struct link *link)
{
	assert(link->guard.handler);
	if (link->guard.open && !link->guard.shut)
		link->ops->flush(link);
}

unsigned link_poll(struct link *link, unsigned budget)
{
	bool ended = false;
	unsigned handled;

	assert(link->guard.handler && !link->guard.polling);
	assert(budget > 0);
	if (!link->guard.open)
		return 0;
	link->guard.polling = &ended;
	handled = link->ops->poll(link, budget);
	if (!ended)
		link->guard.polling = NULL;
	return handled;
}

bool link_arm(struct link *link)
{
	assert(link->guard.handler && !link->guard.polling);
	return link->guard.open && link->ops->arm(link);
}

void link_shut(struct link *link, const char *reason)
{
	assert(link->guard.handler);
	if (!link->guard.open || link->guard.shut)
		return;
	link->guard.shut = true;
	link->ops->shut(link, reason);
}

void link_destroy(struct link *link)
{
	assert(!link->guard.polling);
	assert(!link->guard.open);
	link->ops->destroy(link);
}
