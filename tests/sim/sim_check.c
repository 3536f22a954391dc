/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold for the clients, and when everything is over. */
#include "tests/sim/sim_check.h"

#include <inttypes.h>
#include <string.h>

#define NO_ID (UINT64_MAX - 1)

bool check_changes(const struct sim_request *request)
{
	return request->request.op >= REQUEST_WRITE && request->request.op != REQUEST_FLUSH;
}

enum sim_value check_value_of(const struct sim_request *request)
{
	switch (request->request.op) {
	case REQUEST_DISCARD:
		return SIM_DISCARD;
	case REQUEST_WRITE_ZEROES:
		return SIM_ZERO;
	default:
		return SIM_DATA;
	}
}

static void open_history(struct sim_request *request, struct sim_volume *volume)
{
	uint64_t oldest = sim_oldest_seq(request->world);

	for (uint64_t b = 0; b < request->block_count; b++)
		history_open(&volume->history, request->first_block + b, request->id,
			     check_value_of(request), request->seq, oldest);
}

void check_submitted(struct sim_request *request)
{
	struct sim_volume *volume = request->volume, *twin;

	if (!volume || request->hostile || !check_changes(request))
		return;
	if (check_tracked(volume))
		open_history(request, volume);
	twin = check_tracked_twin(volume);
	if (twin)
		open_history(request, twin);
}

/* What a write that has ended leaves on a replica. */
enum outcome { NEVER_THERE, PERHAPS_THERE, THERE };

static void end_blocks(struct sim_request *request, struct sim_volume *volume, enum outcome outcome)
{
	for (uint64_t b = 0; b < request->block_count; b++) {
		if (outcome == NEVER_THERE)
			history_forget(&volume->history, request->first_block + b, request->id);
		else
			history_end(&volume->history, request->first_block + b, request->id,
				    outcome == THERE, request->world->seq++);
	}
}

/* @counted: it is on the peer, too, and that is worth something. */
static void end_history(struct sim_request *request, bool counted)
{
	struct sim_volume *volume = request->volume, *twin;
	enum ls_status status = request->request.status;
	/* Asked for again after a restart, it may have been begun the first time. */
	bool refused = status != LS_OK && status < LS_LOCAL_IO && !request->again;

	if (!volume || request->hostile || !check_changes(request))
		return;
	if (check_tracked(volume))
		end_blocks(request, volume,
			   refused	     ? NEVER_THERE
			   : status == LS_OK ? THERE
					     : PERHAPS_THERE);
	twin = check_tracked_twin(volume);
	if (twin)
		end_blocks(request, twin,
			   refused || !request->sent	? NEVER_THERE
			   : status == LS_OK && counted ? THERE
							: PERHAPS_THERE);
}

void check_forgotten(struct sim_request *request)
{
	request->request.status = LS_PEER_LOST;
	end_history(request, false);
}

/* What the disk holds now is what a read may return, among what was there before. */
static void adopt_block(struct sim_volume *v, uint64_t block, uint64_t oldest)
{
	uint32_t block_bytes = v->status.block_bytes;
	enum sim_value value = SIM_ANY;
	uint64_t at, id = 0, seq;
	const struct sim_disk *disk = check_block(v, block * block_bytes, &at);

	if (!disk || disk->written_seq[at / SIM_SECTOR_BYTES] != SIM_LOST)
		return;
	seq = v->owner->world->seq++;
	if (!media_pattern(&disk->media, at, block_bytes, block, &value, &id))
		value = SIM_ANY;
	history_open(&v->history, block, id, value, seq, oldest);
	history_end(&v->history, block, id, false, seq);
}

void check_power_cut(struct sim_node *node)
{
	uint64_t oldest = sim_oldest_seq(node->world);

	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++) {
		struct sim_volume *v = &node->volumes[i];

		for (uint64_t b = 0; v->used && v->mapped && !v->wild && v->history.heads &&
				     b < v->history.block_count;
		     b++)
			adopt_block(v, b, oldest);
	}
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++)
		sim_disk_settle(&node->disks[i]);
}

void check_buffer(const struct sim_request *request)
{
	struct sim_world *world = request->world;
	const struct sim_node *node = &world->node[request->node];
	const uint8_t *base =
		(const uint8_t *)node->arena.base + (uint64_t)request->page_first * SIM_PAGE_BYTES;
	uint64_t bytes = (uint64_t)request->page_count * SIM_PAGE_BYTES;

	if (!request->page_count)
		return;
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		if (node->stores[i] && sim_store_uses(node->stores[i], base, bytes))
			sim_fail(world, "I5",
				 "request %" PRIx64 " ended while its buffer is in a disk's hands",
				 request->id);
	}
	LIST_FOR (entry, &world->wires) {
		if (sim_wire_reads(LIST_ENTRY(entry, struct sim_wire, node), request->node, base,
				   bytes))
			sim_fail(world, "I5",
				 "request %" PRIx64 " ended while the NIC may read its buffer",
				 request->id);
	}
}

static bool in_sync(struct sim_volume *volume)
{
	const struct sim_node *node = volume->owner;

	return node->engine && node->opened && check_mirror(volume) == MIRROR_SYNCED;
}

/*
 * Nothing but the local device has failed since the read began: the peer has the block.  A peer
 * that had left before, of which this node does not know yet, refuses to be read.
 */
static bool peer_could_help(const struct sim_request *request)
{
	struct sim_volume *volume = request->volume, *twin = check_twin(volume);

	return request->synced && twin && volume->unsynced_seq < request->seq &&
	       twin->unsynced_seq < request->seq && in_sync(volume) && in_sync(twin) &&
	       !volume->status.dirty_regions;
}

/* A status must have a cause. */
static void check_status(const struct sim_request *request)
{
	struct sim_world *world = request->world;
	enum ls_status status = request->request.status;
	bool known = status <= LS_BUSY || (status >= LS_LOCAL_IO && status <= LS_SHUTDOWN);
	bool caused = true;

	if (status == LS_SHUTDOWN)
		caused = world->node[request->node].stopping;
	else if (request->hostile)
		caused = status != LS_OK && status < LS_LOCAL_IO;
	else if (status >= LS_INVALID && status <= LS_NO_VOLUME)
		caused = false;
	else if (status == LS_LOCAL_IO || status == LS_PEER_IO || status == LS_BOTH_IO)
		caused = world->disk_failed;
	else if (status == LS_CHECKSUM)
		caused = world->payload_damaged;
	else if (status == LS_PEER_LOST)
		/* Or the operator has made the other side primary while it ran. */
		caused = world->session_disturbed || request->volume->operated_seq;
	else if (status == LS_PROTOCOL)
		caused = world->session_disturbed;
	else if (status == LS_NO_SPACE)
		caused = false;
	if (status == LS_LOCAL_IO && request->request.op == REQUEST_READ &&
	    peer_could_help(request))
		sim_fail(world, "reads",
			 "read %" PRIx64
			 " failed on the local device alone, but %s was in sync all "
			 "the time",
			 request->id, request->volume->name);
	if (!known || !caused)
		sim_fail(world, "status", "request %" PRIx64 " ended with status %u without cause",
			 request->id, status);
	if (request->touched && status != LS_OK && status < LS_LOCAL_IO)
		sim_fail(world, "status",
			 "request %" PRIx64 " was refused (status %u), but was begun", request->id,
			 status);
	if (status >= LS_LOCAL_IO && status <= LS_BOTH_IO && !request->request.failed_legs)
		sim_fail(world, "status", "request %" PRIx64 " failed with no failed leg",
			 request->id);
}

/*
 * Was the peer up to date when the request was submitted, and has nothing been recorded since
 * that it missed a write?  Then it must have this one (I1).  Not when that mirror has ended since,
 * which the generation does not say: what is done then is copied by the next one.
 */
static bool both_count(const struct sim_request *request)
{
	const struct volume_status *s = &request->volume->status;

	check_mirror(request->volume);
	return request->synced && s->generations.current == request->generation &&
	       s->association == ASSOCIATION_ACTIVE && request->volume->unpaired_seq < request->seq;
}

/* M1, M2: every block has been on both disks. */
static void check_legs_done(const struct sim_request *request)
{
	struct sim_world *world = request->world;
	bool both = request->mirrored && both_count(request);

	for (unsigned i = 0; i < SIM_NODES; i++) {
		if (i != request->node && !both)
			continue;
		for (uint64_t b = 0; b < request->block_count; b++) {
			if (!(request->leg[i][b / 8] & 1u << b % 8))
				sim_fail(world, "M2",
					 "request %" PRIx64 " was acknowledged, but block %" PRIu64
					 " of it is not on %c's disk",
					 request->id, request->first_block + b, 'A' + i);
		}
	}
}

/* Is one of the sectors volatile that was written before @before? */
SIM_WIDE static bool may_be_lost(const struct sim_disk *disk, const struct extent_status *extent,
				 uint64_t before)
{
	const uint32_t *seq = disk->written_seq + extent->offset / SIM_SECTOR_BYTES;
	const uint8_t *doom = disk->doom + extent->offset / SIM_SECTOR_BYTES;
	uint32_t flushed = (uint32_t)disk->flushed_seq, end = (uint32_t)before, bad = 0;

	for (uint64_t i = 0; i < extent->length / SIM_SECTOR_BYTES; i++)
		bad |= ((seq[i] > flushed) | (doom[i] == DOOM_UNTOLD)) & (seq[i] < end) &
		       (doom[i] != DOOM_TOLD);
	return bad;
}

/* I4: nothing that was complete before the flush began may be volatile still. */
static void check_flushed(const struct sim_request *request, const struct sim_volume *volume)
{
	for (unsigned e = 0; e < volume->status.extent_count; e++) {
		const struct extent_status *extent = &volume->status.extents[e];
		const struct sim_disk *disk = &volume->owner->disks[extent->device];

		if (may_be_lost(disk, extent, request->seq))
			sim_fail(request->world, "I4",
				 "flush %" PRIx64 " was acknowledged, but a sector of extent %u of "
				 "%s at %c may be lost",
				 request->id, e, volume->name, 'A' + volume->node);
	}
}

/* A write with FUA, as long as nobody wrote over it. */
static void check_durable(const struct sim_request *request, const struct sim_volume *volume)
{
	uint32_t block_bytes = volume->status.block_bytes;

	for (uint64_t b = request->first_block; b < request->first_block + request->block_count;
	     b++) {
		uint64_t at;
		const struct sim_disk *disk = check_block(volume, b * block_bytes, &at);

		if (disk && media_word(&disk->media, at) == request->id &&
		    sim_disk_volatile(disk, at))
			sim_fail(request->world, "I4",
				 "FUA write %" PRIx64 " was acknowledged, but may be lost at %c",
				 request->id, 'A' + volume->node);
	}
}

/*
 * A device of smaller blocks may have torn one of the volume's, half old and half new; a resync
 * may have carried it to the other side.
 */
static bool may_be_torn(const struct sim_volume *volume, uint64_t block, uint64_t since)
{
	const struct sim_profile *p = &volume->owner->world->profile;

	return volume->status.block_bytes > min_u64(p->block_bytes[0], p->block_bytes[1]) &&
	       history_unsettled(&volume->history, block, since);
}

/* @readable: it holds @value of the write @id, and not a mixture. */
static void check_value(const struct sim_volume *volume, uint64_t block, bool readable,
			enum sim_value value, uint64_t id, uint64_t since, const char *what)
{
	if (!readable) {
		if (may_be_torn(volume, block, since))
			return;
		value = SIM_DATA;
		id = NO_ID;
	}
	if (!history_allows(&volume->history, block, value, id, since))
		sim_fail(volume->owner->world, "reads",
			 "%s block %" PRIu64 " of %s at %c: holds %" PRIx64
			 ", which no write can have left there",
			 what, block, volume->name, 'A' + volume->node, id);
}

void check_block_value(const struct sim_volume *volume, uint64_t block, uint64_t since,
		       const char *what)
{
	uint32_t block_bytes = volume->status.block_bytes;
	enum sim_value value = SIM_DATA;
	uint64_t at, id = NO_ID;
	const struct sim_disk *disk = check_block(volume, block * block_bytes, &at);
	bool readable = disk && media_pattern(&disk->media, at, block_bytes, block, &value, &id);

	check_value(volume, block, readable, value, id, since, what);
}

static void check_read(const struct sim_request *request)
{
	const struct sim_volume *volume = request->volume;
	uint32_t block_bytes = volume->status.block_bytes;
	const uint8_t *bytes = request->request.buf;

	/* Begun before a resync into this node: it may have seen both. */
	if (request->seq < volume->replaced_seq)
		return;
	for (uint64_t b = 0; b < request->block_count; b++, bytes += block_bytes) {
		uint64_t block = request->first_block + b, id;
		enum sim_value value;
		bool readable = pattern_read(bytes, block_bytes, block, &value, &id);

		check_value(volume, block, readable, value, id, request->seq, "a read:");
	}
	request->world->totals.reads_checked++;
}

/* I10: fail-closed was not asked to go alone, and no operator has meddled since. */
static void check_closed(const struct sim_request *request)
{
	struct sim_volume *volume = request->volume, *twin = check_twin(volume);
	bool freed =
		volume->freed_seq > request->seq || volume->jobs_open || (twin && twin->jobs_open);

	if (!request->closed || freed ||
	    !((request->synced && !both_count(request)) ||
	      (request->waited && !check_mirrored(request))))
		return;
	/* As it is now: what was being recorded may have failed a moment ago. */
	check_mirror(volume);
	if (volume->status.association == ASSOCIATION_ACTIVE)
		sim_fail(request->world, "I10",
			 "request %" PRIx64 " on the fail-closed %s was acknowledged alone",
			 request->id, volume->name);
}

/* It may have been told of what has failed, and not have ended: its peer is slow. */
static bool earlier_flush(const struct sim_request *request)
{
	const struct sim_node *node = &request->world->node[request->node];

	for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++) {
		const struct sim_request *other = &node->requests[i];

		if (other->open && other->volume == request->volume && other->seq < request->seq &&
		    other->request.op == REQUEST_FLUSH)
			return true;
	}
	return false;
}

static void check_ok(struct sim_request *request)
{
	struct sim_world *world = request->world;
	const struct request *r = &request->request;
	struct sim_volume *volume = request->volume;
	struct sim_volume *other = request->mirrored ? check_partner(world, volume) : NULL;

	if (!request->primary)
		sim_fail(world, "roles", "a request to a secondary was acknowledged");
	if (r->op == REQUEST_READ && check_tracked(volume))
		check_read(request);
	if (!check_changes(request) && r->op != REQUEST_FLUSH)
		return;
	if (r->op != REQUEST_FLUSH) {
		check_legs_done(request);
		check_closed(request);
		check_alone(request);
	}
	if (r->op == REQUEST_FLUSH) {
		if (earlier_flush(request))
			check_told(volume, DOOM_TOLD);
		check_flushed(request, volume);
		if (other && both_count(request))
			check_flushed(request, other);
	} else if (r->flags & LS_FUA && r->op == REQUEST_WRITE) {
		check_durable(request, volume);
		/*
		 * A copy that comes later puts the same bytes there without FUA: no harm, it is
		 * flushed before the target counts as in sync again.
		 */
		if (other && request->synced && check_mirror(volume) == MIRROR_SYNCED)
			check_durable(request, other);
	}
	world->totals.acked_writes++;
	world->totals.mirrored_writes += request->mirrored;
}

void check_told(const struct sim_volume *volume, enum sim_doom doom)
{
	for (unsigned e = 0; e < volume->status.extent_count; e++) {
		const struct extent_status *extent = &volume->status.extents[e];

		sim_disk_told(&volume->owner->disks[extent->device], extent->offset, extent->length,
			      doom);
	}
}

void check_done(struct sim_request *request)
{
	if (!request->open)
		sim_fail(request->world, "once", "request %" PRIx64 " ended twice", request->id);
	SIM_NOTE(request->world, request->node, "request %x ended, status %u", request->id,
		 request->request.status);
	check_buffer(request);
	check_status(request);
	if (request->request.status == LS_OK)
		check_ok(request);
	else if (request->request.op == REQUEST_FLUSH && request->volume)
		check_told(request->volume, DOOM_TOLD);
	end_history(request, request->request.status == LS_OK && check_changes(request) &&
				     check_counted(request));
}

void check_ended(struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES * SIM_REQUESTS_MAX; i++) {
		const struct sim_request *request =
			&world->node[i / SIM_REQUESTS_MAX].requests[i % SIM_REQUESTS_MAX];

		if (request->open)
			sim_fail(world, "liveness",
				 "request %" PRIx64 " (op %u, %" PRIu64 "+%" PRIu64
				 ") of %.3f ms ago never ended",
				 request->id, request->request.op, request->request.offset,
				 request->request.length,
				 (double)(world->now_ns - request->at_ns) / 1e6);
	}
}

static void check_capture(struct sim_node *node)
{
	struct captured_frame frames[ENGINE_CAPTURE_MAX];
	unsigned count = engine_capture_read(node->engine, frames, ENGINE_CAPTURE_MAX);
	struct sim_frame frame;

	for (unsigned i = 0; i < count; i++) {
		if (frames[i].sent && !sim_frame_read(frames[i].bytes, &frame))
			sim_fail(node->world, "capture", "a captured frame cannot be read");
	}
}

bool check_credits(const struct sim_world *world, unsigned *node)
{
	static struct engine_status status;

	for (*node = 0; *node < SIM_NODES; ++*node) {
		engine_status(world->node[*node].engine, &status);
		for (unsigned p = 0; p < status.peer_count; p++)
			if (status.peers[p].state == SESSION_UP &&
			    status.peers[p].credits != status.peers[p].credits_total)
				return false;
	}
	return true;
}

void check_idle(struct sim_world *world)
{
	/* Too long for the stack of a test: some hundred KB. */
	static struct engine_status status;

	for (unsigned i = 0; i < SIM_NODES; i++) {
		engine_status(world->node[i].engine, &status);
		if (status.pieces_in_use || status.requests_open)
			sim_fail(world, "leak",
				 "%c is idle with %u of %u pieces in use, %u requests", 'A' + i,
				 status.pieces_in_use, status.pieces_total, status.requests_open);
		check_capture(&world->node[i]);
	}
}

static void check_pair(struct sim_world *world, const struct sim_volume *volume)
{
	const struct sim_volume *other = check_partner(world, volume);
	uint32_t block_bytes = volume->status.block_bytes;

	if (!other || other->status.size_bytes < volume->status.size_bytes)
		sim_fail(world, "legs", "%s at %c is in sync with nothing", volume->name,
			 'A' + volume->node);
	for (uint64_t at = 0; (at = check_differs(volume, other, at)) < volume->status.size_bytes;
	     at += block_bytes)
		if (!volume->history.heads ||
		    !history_discarded(&volume->history, at / block_bytes))
			sim_fail(world, "legs", "block %" PRIu64 " of %s differs between A and B",
				 at / block_bytes, volume->name);
	world->totals.legs_compared++;
}

void check_legs(struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES; i++) {
		check_map(&world->node[i]);
		check_map(&world->node[!i]);
		for (unsigned v = 0; v < SIM_VOLUMES_MAX; v++) {
			const struct sim_volume *volume = &world->node[i].volumes[v];

			if (!volume->used || !volume->mapped)
				continue;
			if (volume->status.mirror == MIRROR_SYNCED)
				check_pair(world, volume);
			if (volume->status.consistent)
				check_at_rest(volume, "at rest:");
		}
	}
}

void check_nothing_left(struct sim_world *world)
{
	for (unsigned i = 0; i < SIM_NODES; i++) {
		const struct sim_node *node = &world->node[i];

		if (node->stores_open)
			sim_fail(world, "leak", "%c left %u stores open", 'A' + i,
				 node->stores_open);
		if (node->jobs_open)
			sim_fail(world, "once", "%c left %u jobs without an answer", 'A' + i,
				 node->jobs_open);
	}
	LIST_FOR (entry, &world->wires) {
		const struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);

		for (unsigned i = 0; i < SIM_NODES; i++) {
			if (wire->end[i].attached && !wire->end[i].released)
				sim_fail(world, "leak", "%c left link %u", 'A' + i, wire->number);
		}
	}
}
