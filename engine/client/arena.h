/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages of the data arena are in use.  All of it is in the client's private memory:
 * neither the engine nor a stray write to a buffer can damage it.
 *
 * Segregated fit: free blocks hang in lists by the power of two of their length, and merge
 * with free neighbours at once.  Allocating looks through one list at most, freeing takes
 * constant time.
 *
 * Threads: that of its connection.
 */
#ifndef LS_CLIENT_ARENA_H
#define LS_CLIENT_ARENA_H

#include "engine/base/defs.h"

#define ARENA_PAGE_BYTES 4096u
#define ARENA_NONE UINT32_MAX

struct arena;

/* @nr_pages: 1 to 2^18.  NULL when there is no memory. */
struct arena *arena_create(uint32_t nr_pages);
void arena_destroy(struct arena *arena);

/* The first page of @nr_pages free ones, or ARENA_NONE. */
uint32_t arena_get(struct arena *arena, uint32_t nr_pages) MUST_CHECK;
/* @page is what arena_get() gave, and was not put since: asserted. */
void arena_put(struct arena *arena, uint32_t page);

uint32_t arena_free_pages(const struct arena *arena);
/* Walks everything and asserts that it is sound; for tests. */
void arena_check(const struct arena *arena);

#endif
