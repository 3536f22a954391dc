/* SPDX-License-Identifier: BSD-3-Clause */
/* The target's side of pairing: PAIR designates the volume.  The rest is a resync. */
#include "engine/peer/node.h"
#include "engine/peer/pair_body.h"

#include <stdio.h>
#include <stdlib.h>

void pair_body_encode(const struct pair_body *b, uint8_t bytes[PAIR_BODY_BYTES])
{
	put_u64(bytes, b->size_bytes);
	put_u32(bytes + 8, b->block_bytes);
	put_u32(bytes + 12, b->source_number);
	memcpy(bytes + 16, b->source_uuid, 16);
	put_name(bytes + 32, b->source, VOLUME_NAME_MAX + 1);
	put_name(bytes + 96, b->target, VOLUME_NAME_MAX + 1);
	put_name(bytes + 160, b->pool, POOL_NAME_MAX + 1);
	put_u64(bytes + 192, b->generation);
	memset(bytes + 200, 0, 8);
	bytes[200] = b->region_shift;
}

bool pair_body_decode(const uint8_t *bytes, uint32_t length, struct pair_body *b)
{
	uint8_t copy[PAIR_BODY_BYTES];

	if (length != PAIR_BODY_BYTES)
		return false;
	/* It lies in a slot that the peer can still write. */
	memcpy(copy, bytes, sizeof(copy));
	b->size_bytes = get_u64(copy);
	b->block_bytes = get_u32(copy + 8);
	b->source_number = get_u32(copy + 12);
	memcpy(b->source_uuid, copy + 16, 16);
	get_name(copy + 32, b->source, VOLUME_NAME_MAX + 1);
	get_name(copy + 96, b->target, VOLUME_NAME_MAX + 1);
	get_name(copy + 160, b->pool, POOL_NAME_MAX + 1);
	b->generation = get_u64(copy + 192);
	b->region_shift = copy[200];
	return name_valid(b->source, VOLUME_NAME_MAX) && name_valid(b->target, VOLUME_NAME_MAX) &&
	       b->size_bytes > 0 && b->size_bytes % POOL_UNIT_BYTES == 0 && b->source_number != 0 &&
	       b->generation != 0 && intent_shift_fits(b->region_shift, b->size_bytes) &&
	       (b->block_bytes == 512 || b->block_bytes == 4096);
}

/* A volume that is created: the answer waits for the pool's table. */
struct pending {
	struct pool_commit commit;
	struct serve *serve;
	struct volume *volume;
};

static struct engine *engine_of(struct channel *c)
{
	return ((struct peer *)c->owner)->engine;
}

static void refuse(struct serve *s, enum pair_answer why)
{
	channel_answer(s, LS_INVALID, 0, why);
}

static void designated(struct engine *e, struct volume *v, struct serve *s)
{
	mirror_set(e, v, MIRROR_WAITING);
	/* A page that was never written would say, after a restart, that all of it differs. */
	map_reset(v);
	channel_answer(s, LS_OK, v->record.number, PAIR_OK);
}

static void created_admin(struct pool_commit *commit, enum ls_status status)
{
	struct pending *p = CONTAINER_OF(commit, struct pending, commit);
	struct engine *e = engine_of(p->serve->channel);
	struct volume *v = p->volume;

	e->admin_open--;
	if (status != LS_OK) {
		volume_unmake(e, v);
		refuse(p->serve, PAIR_IO);
		free(p);
		return;
	}
	v->ready = true;
	tell_volume(e, v, "created", "it is the target of a mirror");
	designated(e, v, p->serve);
	free(p);
}

static void created(struct pool_commit *commit, enum ls_status status)
{
	const struct core *core =
		CONTAINER_OF(commit, struct pending, commit)->serve->channel->core;

	core_administer(core, true);
	created_admin(commit, status);
	core_administer(core, false);
}

static void create(struct serve *s, struct volume *v)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		volume_unmake(engine_of(s->channel), v);
		refuse(s, PAIR_IO);
		return;
	}
	p->commit.done = created;
	p->serve = s;
	p->volume = v;
	engine_of(s->channel)->admin_open++;
	pool_commit(v->pool, &p->commit);
}

/* Whether the existing volume @v is the target that the source asks for again. */
static bool same_target(const struct volume *v, const struct channel *c, const struct pair_body *b)
{
	const struct replica_record *r = &v->record.replicas[0];

	return v->ready && v->record.role == VOLUME_SECONDARY && v->record.replica_count == 1 &&
	       v->record.association == ASSOCIATION_ACTIVE && r->node_address == c->peer_address &&
	       r->volume_number == b->source_number && v->record.region_shift == b->region_shift &&
	       v->record.size_bytes == b->size_bytes;
}

static struct volume *make_target(struct engine *e, struct pool *pool, const struct channel *c,
				  const struct pair_body *b)
{
	const struct peer *peer = c->owner;
	enum ls_status status;
	struct volume *v = volume_make(e, pool, b->target, b->size_bytes, b->region_shift, &status);
	struct replica_record *r;

	if (!v)
		return NULL;
	v->record.role = VOLUME_SECONDARY;
	v->record.block_bytes = b->block_bytes;
	v->record.association = ASSOCIATION_ACTIVE;
	v->record.replica_count = 1;
	r = &v->record.replicas[0];
	r->node_address = c->peer_address;
	r->volume_number = b->source_number;
	snprintf(r->node_name, sizeof(r->node_name), "%s", peer->name);
	snprintf(r->volume_name, sizeof(r->volume_name), "%s", b->source);
	return v;
}

/* The source's base is this generation, and its map says that everything differs. */
static void begin_empty(struct volume *v, const struct pair_body *b)
{
	v->record.consistent = false;
	v->record.generations = (struct generations){.current = b->generation};
}

static void paired_anew(struct mirror *m, enum ls_status status)
{
	struct serve *s = m->serving;

	m->serving = NULL;
	if (status == LS_OK)
		designated(m->engine, m->volume, s);
	else
		refuse(s, PAIR_IO);
	mirror_kick(m);
}

/*
 * Asked again: what it has is no copy of the source until SYNCED says so.  One commit at a time:
 * promoted meanwhile, it would be a primary whose map is cleared.
 */
static void pair_anew(struct engine *e, struct serve *s, struct volume *v,
		      const struct pair_body *b)
{
	struct mirror *m = mirror_get(e, v);

	if (!m || m->committing) {
		refuse(s, m ? PAIR_IN_USE : PAIR_IO);
		return;
	}
	mirror_stop(v, "the source pairs again");
	mirror_change(m, "paired anew by the operator of the peer's node");
	m->serving = s;
	begin_empty(v, b);
	mirror_commit(m, paired_anew);
}

static void on_pair(struct channel *c, struct serve *s, const uint8_t *payload, uint32_t length)
{
	struct engine *e = engine_of(c);
	struct pair_body b;
	struct pool *pool;
	struct volume *v;

	if (s->frame.length != length || !pair_body_decode(payload, length, &b)) {
		refuse(s, PAIR_BAD_REQUEST);
		return;
	}
	v = volume_find(e, b.target);
	if (v && !same_target(v, c, &b)) {
		refuse(s, PAIR_EXISTS);
		return;
	}
	if (v) {
		pair_anew(e, s, v, &b);
		return;
	}
	pool = pool_find(e, b.pool);
	if (!pool) {
		refuse(s, PAIR_NO_POOL);
		return;
	}
	if (pool->block_bytes > b.block_bytes) {
		refuse(s, PAIR_BLOCKS);
		return;
	}
	v = make_target(e, pool, c, &b);
	if (!v) {
		refuse(s, PAIR_NO_SPACE);
		return;
	}
	begin_empty(v, &b);
	create(s, v);
}

void pair_serve(struct channel *c, struct serve *s, const uint8_t *payload, uint32_t length)
{
	if (engine_of(c)->stopping)
		refuse(s, PAIR_IN_USE);
	else
		on_pair(c, s, payload, length);
}
