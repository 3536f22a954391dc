/* SPDX-License-Identifier: BSD-3-Clause */
/* The target's side of pairing: PAIR designates the volume, SYNCED ends the initial copy. */
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
	return name_valid(b->source, VOLUME_NAME_MAX) && name_valid(b->target, VOLUME_NAME_MAX) &&
	       b->size_bytes > 0 && b->size_bytes % POOL_UNIT_BYTES == 0 && b->source_number != 0 &&
	       (b->block_bytes == 512 || b->block_bytes == 4096);
}

/* One request whose answer waits for the pool's table. */
struct pending {
	struct pool_commit commit;
	struct serve *serve;
	struct volume *volume;
	bool created, synced;
};

static struct engine *engine_of(struct channel *c)
{
	return ((struct peer *)c->owner)->engine;
}

static void refuse(struct serve *s, enum pair_answer why)
{
	channel_answer(s, LS_INVALID, 0, why);
}

static void committed_admin(struct pool_commit *commit, enum ls_status status)
{
	struct pending *p = CONTAINER_OF(commit, struct pending, commit);
	struct channel *c = p->serve->channel;
	struct engine *e = engine_of(c);
	struct volume *v = p->volume;

	e->admin_open--;
	if (status != LS_OK) {
		if (p->created)
			volume_unmake(e, v);
		refuse(p->serve, PAIR_IO);
		free(p);
		return;
	}
	v->ready = true;
	/* While the table was written the session may have ended. */
	if (c->link && !c->shut) {
		v->channels[0] = c;
		v->mirror = p->synced ? MIRROR_SYNCED : MIRROR_COPYING;
		core_log(&e->core, 6, "volume '%s': %s", v->record.name,
			 p->synced ? "in sync with its source"
				   : "target of a mirror, initial copy begins");
	}
	channel_answer(p->serve, LS_OK, v->record.number, PAIR_OK);
	free(p);
}

static void committed(struct pool_commit *commit, enum ls_status status)
{
	const struct core *core =
		CONTAINER_OF(commit, struct pending, commit)->serve->channel->core;

	core_administer(core, true);
	committed_admin(commit, status);
	core_administer(core, false);
}

static void commit(struct serve *s, struct volume *v, bool created, bool synced)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		if (created)
			volume_unmake(engine_of(s->channel), v);
		refuse(s, PAIR_IO);
		return;
	}
	p->commit.done = committed;
	p->serve = s;
	p->volume = v;
	p->created = created;
	p->synced = synced;
	engine_of(s->channel)->admin_open++;
	pool_commit(v->pool, &p->commit);
}

/* Whether the existing volume @v is the target that the source asks for again. */
static bool same_target(const struct volume *v, const struct channel *c, const struct pair_body *b)
{
	const struct replica_record *r = &v->record.replicas[0];

	return v->ready && v->record.role == VOLUME_SECONDARY && v->record.replica_count == 1 &&
	       r->node_address == c->peer_address && r->volume_number == b->source_number &&
	       v->record.size_bytes == b->size_bytes;
}

static struct volume *make_target(struct engine *e, struct pool *pool, const struct channel *c,
				  const struct pair_body *b)
{
	const struct peer *peer = c->owner;
	enum ls_status status;
	struct volume *v = volume_make(e, pool, b->target, b->size_bytes, &status);
	struct replica_record *r;

	if (!v)
		return NULL;
	v->record.role = VOLUME_SECONDARY;
	v->record.block_bytes = b->block_bytes;
	v->record.replica_count = 1;
	r = &v->record.replicas[0];
	r->node_address = c->peer_address;
	r->volume_number = b->source_number;
	snprintf(r->node_name, sizeof(r->node_name), "%s", peer->name);
	snprintf(r->volume_name, sizeof(r->volume_name), "%s", b->source);
	return v;
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
		/* Asked again: what it has is no copy of the source until SYNCED says so. */
		v->record.consistent = false;
		commit(s, v, false, false);
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
	v->record.consistent = false;
	commit(s, v, true, false);
}

static void on_synced(struct channel *c, struct serve *s)
{
	struct volume *v = volume_by_number(engine_of(c), s->frame.volume);

	if (!v || !v->ready || v->channels[0] != c || v->record.role != VOLUME_SECONDARY ||
	    v->mirror != MIRROR_COPYING) {
		refuse(s, PAIR_BAD_REQUEST);
		return;
	}
	v->record.consistent = true;
	commit(s, v, false, true);
}

void pair_control(struct channel *c, struct serve *s, const uint8_t *payload, uint32_t length)
{
	core_administer(c->core, true);
	if (engine_of(c)->stopping)
		refuse(s, PAIR_IN_USE);
	else if (s->frame.command == FRAME_PAIR)
		on_pair(c, s, payload, length);
	else
		on_synced(c, s);
	core_administer(c->core, false);
}
