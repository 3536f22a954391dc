/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link interface: one connection to one peer, as the core sees it.
 *
 * A link carries two things, in order, each whole and once or not at all:
 *  - messages: a few hundred bytes (completion frames, the handshake), copied;
 *  - requests: a 64-byte frame header and its payload, placed in one of the *slots* that
 *    the peer granted.  The slot is the credit: the sender owns a granted slot until the
 *    peer answers, so a receiver can never be overrun.
 *
 *    slot i:  | unused .......... | header 64 | payload: page-aligned, slot_bytes long |
 *             ^ i * slot_stride               ^ i * slot_stride + LINK_PAYLOAD_OFFSET
 *
 * Backends: `rdma` (a request is one RDMA WRITE_WITH_IMM, or a WRITE and its part of a SEND, a
 * message one SEND), `tcp`, and the simulator's.  A backend never decides anything about a frame.
 *
 * Threads: all calls and all handler calls happen on the shard's thread, once the link was
 * handed over.  Handlers are called from link_poll() only, never from inside another call.
 *
 * Failure is sticky: whatever goes wrong, the link delivers nothing more, and down() is
 * called exactly once, from link_poll(), when neither the NIC nor the kernel touches any
 * buffer of the link any longer.  send() and write() have no error to check.
 */
#ifndef LS_VERBS_LINK_H
#define LS_VERBS_LINK_H

#include "engine/base/err.h"
#include "engine/base/region.h"

#include <stdbool.h>

#define LINK_HEADER_BYTES 64u
#define LINK_PAYLOAD_OFFSET 4096u
/* Longest message; a link may join several sends into one transfer up to this length. */
#define LINK_MESSAGE_MAX 2048u
/* Opaque description of granted slots, sent to the peer inside the (authenticated) handshake. */
#define LINK_GRANT_BYTES 32u
/* Slots a link may have, at most. */
#define LINK_SLOTS_MAX 1024u
/* Messages that a side may have under way besides one answer for each request it received. */
#define LINK_SPARE_MESSAGES 8u

struct link;

struct link_handler {
	/* One or more sends of the peer, joined; valid during the call only. */
	void (*message)(void *owner, const uint8_t *bytes, uint32_t length);
	/*
	 * A request has landed in @slot.  @header points to LINK_HEADER_BYTES, valid during the
	 * call only, that the peer may still change (copy once); @payload_bytes fit into the
	 * slot.  A hostile peer may leave some of them unwritten, or use a slot again that was
	 * not answered: the owner must check for that.
	 */
	void (*landed)(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes);
	/* The end; @reason is a sentence.  The owner then calls link_destroy(), now or later. */
	void (*down)(void *owner, const char *reason);
};

struct link_stats {
	uint64_t messages_tx, messages_rx; /* transfers, after joining */
	uint64_t requests_tx, requests_rx;
	uint64_t trains_tx; /* transfers that carried the headers of several of them; rdma only */
	uint64_t payload_tx, payload_rx; /* bytes */
	uint64_t posts; /* doorbells or write calls */
	uint64_t completions; /* CQEs polled */
	uint64_t copied; /* payload bytes that the link copied itself; 0 for rdma */
	uint64_t rnr; /* receiver-not-ready events: must stay 0 */
};

struct link_ops {
	/*
	 * Opens own slots to the peer and writes their description to @grant.  0 or -errno, and
	 * then the link goes down with the sentence.
	 */
	int (*grant)(struct link *link, uint8_t grant[LINK_GRANT_BYTES]);
	/* Takes the peer's description; false when it makes no sense. */
	bool (*use_grant)(struct link *link, const uint8_t grant[LINK_GRANT_BYTES]);
	void (*send)(struct link *link, const void *bytes, uint32_t length);
	void (*write)(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		      const void *payload, uint32_t payload_bytes, const struct region *region);
	void (*flush)(struct link *link);
	unsigned (*poll)(struct link *link, unsigned budget);
	bool (*arm)(struct link *link);
	void (*shut)(struct link *link, const char *reason);
	void (*destroy)(struct link *link);
};

/* The first member of every backend's link.  Set by the backend, read by all. */
struct link {
	const struct link_ops *ops;
	/* What a backend calls: the guard that link_attach() puts before the owner's handler. */
	const struct link_handler *handler;
	void *owner;

	struct region slots; /* own receive slots; registered with the store, too */
	uint32_t slot_count; /* of the own slots */
	uint32_t slot_bytes; /* payload room of one */
	uint32_t slot_stride; /* bytes from one to the next */
	uint32_t granted_count; /* the peer's slots, after use_grant(); 0 before */
	uint32_t granted_bytes; /* payload room of one of them */

	int fd; /* readable when poll has something to do (after arm), or -1 */
	struct link_stats stats;
	char backend[16]; /* "rdma", "tcp", … */
	char address[96]; /* of the peer, as connected */
	char device[64]; /* "rxe0", "mlx5_0 port 1", or the local address */
	char detail[160]; /* "RC, path MTU 4096, inline 512" … for status */
	int numa_node; /* of the device; -1 = the machine does not say */

	/* Kept by link.c to check both sides of the contract; a backend leaves them zero. */
	struct {
		const struct link_handler *handler;
		void *owner;
		bool *polling; /* not NULL inside link_poll(); set to true by down() */
		bool open; /* attached, and not down */
		bool granted, shut;
	} guard;
};

static inline uint8_t *link_slot_payload(const struct link *link, uint32_t slot)
{
	return (uint8_t *)link->slots.base + (size_t)slot * link->slot_stride + LINK_PAYLOAD_OFFSET;
}

static inline uint8_t *link_slot_header(const struct link *link, uint32_t slot)
{
	return link_slot_payload(link, slot) - LINK_HEADER_BYTES;
}

/*
 * Thin wrappers that assert the contract on both sides.  After down() only link_destroy()
 * is useful: poll returns 0, arm false, shut and flush do nothing; send and write are errors.
 */
void link_attach(struct link *link, const struct link_handler *handler, void *owner);
int link_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES]);
bool link_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES]);
void link_send(struct link *link, const void *bytes, uint32_t length);
void link_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		const void *payload, uint32_t payload_bytes, const struct region *region);
void link_flush(struct link *link); /* post what was queued: one doorbell */
unsigned link_poll(struct link *link, unsigned budget); /* returns how many events were handled */
bool link_arm(struct link *link); /* before sleeping on fd: true = poll at once instead */
void link_shut(struct link *link, const char *reason);
void link_destroy(struct link *link); /* only after down(), or before attach */

#endif
