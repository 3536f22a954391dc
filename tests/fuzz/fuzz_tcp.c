/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a peer writes to a TCP link, nothing lands outside of the slots that it was
 * granted, nothing is longer than it may be, a link that has failed says so once and is silent
 * from then on, and no grant is taken that the link could not use.
 *
 * The input: a byte of how, LINK_GRANT_BYTES as the peer's grant, then pieces of the stream: a
 * byte of length, and so many bytes.
 */
#include "tests/fuzz/input.h"
#include "tests/fuzz/world.h"
#include "verbs/fabric.h"
#include "verbs/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 4u
#define SLOT_BYTES 4096u
#define PIECES_MAX 256u

struct end {
	struct link *link;
	bool granted, down;
};

static void on_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	const struct end *e = owner;
	uint8_t sum = 0;

	if (e->down)
		fuzz_fail("a message of a link that is down");
	if (length == 0 || length > LINK_MESSAGE_MAX)
		fuzz_fail("a message of a length that is not allowed");
	/* AddressSanitizer knows where it ends. */
	for (uint32_t i = 0; i < length; i++)
		sum += bytes[i];
	(void)sum;
}

static void on_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	const struct end *e = owner;

	if (e->down || !e->granted)
		fuzz_fail("a request on a link that has no slots for it");
	if (slot >= SLOTS || payload_bytes > SLOT_BYTES ||
	    header != link_slot_header(e->link, slot))
		fuzz_fail("a request outside of the slots");
}

static void on_down(void *owner, const char *reason)
{
	struct end *e = owner;

	if (e->down)
		fuzz_fail("a link that goes down twice");
	if (!reason[0])
		fuzz_fail("a link that goes down without a reason");
	e->down = true;
}

static const struct link_handler handler = {
	.message = on_message,
	.landed = on_landed,
	.down = on_down,
};

static void poll_all(struct end *e, unsigned budget)
{
	for (unsigned i = 0; i < PIECES_MAX && !e->down && link_poll(e->link, budget) > 0; i++)
		;
}

static void check_grant(const struct link *link)
{
	if (link->granted_count == 0 || link->granted_count > LINK_SLOTS_MAX ||
	    link->granted_bytes == 0 || link->granted_bytes % 4096)
		fuzz_fail("a grant was taken that makes no sense");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fabric_config config = {.slot_count = SLOTS, .slot_bytes = SLOT_BYTES};
	struct input in = {.at = data, .left = size};
	uint8_t how = take_u8(&in), own[LINK_GRANT_BYTES], theirs[LINK_GRANT_BYTES];
	struct end end = {0};
	struct err err;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) ||
	    tcp_link_create(&config, pair[0], &end.link, &err))
		fuzz_fail("no link");
	link_attach(end.link, &handler, &end);
	end.granted = how & 1;
	if (end.granted && link_grant(end.link, own))
		fuzz_fail("no grant");
	take_bytes(&in, theirs, sizeof(theirs));
	if (how & 2 && link_use_grant(end.link, theirs))
		check_grant(end.link);
	for (unsigned i = 0; i < PIECES_MAX && in.left && !end.down; i++) {
		uint8_t piece[255];
		size_t bytes = take_u8(&in);

		bytes = take_bytes(&in, piece, bytes);
		/* A peer that fills the socket waits; this one gives up. */
		if (bytes && send(pair[1], piece, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		if (!(how & 4))
			poll_all(&end, how & 8 ? 1 : 64);
	}
	poll_all(&end, 64);
	close(pair[1]);
	poll_all(&end, 64);
	if (!end.down)
		fuzz_fail("a link that does not see its end");
	link_destroy(end.link);
	return 0;
}
