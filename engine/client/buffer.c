/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/client/connection.h"

#include <assert.h>
#include <errno.h>

void *ls_buf_alloc(struct ls_connection *c, size_t bytes)
{
	uint32_t page = ARENA_NONE;

	if (bytes && bytes <= c->arena_bytes)
		page = arena_get(c->arena,
				 (uint32_t)((bytes + ARENA_PAGE_BYTES - 1) / ARENA_PAGE_BYTES));
	if (page == ARENA_NONE) {
		err_set(&c->err, -ENOMEM, "the arena of %llu bytes has no room for %zu more",
			(unsigned long long)c->arena_bytes, bytes);
		return NULL;
	}
	return c->arena_base + (uint64_t)page * ARENA_PAGE_BYTES;
}

void ls_buf_free(struct ls_connection *c, void *buf)
{
	size_t at;

	if (!buf)
		return;
	at = (size_t)((char *)buf - c->arena_base);
	assert(at < c->arena_bytes && at % ARENA_PAGE_BYTES == 0);
	arena_put(c->arena, (uint32_t)(at / ARENA_PAGE_BYTES));
}
