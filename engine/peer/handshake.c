/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake: version, identities, and the proof by both sides that they have the same
 * key, before any slot is opened.  Byte tables and the argument are in
 * engine/doc/protocol.md.
 *
 *   dialler                                   acceptor
 *     HELLO {versions, name, nonce}     -->
 *                                       <--   CHALLENGE {version, epoch, name, nonce, MAC}
 *     PROVE {epoch, grant, MAC}         -->
 *                                       <--   ACCEPT {grant, MAC}
 *   Either side may end it with REJECT {text}.
 *
 * Each MAC covers both first frames, so neither a version nor a name nor a nonce can be
 * changed or replayed, and a label, so that no MAC serves for another message.
 */
#include "engine/peer/node.h"

#include "engine/base/crc32c.h"
#include "engine/base/wire.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>

#define WIRE_VERSION_MIN 2u
#define WIRE_VERSION_MAX WIRE_VERSION_LOST

/* clang-format off */
enum {
	HELLO_AT_VERSION_MIN = 0, HELLO_AT_VERSION_MAX = 1, HELLO_AT_NAME = 16, HELLO_AT_NONCE = 48,
	HELLO_BYTES = 80,
	CHALLENGE_AT_VERSION = 0, CHALLENGE_AT_EPOCH = 4, CHALLENGE_AT_NAME = 16,
	CHALLENGE_AT_NONCE = 48, CHALLENGE_AT_MAC = 80, CHALLENGE_BYTES = 112,
	PROVE_AT_EPOCH = 0, PROVE_AT_GRANT = 16, PROVE_AT_MAC = 48, PROVE_BYTES = 80,
	ACCEPT_AT_EPOCH = 0, ACCEPT_AT_GRANT = 16, ACCEPT_AT_MAC = 48, ACCEPT_BYTES = 80,
	REJECT_BYTES = HANDSHAKE_BODY_MAX,
};
/* clang-format on */

static void send_frame(struct session *s, uint8_t command, const uint8_t *body, uint32_t bytes,
		       bool record)
{
	uint8_t message[FRAME_BYTES + HANDSHAKE_BODY_MAX];
	struct frame f = {
		.version = FRAME_VERSION,
		.command = command,
		.flags = FRAME_CRC,
		.target = s->peer_address,
		.initiator = s->engine->core.own_address,
		.length = bytes,
		.payload_crc = crc32c(body, bytes),
	};

	assert(bytes <= HANDSHAKE_BODY_MAX);
	frame_encode(&f, message);
	memcpy(message + FRAME_BYTES, body, bytes);
	if (record) {
		memcpy(s->transcript + s->transcript_bytes, message, FRAME_BYTES + bytes);
		s->transcript_bytes += FRAME_BYTES + bytes;
	}
	link_send(s->link, message, FRAME_BYTES + bytes);
}

static void PRINTF_LIKE(2, 3) reject(struct session *s, const char *fmt, ...)
{
	uint8_t body[REJECT_BYTES] = {0};
	char text[REJECT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_name(body, text, sizeof(body) - 1);
	send_frame(s, FRAME_REJECT, body, sizeof(body), false);
	session_rejected(s, text);
}

/* HMAC-SHA-256 over label, transcript and @extra. */
static bool make_mac(const struct session *s, const char *label, const uint8_t *extra,
		     size_t extra_bytes, uint8_t mac[HANDSHAKE_MAC_BYTES])
{
	uint8_t text[32 + sizeof(s->transcript) + HANDSHAKE_BODY_MAX] = {0};
	size_t n = 32;
	unsigned mac_bytes = HANDSHAKE_MAC_BYTES;

	put_name(text, label, 32);
	memcpy(text + n, s->transcript, s->transcript_bytes);
	n += s->transcript_bytes;
	memcpy(text + n, extra, extra_bytes);
	n += extra_bytes;
	return s->peer->key_bytes &&
	       HMAC(EVP_sha256(), s->peer->key, (int)s->peer->key_bytes, text, n, mac,
		    &mac_bytes) &&
	       mac_bytes == HANDSHAKE_MAC_BYTES;
}

static bool mac_matches(const struct session *s, const char *label, const uint8_t *extra,
			size_t extra_bytes, const uint8_t *mac)
{
	uint8_t expected[HANDSHAKE_MAC_BYTES];

	return make_mac(s, label, extra, extra_bytes, expected) &&
	       CRYPTO_memcmp(expected, mac, sizeof(expected)) == 0;
}

static void put_nonce(struct session *s, uint8_t *nonce)
{
	s->engine->core.env.random(s->engine->core.env.ctx, nonce, HANDSHAKE_NONCE_BYTES);
}

void handshake_hello(struct session *s)
{
	uint8_t body[HELLO_BYTES] = {0};

	body[HELLO_AT_VERSION_MIN] = WIRE_VERSION_MIN;
	body[HELLO_AT_VERSION_MAX] = WIRE_VERSION_MAX;
	put_name(body + HELLO_AT_NAME, s->engine->settings.node_name, NODE_NAME_MAX + 1);
	put_nonce(s, body + HELLO_AT_NONCE);
	s->phase = PHASE_SENT_HELLO;
	send_frame(s, FRAME_HELLO, body, sizeof(body), true);
}

/* Two nodes that dial each other at once: the dial of the smaller address wins on both. */
static bool dials_cross(struct session *s)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		struct session *other = &s->engine->sessions[i];

		if (other == s || other->peer != s->peer || !other->dialled ||
		    (other->phase != PHASE_SENT_HELLO && other->phase != PHASE_SENT_PROVE))
			continue;
		if (s->engine->core.own_address < s->peer_address)
			return true;
		session_yield(other);
	}
	return false;
}

static void on_hello(struct session *s, const struct frame *f, const uint8_t *body)
{
	uint8_t reply[CHALLENGE_BYTES] = {0};
	struct engine *e = s->engine;
	char name[NODE_NAME_MAX + 1];

	get_name(body + HELLO_AT_NAME, name, sizeof(name));
	s->peer_address = f->initiator;
	if (body[HELLO_AT_VERSION_MIN] > WIRE_VERSION_MAX ||
	    body[HELLO_AT_VERSION_MAX] < WIRE_VERSION_MIN) {
		reject(s,
		       "wire version mismatch: the dialling node speaks %u to %u, node '%s' speaks "
		       "%u to "
		       "%u; upgrade the older one",
		       body[HELLO_AT_VERSION_MIN], body[HELLO_AT_VERSION_MAX],
		       e->settings.node_name, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
		return;
	}
	s->version = (uint8_t)min_u64(body[HELLO_AT_VERSION_MAX], WIRE_VERSION_MAX);
	if (f->initiator == e->core.own_address) {
		reject(s, "node '%s' dialled itself; check the address of the peer", name);
		return;
	}
	if (!name_valid(name, NODE_NAME_MAX)) {
		reject(s, "a node without a name dialled node '%s'", e->settings.node_name);
		return;
	}
	s->peer = peer_find(e, name);
	if (s->peer && s->peer->removal)
		s->peer = NULL;
	if (!s->peer) {
		reject(s, "node '%s' has no peer named '%s'; add it there with `lockstep peer add`",
		       e->settings.node_name, name);
		return;
	}
	if (dials_cross(s)) {
		s->peer = NULL;
		reject(s, "both nodes dialled at once; the other dial goes on");
		return;
	}
	reply[CHALLENGE_AT_VERSION] = s->version;
	put_u32(reply + CHALLENGE_AT_EPOCH, e->last_epoch);
	put_name(reply + CHALLENGE_AT_NAME, e->settings.node_name, NODE_NAME_MAX + 1);
	put_nonce(s, reply + CHALLENGE_AT_NONCE);
	if (!make_mac(s, "lockstep challenge", reply, CHALLENGE_AT_MAC, reply + CHALLENGE_AT_MAC)) {
		reject(s, "node '%s' cannot compute a MAC", e->settings.node_name);
		return;
	}
	s->phase = PHASE_CHALLENGED;
	send_frame(s, FRAME_CHALLENGE, reply, sizeof(reply), true);
}

static bool open_slots(struct session *s, uint8_t *grant)
{
	if (link_grant(s->link, grant) == 0)
		return true;
	reject(s, "node '%s' cannot register memory for its receive slots",
	       s->engine->settings.node_name);
	return false;
}

/* The frame of the CHALLENGE is in the transcript already; its MAC was made without it. */
static bool challenge_proves(struct session *s, const uint8_t *body)
{
	size_t whole = s->transcript_bytes;
	bool ok;

	s->transcript_bytes -= FRAME_BYTES + CHALLENGE_BYTES;
	ok = mac_matches(s, "lockstep challenge", body, CHALLENGE_AT_MAC, body + CHALLENGE_AT_MAC);
	s->transcript_bytes = whole;
	return ok;
}

static void on_challenge(struct session *s, const struct frame *f, const uint8_t *body)
{
	uint8_t reply[PROVE_BYTES] = {0};
	char name[NODE_NAME_MAX + 1];

	/* A proof would make the peer end the session that is up. */
	if (s->peer->session) {
		session_fail(s, "another session with the peer came first");
		return;
	}

	get_name(body + CHALLENGE_AT_NAME, name, sizeof(name));
	s->peer_address = f->initiator;
	s->version = body[CHALLENGE_AT_VERSION];
	if (strcmp(name, s->peer->name) != 0) {
		reject(s, "the node at %s is '%s', not '%s'", s->peer->address, name,
		       s->peer->name);
		return;
	}
	if (!challenge_proves(s, body)) {
		reject(s,
		       "node '%s' does not have the same key as node '%s'; give both the same key "
		       "file",
		       name, s->engine->settings.node_name);
		return;
	}
	if (s->version < WIRE_VERSION_MIN || s->version > WIRE_VERSION_MAX ||
	    f->initiator == s->engine->core.own_address) {
		reject(s, "node '%s' chose a wire version or identity that makes no sense", name);
		return;
	}
	s->epoch = (uint32_t)max_u64(get_u32(body + CHALLENGE_AT_EPOCH), s->engine->last_epoch) + 1;
	if (s->epoch == 0)
		s->epoch = 1;
	put_u32(reply + PROVE_AT_EPOCH, s->epoch);
	if (!open_slots(s, reply + PROVE_AT_GRANT))
		return;
	if (!make_mac(s, "lockstep prove", reply, PROVE_AT_MAC, reply + PROVE_AT_MAC)) {
		reject(s, "node '%s' cannot compute a MAC", s->engine->settings.node_name);
		return;
	}
	s->phase = PHASE_SENT_PROVE;
	send_frame(s, FRAME_PROVE, reply, sizeof(reply), false);
}

static void on_prove(struct session *s, const uint8_t *body)
{
	if (!mac_matches(s, "lockstep prove", body, PROVE_AT_MAC, body + PROVE_AT_MAC)) {
		reject(s,
		       "node '%s' does not have the same key as node '%s'; give both the same key "
		       "file",
		       s->peer->name, s->engine->settings.node_name);
		return;
	}
	s->epoch = get_u32(body + PROVE_AT_EPOCH);
	/* Identifications are never 0: that is "not sent". */
	if (s->epoch == 0) {
		reject(s, "node '%s' numbered the session 0", s->peer->name);
		return;
	}
	memcpy(s->grant, body + PROVE_AT_GRANT, sizeof(s->grant));
	s->phase = PHASE_DRAIN;
	/* Writes of the old session are drained before the new one is accepted (I5). */
	if (s->peer->session)
		session_fail(s->peer->session, "the peer began a new session");
	else
		handshake_drained(s);
}

/* A piece is cut before it is known which peer it goes to: every slot must take the longest. */
static bool take_grant(struct session *s, const uint8_t *grant)
{
	if (link_use_grant(s->link, grant) && s->link->granted_bytes >= PIECE_BYTES_MAX &&
	    s->link->granted_count > CHANNEL_RESERVE)
		return true;
	reject(s, "node '%s' granted slots that make no sense: at least %u of %u KiB are needed",
	       s->peer->name, CHANNEL_RESERVE + 1, PIECE_BYTES_MAX / 1024);
	return false;
}

void handshake_drained(struct session *s)
{
	uint8_t reply[ACCEPT_BYTES] = {0};

	assert(s->phase == PHASE_DRAIN && !s->peer->session);
	if (!take_grant(s, s->grant))
		return;
	put_u32(reply + ACCEPT_AT_EPOCH, s->epoch);
	if (!open_slots(s, reply + ACCEPT_AT_GRANT))
		return;
	if (!make_mac(s, "lockstep accept", reply, ACCEPT_AT_MAC, reply + ACCEPT_AT_MAC)) {
		reject(s, "node '%s' cannot compute a MAC", s->engine->settings.node_name);
		return;
	}
	send_frame(s, FRAME_ACCEPT, reply, sizeof(reply), false);
	session_established(s);
}

static void on_accept(struct session *s, const uint8_t *body)
{
	if (!mac_matches(s, "lockstep accept", body, ACCEPT_AT_MAC, body + ACCEPT_AT_MAC) ||
	    get_u32(body + ACCEPT_AT_EPOCH) != s->epoch) {
		reject(s, "the acceptance of node '%s' is not authentic", s->peer->name);
		return;
	}
	if (s->peer->session) {
		session_fail(s, "another session with the peer came first");
		return;
	}
	if (!take_grant(s, body + ACCEPT_AT_GRANT))
		return;
	session_established(s);
}

static void on_reject(struct session *s, const uint8_t *body)
{
	char text[REJECT_BYTES];

	get_name(body, text, sizeof(text));
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	session_fail(s, text);
}

/* What each phase takes, and how long its body must be. */
static bool expected(const struct session *s, const struct frame *f)
{
	switch (f->command) {
	case FRAME_HELLO:
		return s->phase == PHASE_EXPECT_HELLO && f->length == HELLO_BYTES;
	case FRAME_CHALLENGE:
		return s->phase == PHASE_SENT_HELLO && f->length == CHALLENGE_BYTES;
	case FRAME_PROVE:
		return s->phase == PHASE_CHALLENGED && f->length == PROVE_BYTES;
	case FRAME_ACCEPT:
		return s->phase == PHASE_SENT_PROVE && f->length == ACCEPT_BYTES;
	case FRAME_REJECT:
		return f->length == REJECT_BYTES;
	default:
		return false;
	}
}

static void dispatch(struct session *s, const struct frame *f, const uint8_t *bytes)
{
	const uint8_t *body = bytes + FRAME_BYTES;

	if (f->command == FRAME_HELLO || f->command == FRAME_CHALLENGE) {
		memcpy(s->transcript + s->transcript_bytes, bytes, FRAME_BYTES + f->length);
		s->transcript_bytes += FRAME_BYTES + f->length;
	}
	switch (f->command) {
	case FRAME_HELLO:
		on_hello(s, f, body);
		break;
	case FRAME_CHALLENGE:
		on_challenge(s, f, body);
		break;
	case FRAME_PROVE:
		on_prove(s, body);
		break;
	case FRAME_ACCEPT:
		on_accept(s, body);
		break;
	default:
		on_reject(s, body);
		break;
	}
}

void handshake_message(struct session *s, const uint8_t *bytes, uint32_t length)
{
	enum frame_verdict verdict = FRAME_BAD_MAGIC;
	struct frame f;
	char text[160];

	if (length >= FRAME_BYTES)
		verdict = frame_decode(bytes, &f);
	if (verdict != FRAME_OK) {
		snprintf(text, sizeof(text), "the handshake is not Lockstep's: %s",
			 frame_verdict_name(verdict));
		session_fail(s, text);
		return;
	}
	if (f.flags != FRAME_CRC || f.length != length - FRAME_BYTES ||
	    f.length > HANDSHAKE_BODY_MAX ||
	    crc32c(bytes + FRAME_BYTES, f.length) != f.payload_crc) {
		session_fail(s, "a handshake frame is damaged");
		return;
	}
	if (!expected(s, &f)) {
		snprintf(text, sizeof(text), "an unexpected %s in the handshake",
			 frame_command_name(f.command));
		session_fail(s, text);
		return;
	}
	dispatch(s, &f, bytes);
}
