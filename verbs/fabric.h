/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fabric makes links: it listens, dials, and registers memory.  One thread of its own
 * (the CM thread) waits for connection events, each with a time limit; it calls the
 * handler below from that thread, and the daemon passes the link on to the shard.
 *
 * URIs: "rdma://ADDRESS:PORT" and "tcp://ADDRESS:PORT".  ADDRESS is a numeric IPv4
 * address, a numeric IPv6 address in brackets, or a host name (looked up by a blocking call:
 * in fabric_create() by the caller, in fabric_dial() on the CM thread).  Without ":PORT" it
 * is HOST_PORT_DEFAULT; port 0 takes a free one, see fabric_port().
 */
#ifndef LS_VERBS_FABRIC_H
#define LS_VERBS_FABRIC_H

#include "engine/base/host_port.h"
#include "verbs/link.h"

/* Longest payload room of a slot; header and slot must fit in one RDMA message. */
#define FABRIC_SLOT_BYTES_MAX (4u << 20)

struct fabric;

struct fabric_config {
	uint32_t slot_count; /* own slots per link; 2..LINK_SLOTS_MAX */
	uint32_t slot_bytes; /* payload room of one; multiple of 4096 */
	uint32_t timeout_ms; /* limit of every step of making a connection */
};

/* Called from the CM thread. */
struct fabric_handler {
	/* @cookie is dial()'s, or NULL for a link that the peer dialled. */
	void (*opened)(void *owner, struct link *link, void *cookie);
	/* A dial() failed; @reason is a sentence.  Called exactly once per failed dial. */
	void (*failed)(void *owner, void *cookie, const char *reason);
	/*
	 * Optional.  A connection that somebody else dialled came to nothing; @reason is a
	 * sentence with the address.  Strangers can cause it at will: limit what is logged.
	 */
	void (*refused)(void *owner, const char *reason);
};

/*
 * Creates the fabric for @uri's scheme and, unless the address part is empty, listens
 * there.  Failures with a sentence: no RDMA device, no address, port taken, memlock limit.
 */
int fabric_create(const char *uri, const struct fabric_config *config,
		  const struct fabric_handler *handler, void *owner, struct fabric **fabric,
		  struct err *err) MUST_CHECK;

/*
 * Stops listening and dialling; dials still under way end with failed().  All links must
 * have been destroyed.
 */
void fabric_destroy(struct fabric *fabric);

/* Starts to connect to "ADDRESS:PORT" (no scheme); the answer comes to the handler.  Any thread. */
int fabric_dial(struct fabric *fabric, const char *address, void *cookie,
		struct err *err) MUST_CHECK;

/* Registers memory that link_write() will send from.  Control path, may block.  Any thread. */
int fabric_region_add(struct fabric *fabric, struct region *region, struct err *err) MUST_CHECK;
void fabric_region_remove(struct fabric *fabric, struct region *region);

/* "rdma" or "tcp"; and "rxe0 (soft-RoCE), GID 1, 10.0.0.1:7610" for status. */
const char *fabric_backend(const struct fabric *fabric);
const char *fabric_describe(const struct fabric *fabric);
/* The port it listens on, also when 0 was asked for; 0 = it does not listen. */
uint16_t fabric_port(const struct fabric *fabric);
/* Receiver-not-ready events of the device since it was loaded; reads sysfs, so never hot. */
uint64_t fabric_rnr_count(const struct fabric *fabric);

#endif
