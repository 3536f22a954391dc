/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/client/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define NR_LISTS 19 /* lengths of 2^0 to 2^18 pages */

/*
 * One per page; has a meaning at the first page of a block, and nr_pages at the last page of
 * a free one, too, for the block behind it to find the start.
 */
struct page {
	uint32_t nr_pages;
	uint32_t next, prev; /* in the list of free blocks */
	bool first; /* a block starts here */
	bool in_use;
};

struct arena {
	uint32_t nr_pages;
	uint32_t nr_free;
	uint32_t lists[NR_LISTS]; /* heads: a first page or ARENA_NONE */
	struct page pages[];
};

static unsigned list_of(uint32_t nr_pages)
{
	return 31u - (unsigned)__builtin_clz(nr_pages);
}

static void list_link(struct arena *a, uint32_t first, uint32_t nr_pages)
{
	struct page *p = &a->pages[first];
	uint32_t *head = &a->lists[list_of(nr_pages)];

	p->first = true;
	p->in_use = false;
	p->nr_pages = nr_pages;
	a->pages[first + nr_pages - 1].nr_pages = nr_pages;
	a->pages[first + nr_pages - 1].in_use = false;
	p->prev = ARENA_NONE;
	p->next = *head;
	if (*head != ARENA_NONE)
		a->pages[*head].prev = first;
	*head = first;
	a->nr_free += nr_pages;
}

static void list_unlink(struct arena *a, uint32_t first)
{
	struct page *p = &a->pages[first];

	if (p->prev == ARENA_NONE)
		a->lists[list_of(p->nr_pages)] = p->next;
	else
		a->pages[p->prev].next = p->next;
	if (p->next != ARENA_NONE)
		a->pages[p->next].prev = p->prev;
	a->nr_free -= p->nr_pages;
}

struct arena *arena_create(uint32_t nr_pages)
{
	struct arena *a;

	assert(nr_pages && nr_pages < 1u << NR_LISTS);
	a = calloc(1, sizeof(*a) + nr_pages * sizeof(a->pages[0]));
	if (!a)
		return NULL;
	a->nr_pages = nr_pages;
	for (unsigned i = 0; i < NR_LISTS; i++)
		a->lists[i] = ARENA_NONE;
	list_link(a, 0, nr_pages);
	return a;
}

void arena_destroy(struct arena *a)
{
	free(a);
}

/* The list of its own size may have blocks that are too short; every longer list fits. */
static uint32_t block_find(const struct arena *a, uint32_t nr_pages)
{
	unsigned list = list_of(nr_pages);
	uint32_t first = a->lists[list];

	while (first != ARENA_NONE && a->pages[first].nr_pages < nr_pages)
		first = a->pages[first].next;
	while (first == ARENA_NONE && ++list < NR_LISTS)
		first = a->lists[list];
	return first;
}

uint32_t arena_get(struct arena *a, uint32_t nr_pages)
{
	uint32_t first, rest;
	struct page *p;

	if (!nr_pages || nr_pages > a->nr_free)
		return ARENA_NONE;
	first = block_find(a, nr_pages);
	if (first == ARENA_NONE)
		return ARENA_NONE;
	list_unlink(a, first);
	p = &a->pages[first];
	rest = p->nr_pages - nr_pages;
	if (rest)
		list_link(a, first + nr_pages, rest);
	p->nr_pages = nr_pages;
	p->in_use = true;
	a->pages[first + nr_pages - 1].in_use = true;
	return first;
}

void arena_put(struct arena *a, uint32_t first)
{
	uint32_t nr_pages, behind;

	assert(first < a->nr_pages && a->pages[first].first && a->pages[first].in_use);
	nr_pages = a->pages[first].nr_pages;
	behind = first + nr_pages;
	if (behind < a->nr_pages && !a->pages[behind].in_use) {
		list_unlink(a, behind);
		a->pages[behind].first = false;
		nr_pages += a->pages[behind].nr_pages;
	}
	if (first && !a->pages[first - 1].in_use) {
		a->pages[first].first = false;
		first -= a->pages[first - 1].nr_pages;
		list_unlink(a, first);
		nr_pages += a->pages[first].nr_pages;
	}
	list_link(a, first, nr_pages);
}

uint32_t arena_free_pages(const struct arena *a)
{
	return a->nr_free;
}

void arena_check(const struct arena *a)
{
	uint32_t nr_free = 0, nr_listed = 0;
	bool before_free = false;
	const struct page *p;

	for (uint32_t i = 0; i < a->nr_pages; i += p->nr_pages) {
		p = &a->pages[i];
		assert(p->first && p->nr_pages && p->nr_pages <= a->nr_pages - i);
		for (uint32_t k = 1; k < p->nr_pages; k++)
			assert(!a->pages[i + k].first);
		assert(a->pages[i + p->nr_pages - 1].in_use == p->in_use);
		assert(p->in_use || !before_free);
		before_free = !p->in_use;
		nr_free += p->in_use ? 0 : p->nr_pages;
	}
	for (unsigned list = 0; list < NR_LISTS; list++) {
		for (uint32_t i = a->lists[list]; i != ARENA_NONE; i = a->pages[i].next) {
			assert(!a->pages[i].in_use && list_of(a->pages[i].nr_pages) == list);
			nr_listed += a->pages[i].nr_pages;
		}
	}
	assert(nr_free == a->nr_free && nr_listed == a->nr_free);
}
