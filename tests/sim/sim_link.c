/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_link.h"

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_damage.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRANT_MAGIC 0x544e415247ull

static struct sim_world *world_of(const struct sim_end *end)
{
	return end->wire->world;
}

static uint8_t *slot_payload(struct sim_end *end, uint32_t slot)
{
	return link_slot_payload(&end->link, slot);
}

/* Brings the payload to the peer's slot: from now on the NIC needs the sender's memory no more. */
static void place(struct sim_end *end, struct sim_item *item)
{
	struct sim_end *other = sim_other(end);
	const uint8_t *from = item->copy ? item->copy : item->payload;

	if (item->placed || other->downed)
		return;
	item->placed = true;
	if (item->length)
		memcpy(slot_payload(other, item->slot), from, item->length);
	memcpy(link_slot_header(&other->link, item->slot), item->bytes, LINK_HEADER_BYTES);
}

static void item_free(struct sim_item *item)
{
	list_del(&item->node);
	free(item->copy);
	free(item);
}

static void drop_all(struct list *items)
{
	while (!list_empty(items))
		item_free(LIST_ENTRY(items->next, struct sim_item, node));
}

/* The caller fills its bytes. */
static struct sim_item *item_new(bool request, uint32_t length)
{
	struct sim_item *item = calloc(1, sizeof(*item) + length);

	assert(item);
	list_init(&item->node);
	item->request = request;
	item->genuine = true;
	item->length = length;
	return item;
}

/* When the next thing that @end posts arrives: never before an earlier one. */
static uint64_t arrival_ns(struct sim_end *end)
{
	struct sim_wire *wire = end->wire;
	struct sim_world *world = wire->world;
	uint64_t delay = rng_spread(&world->rng, wire->delay_ns_min, wire->delay_ns_max) +
			 sim_spell_wire_ns(world);
	uint64_t silent = sim_spell_silent_until_ns(world, end->side);

	if (wire->broken)
		return SIM_NEVER;
	end->queue_due_ns =
		max_u64(max_u64(end->queue_due_ns, max_u64(wire->stalled_until_ns, silent)),
			world->now_ns + delay);
	return end->queue_due_ns;
}

static void post(struct sim_end *end, struct sim_item *item)
{
	struct sim_world *world = world_of(end);

	item->due_ns = arrival_ns(end);
	list_add_tail(&end->queue, &item->node);
	if (item->due_ns == SIM_NEVER)
		return;
	if (item->request && !rng_chance(&world->rng, world->profile.wire_late))
		place(end, item);
	sim_wake(world, !end->side, item->due_ns);
}

/* Several sends become one transfer while they fit, as the real links do. */
static struct sim_item *join(struct sim_item *first, struct sim_item *second)
{
	struct sim_item *both;

	if (first->length + second->length > LINK_MESSAGE_MAX)
		return NULL;
	both = item_new(false, first->length + second->length);
	memcpy(both->bytes, first->bytes, first->length);
	memcpy(both->bytes + first->length, second->bytes, second->length);
	item_free(first);
	item_free(second);
	return both;
}

static void flush(struct link *link)
{
	struct sim_end *end = sim_end_of(link);
	struct sim_world *world = world_of(end);

	while (!list_empty(&end->unposted)) {
		struct sim_item *item = LIST_ENTRY(list_pop(&end->unposted), struct sim_item, node);

		while (!item->request && !list_empty(&end->unposted)) {
			struct sim_item *next =
				LIST_ENTRY(end->unposted.next, struct sim_item, node);
			struct sim_item *both = NULL;

			if (!next->request && rng_below(&world->rng, 4))
				both = join(item, next);
			if (!both)
				break;
			item = both;
		}
		if (!item->request)
			sim_damage_message(end, item);
		post(end, item);
		if (!item->request)
			sim_damage_replay(end);
	}
}

static int grant(struct link *link, uint8_t bytes[LINK_GRANT_BYTES])
{
	struct sim_end *end = sim_end_of(link);
	uint64_t words[4] = {GRANT_MAGIC, end->wire->number, end->side, link->slot_count};

	end->granted = true;
	memcpy(bytes, words, sizeof(words));
	check_granted(end);
	return 0;
}

static bool use_grant(struct link *link, const uint8_t bytes[LINK_GRANT_BYTES])
{
	struct sim_end *end = sim_end_of(link);
	const struct link *other = &sim_other(end)->link;
	uint64_t words[4];

	memcpy(words, bytes, sizeof(words));
	if (words[0] != GRANT_MAGIC || words[1] != end->wire->number || words[2] != !end->side ||
	    words[3] != other->slot_count)
		return false;
	link->granted_count = other->slot_count;
	link->granted_bytes = other->slot_bytes;
	return true;
}

static void send_message(struct link *link, const void *bytes, uint32_t length)
{
	struct sim_end *end = sim_end_of(link);
	struct sim_item *item;

	sim_point_message(world_of(end), end->side, bytes, length, SIM_POINT_THERE);
	item = item_new(false, length);
	memcpy(item->bytes, bytes, length);
	if (end->downed)
		sim_fail(world_of(end), "link", "send after down()");
	check_message_sent(end, bytes, length);
	list_add_tail(&end->unposted, &item->node);
	if (sim_damage_cuts(end, bytes, length)) {
		/* The answer may get through, or be lost. */
		if (rng_below(&world_of(end)->rng, 2))
			flush(link);
		world_of(end)->totals.faults++;
		sim_wire_break(end->wire, "cut with an answer");
	}
}

static void write_request(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
			  const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct sim_end *end = sim_end_of(link);
	struct sim_item *item;

	(void)region;
	sim_point_frame(world_of(end), end->side, header, SIM_POINT_BEFORE);
	item = item_new(true, LINK_HEADER_BYTES);
	memcpy(item->bytes, header, LINK_HEADER_BYTES);
	if (end->downed)
		sim_fail(world_of(end), "link", "write after down()");
	if (slot >= link->granted_count || payload_bytes > link->granted_bytes)
		sim_fail(world_of(end), "link", "write out of the granted slots: slot %u, %u bytes",
			 slot, payload_bytes);
	if (end->calls[slot].busy)
		sim_fail(world_of(end), "credits",
			 "slot %u was written before its last request was answered", slot);
	check_request_sent(end, slot, header, payload, payload_bytes);
	item->slot = slot;
	item->payload = payload;
	item->length = payload_bytes;
	item->command = end->calls[slot].sent.command;
	sim_damage_header(end, item);
	list_add_tail(&end->unposted, &item->node);
}

/* A request arrives in its slot. */
static void land(struct sim_end *end, struct sim_item *item)
{
	uint8_t *header = link_slot_header(&end->link, item->slot);
	uint32_t slot = item->slot, length = item->length;

	place(sim_other(end), item);
	sim_damage_payload(end, item, &length);
	check_landed(end, item, length);
	item_free(item);
	sim_point_frame(world_of(end), end->side, header, SIM_POINT_MIDDLE);
	end->link.stats.requests_rx++;
	end->link.handler->landed(end->link.owner, slot, header, length);
	/* What the peer may change, the engine must have copied. */
	if (!end->released)
		memset(header, 0xee, LINK_HEADER_BYTES);
}

static void hear(struct sim_end *end, struct sim_item *item)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	uint32_t length = item->length;

	memcpy(bytes, item->bytes, length);
	if (item->genuine)
		check_delivered(end, bytes, length);
	item_free(item);
	sim_point_message(world_of(end), end->side, bytes, length, SIM_POINT_ANSWERED);
	end->link.stats.messages_rx++;
	end->link.handler->message(end->link.owner, bytes, length);
}

/* This end's card is dead: nothing of its memory is read or written any more. */
static void card_dies(struct sim_end *end)
{
	struct sim_world *world = world_of(end);
	unsigned keep = (unsigned)rng_below(&world->rng, 8);

	end->downed = true;
	drop_all(&end->unposted);
	drop_all(&sim_other(end)->queue);
	LIST_FOR_SAFE (node, &end->queue) {
		struct sim_item *item = LIST_ENTRY(node, struct sim_item, node);

		if (item->due_ns == SIM_NEVER || !keep) {
			keep = 0;
			item_free(item);
			continue;
		}
		keep--;
		if (item->request && item->length && !item->placed) {
			item->copy = malloc(item->length);
			assert(item->copy);
			memcpy(item->copy, item->payload, item->length);
		}
	}
	memset(end->calls, 0, sizeof(end->calls));
	SIM_NOTE(world, end->side, "wire %u: down", end->wire->number);
}

static void go_down(struct sim_end *end)
{
	card_dies(end);
	end->link.handler->down(end->link.owner, end->reason);
}

static unsigned poll(struct link *link, unsigned budget)
{
	struct sim_end *end = sim_end_of(link);
	struct sim_world *world = world_of(end);
	struct list *inbound = &sim_other(end)->queue;
	unsigned handled = 0;

	if (end->downed)
		return 0;
	if (end->down_at_ns <= world->now_ns) {
		go_down(end);
		return 1;
	}
	while (handled < budget && !end->shut && !list_empty(inbound)) {
		struct sim_item *item = LIST_ENTRY(inbound->next, struct sim_item, node);

		if (item->due_ns > world->now_ns)
			break;
		handled++;
		if (item->request)
			land(end, item);
		else
			hear(end, item);
	}
	return handled;
}

static bool arm(struct link *link)
{
	struct sim_end *end = sim_end_of(link);

	return sim_wire_due_ns(end->wire, end->side) <= world_of(end)->now_ns;
}

static void shut(struct link *link, const char *reason)
{
	struct sim_end *end = sim_end_of(link);

	SIM_NOTE(world_of(end), end->side, "wire %u: shut by the engine", end->wire->number);
	/* What was sent before goes out, if the wire lives. */
	if (rng_below(&world_of(end)->rng, 4))
		flush(link);
	sim_wire_break(end->wire, reason);
	end->shut = true;
}

static void destroy(struct link *link)
{
	struct sim_end *end = sim_end_of(link);

	sim_wire_break(end->wire, "the other end refused the link");
	end->downed = true;
	sim_wire_release(end->wire, end->side);
}

static const struct link_ops link_sim_ops = {
	.grant = grant,
	.use_grant = use_grant,
	.send = send_message,
	.write = write_request,
	.flush = flush,
	.poll = poll,
	.arm = arm,
	.shut = shut,
	.destroy = destroy,
};

static void end_init(struct sim_wire *wire, unsigned side)
{
	const struct sim_profile *profile = &wire->world->profile;
	struct sim_end *end = &wire->end[side];
	struct link *link = &end->link;

	end->wire = wire;
	end->side = side;
	end->down_at_ns = SIM_NEVER;
	list_init(&end->unposted);
	list_init(&end->queue);
	link->ops = &link_sim_ops;
	link->slot_count = profile->slot_count[side];
	link->slot_bytes = profile->slot_bytes[side];
	link->slot_stride = LINK_PAYLOAD_OFFSET + profile->slot_bytes[side];
	link->slots.length_bytes = (size_t)link->slot_count * link->slot_stride;
	link->slots.base = aligned_alloc(SIM_PAGE_BYTES, link->slots.length_bytes);
	assert(link->slots.base);
	link->slots.buffer_first = REGION_NO_BUFFERS;
	link->fd = -1;
	link->numa_node = -1;
	snprintf(link->backend, sizeof(link->backend), "%s", "sim");
	snprintf(link->address, sizeof(link->address), "%s", side ? "A" : "B");
	snprintf(link->device, sizeof(link->device), "%s", "sim0");
}

struct sim_wire *sim_wire_create(struct sim_world *world)
{
	struct sim_wire *wire = calloc(1, sizeof(*wire));

	assert(wire);
	wire->world = world;
	wire->number = ++world->wire_count;
	wire->delay_ns_min = rng_spread(&world->rng, US(1), US(20));
	wire->delay_ns_max = wire->delay_ns_min + rng_spread(&world->rng, US(5), MS(5));
	end_init(wire, 0);
	end_init(wire, 1);
	list_add_tail(&world->wires, &wire->node);
	return wire;
}

/* From now on nothing new gets through, and only some of what is under way. */
static void cut(struct sim_world *world, struct sim_end *end)
{
	uint64_t count = 0, keep;

	LIST_FOR (node, &end->queue)
		count++;
	keep = rng_below(&world->rng, 3) ? rng_below(&world->rng, count + 1) : count;
	LIST_FOR (node, &end->queue) {
		if (keep)
			keep--;
		else
			LIST_ENTRY(node, struct sim_item, node)->due_ns = SIM_NEVER;
	}
}

void sim_wire_break(struct sim_wire *wire, const char *reason)
{
	struct sim_world *world = wire->world;

	if (wire->broken)
		return;
	wire->broken = true;
	world->session_disturbed = true;
	for (unsigned i = 0; i < 2; i++) {
		struct sim_end *end = &wire->end[i];

		cut(world, end);
		snprintf(end->reason, sizeof(end->reason), "%s", reason);
		end->down_at_ns = world->now_ns + rng_spread(&world->rng, US(1), MS(200));
		sim_wake(world, i, end->down_at_ns);
	}
}

void sim_wire_kill(struct sim_wire *wire, unsigned side)
{
	struct sim_end *end = &wire->end[side];

	if (end->released)
		return;
	if (!wire->broken)
		sim_wire_break(wire, "simulated: the other node died");
	if (!end->downed)
		card_dies(end);
	sim_wire_release(wire, side);
}

void sim_wire_delay(struct sim_wire *wire, unsigned side, uint64_t until_ns)
{
	struct sim_end *end = &wire->end[side];

	LIST_FOR (node, &end->queue) {
		struct sim_item *item = LIST_ENTRY(node, struct sim_item, node);

		item->due_ns = max_u64(item->due_ns, until_ns);
	}
	end->queue_due_ns = max_u64(end->queue_due_ns, until_ns);
}

void sim_wire_hurry(struct sim_wire *wire, unsigned side, uint64_t due_ns_max)
{
	struct sim_end *end = &wire->end[side];

	LIST_FOR (node, &end->queue) {
		struct sim_item *item = LIST_ENTRY(node, struct sim_item, node);

		if (item->due_ns != SIM_NEVER)
			item->due_ns = min_u64(item->due_ns, due_ns_max);
	}
	end->queue_due_ns = min_u64(end->queue_due_ns, due_ns_max);
	wire->stalled_until_ns = min_u64(wire->stalled_until_ns, due_ns_max);
}

void sim_wire_stall(struct sim_wire *wire, uint64_t until_ns)
{
	wire->stalled_until_ns = max_u64(wire->stalled_until_ns, until_ns);
	sim_wire_delay(wire, 0, until_ns);
	sim_wire_delay(wire, 1, until_ns);
}

uint64_t sim_wire_due_ns(const struct sim_wire *wire, unsigned side)
{
	const struct sim_end *end = &wire->end[side];
	const struct list *inbound = &wire->end[!side].queue;
	uint64_t due = end->down_at_ns;

	if (!end->attached || end->downed)
		return SIM_NEVER;
	if (!list_empty(inbound) && !end->shut)
		due = min_u64(due, LIST_ENTRY(inbound->next, struct sim_item, node)->due_ns);
	return due;
}

static bool item_reads(const struct list *items, const uint8_t *first, uint64_t bytes)
{
	LIST_FOR (node, items) {
		const struct sim_item *item = LIST_ENTRY(node, struct sim_item, node);

		if (item->request && item->length && item->payload < first + bytes &&
		    first < item->payload + item->length)
			return true;
	}
	return false;
}

bool sim_wire_reads(const struct sim_wire *wire, unsigned side, const void *base, uint64_t bytes)
{
	const struct sim_end *end = &wire->end[side];

	/* Until it has arrived the card may have to send it again. */
	return !end->downed &&
	       (item_reads(&end->queue, base, bytes) || item_reads(&end->unposted, base, bytes));
}

void sim_wire_release(struct sim_wire *wire, unsigned side)
{
	struct sim_end *end = &wire->end[side];

	assert(!end->released);
	end->released = true;
	drop_all(&wire->end[!side].queue);
	free(end->link.slots.base);
	end->link.slots.base = NULL;
	free(end->ids);
	end->ids = NULL;
	if (!wire->end[!side].released)
		return;
	drop_all(&end->queue);
	list_del(&wire->node);
	free(wire);
}

void sim_wire_destroy(struct sim_wire *wire)
{
	for (unsigned i = 0; i < 2; i++) {
		drop_all(&wire->end[i].queue);
		drop_all(&wire->end[i].unposted);
		free(wire->end[i].link.slots.base);
		free(wire->end[i].ids);
	}
	list_del(&wire->node);
	free(wire);
}
