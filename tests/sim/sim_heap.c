/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In front of each block. */
struct block {
	struct list node;
	void *real;
	uint64_t unused;
};

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *p);

static struct list *current;

void sim_heap_enter(struct list *heap)
{
	current = heap;
}

static void *take(void *real, size_t front)
{
	struct block *b;

	if (!real)
		return NULL;
	b = (struct block *)(void *)((uint8_t *)real + front) - 1;
	b->real = real;
	list_init(&b->node);
	if (current)
		list_add_tail(current, &b->node);
	return b + 1;
}

void *__wrap_malloc(size_t bytes)
{
	return take(malloc(bytes + sizeof(struct block)), sizeof(struct block));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return take(calloc(1, count * bytes + sizeof(struct block)), sizeof(struct block));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return take(aligned_alloc(alignment, bytes + alignment), alignment);
}

void __wrap_free(void *p)
{
	struct block *b = (struct block *)p - 1;

	if (!p)
		return;
	list_del(&b->node);
	free(b->real);
}

void sim_heap_drop(struct list *heap)
{
	struct list *node;

	while ((node = list_pop(heap)))
		free(LIST_ENTRY(node, struct block, node)->real);
}
