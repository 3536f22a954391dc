/* SPDX-License-Identifier: BSD-3-Clause */
/* The node's table of volumes, by name and by the number that frames carry. */
#include "engine/peer/node.h"

#include "engine/peer/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void job_done(struct job *job, int code, const char *fmt, ...)
{
	va_list ap;

	job->err.code = code;
	va_start(ap, fmt);
	vsnprintf(job->err.text, sizeof(job->err.text), fmt, ap);
	va_end(ap);
	job->done(job);
}

bool name_valid(const char *name, size_t max)
{
	size_t n = strlen(name);

	if (n == 0 || n > max || name[0] == '-' || name[0] == '.')
		return false;
	for (const char *p = name; *p; p++) {
		bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			  (*p >= '0' && *p <= '9') || *p == '-' || *p == '_' || *p == '.';

		if (!ok)
			return false;
	}
	return true;
}

bool volume_bytes_valid(uint64_t bytes)
{
	return bytes > 0 && bytes <= MIB(UINT32_MAX) && bytes % POOL_UNIT_BYTES == 0;
}

struct pool *pool_find(struct engine *e, const char *name)
{
	if (!name || !name[0])
		return e->pool_count == 1 ? e->pools[0] : NULL;
	for (unsigned i = 0; i < e->pool_count; i++)
		if (strcmp(e->pools[i]->name, name) == 0)
			return e->pools[i];
	return NULL;
}

struct volume *volume_next_in(const struct engine *e, const struct volume_set *set, unsigned *at)
{
	for (unsigned i = *at; i < ENGINE_VOLUMES_MAX; i = (i / 64 + 1) * 64) {
		uint64_t left = set->bits[i / 64] >> i % 64;

		if (!left)
			continue;
		i += (unsigned)__builtin_ctzll(left);
		*at = i + 1;
		return e->volumes[i];
	}
	*at = ENGINE_VOLUMES_MAX;
	return NULL;
}

struct volume *volume_next(const struct engine *e, unsigned *at)
{
	return volume_next_in(e, &e->volumes_used, at);
}

void volume_set_put(struct volume_set *set, const struct volume *v, bool in)
{
	uint32_t index = v->record.number % ENGINE_VOLUMES_MAX;
	uint64_t bit = UINT64_C(1) << index % 64;

	if (in)
		set->bits[index / 64] |= bit;
	else
		set->bits[index / 64] &= ~bit;
}

struct volume *volume_find(const struct engine *e, const char *name)
{
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at)))
		if (strcmp(v->record.name, name) == 0)
			return v;
	return NULL;
}

struct volume *volume_adopt(struct engine *e, struct pool *pool, const struct volume_record *record)
{
	uint32_t index = record->number % ENGINE_VOLUMES_MAX;
	struct volume *v;

	if (e->volumes[index] || volume_find(e, record->name) ||
	    record->block_bytes < pool->block_bytes)
		return NULL;
	for (unsigned i = 0; i < record->extent_count; i++) {
		const struct extent *x = &record->extents[i];

		if (x->device >= pool->device_count || x->count > pool->units[x->device] ||
		    x->start > pool->units[x->device] - x->count)
			return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	if (map_init(&v->map, record->size_bytes, record->region_shift) < 0) {
		free(v);
		return NULL;
	}
	if (sumlog_init(&v->sums, record->size_bytes) < 0) {
		map_fini(&v->map);
		free(v);
		return NULL;
	}
	v->record = *record;
	v->size_bytes = record->size_bytes;
	v->pool = pool;
	range_set_init(&v->ranges);
	list_init(&v->held);
	list_init(&v->held_requests);
	list_init(&v->uncut);
	v->alone_durable = generation_alone(&record->generations);
	if (record->association == ASSOCIATION_ACTIVE)
		v->mirror = v->alone_durable && record->role == VOLUME_PRIMARY ? MIRROR_ALONE
									       : MIRROR_WAITING;
	else if (record->association == ASSOCIATION_BROKEN)
		v->mirror = MIRROR_BROKEN;
	e->volumes[index] = v;
	volume_set_put(&e->volumes_used, v, true);
	e->volume_count++;
	pool_record_add(pool, &v->record);
	return v;
}

uint64_t generation_fresh(struct engine *e)
{
	uint64_t id;

	e->core.env.random(e->core.env.ctx, &id, sizeof(id));
	return id ? id : 1;
}

bool volume_number(struct engine *e, uint32_t *number)
{
	uint32_t random;

	e->core.env.random(e->core.env.ctx, &random, sizeof(random));
	for (uint32_t i = 0; i < ENGINE_VOLUMES_MAX; i++) {
		if (e->volumes[i])
			continue;
		*number = random / ENGINE_VOLUMES_MAX * ENGINE_VOLUMES_MAX + i;
		if (*number == 0)
			*number = ENGINE_VOLUMES_MAX;
		return true;
	}
	return false;
}

struct volume *volume_make(struct engine *e, struct pool *pool, const char *name,
			   uint64_t size_bytes, uint8_t region_shift, enum ls_status *status)
{
	struct volume_record r = {0};
	struct volume *v;

	*status = LS_NO_SPACE;
	r.size_bytes = round_up_u64(size_bytes, POOL_UNIT_BYTES);
	if (!volume_number(e, &r.number) ||
	    !pool_allocate(pool, r.size_bytes / POOL_UNIT_BYTES, &r))
		return NULL;
	snprintf(r.name, sizeof(r.name), "%s", name);
	r.block_bytes = pool->block_bytes;
	r.consistent = true;
	r.region_shift = intent_shift_for(r.size_bytes, region_shift);
	r.generations.current = generation_fresh(e);
	e->core.env.random(e->core.env.ctx, r.uuid, sizeof(r.uuid));
	v = volume_adopt(e, pool, &r);
	*status = v ? LS_OK : LS_NO_SPACE;
	return v;
}

void volumes_flush_failed(struct store *store)
{
	struct engine *e = store->owner;
	struct volume *v;
	unsigned at = 0;

	while ((v = volume_next(e, &at))) {
		bool there = false;

		for (unsigned i = 0; i < v->record.extent_count; i++)
			there |= v->pool->stores[v->record.extents[i].device] == store;
		if (!there)
			continue;
		volume_flush_failed(v);
		e->next_tick_ns = 0; /* its mirror has to see to it */
	}
}

void volume_unmake(struct engine *e, struct volume *v)
{
	uint32_t index = v->record.number % ENGINE_VOLUMES_MAX;

	pool_record_remove(v->pool, &v->record);
	e->volumes[index] = NULL;
	volume_set_put(&e->volumes_used, v, false);
	volume_set_put(&e->restless, v, false);
	e->volume_count--;
	map_fini(&v->map);
	sumlog_fini(&v->sums);
	mirror_free(v);
	free(v);
}
