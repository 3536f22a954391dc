/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Small, because there is one for each block of each volume: sequence numbers have 32 bits here. */
#define NEVER UINT32_MAX
#define INDEX_BITS 29u
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
/* In place of a value: a head that is no entry. */
#define NONE 7u

/* Nearly all blocks have one or two: the first is the head itself, the others are in the pool. */
struct history_entry {
	uint64_t id;
	uint32_t opened, ended, dead;
	uint32_t next : INDEX_BITS; /* 0 = last */
	uint32_t value : 3; /* enum sim_value */
};

struct history_pool {
	struct history_entry *entries; /* 0 is not used */
	uint32_t count, room, free;
};

struct history_pool *history_pool_create(void)
{
	struct history_pool *pool = calloc(1, sizeof(*pool));

	assert(pool);
	pool->count = 1;
	pool->room = 4096;
	pool->entries = malloc(pool->room * sizeof(*pool->entries));
	assert(pool->entries);
	return pool;
}

void history_pool_destroy(struct history_pool *pool)
{
	free(pool->entries);
	free(pool);
}

static uint32_t number(uint64_t seq)
{
	assert(seq < NEVER);
	return (uint32_t)seq;
}

static uint32_t pool_get(struct history_pool *pool)
{
	uint32_t index = pool->free;

	if (index) {
		pool->free = pool->entries[index].next;
		return index;
	}
	if (pool->count == pool->room) {
		pool->room *= 2;
		assert(pool->room <= 1u << INDEX_BITS);
		pool->entries = realloc(pool->entries, pool->room * sizeof(*pool->entries));
		assert(pool->entries);
	}
	return pool->count++;
}

static void pool_put(struct history_pool *pool, uint32_t index)
{
	pool->entries[index].next = pool->free;
	pool->free = index;
}

/* The entries of a block one by one, from its head on; NULL behind the last. */
static struct history_entry *first(const struct history *h, uint64_t block)
{
	return h->heads[block].value == NONE ? NULL : &h->heads[block];
}

static struct history_entry *next(const struct history *h, const struct history_entry *entry)
{
	return entry->next ? &h->pool->entries[entry->next] : NULL;
}

static void entry_add(struct history *h, uint64_t block, struct history_entry entry)
{
	struct history_entry *head = &h->heads[block];

	entry.next = 0;
	if (head->value != NONE) {
		uint32_t index = pool_get(h->pool);

		h->pool->entries[index] = *head;
		entry.next = index & INDEX_MASK;
	}
	*head = entry;
}

static void heads_create(struct history *h, struct history_pool *pool, uint64_t block_count)
{
	h->pool = pool;
	h->block_count = block_count;
	h->heads = malloc(block_count * sizeof(*h->heads));
	assert(h->heads);
}

void history_init(struct history *h, struct history_pool *pool, uint64_t block_count,
		  enum sim_value initial)
{
	heads_create(h, pool, block_count);
	for (uint64_t i = 0; i < block_count; i++)
		h->heads[i] = (struct history_entry){.value = initial & 7u, .dead = NEVER};
}

/* Those behind the head, which is forgotten or written over then. */
static void clear(struct history *h, uint64_t block)
{
	uint32_t index = h->heads[block].next;

	while (index) {
		uint32_t behind = h->pool->entries[index].next;

		pool_put(h->pool, index);
		index = behind;
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

static bool goes(const struct history_entry *entry, uint64_t id, uint64_t oldest)
{
	return entry->id == id || entry->dead < oldest;
}

/* Takes entries out of @block's list: those of @id, or those that died before @oldest. */
static void sweep(struct history *h, uint64_t block, uint64_t id, uint64_t oldest)
{
	struct history_entry *head = &h->heads[block], *before = head;

	while (before->next) {
		uint32_t index = before->next;
		struct history_entry *entry = &h->pool->entries[index];

		if (goes(entry, id, oldest)) {
			before->next = entry->next;
			pool_put(h->pool, index);
		} else {
			before = entry;
		}
	}
	if (!goes(head, id, oldest))
		return;
	if (head->next) {
		uint32_t index = head->next;

		*head = h->pool->entries[index];
		pool_put(h->pool, index);
	} else {
		*head = (struct history_entry){.value = NONE};
	}
}

void history_open(struct history *h, uint64_t block, uint64_t id, enum sim_value value,
		  uint64_t seq, uint64_t oldest)
{
	sweep(h, block, UINT64_MAX, oldest);
	entry_add(h, block,
		  (struct history_entry){.id = id,
					 .opened = number(seq),
					 .ended = NEVER,
					 .dead = NEVER,
					 .value = value & 7u});
}

void history_end(struct history *h, uint64_t block, uint64_t id, bool acked, uint64_t seq)
{
	uint32_t opened = 0;

	for (struct history_entry *e = first(h, block); e; e = next(h, e)) {
		if (e->id != id)
			continue;
		e->ended = number(seq);
		opened = e->opened;
	}
	for (struct history_entry *e = acked ? first(h, block) : NULL; e; e = next(h, e))
		if (e->ended < opened && e->dead == NEVER)
			e->dead = number(seq);
}

void history_forget(struct history *h, uint64_t block, uint64_t id)
{
	sweep(h, block, id, 0);
}

void history_set(struct history *h, uint64_t block, uint64_t id, enum sim_value value, uint64_t seq)
{
	clear(h, block);
	h->heads[block] = (struct history_entry){.id = id,
						 .opened = number(seq),
						 .ended = number(seq),
						 .dead = NEVER,
						 .value = value & 7u};
}

/* What is behind the head of @block becomes a copy of its own, in another order. */
static void copy_rest(struct history *h, uint64_t block)
{
	struct history_entry *head = &h->heads[block];
	uint32_t from = head->next;

	head->next = 0;
	while (from) {
		uint32_t index = pool_get(h->pool);
		struct history_entry *entry = &h->pool->entries[index];

		*entry = h->pool->entries[from];
		from = entry->next;
		entry->next = head->next;
		head->next = index & INDEX_MASK;
	}
}

void history_copy(struct history *to, const struct history *from)
{
	if (to->heads)
		history_fini(to);
	heads_create(to, from->pool, from->block_count);
	memcpy(to->heads, from->heads, from->block_count * sizeof(*to->heads));
	for (uint64_t b = 0; b < to->block_count; b++)
		if (to->heads[b].next)
			copy_rest(to, b);
}

bool history_allows(const struct history *h, uint64_t block, enum sim_value value, uint64_t id,
		    uint64_t since)
{
	for (const struct history_entry *e = first(h, block); e; e = next(h, e)) {
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
	unsigned alive = 0;

	for (const struct history_entry *e = first(h, block); e; e = next(h, e))
		alive += e->dead >= since;
	return alive > 1;
}

bool history_discarded(const struct history *h, uint64_t block)
{
	for (const struct history_entry *e = first(h, block); e; e = next(h, e))
		if (e->value == SIM_DISCARD && e->dead == NEVER)
			return true;
	return false;
}
