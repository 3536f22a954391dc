/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peer asks of a mirror: STATE, BEGIN, SYNCED, BREAK, UNPAIR, PROMOTE, STALE; and
 * the bodies of these requests.  What changes the record is answered when it is durable.
 *
 * STATE body, then the dirty regions as bits:
 *
 *  offset size field
 *       0    4 zero
 *       4    4 association sequence
 *       8    8 size bytes
 *      16   64 generations
 *      80    1 complete
 *      81    1 primary
 *      82    1 wish
 *      83    1 association
 *      84    1 log2 of a region's bytes
 *      85    1 a flush has failed: this replica may lack what it reads well (version 3)
 *      86    2 zero
 *      88    4 turn: number of this exchange, of the node that leads; 0 from the other one
 *      92    4 turn that this STATE answers; 0 from the leader, and to ask for an exchange
 *      96    4 bytes of the map
 *     100   28 zero
 *
 * Generations: 0 current, 8 base, 16 history (4 of 8), 48 covered (1), 49 offered (1), zero
 * up to 64.
 * BEGIN body: 0 the source's generations, 64 regions are to be copied (1), 65 the target's
 * own writes are given up (1), zero up to 80.  SYNCED body: the generations of both from now on.
 */
#include "engine/peer/node.h"

#include "engine/base/crc32c.h"
#include "engine/base/mutant.h"
#include "engine/base/wire.h"

#include <errno.h>
#include <string.h>

_Static_assert(STATE_BODY_BYTES + INTENT_REGIONS_MAX / 8 <= CONTROL_BUFFER_BYTES, "STATE fits");

void generations_encode(const struct generations *g, uint8_t *bytes)
{
	memset(bytes, 0, GENERATIONS_BYTES);
	put_u64(bytes, g->current);
	put_u64(bytes + 8, g->base);
	for (unsigned i = 0; i < GENERATION_HISTORY; i++)
		put_u64(bytes + 16 + 8 * i, g->history[i]);
	bytes[48] = g->covered;
	bytes[49] = g->offered;
}

static bool generations_decode(const uint8_t *bytes, struct generations *g)
{
	*g = (struct generations){
		.current = get_u64(bytes),
		.base = get_u64(bytes + 8),
		.covered = bytes[48],
		.offered = bytes[49],
	};
	for (unsigned i = 0; i < GENERATION_HISTORY; i++)
		g->history[i] = get_u64(bytes + 16 + 8 * i);
	return g->covered <= GENERATION_HISTORY;
}

uint32_t state_encode(const struct mirror *m, uint8_t *bytes)
{
	const struct volume *v = m->volume;
	const struct volume_record *r = &v->record;
	uint32_t map_bytes;

	memset(bytes, 0, STATE_BODY_BYTES);
	put_u32(bytes + 4, r->association_sequence);
	put_u64(bytes + 8, r->size_bytes);
	generations_encode(&r->generations, bytes + 16);
	bytes[80] = r->consistent;
	bytes[81] = r->role == VOLUME_PRIMARY;
	bytes[82] = (uint8_t)m->wish;
	bytes[83] = (uint8_t)r->association;
	bytes[84] = r->region_shift;
	bytes[85] = m->told_lost;
	put_u32(bytes + 88, m->turn);
	put_u32(bytes + 92, m->reply_to);
	map_bytes = intent_export(&v->map.intent, bytes + STATE_BODY_BYTES);
	put_u32(bytes + 96, map_bytes);
	return STATE_BODY_BYTES + map_bytes;
}

static bool any_bit(const uint8_t *bits, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (bits[i])
			return true;
	return false;
}

/* @bytes lies in a slot that the peer can still write: everything is read once. */
static bool state_decode(struct mirror *m, const uint8_t *bytes, uint32_t length, uint32_t *turn,
			 uint32_t *reply_to)
{
	uint8_t head[STATE_BODY_BYTES];
	uint32_t map_bytes;

	if (length < STATE_BODY_BYTES)
		return false;
	memcpy(head, bytes, sizeof(head));
	map_bytes = get_u32(head + 96);
	if (map_bytes > sizeof(m->map) || length != STATE_BODY_BYTES + map_bytes ||
	    head[82] > WISH_KEEP || head[83] < ASSOCIATION_ACTIVE ||
	    head[83] > ASSOCIATION_BROKEN || head[84] < INTENT_SHIFT_MIN ||
	    head[84] > INTENT_SHIFT_MAX || !volume_bytes_valid(get_u64(head + 8)) ||
	    !generations_decode(head + 16, &m->theirs.generations))
		return false;
	memcpy(m->map, bytes + STATE_BODY_BYTES, map_bytes);
	m->map_bytes = map_bytes;
	m->map_shift = head[84];
	m->their_sequence = get_u32(head + 4);
	m->their_size = get_u64(head + 8);
	m->their_association = head[83];
	m->theirs.node_address = m->peer->node_address;
	m->theirs.consistent = head[80];
	m->theirs.primary = head[81];
	m->theirs.wish = head[82];
	m->theirs.dirty = any_bit(m->map, map_bytes);
	m->theirs.lost = head[85];
	*turn = get_u32(head + 88);
	*reply_to = get_u32(head + 92);
	return true;
}

/* A primary that yields goes on holding its writes. */
static void compare_again(struct mirror *m)
{
	bool yields = m->volume->yields;

	mirror_stop(m->volume, "the peer asked to compare again");
	m->volume->yields = yields;
}

/*
 * The node with the smaller address leads: it numbers the exchanges, and the other one
 * answers each with its own STATE; a STATE of the other that answers nothing asks for a new
 * exchange.  So both decide by what they said in one and the same exchange.
 */
static void heard_by_leader(struct mirror *m, uint32_t reply_to)
{
	if (reply_to == 0) {
		/* Our STATE is on its way: its answer will be younger than this. */
		if (m->step == STEP_STATE && !m->told)
			return;
		compare_again(m);
		mirror_restart(m);
	} else if (reply_to == m->turn && m->step == STEP_STATE) {
		m->heard = true;
		mirror_decide(m);
	} else if (m->step == STEP_IDLE) {
		/* Given up meanwhile, for a break say; the other one decides, and would wait. */
		mirror_restart(m);
	}
}

static void heard_by_follower(struct mirror *m, uint32_t turn)
{
	if (m->step != STEP_STATE)
		compare_again(m);
	m->stale |= m->calling && m->command == FRAME_STATE;
	m->step = STEP_STATE;
	m->heard = true;
	m->told = false;
	m->reply_to = turn;
	mirror_kick(m);
}

static void on_state(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	uint32_t turn, reply_to;

	if (!state_decode(m, payload, length, &turn, &reply_to)) {
		channel_answer(s, LS_PROTOCOL, 0, 0);
		return;
	}
	channel_answer(s, LS_OK, 0, 0);
	m->known = true;
	if (mirror_leads(m))
		heard_by_leader(m, reply_to);
	else
		heard_by_follower(m, turn);
}

/* --- what changes the record --- */

static void answer_commit(struct mirror *m, enum ls_status status)
{
	struct serve *s = m->serving;

	m->serving = NULL;
	channel_answer(s, status, 0, 0);
}

static bool still_up(const struct mirror *m, const struct channel *c)
{
	return c->link && !c->shut && m->peer && &m->peer->channel == c;
}

static void begun(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;
	struct channel *c = m->serving->channel;

	if (status == LS_OK && still_up(m, c) && m->step == STEP_EXPECT_BEGIN) {
		m->step = STEP_TARGET;
		v->flushes_copied = v->flushes_failed;
		m->verify.left_bytes = 0;
		v->blank = false;
		m->wish = WISH_NONE;
		v->yields = false;
		v->channels[0] = c;
		v->alone_durable = generation_alone(&v->record.generations);
		mirror_reason(v, "resync from node '%s': %s", m->peer->name, m->decision.reason);
		mirror_set(m->engine, v, MIRROR_COPYING);
		core_release(&m->engine->core, v);
	} else if (status == LS_OK) {
		status = LS_PROTOCOL;
	}
	answer_commit(m, status);
	mirror_kick(m);
}

/* The writes that this primary held end, and it grows as any target. */
static void revoked(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	if (status == LS_OK) {
		v->blank = false;
		m->verify.left_bytes = 0;
		v->yields = false;
		if (v->mirror == MIRROR_ALONE)
			mirror_set(m->engine, v, MIRROR_WAITING);
		core_release(&m->engine->core, v);
	}
	answer_commit(m, status == LS_OK ? LS_BUSY : status);
	mirror_kick(m);
}

/* First this replica grows; the source asks again. */
static void grow_first(struct mirror *m, struct serve *s)
{
	struct volume_record *r = &m->volume->record;
	enum ls_status status = LS_BUSY;

	m->step = STEP_IDLE;
	m->heard = false;
	if (r->role == VOLUME_PRIMARY) {
		/* To grow it waits for its writes, held until it is no primary any more. */
		mirror_change(m, "no longer primary: node '%s' is ahead", m->peer->name);
		m->serving = s;
		r->role = VOLUME_SECONDARY;
		mirror_commit(m, revoked);
		return;
	}
	if (expand_target(m) == LS_NO_SPACE)
		status = LS_NO_SPACE;
	mirror_reason(m->volume, "the source has %llu MiB: this replica %s",
		      (unsigned long long)(m->their_size / MIB(1)),
		      status == LS_NO_SPACE ? "has no room for that" : "grows first");
	channel_answer(s, status, 0, 0);
}

static void on_begin(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	struct volume_record *r = &m->volume->record;
	uint8_t body[BEGIN_BODY_BYTES];
	struct generations source;

	/* Our STATE was heard, or there would be no BEGIN; that answer may come later. */
	if (m->step == STEP_STATE && m->heard && m->calling && m->command == FRAME_STATE) {
		m->told = true;
		mirror_decide(m);
	}
	if (length != sizeof(body) || m->committing || m->step != STEP_EXPECT_BEGIN) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	memcpy(body, payload, sizeof(body));
	if (!generations_decode(body, &source) || source.current != m->theirs.generations.current ||
	    (body[65] && !m->decision.overridden)) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	if (m->volume->size_bytes < m->their_size) {
		grow_first(m, s);
		return;
	}
	/*
	 * A write of our own that the device still works on would land behind the resync; so would
	 * zeroes, when it was to grow once more to the size that it has.  Zeroes behind its end
	 * meet nothing, and may take hours.
	 */
	if (m->volume->changing ||
	    (m->volume->zeroing && m->expand.from < m->volume->size_bytes)) {
		channel_answer(s, LS_BUSY, 0, 0);
		return;
	}
	mirror_change(m,
		      r->role == VOLUME_PRIMARY ? "no longer primary: node '%s' is ahead"
						: "resync from node '%s'",
		      m->peer->name);
	m->serving = s;
	if (!MUTANT(NOT_REVOKED))
		r->role = VOLUME_SECONDARY;
	if (body[64] && !MUTANT(TARGET_COMPLETE))
		r->consistent = false;
	if (body[65])
		generation_give_up(&r->generations, &source);
	/* Back after a short loss of the link: nothing has changed. */
	if (MUTANT(BEGIN_NOT_DURABLE) || (!m->doubtful && memcmp(r, &m->before, sizeof(*r)) == 0))
		begun(m, LS_OK);
	else
		mirror_commit(m, begun);
}

static void synced(struct mirror *m, enum ls_status status)
{
	struct channel *c = m->serving->channel;

	if (status == LS_OK) {
		m->volume->alone_durable = false;
		/* Not what has failed since. */
		volume_whole(m->volume, m->volume->flushes_copied);
		volume_untold(m->volume, m->volume->flushes_copied);
		map_reset(m->volume);
	}
	if (status == LS_OK && still_up(m, c) && m->step == STEP_TARGET)
		mirror_synced(m);
	answer_commit(m, status);
	mirror_kick(m);
}

static void on_synced(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	struct volume_record *r = &m->volume->record;
	uint8_t body[GENERATIONS_BYTES];
	struct generations g;

	/* What was the target is so still when it has been promoted. */
	if (length != sizeof(body) || m->committing || m->step != STEP_TARGET ||
	    m->volume->mirror != MIRROR_COPYING || r->role != VOLUME_SECONDARY) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	memcpy(body, payload, sizeof(body));
	if (!generations_decode(body, &g)) {
		channel_answer(s, LS_PROTOCOL, 0, 0);
		return;
	}
	mirror_change(m, "equal to node '%s'", m->peer->name);
	m->serving = s;
	r->generations = g;
	r->consistent = true;
	if (!m->doubtful && memcmp(r, &m->before, sizeof(*r)) == 0)
		synced(m, LS_OK);
	else
		mirror_commit(m, synced);
}

static void broken(struct mirror *m, enum ls_status status)
{
	if (status == LS_OK) {
		mirror_stop(m->volume, "broken by the operator of the peer's node");
		mirror_jobs_done(m, -ECANCELED, "broken by the operator of the peer's node");
	}
	answer_commit(m, status);
	mirror_kick(m);
}

static void on_break(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	struct volume_record *r = &m->volume->record;
	uint32_t sequence;

	if (length != 8 || m->committing) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	sequence = get_u32(payload);
	if (sequence <= r->association_sequence) {
		channel_answer(s, r->association == ASSOCIATION_BROKEN ? LS_OK : LS_INVALID, 0, 0);
		return;
	}
	mirror_change(m, "broken by the operator of node '%s'", m->peer->name);
	m->serving = s;
	r->association = ASSOCIATION_BROKEN;
	r->association_sequence = sequence;
	mirror_commit(m, broken);
}

static void unpaired(struct mirror *m, enum ls_status status)
{
	struct volume *v = m->volume;

	if (status == LS_OK) {
		mirror_stop(v, "unpaired by the operator of the peer's node");
		mirror_jobs_done(m, -ECANCELED, "unpaired by the operator of the peer's node");
		mirror_set(m->engine, v, MIRROR_NONE);
		v->mirror_reason[0] = '\0';
		core_release(&m->engine->core, v);
	} else {
		/* The peer's operator is told; until then it is a mirror as before. */
		m->retry_at_ns = m->engine->core.now_ns + 1;
	}
	answer_commit(m, status);
	mirror_kick(m);
}

static void on_unpair(struct mirror *m, struct serve *s)
{
	struct volume_record *r = &m->volume->record;

	if (m->committing) {
		channel_answer(s, LS_INVALID, 0, 0);
		return;
	}
	/* Writes are held while the record says neither: it may be lost in a crash. */
	mirror_stop(m->volume, "being unpaired by the operator of the peer's node");
	mirror_change(m, "unpaired by the operator of node '%s'", m->peer->name);
	m->serving = s;
	r->association = ASSOCIATION_NONE;
	r->replica_count = 0;
	memset(&r->replicas[0], 0, sizeof(r->replicas[0]));
	mirror_commit(m, unpaired);
}

static void stale(struct mirror *m, enum ls_status status)
{
	answer_commit(m, status);
	mirror_kick(m);
}

/* This node is primary, or is about to be. */
static bool primary_here(const struct mirror *m)
{
	return m->volume->record.role == VOLUME_PRIMARY ||
	       (m->op && m->op->run == operation_promote);
}

/* The primary goes on without this replica: it is whole again after a resync. */
static void on_stale(struct mirror *m, struct serve *s)
{
	struct volume_record *r = &m->volume->record;

	/* A whole copy with writes of its own is ahead of who says this: first the two compare. */
	if (!primary_here(m) && r->consistent && generation_alone(&r->generations)) {
		channel_answer(s, LS_BUSY, 0, 0);
		return;
	}
	if (primary_here(m)) {
		channel_answer(s, LS_NOT_PRIMARY, 0, 0);
		return;
	}
	if (m->committing) {
		channel_answer(s, LS_BUSY, 0, 0);
		return;
	}
	/* It ends an exchange that this node asked for, and of which the other has not heard. */
	if (m->step == STEP_STATE && !m->retry_at_ns)
		m->retry_at_ns = m->engine->core.now_ns + RETRY_NS;
	mirror_stop(m->volume, "the primary goes on without this replica");
	if (!r->consistent && !m->doubtful) {
		channel_answer(s, LS_OK, 0, 0);
		return;
	}
	mirror_change(m, "node '%s' goes on without this replica", m->peer->name);
	m->serving = s;
	r->consistent = false;
	mirror_commit(m, stale);
}

/*
 * Primary may become who asks, if this node is not, and is not about to be.  After a leg that
 * failed, this node may have gone alone beside a session that stays up: who asks does not know
 * that it is stale (I1).
 */
static void on_promote(struct mirror *m, struct serve *s)
{
	/* What is being recorded may fail, a demotion, too; what failed may count all the same. */
	if ((primary_here(m) || m->committing || m->doubtful) && !MUTANT(TWO_PRIMARIES))
		channel_answer(s, LS_NOT_PRIMARY, 0, 0);
	else if (generation_alone(&m->volume->record.generations))
		channel_answer(s, LS_BUSY, 0, 0);
	else
		channel_answer(s, LS_OK, 0, 0);
}

/*
 * In sync: everywhere.  As the target of a resync: where neither side's map had anything when it
 * began; what was copied since, only the source knows.
 */
bool mirror_readable(void *engine, const struct volume *v, uint64_t offset, uint64_t length)
{
	const struct mirror *m = v->peering;

	(void)engine;
	if (v->mirror == MIRROR_SYNCED)
		return true;
	return v->mirror == MIRROR_COPYING && m->step == STEP_TARGET && !m->decision.everything &&
	       !intent_dirty_in(&v->map.intent, offset, length) &&
	       !intent_bits_in(m->map, m->map_bytes, m->map_shift, offset, length);
}

bool mirror_known(const struct volume *v)
{
	const struct mirror *m = v->peering;

	return m && m->known && v->record.association != ASSOCIATION_NONE && peer_up(m->peer);
}

/*
 * NULL also for a volume of the peer's that was left behind: this one has another partner there
 * now, perhaps one that was made by the same operator for the same purpose (I1).
 */
static struct mirror *mirror_named(struct channel *c, const struct serve *s)
{
	struct peer *p = c->owner;
	struct volume *v = core_volume(&p->engine->core, s->frame.volume);
	const struct replica_record *r;
	struct mirror *m;

	if (!v || !v->ready || !volume_tracks(v))
		return NULL;
	r = &v->record.replicas[0];
	if (r->node_address != c->peer_address || r->volume_number != s->frame.offset)
		return NULL;
	m = mirror_get(p->engine, v);
	return m && m->peer == p ? m : NULL;
}

static void serve_mirror(struct mirror *m, struct serve *s, const uint8_t *payload, uint32_t length)
{
	switch (s->frame.command) {
	case FRAME_STATE:
		on_state(m, s, payload, length);
		break;
	case FRAME_BEGIN:
		on_begin(m, s, payload, length);
		break;
	case FRAME_SYNCED:
		on_synced(m, s, payload, length);
		break;
	case FRAME_BREAK:
		on_break(m, s, payload, length);
		break;
	case FRAME_UNPAIR:
		on_unpair(m, s);
		break;
	case FRAME_STALE:
		on_stale(m, s);
		break;
	case FRAME_EXPAND:
		expand_serve(m, s, payload, length);
		break;
	default:
		on_promote(m, s);
	}
}

void mirror_control(struct channel *c, struct serve *s, const uint8_t *payload, uint32_t length)
{
	struct mirror *m;

	bool whole = length == 0 || ((s->frame.flags & FRAME_CRC) &&
				     crc32c(payload, length) == s->frame.payload_crc);

	core_administer(c->core, true);
	/* Cut short, it cannot be told from damaged: the sender sends it again. */
	if (!whole || s->frame.length != length) {
		c->payload_mismatches++;
		channel_answer(s, LS_CHECKSUM, 0, 0);
	} else if (s->frame.command == FRAME_PAIR) {
		pair_serve(c, s, payload, length);
	} else if (c->core->stopping) {
		channel_answer(s, LS_SHUTDOWN, 0, 0);
	} else {
		m = mirror_named(c, s);
		if (m)
			serve_mirror(m, s, payload, length);
		else
			channel_answer(s, LS_NO_VOLUME, 0, 0);
	}
	core_administer(c->core, false);
}
