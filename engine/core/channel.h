/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel: the data path of one session.  It sends requests and matches their
 * completions by message identification; and it serves the peer's requests on the local
 * devices.  Both at once, over one link.
 *
 * Credits are the peer's free slots: a request takes one, its completion gives it back.
 * The last CHANNEL_RESERVE are for control (ping, pair), so that a peer that is merely
 * busy is never mistaken for a dead one.  DATA takes one of those, too: what answers a
 * request must not wait for a slot that a request like it may hold on the other side.
 */
#ifndef LS_CORE_CHANNEL_H
#define LS_CORE_CHANNEL_H

#include "engine/base/list.h"
#include "engine/core/frame.h"
#include "engine/core/msgid.h"
#include "engine/core/range.h"
#include "engine/meta/leg.h"
#include "verbs/link.h"

#define CHANNEL_RESERVE 2u
/* A CHECK carries a checksum for each of so many bytes, at most so many of them. */
#define CHECK_BYTES 4096u
#define CHECK_MAX (RANGE_CHUNK_BYTES / CHECK_BYTES)
/* A request whose payload was damaged on the way is sent again this often. */
#define CHANNEL_RESENDS 3u

struct core;
struct volume;
struct channel;

/*
 * One request to the peer, from the wait for a credit to its completion.  Embedded in its
 * owner, who has zeroed it once.  Exactly one of answered() and lost() ends a call that was sent.
 */
struct call {
	struct list node; /* waiting for a credit, or idle */
	struct channel *channel;
	uint64_t message; /* 0 = not sent */
	uint64_t sent_ns;
	uint8_t command, resends;
	bool control;
	/*
	 * A credit is there: call channel_send() now.  It comes again when the peer found the
	 * payload damaged: whatever was sent must not change before the call ends.
	 */
	void (*credit)(struct call *call);
	void (*answered)(struct call *call, const struct frame *completion);
	/*
	 * Of a READ: its bytes are here, in a slot that the peer can still write.  What this
	 * returns is the answer; after LS_CHECKSUM they come again.
	 */
	enum ls_status (*data)(struct call *call, const uint8_t *payload, uint32_t length,
			       uint32_t crc);
	/* The session ended.  @sent: the peer may have done it. */
	void (*lost)(struct call *call, bool sent);
};

enum serve_state { SERVE_FREE, SERVE_BUSY };

/* One own slot: a request of the peer, from its landing to our completion frame. */
struct serve {
	struct channel *channel;
	struct frame frame;
	struct leg leg;
	struct volume *volume;
	uint64_t sums[CHECK_MAX]; /* of a CHECK, copied from its slot */
	struct call data; /* of a READ: carries its bytes to the peer */
	uint32_t expected; /* tag and slot that the next request in this slot has */
	enum serve_state state;
	uint64_t landed_ns;
};

/* What the channel passes up: requests that are not I/O, and the end. */
struct channel_handler {
	/*
	 * A control request (FRAME_PAIR, FRAME_STATE, …) landed.  @payload stays valid until
	 * channel_answer(), which must be called exactly once, now or later.
	 */
	void (*control)(struct channel *channel, struct serve *serve, const uint8_t *payload,
			uint32_t length);
};

struct channel {
	struct core *core;
	struct link *link; /* NULL = the session is over */
	const struct channel_handler *handler;
	void *owner;
	uint64_t own_address, peer_address;
	uint32_t epoch;
	uint32_t payload_max; /* of requests that we send */
	uint64_t last_heard_ns;

	struct msgid_table ids;
	struct list waiting; /* struct call: data, in order */
	struct list control_waiting;
	struct serve *serves;
	uint32_t serve_count;
	uint32_t serves_busy;
	bool shut; /* link_shut() was called: down() will follow */

	uint64_t stale; /* completions that matched nothing */
	uint64_t requests_sent, requests_served, payload_mismatches;
};

int channel_init(struct channel *channel, struct core *core, uint32_t slots); /* -ENOMEM */
void channel_fini(struct channel *channel);

/* The session is up.  The channel must be idle. */
void channel_open(struct channel *channel, struct link *link, uint64_t peer_address,
		  uint32_t epoch);
/* The link is down: ends every call and stops answering. */
void channel_lost(struct channel *channel);
/* Nothing of the old session is in a device any more: the link may go, a new one may come. */
bool channel_idle(const struct channel *channel);

/* From the link's handlers. */
void channel_message(struct channel *channel, const uint8_t *bytes, uint32_t length);
void channel_landed(struct channel *channel, uint32_t slot, const uint8_t *header,
		    uint32_t payload_bytes);

/*
 * True: a credit is there, call channel_send() at once.  False: @call waits, and credit()
 * will be called, or lost().
 */
bool channel_credit(struct channel *channel, struct call *call, bool control);
/* Sends @frame (command, flags, volume, length, offset, payload_crc filled) with its payload. */
void channel_send(struct channel *channel, struct call *call, struct frame *frame,
		  const void *payload, uint32_t payload_bytes, const struct region *region);
/* Gives back a credit that was not used. */
void channel_return_credit(struct call *call);
/* Answers a control request. */
void channel_answer(struct serve *serve, enum ls_status status, uint32_t volume, uint64_t value);

/* Is a request of the peer still under way on @volume's devices?  Its session may be over. */
bool channel_serves(const struct channel *channel, const struct volume *volume);

/* When the oldest unanswered call was sent; UINT64_MAX = none. */
uint64_t channel_oldest_ns(const struct channel *channel);

#endif
