/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold when an engine uses its disks: I2, I5, and who may write what. */
#include "tests/sim/sim_check.h"

#include <inttypes.h>

static bool changes(enum store_code code)
{
	return code != STORE_READ && code != STORE_FLUSH;
}

static bool in_region(const struct region *region, const void *buf)
{
	const uint8_t *base = region->base, *at = buf;

	return base && at >= base && at < base + region->length_bytes;
}

/* Reads for the initial copy count as part of a write: what they read goes to the peer. */
static bool copies(const struct sim_node *node, const struct store_op *op)
{
	return op->code == STORE_READ && in_region(&node->copy, op->buf);
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

static const char *code_name(enum store_code code)
{
	static const char *const names[] = {"read", "write", "flush", "discard", "zero"};

	return names[code];
}

/* I2 on one disk. */
static void check_disk_overlap(struct sim_store *store, const struct sim_op *op)
{
	const struct sim_node *node = &store->world->node[store->node];

	LIST_FOR (entry, &store->in_flight) {
		const struct sim_op *other = LIST_ENTRY(entry, struct sim_op, node);
		const struct store_op *a = other->op, *b = op->op;

		if (!overlap(a->offset, a->length, b->offset, b->length))
			continue;
		/* A secondary compares and copies nothing: a verify that was stopped reads on. */
		if (copies(node, a) && other->volume &&
		    other->volume->status.role == VOLUME_SECONDARY)
			continue;
		if ((changes(a->code) && (changes(b->code) || copies(node, b))) ||
		    (changes(b->code) && copies(node, a)))
			sim_fail(store->world, "I2",
				 "disk %u of %c: %s at %" PRIu64 "+%" PRIu64 " while %s at %" PRIu64
				 "+%" PRIu64 " is in flight",
				 store->index, 'A' + store->node, code_name(b->code), b->offset,
				 b->length, code_name(a->code), a->offset, a->length);
	}
}

/*
 * I2 on the volume: an operation of which the peer's leg is still open must not be met by
 * another one here.  The two legs of one write share their buffer, which tells them apart.
 */
static void check_remote_overlap(struct sim_store *store, const struct sim_op *op)
{
	struct sim_world *world = store->world;
	uintptr_t base = (uintptr_t)op->op->buf - op->volume_offset;

	LIST_FOR (entry, &world->wires) {
		struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);
		const struct sim_end *end = &wire->end[store->node];

		for (uint32_t i = 0; i < end->link.granted_count; i++) {
			const struct sim_call *call = &end->calls[i];
			bool same = call->sent.command == FRAME_WRITE
					    ? op->op->code == STORE_WRITE &&
						      base == (uintptr_t)call->payload -
								      call->sent.offset
					    : op->op->code != STORE_WRITE;

			if (call->busy && call->volume == op->volume && !same &&
			    sim_frame_changes(&call->sent) &&
			    overlap(call->sent.offset, call->sent.length, op->volume_offset,
				    op->op->length))
				sim_fail(world, "I2",
					 "%c: %s of volume %s at %" PRIu64 "+%" PRIu64
					 " while the peer's leg of %" PRIx64 " is open",
					 'A' + store->node, code_name(op->op->code),
					 op->volume->name, op->volume_offset, op->op->length,
					 call->sent.message);
		}
	}
}

/* A write straight from a slot: the slot must be in use, and its payload sound. */
static void check_slot_source(struct sim_store *store, const struct store_op *op)
{
	struct sim_world *world = store->world;

	LIST_FOR (entry, &world->wires) {
		struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);
		const struct sim_end *end = &wire->end[store->node];
		const struct sim_serve *serve;
		uint64_t slot;

		if (!in_region(&end->link.slots, op->buf))
			continue;
		slot = (uint64_t)((uint8_t *)op->buf - (uint8_t *)end->link.slots.base) /
		       end->link.slot_stride;
		serve = &end->serves[slot];
		if (!serve->busy)
			sim_fail(world, "I5",
				 "%c writes from slot %" PRIu64 ", which is not in use",
				 'A' + store->node, slot);
		if (serve->payload_damaged)
			sim_fail(world, "checksum",
				 "the damaged payload of %" PRIx64 " goes to %c's disk",
				 serve->heard.message, 'A' + store->node);
		if (serve->header_damaged)
			sim_fail(world, "I13", "the forged request %" PRIx64 " goes to %c's disk",
				 serve->heard.message, 'A' + store->node);
	}
}

static struct sim_request *request_of(struct sim_world *world, uint64_t id)
{
	struct sim_request *request = &world->node[id >> 7 & 1].requests[id % SIM_REQUESTS_MAX];

	return request->open && request->id == id ? request : NULL;
}

void check_touched(struct sim_world *world, const void *payload)
{
	struct sim_request *request = request_of(world, *(const uint64_t *)payload);

	if (request)
		request->touched = true;
}

void check_sent(struct sim_world *world, const void *payload)
{
	struct sim_request *request = request_of(world, *(const uint64_t *)payload);

	if (request)
		request->touched = request->sent = true;
}

void check_sent_zeroes(struct sim_world *world, const struct sim_call *call)
{
	for (unsigned i = 0; i < SIM_NODES * SIM_REQUESTS_MAX; i++) {
		struct sim_request *r =
			&world->node[i / SIM_REQUESTS_MAX].requests[i % SIM_REQUESTS_MAX];

		if (r->open && r->volume == call->volume &&
		    overlap(r->request.offset, r->request.length, call->sent.offset,
			    call->sent.length))
			r->sent = true;
	}
}

void check_store_submit(struct sim_store *store, struct sim_op *op)
{
	struct sim_world *world = store->world;
	struct sim_node *node = &world->node[store->node];
	const struct store_op *o = op->op;
	uint64_t last;

	SIM_NOTE(world, store->node, "disk %u: %s %u+%u", store->index, SIM_STR(code_name(o->code)),
		 o->offset, o->length);
	if (o->code == STORE_FLUSH)
		return;
	op->volume = check_locate(node, store->index, o->offset, &op->volume_offset);
	if (op->volume &&
	    check_locate(node, store->index, o->offset + o->length - 1, &last) != op->volume)
		sim_fail(world, "store", "%c: an operation reaches out of volume %s",
			 'A' + store->node, op->volume->name);
	check_disk_overlap(store, op);
	if (op->volume && (changes(o->code) || copies(node, o)))
		check_remote_overlap(store, op);
	if (op->volume && changes(o->code))
		check_intent_write(op->volume, op->volume_offset, o->length);
	else if (o->code == STORE_WRITE)
		check_intent_page(store, o);
	if (o->code == STORE_READ) {
		LIST_FOR (entry, &world->wires) {
			if (sim_wire_reads(LIST_ENTRY(entry, struct sim_wire, node), store->node,
					   o->buf, o->length))
				sim_fail(world, "I5", "%c reads into a buffer that its NIC sends",
					 'A' + store->node);
		}
	}
	if (o->code == STORE_WRITE) {
		check_slot_source(store, o);
		check_touched(world, o->buf);
	}
}

/* Does what happens to @volume at @node count for @request? */
static bool concerns(struct sim_world *world, const struct sim_request *request,
		     const struct sim_volume *volume)
{
	if (request->volume == volume)
		return true;
	return request->volume && request->volume->node != volume->node &&
	       check_partner(world, request->volume) == volume;
}

static void mark(struct sim_request *request, unsigned node, uint64_t block)
{
	if (block >= request->first_block && block < request->first_block + request->block_count)
		request->leg[node][(block - request->first_block) / 8] |=
			(uint8_t)(1u << (block - request->first_block) % 8);
}

/* The blocks that a write of data has brought to the disk, by what is in them. */
static void mark_data(struct sim_store *store, const struct sim_op *op)
{
	struct sim_world *world = store->world;
	uint32_t block_bytes = op->volume->status.block_bytes;
	const struct sim_media *media = &store->disk->media;
	struct sim_request *known = NULL;
	uint64_t known_id = 0;

	for (uint64_t at = 0; at < op->op->length; at += block_bytes) {
		uint64_t where = op->op->offset + at, id = media_word(media, where), found;
		uint64_t block = (op->volume_offset + at) / block_bytes;
		enum sim_value value;

		if (!id)
			continue;
		if (id != known_id) {
			known = request_of(world, id);
			known_id = id;
			if (known && !concerns(world, known, op->volume))
				known = NULL;
		}
		if (known && media_pattern(media, where, block_bytes, block, &value, &found))
			mark(known, store->node, block);
	}
}

static void mark_zeroes(struct sim_store *store, const struct sim_op *op)
{
	struct sim_world *world = store->world;
	uint32_t block_bytes = op->volume->status.block_bytes;
	uint64_t first = op->volume_offset / block_bytes;

	for (unsigned i = 0; i < SIM_NODES * SIM_REQUESTS_MAX; i++) {
		struct sim_request *request =
			&world->node[i / SIM_REQUESTS_MAX].requests[i % SIM_REQUESTS_MAX];

		if (!request->open || !request->block_count || request->seq > op->seq ||
		    (request->request.op != REQUEST_DISCARD &&
		     request->request.op != REQUEST_WRITE_ZEROES) ||
		    !concerns(world, request, op->volume))
			continue;
		for (uint64_t b = 0; b < op->op->length / block_bytes; b++)
			mark(request, store->node, first + b);
	}
}

void check_store_done(struct sim_store *store, const struct sim_op *op)
{
	SIM_NOTE(store->world, store->node, "disk %u: %s %u+%u ended, status %u", store->index,
		 SIM_STR(code_name(op->op->code)), op->op->offset, op->op->length, op->fate);
	if (op->fate != LS_OK) {
		/* The table's, perhaps: then a volume that the peer asked for goes again. */
		store->world->node[store->node].map_stale = true;
		return;
	}
	if (!op->volume || !changes(op->op->code))
		return;
	if (op->op->code == STORE_WRITE && *(const uint64_t *)op->op->buf)
		mark_data(store, op);
	else
		mark_zeroes(store, op);
}
