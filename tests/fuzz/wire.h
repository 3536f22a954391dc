/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire between the engine under test (A) and its peer, with a hostile hand on it.  The
 * peer is an honest engine (B), whose traffic is passed on, and may be changed; or there is
 * none, and the hand speaks the handshake itself.  It knows the key.  Of A's slots the honest
 * engine is told some; the others are the hand's, which keeps their tags: so it can send any
 * frame as a request that A cannot tell from the peer's, while the session goes on.
 */
#ifndef LS_FUZZ_WIRE_H
#define LS_FUZZ_WIRE_H

#include "engine/core/frame.h"
#include "tests/fuzz/flink.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/world.h"

#define WIRE_HONEST_SLOTS 8u
#define WIRE_SENT_MAX 32u
#define WIRE_TAKEN_MAX 6u
#define WIRE_TAKEN_BYTES 8192u
#define WIRE_ADDRESS_A UINT64_C(0xa1)
#define WIRE_ADDRESS_B UINT64_C(0xb2)
#define WIRE_KEY "the key of both nodes"

/* A change to what the honest engine sends next. */
enum wire_change { WIRE_NOTHING, WIRE_BYTE, WIRE_DROP, WIRE_TWICE, WIRE_CUT };

struct wire {
	struct flink *a, *b; /* b is NULL without an honest engine; each until destroyed */
	bool used, a_dialled, alone; /* alone: there is no honest engine */
	/* What A has seen and said so far, as the MACs cover it. */
	uint8_t transcript[2 * (FRAME_BYTES + 160)];
	size_t transcript_bytes;
	uint32_t epoch;
	uint16_t tags[FLINK_SLOTS]; /* of the next request in each slot of A */
	/* A's requests, the newest last. */
	uint8_t sent[WIRE_SENT_MAX][FRAME_BYTES];
	unsigned sent_count;
	/* Requests of the honest engine, to be sent again. */
	struct taken {
		uint8_t header[FRAME_BYTES];
		uint8_t payload[WIRE_TAKEN_BYTES];
		uint32_t payload_bytes;
	} taken[WIRE_TAKEN_MAX];
	unsigned taken_count;
	enum wire_change change;
	uint32_t change_at;
	uint8_t change_by;
};

/* A new link, which A opens with @cookie, or NULL: then @b (NULL: nobody) dialled. */
void wire_open(struct wire *wire, struct node *a, struct node *b, void *cookie, void *b_cookie);
/* The next byte for the honest engine's next message or request. */
void wire_change_next(struct wire *wire, struct input *in);
/* A message of the handshake, right but for what the input wants to be wrong. */
void wire_handshake(struct wire *wire, struct input *in);
/* A request with a right identification, in a slot of the hand; the rest is the input's. */
void wire_request(struct wire *wire, struct input *in, const struct node *a);
/* One that the honest engine sent before, with some bytes changed. */
void wire_request_again(struct wire *wire, struct input *in);
/* A request of the input's bytes, with a right checksum, in any slot. */
void wire_request_raw(struct wire *wire, struct input *in);
/* The completion of a request of A, which the peer may not have done. */
void wire_completion(struct wire *wire, struct input *in);
void wire_message_raw(struct wire *wire, struct input *in);
/* The peer writes where it may: into A's slots, at any time. */
void wire_scribble(struct wire *wire, struct input *in);

#endif
