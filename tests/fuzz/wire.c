/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/wire.h"

#include "engine/base/crc32c.h"
#include "engine/base/wire.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* engine/doc/protocol.md */
/* clang-format off */
enum {
	AT_COMMAND = 5, AT_FLAGS = 6, AT_TARGET = 8, AT_MESSAGE = 24, AT_LENGTH = 36, AT_EPOCH = 52,
	AT_PAYLOAD_CRC = 56, AT_HEADER_CRC = 60,
	NAME = 16, NONCE = 48, CHALLENGE_EPOCH = 4, CHALLENGE_MAC = 80, GRANT = 16, MAC = 48,
	MAC_BYTES = 32, BODY_MAX = 160,
};
/* clang-format on */

static void seal(uint8_t *header)
{
	put_u32(header + AT_HEADER_CRC, crc32c(header, AT_HEADER_CRC));
}

static void seal_payload(uint8_t *header, const uint8_t *payload, uint32_t bytes)
{
	if (get_u16(header + AT_FLAGS) & FRAME_CRC)
		put_u32(header + AT_PAYLOAD_CRC, crc32c(payload, bytes));
	seal(header);
}

/* What A says and hears in the handshake. */
static void note_handshake(struct wire *w, const uint8_t *bytes, uint32_t length)
{
	uint8_t command = bytes[AT_COMMAND];

	if (length < FRAME_BYTES)
		return;
	if ((command == FRAME_HELLO || command == FRAME_CHALLENGE) &&
	    length <= sizeof(w->transcript) - w->transcript_bytes) {
		memcpy(w->transcript + w->transcript_bytes, bytes, length);
		w->transcript_bytes += length;
	} else if (command == FRAME_PROVE && length >= FRAME_BYTES + 4) {
		w->epoch = get_u32(bytes + FRAME_BYTES);
	}
}

/* From A */

static void a_sent(void *owner, struct flink *link, const uint8_t *bytes, uint32_t length)
{
	struct wire *w = owner;
	uint16_t flags = get_u16(bytes + AT_FLAGS);

	(void)link;
	if (!(flags & FRAME_COMPLETION))
		note_handshake(w, bytes, length);
	/* Answers to the hand's own requests are not the honest engine's business. */
	if (flags & FRAME_COMPLETION && get_u16(bytes + AT_MESSAGE) >= WIRE_HONEST_SLOTS)
		return;
	if (w->b)
		flink_message(w->b, bytes, length);
}

static void a_written(void *owner, struct flink *link, uint32_t slot, const uint8_t *header,
		      const void *payload, uint32_t payload_bytes)
{
	struct wire *w = owner;

	(void)link;
	memcpy(w->sent[w->sent_count++ % WIRE_SENT_MAX], header, FRAME_BYTES);
	if (w->b)
		flink_request(w->b, slot, header, payload, payload_bytes, payload_bytes);
}

/* From the honest engine */

static void b_sent(void *owner, struct flink *link, const uint8_t *bytes, uint32_t length)
{
	struct wire *w = owner;
	enum wire_change change = w->change;
	uint8_t copy[LINK_MESSAGE_MAX];
	uint32_t at = w->change_at % length;

	(void)link;
	if (!w->a)
		return;
	memcpy(copy, bytes, length);
	w->change = WIRE_NOTHING;
	if (change == WIRE_BYTE) {
		copy[at] ^= w->change_by;
		if (length > FRAME_BYTES)
			seal_payload(copy, copy + FRAME_BYTES, length - FRAME_BYTES);
		else
			seal(copy);
	}
	if (change == WIRE_DROP)
		return;
	if (change == WIRE_CUT)
		length = at;
	if (!(get_u16(copy + AT_FLAGS) & FRAME_COMPLETION))
		note_handshake(w, copy, length);
	flink_message(w->a, copy, length);
	if (change == WIRE_TWICE)
		flink_message(w->a, copy, length);
}

static void take_request(struct wire *w, const uint8_t *header, const void *payload, uint32_t bytes)
{
	struct taken *t = &w->taken[w->taken_count % WIRE_TAKEN_MAX];

	if (bytes > sizeof(t->payload))
		return;
	/* What is frequent does not push out what is rare. */
	if (w->taken_count && header[AT_COMMAND] == FRAME_PING)
		return;
	w->taken_count++;
	memcpy(t->header, header, FRAME_BYTES);
	if (bytes)
		memcpy(t->payload, payload, bytes);
	t->payload_bytes = bytes;
}

static void b_written(void *owner, struct flink *link, uint32_t slot, const uint8_t *header,
		      const void *payload, uint32_t payload_bytes)
{
	struct wire *w = owner;
	enum wire_change change = w->change;
	uint8_t head[FRAME_BYTES];
	uint8_t *landed;
	uint32_t at = w->change_at % (FRAME_BYTES + payload_bytes);

	(void)link;
	if (!w->a)
		return;
	take_request(w, header, payload, payload_bytes);
	w->change = WIRE_NOTHING;
	memcpy(head, header, sizeof(head));
	if (change == WIRE_BYTE && at < FRAME_BYTES)
		head[at] ^= w->change_by;
	if (change == WIRE_BYTE || change == WIRE_TWICE)
		seal(head);
	if (change == WIRE_DROP)
		return;
	flink_request(w->a, slot, head, payload, payload_bytes,
		      change == WIRE_CUT ? w->change_at % (payload_bytes + 1) : payload_bytes);
	if (change == WIRE_BYTE && at >= FRAME_BYTES && slot < FLINK_SLOTS) {
		landed = link_slot_payload(&w->a->link, slot);
		landed[at - FRAME_BYTES] ^= w->change_by;
		if (w->change_by & 1)
			seal_payload(link_slot_header(&w->a->link, slot), landed, payload_bytes);
	}
	if (change == WIRE_TWICE)
		flink_request(w->a, slot, head, payload, payload_bytes, payload_bytes);
}

/* Ends */

static void one_ended(void *owner, struct flink *link)
{
	struct wire *w = owner;
	struct flink *other = link == w->a ? w->b : w->a;

	if (other)
		flink_down(other, "the other side closed the connection");
}

static void one_destroyed(void *owner, struct flink *link)
{
	struct wire *w = owner;

	if (!link->reason[0])
		one_ended(w, link);
	if (link == w->a)
		w->a = NULL;
	else
		w->b = NULL;
	w->used = w->a || w->b;
}

static const struct flink_hooks a_hooks = {
	.sent = a_sent,
	.written = a_written,
	.ended = one_ended,
	.destroyed = one_destroyed,
};

static const struct flink_hooks b_hooks = {
	.sent = b_sent,
	.written = b_written,
	.ended = one_ended,
	.destroyed = one_destroyed,
};

void wire_open(struct wire *w, struct node *a, struct node *b, void *cookie, void *b_cookie)
{
	struct flink *la, *lb = NULL;

	memset(w, 0, sizeof(*w));
	w->used = true;
	w->alone = !b;
	w->a_dialled = cookie != NULL;
	for (unsigned i = 0; i < FLINK_SLOTS; i++)
		w->tags[i] = 1;
	w->a = la = flink_create(&a_hooks, w);
	if (b) {
		w->b = lb = flink_create(&b_hooks, w);
		lb->use_slots = WIRE_HONEST_SLOTS;
	}
	/* The first to be opened may say HELLO, or be released, at once. */
	if (lb && !cookie) {
		engine_link_opened(a->engine, &la->link, NULL);
		engine_link_opened(b->engine, &lb->link, b_cookie);
	} else {
		if (lb)
			engine_link_opened(b->engine, &lb->link, NULL);
		engine_link_opened(a->engine, &la->link, cookie);
	}
}

void wire_change_next(struct wire *w, struct input *in)
{
	w->change = take_u8(in) % 5;
	w->change_at = take_u16(in);
	w->change_by = take_u8(in);
}

/* The hand's own handshake */

static void put_mac(const struct wire *w, const char *label, const uint8_t *body, size_t bytes,
		    uint8_t *mac)
{
	uint8_t text[32 + sizeof(w->transcript) + BODY_MAX] = {0};
	unsigned mac_bytes = MAC_BYTES;

	put_name(text, label, 32);
	memcpy(text + 32, w->transcript, w->transcript_bytes);
	memcpy(text + 32 + w->transcript_bytes, body, bytes);
	if (!HMAC(EVP_sha256(), WIRE_KEY, (int)strlen(WIRE_KEY), text,
		  32 + w->transcript_bytes + bytes, mac, &mac_bytes))
		fuzz_fail("no HMAC");
}

/* What is wrong with a message of ours on purpose; bits of a byte of the input. */
enum { WRONG_BODY = 1, WRONG_MAC = 2, WRONG_HEADER = 4, WRONG_LENGTH = 8, WRONG_STEP = 16 };

static void send_handshake(struct wire *w, struct input *in, uint8_t command, uint8_t *body,
			   uint32_t length, uint8_t wrong)
{
	uint8_t message[FRAME_BYTES + BODY_MAX];
	struct frame f = {
		.version = FRAME_VERSION,
		.command = command,
		.flags = FRAME_CRC,
		.target = command == FRAME_HELLO ? 0 : WIRE_ADDRESS_A,
		.initiator = WIRE_ADDRESS_B,
	};
	uint8_t at;

	if (wrong & WRONG_LENGTH)
		length = take_u8(in) % (BODY_MAX + 1);
	f.length = length;
	f.payload_crc = crc32c(body, length);
	frame_encode(&f, message);
	if (wrong & WRONG_HEADER) {
		at = take_u8(in) % AT_HEADER_CRC;
		message[at] ^= take_u8(in);
		seal(message);
	}
	memcpy(message + FRAME_BYTES, body, length);
	note_handshake(w, message, FRAME_BYTES + length);
	flink_message(w->a, message, FRAME_BYTES + length);
}

static void spoil(struct input *in, uint8_t *body, uint32_t from, uint32_t bytes)
{
	uint8_t n = take_u8(in) % 9, at = (uint8_t)(from + take_u8(in) % bytes);

	for (unsigned i = 0; i < n && at < from + bytes; i++)
		body[at++] = take_u8(in);
}

static void say_hello(struct wire *w, struct input *in, uint8_t wrong)
{
	uint8_t body[BODY_MAX] = {1, 1};

	put_name(body + NAME, "b", 32);
	if (wrong & WRONG_BODY)
		spoil(in, body, 0, 80);
	send_handshake(w, in, FRAME_HELLO, body, 80, wrong);
}

static void say_challenge(struct wire *w, struct input *in, uint8_t wrong)
{
	uint8_t body[BODY_MAX] = {1};

	put_u32(body + CHALLENGE_EPOCH, 5);
	put_name(body + NAME, "b", 32);
	if (wrong & WRONG_BODY)
		spoil(in, body, 0, CHALLENGE_MAC);
	put_mac(w, "lockstep challenge", body, CHALLENGE_MAC, body + CHALLENGE_MAC);
	if (wrong & WRONG_MAC)
		spoil(in, body, CHALLENGE_MAC, MAC_BYTES);
	send_handshake(w, in, FRAME_CHALLENGE, body, 112, wrong);
}

static void say_grant(struct wire *w, struct input *in, uint8_t command, uint8_t wrong)
{
	uint8_t body[BODY_MAX] = {0};

	put_u32(body, command == FRAME_PROVE ? 77 : w->epoch);
	flink_grant_encode(body + GRANT, FLINK_SLOTS, FLINK_SLOT_BYTES);
	if (wrong & WRONG_BODY)
		spoil(in, body, 0, MAC);
	put_mac(w, command == FRAME_PROVE ? "lockstep prove" : "lockstep accept", body, MAC,
		body + MAC);
	if (wrong & WRONG_MAC)
		spoil(in, body, MAC, MAC_BYTES);
	send_handshake(w, in, command, body, 80, wrong);
}

static void say_reject(struct wire *w, struct input *in, uint8_t wrong)
{
	uint8_t body[BODY_MAX];

	take_bytes(in, body, take_u8(in) % (sizeof(body) + 1));
	send_handshake(w, in, FRAME_REJECT, body, sizeof(body), wrong);
}

void wire_handshake(struct wire *w, struct input *in)
{
	static const uint8_t as_dialler[] = {FRAME_HELLO, FRAME_PROVE, FRAME_REJECT},
			     as_acceptor[] = {FRAME_CHALLENGE, FRAME_ACCEPT, FRAME_REJECT};
	uint8_t wrong = take_u8(in), command, step = w->transcript_bytes > FRAME_BYTES + 112;

	if (!w->a || w->b)
		return;
	if (wrong & WRONG_STEP)
		step = take_u8(in);
	command = (w->a_dialled ? as_acceptor : as_dialler)[step % 3];
	if (wrong & WRONG_STEP && step & 0x80)
		command = (w->a_dialled ? as_dialler : as_acceptor)[step % 3];
	switch (command) {
	case FRAME_HELLO:
		say_hello(w, in, wrong);
		break;
	case FRAME_CHALLENGE:
		say_challenge(w, in, wrong);
		break;
	case FRAME_REJECT:
		say_reject(w, in, wrong);
		break;
	default:
		say_grant(w, in, command, wrong);
	}
}

/* The hand's own requests */

/* A slot that is the hand's, and the next identification in it. */
static uint32_t own_slot(struct wire *w, struct input *in, uint8_t *header)
{
	uint8_t which = take_u8(in);
	uint32_t slot = w->alone ? which % FLINK_SLOTS
				 : WIRE_HONEST_SLOTS + which % (FLINK_SLOTS - WIRE_HONEST_SLOTS);

	put_u64(header + AT_TARGET, WIRE_ADDRESS_A);
	put_u64(header + AT_TARGET + 8, WIRE_ADDRESS_B);
	put_u64(header + AT_MESSAGE,
		(uint64_t)w->epoch << 32 | (uint32_t)w->tags[slot]++ << 16 | slot);
	put_u32(header + AT_EPOCH, w->epoch);
	return slot;
}

static uint32_t volume_number(struct input *in, const struct node *a)
{
	uint8_t which = take_u8(in);

	return which < 4 ? node_volume_number(a, which) : take_u32(in);
}

/* Lengths and offsets that are near what is allowed, as well as any others. */
static uint64_t size_of(struct input *in)
{
	uint8_t unit = take_u8(in);

	switch (unit % 4) {
	case 0:
		return (uint64_t)512 * take_u16(in);
	case 1:
		return (uint64_t)4096 * take_u8(in);
	case 2:
		return MIB(1) - 512 * (uint64_t)take_u8(in);
	default:
		return take_u64(in);
	}
}

void wire_request(struct wire *w, struct input *in, const struct node *a)
{
	static uint8_t payload[FLINK_SLOT_BYTES];
	struct frame f = {.version = FRAME_VERSION};
	uint8_t header[FRAME_BYTES], options = take_u8(in);
	uint32_t slot, told, length;

	if (!w->a)
		return;
	f.command = take_u8(in);
	f.flags = options & 3; /* FUA, CRC */
	f.volume = volume_number(in, a);
	f.offset = size_of(in);
	f.length = (uint32_t)size_of(in);
	told = options & 4 ? take_u32(in) % (FLINK_SLOT_BYTES + 1) : f.length;
	if (told > FLINK_SLOT_BYTES)
		told = 0;
	length = take_u16(in) % 1025;
	memset(payload, options, told);
	take_bytes(in, payload, length < told ? length : told);
	frame_encode(&f, header);
	slot = own_slot(w, in, header);
	if (options & 8)
		header[take_u8(in) % AT_HEADER_CRC] ^= take_u8(in);
	seal_payload(header, payload, told);
	flink_request(w->a, slot, header, payload, told, told);
}

void wire_request_again(struct wire *w, struct input *in)
{
	const struct taken *t = &w->taken[take_u8(in) % WIRE_TAKEN_MAX];
	uint8_t header[FRAME_BYTES], changes = take_u8(in) % 8;
	uint8_t payload[WIRE_TAKEN_BYTES];
	uint32_t slot, at;

	if (!w->a)
		return;
	memcpy(header, t->header, sizeof(header));
	memcpy(payload, t->payload, t->payload_bytes);
	slot = own_slot(w, in, header);
	for (unsigned i = 0; i < changes; i++) {
		at = take_u16(in) % (FRAME_BYTES + t->payload_bytes);
		if (at < FRAME_BYTES)
			header[at] ^= take_u8(in);
		else
			payload[at - FRAME_BYTES] = take_u8(in);
	}
	seal_payload(header, payload, t->payload_bytes);
	flink_request(w->a, slot, header, payload, t->payload_bytes, t->payload_bytes);
}

void wire_request_raw(struct wire *w, struct input *in)
{
	uint8_t header[FRAME_BYTES], payload[1024], slot = take_u8(in);
	uint32_t length = take_u16(in) % (sizeof(payload) + 1);

	if (!w->a)
		return;
	take_bytes(in, header, sizeof(header));
	if (slot & 0x80)
		seal(header);
	take_bytes(in, payload, length);
	flink_request(w->a, slot % (FLINK_SLOTS + 1), header, payload, length, length);
}

void wire_completion(struct wire *w, struct input *in)
{
	uint8_t which = take_u8(in), options = take_u8(in);
	struct frame f;
	uint8_t bytes[FRAME_BYTES];

	if (!w->a || w->sent_count == 0)
		return;
	which = (uint8_t)(which % (w->sent_count < WIRE_SENT_MAX ? w->sent_count : WIRE_SENT_MAX));
	if (frame_decode(w->sent[(w->sent_count - 1 - which) % WIRE_SENT_MAX], &f) != FRAME_OK)
		fuzz_fail("A sent a frame that is none");
	f.flags = FRAME_COMPLETION;
	f.target = WIRE_ADDRESS_A;
	f.initiator = WIRE_ADDRESS_B;
	f.volume = options & 1 ? take_u32(in) : 0;
	f.length = options & 2 ? take_u32(in) : 0;
	f.offset = options & 4 ? take_u64(in) : 0;
	f.status = options & 8 ? take_u8(in) : 0;
	f.status = options & 16 ? take_u32(in) : f.status;
	frame_encode(&f, bytes);
	if (options & 32) {
		bytes[take_u8(in) % AT_HEADER_CRC] ^= take_u8(in);
		seal(bytes);
	}
	flink_message(w->a, bytes, sizeof(bytes));
}

void wire_message_raw(struct wire *w, struct input *in)
{
	uint8_t bytes[512], options = take_u8(in);
	uint32_t length = take_u16(in) % (sizeof(bytes) + 1);

	if (!w->a)
		return;
	take_bytes(in, bytes, length);
	for (uint32_t at = 0; options & 1 && at + FRAME_BYTES <= length; at += FRAME_BYTES)
		seal(bytes + at);
	flink_message(w->a, bytes, length);
}

void wire_scribble(struct wire *w, struct input *in)
{
	uint8_t slot = take_u8(in) % FLINK_SLOTS, length = take_u8(in);
	uint16_t at = take_u16(in);

	/* Only where the peer was let in. */
	if (w->a && w->a->link.guard.granted)
		take_bytes(in, link_slot_header(&w->a->link, slot) + at, length);
}
