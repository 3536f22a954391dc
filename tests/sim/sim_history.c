/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_history.h"

#include <assert.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

struct entry {
	uint64_t id;
	uint64_t opened, ended, dead;
	uint32_t next; /* 0 = last */
	enum sim_value value;
};

struct history_pool {
	struct entry *entries; /* 0 is not used */
	uint32_t count, room, free;
};

struct history_pool *history_pool_create(void)
{
	struct history_pool *pool = calloc(1, sizeof(*pool));

	assert(pool);
	pool->count = 1;
	pool->room = 65536;
	pool->entries = malloc(pool->room * sizeof(*pool->entries));
	assert(pool->entries);
	return pool;
}

void history_pool_destroy(struct history_pool *pool)
{
	free(pool->entries);
	free(pool);
}

static uint32_t entry_get(struct history_pool *pool)
{
	uint32_t index = pool->free;

	if (index) {
		pool->free = pool->entries[index].next;
		return index;
	}
	if (pool->count == pool->room) {
		pool->room *= 2;
		pool->entries = realloc(pool->entries, pool->room * sizeof(*pool->entries));
		assert(pool->entries);
	}
	return pool->count++;
}

static void entry_put(struct history_pool *pool, uint32_t index)
{
	pool->entries[index].next = pool->free;
	pool->free = index;
}

static void entry_add(struct history *h, uint64_t block, struct entry entry)
{
	uint32_t index = entry_get(h->pool);

	entry.next = h->heads[block];
	h->pool->entries[index] = entry;
	h->heads[block] = index;
}

void history_init(struct history *h, struct history_pool *pool, uint64_t block_count,
		  enum sim_value initial)
{
	h->pool = pool;
	h->block_count = block_count;
	h->heads = calloc(block_count, sizeof(*h->heads));
	assert(h->heads);
	for (uint64_t i = 0; i < block_count; i++)
		entry_add(h, i, (struct entry){.value = initial, .dead = NEVER});
}

static void clear(struct history *h, uint64_t block)
{
	while (h->heads[block]) {
		uint32_t index = h->heads[block];

		h->heads[block] = h->pool->entries[index].next;
		entry_put(h->pool, index);
	}
}

void history_fini(struct history *h)
{
	for (uint64_t i = 0; i < h->block_count; i++)
		clear(h, i);
	free(h->heads);
	h->heads = NULL;
	h->block_count = 0;
}

/* Takes entries out of @block's list: those of @id, or those that died before @oldest. */
static void sweep(struct history *h, uint64_t block, uint64_t id, uint64_t oldest)
{
	struct entry *entries = h->pool->entries;
	uint32_t *link = &h->heads[block];

	while (*link) {
		uint32_t index = *link;

		if (entries[index].id == id || entries[index].dead < oldest) {
			*link = entries[index].next;
			entry_put(h->pool, index);
		} else {
			link = &entries[index].next;
		}
	}
}

void history_open(struct history *h, uint64_t block, uint64_t id, enum sim_value value,
		  uint64_t seq, uint64_t oldest)
{
	sweep(h, block, NEVER, oldest);
	entry_add(h, block,
		  (struct entry){
			  .id = id, .opened = seq, .ended = NEVER, .dead = NEVER, .value = value});
}

void history_end(struct history *h, uint64_t block, uint64_t id, bool acked, uint64_t seq)
{
	struct entry *entries = h->pool->entries;
	uint64_t opened = 0;

	for (uint32_t i = h->heads[block]; i; i = entries[i].next) {
		if (entries[i].id != id)
			continue;
		entries[i].ended = seq;
		opened = entries[i].opened;
	}
	for (uint32_t i = acked ? h->heads[block] : 0; i; i = entries[i].next) {
		if (entries[i].ended < opened && entries[i].dead == NEVER)
			entries[i].dead = seq;
	}
}

void history_forget(struct history *h, uint64_t block, uint64_t id)
{
	sweep(h, block, id, 0);
}

void history_set(struct history *h, uint64_t block, uint64_t id, enum sim_value value, uint64_t seq)
{
	clear(h, block);
	entry_add(h, block,
		  (struct entry){
			  .id = id, .opened = seq, .ended = seq, .dead = NEVER, .value = value});
}

void history_copy(struct history *to, const struct history *from)
{
	if (to->heads)
		history_fini(to);
	to->pool = from->pool;
	to->block_count = from->block_count;
	to->heads = calloc(to->block_count, sizeof(*to->heads));
	assert(to->heads);
	for (uint64_t b = 0; b < from->block_count; b++)
		for (uint32_t i = from->heads[b]; i; i = from->pool->entries[i].next)
			entry_add(to, b, from->pool->entries[i]);
}

bool history_allows(const struct history *h, uint64_t block, enum sim_value value, uint64_t id,
		    uint64_t since)
{
	const struct entry *entries = h->pool->entries;

	for (uint32_t i = h->heads[block]; i; i = entries[i].next) {
		const struct entry *e = &entries[i];

		if (e->dead < since)
			continue;
		if (e->value == SIM_ANY || e->value == SIM_DISCARD)
			return true;
		if (e->value == value && (value == SIM_ZERO || e->id == id))
			return true;
	}
	return false;
}

bool history_unsettled(const struct history *h, uint64_t block, uint64_t since)
{
	const struct entry *entries = h->pool->entries;
	unsigned alive = 0;

	for (uint32_t i = h->heads[block]; i; i = entries[i].next)
		alive += entries[i].dead >= since;
	return alive > 1;
}

bool history_discarded(const struct history *h, uint64_t block)
{
	const struct entry *entries = h->pool->entries;

	for (uint32_t i = h->heads[block]; i; i = entries[i].next) {
		if (entries[i].value == SIM_DISCARD && entries[i].dead == NEVER)
			return true;
	}
	return false;
}
