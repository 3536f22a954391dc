/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each replica of a mirror must hold, whoever is primary: I1, I6 to I10.
 *
 * Every replica has a history of its own.  A write enters both; what it leaves in the peer's
 * depends on whether it counted there when it was acknowledged, and on whether anything of it
 * was ever sent.  At the end of a resync the target's history becomes a copy of the source's.
 * So at any time a replica that calls itself complete can be held against its history: when
 * it is promoted, after a break, at rest.
 *
 * What was acknowledged alone may vanish in a resync only if an operator chose the other side.
 */
#include "tests/sim/sim_check.h"

#include <inttypes.h>
#include <string.h>

struct sim_volume *check_twin(const struct sim_volume *volume)
{
	return sim_volume_find(&volume->owner->world->node[!volume->node], volume->name);
}

bool check_tracked(const struct sim_volume *volume)
{
	return volume->history.heads && !volume->wild;
}

/* Is the engine of this volume there to be asked? */
static bool answers(const struct sim_volume *volume)
{
	return volume->owner->engine && volume->owner->opened;
}

static bool same_shape(const struct sim_volume *a, const struct sim_volume *b)
{
	return a->status.block_bytes == b->status.block_bytes &&
	       a->history.block_count == b->history.block_count;
}

struct sim_volume *check_tracked_twin(const struct sim_volume *volume)
{
	struct sim_volume *twin = check_twin(volume);

	return twin && check_tracked(twin) && same_shape(volume, twin) ? twin : NULL;
}

/* Is something on its way to this block of the disk?  Then it may hold old and new bytes. */
static bool under_way(const struct sim_volume *volume, uint64_t offset, uint64_t bytes)
{
	for (unsigned i = 0; i < SIM_DISKS_MAX; i++) {
		const struct sim_store *store = volume->owner->stores[i];

		if (!store)
			continue;
		LIST_FOR (entry, &store->in_flight) {
			const struct sim_op *op = LIST_ENTRY(entry, struct sim_op, node);

			if (op->volume == volume && op->op->code != STORE_READ &&
			    op->op->code != STORE_FLUSH && op->volume_offset < offset + bytes &&
			    offset < op->volume_offset + op->op->length)
				return true;
		}
	}
	return false;
}

/* The next open request of @volume's clients that changes @block, from @at on; NULL = none. */
static struct sim_request *next_write(const struct sim_volume *volume, uint64_t block, unsigned *at)
{
	while (*at < SIM_REQUESTS_MAX) {
		struct sim_request *r = &volume->owner->requests[(*at)++];

		if (r->open && r->volume == volume && check_changes(r) && block >= r->first_block &&
		    block - r->first_block < r->block_count)
			return r;
	}
	return NULL;
}

static bool written_now(const struct sim_volume *volume, uint64_t block)
{
	unsigned at = 0;

	return next_write(volume, block, &at);
}

/* What is open may change it now or later. */
static void open_again(struct sim_volume *v, uint64_t block)
{
	struct sim_world *world = v->owner->world;
	const struct sim_request *r;
	unsigned at = 0;

	while ((r = next_write(v, block, &at)))
		history_open(&v->history, block, r->id, check_value_of(r), world->seq,
			     sim_oldest_seq(world));
}

/*
 * Takes what is on the disk for the truth.  A revocation that could not be recorded looks like a
 * promotion, too: then writes are open.  So they are when they came while it was being recorded.
 */
static void adopt(struct sim_volume *v)
{
	struct sim_world *world = v->owner->world;
	uint32_t block_bytes = v->status.block_bytes;
	uint64_t count = v->status.size_bytes / block_bytes, seq = world->seq++;

	if (!v->history.heads || v->history.block_count != count) {
		if (v->history.heads)
			history_fini(&v->history);
		history_init(&v->history, world->history, count, SIM_ANY);
	}
	for (uint64_t b = 0; b < count; b++) {
		enum sim_value value = SIM_ANY;
		uint64_t at, id = 0;
		const struct sim_disk *disk = check_block(v, b * block_bytes, &at);

		if (!disk || under_way(v, b * block_bytes, block_bytes) || written_now(v, b) ||
		    !media_pattern(&disk->media, at, block_bytes, b, &value, &id))
			value = SIM_ANY;
		history_set(&v->history, b, id, value, seq);
		open_again(v, b);
	}
	v->wild = false;
	v->replaced_seq = world->seq++;
}

void check_at_rest(const struct sim_volume *volume, const char *what)
{
	uint32_t block_bytes = volume->status.block_bytes;

	for (uint64_t b = 0; check_tracked(volume) && b < volume->history.block_count; b++) {
		if (!under_way(volume, b * block_bytes, block_bytes))
			check_block_value(volume, b, volume->owner->world->seq, what);
	}
}

/* @target holds what its source does, as long as they are in one generation. */
static void take_history(struct sim_volume *target, const struct sim_volume *source)
{
	if (!check_tracked(source) ||
	    source->status.size_bytes / source->status.block_bytes != source->history.block_count)
		return;
	history_copy(&target->history, &source->history);
	target->wild = false;
	target->replaced_seq = target->owner->world->seq++;
}

/* Forced or not: from now on this replica's own contents count here. */
static void promoted(struct sim_volume *v)
{
	struct sim_world *world = v->owner->world;
	struct sim_volume *twin = check_twin(v);

	/* It became complete, and the session ended before the source was told. */
	if (v->wild && v->taken_start == v->owner->starts && twin && answers(twin) &&
	    twin->status.association != ASSOCIATION_NONE &&
	    twin->status.generations.current == v->taken_generation)
		take_history(v, twin);

	SIM_NOTE(world, v->node, "%s is primary now, contents %s", SIM_STR(v->name),
		 SIM_STR(check_tracked(v) ? "known" : "unknown"));
	world->totals.promotions++;
	check_at_rest(v, "promoted:");
	adopt(v);
}

static void new_incarnation(struct sim_volume *v)
{
	v->wild = true;
	v->partial = v->arrived = v->forced = v->yields = v->ahead = false;
	v->alone_seq = v->shared_generation = v->taken_generation = 0;
}

void check_seen(struct sim_volume *v)
{
	const struct volume_status *s = &v->status;
	bool secondary = v->seen && v->seen_role == VOLUME_SECONDARY;
	bool reopened = v->seen_start != v->owner->starts;
	const struct sim_volume *twin = check_twin(v);

	if (v->seen && v->seen_number != s->number)
		new_incarnation(v);
	if (!v->seen && s->role == VOLUME_SECONDARY)
		v->wild = true;
	if (s->role == VOLUME_SECONDARY)
		v->zeroed = false;
	if (!s->consistent)
		v->wild = true;
	if (v->partial && s->consistent && !v->arrived && !v->forced)
		sim_fail(v->owner->world, "I8",
			 "%s at %c calls itself complete, but the resync into it has not ended",
			 v->name, 'A' + v->node);
	/* What has come to its end, or what --force has cut short? */
	if (v->partial && s->consistent && (v->arrived || !v->forced)) {
		v->taken_seq = v->owner->world->seq++;
		v->taken_generation = s->generations.current;
		v->taken_start = reopened ? 0 : v->owner->starts;
		/* Its source may have gone alone again since, without a write. */
		v->taken_whole = twin && twin->status.generations.current == v->taken_generation;
	}
	if (s->consistent)
		v->partial = false;
	if (reopened && v->ahead && !v->yields && v->shared_generation &&
	    v->shared_generation == s->generations.current)
		sim_fail(v->owner->world, "I6",
			 "%s at %c was restarted in generation %" PRIx64
			 ", which its peer has, too, "
			 "but it has acknowledged writes alone since",
			 v->name, 'A' + v->node, s->generations.current);
	v->seen = true;
	v->seen_number = s->number;
	v->seen_role = s->role;
	v->seen_start = v->owner->starts;
	/* While it is being recorded it may still fail. */
	if (v->promoted || (reopened && secondary && s->role == VOLUME_PRIMARY))
		promoted(v);
	v->promoted = false;
}

/* --- requests --- */

static bool on_disk(const struct sim_request *request, unsigned node)
{
	for (uint64_t b = 0; b < request->block_count; b++)
		if (!(request->leg[node][b / 8] & 1u << b % 8))
			return false;
	return true;
}

bool check_mirrored(const struct sim_request *request)
{
	return on_disk(request, 0) && on_disk(request, 1);
}

bool check_counted(const struct sim_request *request)
{
	struct sim_volume *volume = request->volume, *twin = check_twin(volume);

	if (!twin || volume->status.association == ASSOCIATION_NONE)
		return false;
	check_mirror(volume);
	if (answers(twin))
		check_mirror(twin);
	return twin->status.consistent &&
	       twin->status.generations.current == volume->status.generations.current &&
	       on_disk(request, twin->node);
}

void check_alone(struct sim_request *request)
{
	struct sim_volume *volume = request->volume, *twin;

	if (volume->status.association == ASSOCIATION_NONE || on_disk(request, !volume->node))
		return;
	check_mirror(volume);
	SIM_NOTE(request->world, volume->node,
		 "%s: request %x is acknowledged alone, generation %x", SIM_STR(volume->name),
		 request->id, volume->status.generations.current);
	/* I1, I6: no replica that missed it may be taken for up to date. */
	twin = check_twin(volume);
	if (twin && twin->status.association != ASSOCIATION_NONE && twin->status.consistent &&
	    twin->status.generations.current == volume->status.generations.current)
		sim_fail(request->world, "I6",
			 "request %" PRIx64 " on %s was acknowledged alone in generation %" PRIx64
			 ", which the peer has, too",
			 request->id, volume->name, volume->status.generations.current);
	volume->alone_seq = request->world->seq;
	volume->alone_generation = volume->status.generations.current;
	volume->ahead |= check_twin(volume) && check_twin(volume)->status.consistent;
	request->world->totals.alone++;
}

/* --- resyncs --- */

static void check_equal(struct sim_world *world, const struct sim_volume *source,
			const struct sim_volume *target)
{
	uint32_t block_bytes = source->status.block_bytes;

	if (target->status.size_bytes < source->status.size_bytes)
		sim_fail(world, "legs", "%s is shorter at the target", source->name);
	for (uint64_t at = 0; (at = check_differs(source, target, at)) < source->status.size_bytes;
	     at += block_bytes)
		if (!written_now(source, at / block_bytes) && !under_way(source, at, block_bytes) &&
		    !under_way(target, at, block_bytes))
			sim_fail(world, "I6",
				 "%s at %c takes the generation of its source, but block %" PRIu64
				 " differs",
				 target->name, 'A' + target->node, at / block_bytes);
	world->totals.legs_compared++;
}

/* What was on the way before the resync began, or was copied by it, must be there to stay. */
static void check_copied(const struct sim_volume *target)
{
	uint32_t block_bytes = target->status.block_bytes;

	for (uint64_t b = 0; b < target->status.size_bytes / block_bytes; b++) {
		enum sim_value value;
		uint64_t at, id = 0;
		const struct sim_disk *disk = check_block(target, b * block_bytes, &at);

		if (disk && sim_disk_volatile(disk, at) &&
		    media_pattern(&disk->media, at, block_bytes, b, &value, &id) && id &&
		    id >> 8 < target->begun_seq)
			sim_fail(target->owner->world, "I6",
				 "%s at %c takes the generation of its source, but block %" PRIu64
				 " may be lost",
				 target->name, 'A' + target->node, b);
	}
}

/* An operator has said which side is kept, and that waits for what is under way. */
static bool word_waits(const struct sim_volume *a, const struct sim_volume *b)
{
	for (unsigned n = 0; n < SIM_NODES; n++)
		for (unsigned i = 0; i < SIM_JOBS_MAX; i++) {
			const struct sim_job *job = &a->owner->world->node[n].jobs[i];

			if (job->open && job->kind == SIM_RESUME &&
			    job->keep != ENGINE_KEEP_AHEAD &&
			    (job->volume == a || job->volume == b))
				return true;
		}
	return false;
}

static void synced(struct sim_world *world, struct sim_volume *target)
{
	struct sim_volume *source = check_twin(target);
	bool together, carried;

	if (!source)
		return;
	check_copied(target);
	/* A resync the other way had brought them there, though its end was not told. */
	carried = (source->taken_whole || target->alone_generation == source->taken_generation) &&
		  target->alone_seq < source->taken_seq;
	if (target->alone_seq && !carried && !target->yields)
		sim_fail(world, "I7",
			 "%s at %c became a copy of the other side, but it has acknowledged writes "
			 "alone and no operator has given them up",
			 target->name, 'A' + target->node);
	target->yields &= word_waits(source, target);
	target->ahead = false;
	target->alone_seq = 0;
	target->wild = true;
	together = answers(source) && check_mirror(source) == MIRROR_COPYING &&
		   source->status.generations.current == target->status.generations.current;
	/* Its source has lost the session already, and perhaps gone on. */
	if (!together)
		return;
	check_equal(world, source, target);
	source->alone_seq = 0;
	source->yields &= word_waits(source, target);
	source->ahead = false;
	source->shared_generation = target->shared_generation = target->status.generations.current;
	take_history(target, source);
}

/* --- going on alone --- */

/* The wire of the session that this node takes for up; 0 = none. */
static unsigned session_wire(const struct sim_node *node)
{
	LIST_FOR (entry, &node->world->wires) {
		const struct sim_wire *wire = LIST_ENTRY(entry, struct sim_wire, node);
		const struct sim_end *end = &wire->end[node->number];

		if (end->granted && !end->shut && !end->downed)
			return wire->number;
	}
	return 0;
}

/* A primary whose writes all count at the peer, too. */
static bool has_company(const struct sim_volume *v)
{
	/* Too long for the stack. */
	static struct volume_status status;

	return v->mapped && engine_volume_status_of(v->owner->engine, v->name, &status) &&
	       status.role == VOLUME_PRIMARY && !status.generations.base;
}

/*
 * I6: who goes on alone beside a session that is up all the while has told the peer, so that
 * nobody takes that replica for whole.  An operator who says --force does not ask the peer.
 */
void check_goes_on(struct sim_volume *v, const char *from, const char *to)
{
	const struct sim_volume *twin = check_twin(v);

	if (strcmp(to, "none") == 0)
		v->unpaired_seq = v->owner->world->seq++;
	/* Resumed, by a pair, too: who went on alone while it was broken does until in sync. */
	if (strcmp(from, "broken") == 0 && strcmp(to, "alone") == 0)
		v->freed_seq = v->owner->world->seq++;
	/* Who was split or broken may have gone on alone before, in a generation without base. */
	if (strcmp(to, "waiting") == 0)
		v->waits_wire =
			strcmp(from, "synced") == 0 && has_company(v) ? session_wire(v->owner) : 0;
	if (strcmp(from, "waiting") != 0)
		return;
	if (strcmp(to, "alone") == 0 && !v->forced && v->waits_wire &&
	    v->waits_wire == session_wire(v->owner) && twin &&
	    twin->status.association == ASSOCIATION_ACTIVE && twin->stale_wire != v->waits_wire)
		sim_fail(v->owner->world, "I6",
			 "%s at %c goes on alone, and the peer, which is connected, was not told",
			 v->name, 'A' + v->node);
	v->waits_wire = 0;
}

static void called_stale(struct sim_end *end, const struct sim_frame *heard,
			 const struct sim_frame *answer)
{
	struct sim_node *node = &end->wire->world->node[end->side];
	struct sim_volume *v = check_by_number(node, heard->volume);

	if (!v)
		return;
	v->stale_wire = end->wire->number;
	check_map(node);
	if (answer->status == LS_OK && v->status.consistent)
		sim_fail(node->world, "I6",
			 "%s at %c is called stale, and still calls itself whole", v->name,
			 'A' + v->node);
}

void check_mirror_landed(struct sim_end *end, const struct sim_frame *frame)
{
	struct sim_volume *v;

	if (frame->command != FRAME_SYNCED)
		return;
	v = check_by_number(&end->wire->world->node[end->side], frame->volume);
	if (v)
		v->arrived = true;
}

/* The target begins anew: what the two had in common counts no more. */
static void forget_common(struct sim_volume *v)
{
	struct sim_volume *twin = check_twin(v);

	v->taken_whole = false;
	v->taken_generation = v->shared_generation = 0;
	if (twin)
		twin->shared_generation = 0;
}

void check_mirror_answered(struct sim_end *end, const struct sim_frame *heard,
			   const struct sim_frame *answer)
{
	struct sim_world *world = end->wire->world;
	struct sim_node *node = &world->node[end->side];
	struct sim_volume *v;

	if (heard->command == FRAME_STALE) {
		called_stale(end, heard, answer);
		return;
	}
	if (answer->status != LS_OK || heard->command < FRAME_PAIR ||
	    heard->command == FRAME_CHECK || heard->command >= FRAME_READ)
		return;
	check_map(node);
	v = check_by_number(node, heard->command == FRAME_PAIR ? answer->volume : heard->volume);
	if (!v)
		return;
	if (heard->command == FRAME_PAIR || heard->command == FRAME_BEGIN) {
		/* The operator's word, or what was decided: checked when it ends. */
		v->yields |= heard->command == FRAME_PAIR;
		v->partial = !v->status.consistent;
		/* No more what its source is, but it still has what that resync brought. */
		if (v->partial)
			v->taken_start = 0;
		if (heard->command == FRAME_PAIR)
			forget_common(v);
		v->arrived = false;
		v->begun_seq = sim_oldest_seq(world);
		/* What it may lose is copied: check_copied() sees that it was. */
		check_told(v, DOOM_TOLD);
		/* A promotion that was asked for before may still wait for its turn. */
		v->forced &= v->jobs_open > 0;
	} else if (heard->command == FRAME_SYNCED) {
		synced(world, v);
	}
}

/* --- now and then --- */

void check_primaries(struct sim_world *world)
{
	check_map(&world->node[0]);
	check_map(&world->node[1]);
	for (unsigned i = 0; i < SIM_VOLUMES_MAX; i++) {
		const struct sim_volume *v = &world->node[0].volumes[i], *twin;

		if (!v->used || !v->alive || !v->mapped || v->status.role != VOLUME_PRIMARY ||
		    (v->status.mirror != MIRROR_COPYING && v->status.mirror != MIRROR_SYNCED))
			continue;
		twin = check_twin(v);
		/* Without a wire one of them only does not know yet. */
		if (twin && twin->mapped && answers(v) && answers(twin) && sim_net_linked(world) &&
		    twin->status.role == VOLUME_PRIMARY &&
		    (twin->status.mirror == MIRROR_COPYING || twin->status.mirror == MIRROR_SYNCED))
			sim_fail(world, "I9", "%s has two primaries that are connected", v->name);
	}
}

/*
 * A split brain is about to be ended.  What differs must be within what both sides list, or
 * the operator chose without knowing.
 */
void check_listed(struct sim_world *world, const struct sim_volume *volume)
{
	const struct sim_volume *twin = check_twin(volume);
	const struct volume_status *a = &volume->status, *b = twin ? &twin->status : NULL;
	uint32_t block_bytes = a->block_bytes, regions = 0;
	uint64_t last = UINT64_MAX;

	/* Unpaired at the other side, its writes since then are in no map. */
	if (!twin || !answers(twin) || b->association == ASSOCIATION_NONE || !a->generations.base ||
	    a->generations.base != b->generations.base || a->size_bytes != b->size_bytes ||
	    volume->requests_open || twin->requests_open)
		return;
	for (uint64_t at = 0; (at = check_differs(volume, twin, at)) < a->size_bytes;
	     at += block_bytes) {
		regions += at / a->region_bytes != last;
		last = at / a->region_bytes;
	}
	if (regions > a->dirty_regions + b->dirty_regions)
		sim_fail(world, "I7", "%s differs in %u regions, but the sides list only %u and %u",
			 volume->name, regions, a->dirty_regions, b->dirty_regions);
	world->totals.splits++;
}
