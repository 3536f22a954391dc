/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated link.  A wire has two ends; each end is a struct link of one engine.
 * Things posted at one end arrive at the other in order, after a random delay.  A payload
 * is read by the "NIC" when it is posted or only when it arrives, and lands in the slot
 * then.  A wire can break at any moment: a random number of the things under way still
 * arrives, the rest is lost, and each end learns of it (down) at a time of its own.
 *
 * It notices: a slot written before its last request was answered, anything out of the
 * slot's bounds, a link used without a grant or after down().
 */
#ifndef LS_SIM_LINK_H
#define LS_SIM_LINK_H

#include "engine/base/list.h"
#include "tests/sim/sim_frame.h"
#include "verbs/link.h"

#define SIM_SLOTS_MAX 64u

struct sim_world;
struct sim_wire;

/* A request as its sender sees it: from link_write() until its completion was delivered. */
struct sim_call {
	bool busy;
	bool answered; /* the completion is on its way */
	struct sim_frame sent;
	const uint8_t *payload;
	struct sim_volume *volume; /* the sender's, if known */
};

/* The same request as its receiver sees it: from landing until it was answered. */
struct sim_serve {
	bool busy;
	bool readable; /* the header that landed is whole */
	bool header_damaged, payload_damaged;
	struct sim_frame heard;
	uint32_t length;
	uint64_t seq;
};

/* Something on its way to the other end. */
struct sim_item {
	struct list node;
	uint64_t due_ns; /* UINT64_MAX = lost */
	bool request;
	bool genuine; /* not a replay */
	bool placed; /* the payload is in the slot already */
	bool header_damaged, payload_damaged;
	uint8_t command; /* of a request */
	uint32_t slot, length;
	const uint8_t *payload;
	uint8_t *copy; /* payload, once the sender's memory is out of reach */
	uint8_t bytes[]; /* header or message */
};

struct sim_end {
	struct link link;
	struct sim_wire *wire;
	unsigned side; /* = the node */
	bool attached, granted, shut, downed, released;
	uint64_t down_at_ns; /* UINT64_MAX = not yet known */
	char reason[96];

	struct list unposted; /* struct sim_item, until flush() */
	struct list queue; /* posted by this end, not arrived at the other */
	uint64_t queue_due_ns; /* of the last of them */
	struct sim_call calls[SIM_SLOTS_MAX]; /* requests of this end */
	struct sim_serve serves[SIM_SLOTS_MAX]; /* requests of the other end, by own slot */
	uint32_t epoch; /* of the frames that it sends; 0 = none seen */
	uint64_t *ids; /* message IDs that this end has used: open addressing */
	uint32_t id_count, id_room;
};

struct sim_wire {
	struct list node;
	struct sim_world *world;
	unsigned number;
	struct sim_end end[2];
	bool broken;
	uint64_t delay_ns_min, delay_ns_max;
	uint64_t stalled_until_ns;
};

/* A new wire between the two nodes.  Its ends are handed to the engines by the world. */
struct sim_wire *sim_wire_create(struct sim_world *world);
/* Breaks it now. */
void sim_wire_break(struct sim_wire *wire, const char *reason);
/* The node of this end has died: nobody polls it, and its memory is gone. */
void sim_wire_kill(struct sim_wire *wire, unsigned side);
/* Nothing arrives before @until_ns. */
void sim_wire_stall(struct sim_wire *wire, uint64_t until_ns);
/* Nothing that @side says arrives before @until_ns; and it does arrive by @due_ns_max. */
void sim_wire_delay(struct sim_wire *wire, unsigned side, uint64_t until_ns);
void sim_wire_hurry(struct sim_wire *wire, unsigned side, uint64_t due_ns_max);
/* When @side has something to poll; UINT64_MAX = not before somebody acts. */
uint64_t sim_wire_due_ns(const struct sim_wire *wire, unsigned side);
/* A payload of @side that the NIC may still read from this memory. */
bool sim_wire_reads(const struct sim_wire *wire, unsigned side, const void *base, uint64_t bytes);
/* @side was handed back by its engine; frees the wire with the second. */
void sim_wire_release(struct sim_wire *wire, unsigned side);
void sim_wire_destroy(struct sim_wire *wire);

static inline struct sim_end *sim_end_of(struct link *link)
{
	return CONTAINER_OF(link, struct sim_end, link);
}

static inline struct sim_end *sim_other(const struct sim_end *end)
{
	return &end->wire->end[!end->side];
}

#endif
