/* SPDX-License-Identifier: BSD-3-Clause */
/* What all stores share: the rarer checks of a submit, and which backend opens which path. */
#include "nvme/store.h"

#include "nvme/backend.h"
#include "nvme/fault.h"
#include "nvme/store_queue.h"

#include <assert.h>
#include <errno.h>

/* The first that takes the path opens it; the file backend takes everything. */
static const struct store_backend *const backends[] = {
	&store_backend_fail,
	&store_backend_nvme,
	&store_backend_file,
};

int store_open(struct store_queue *queue, const char *path, uint64_t size_bytes,
	       struct store **store, struct err *err)
{
	assert(queue && path && store);
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (backends[i]->takes(path))
			return backends[i]->open(queue, path, size_bytes, store, err);
	}
	return err_set(err, -EINVAL, "%s: no store backend takes this path", path);
}

void store_check_other(const struct store *store, const struct store_op *op)
{
	const struct store_geometry *g = &store->geometry;
	uint64_t longest = op->code == STORE_DISCARD ? g->discard_max_bytes : g->zeroes_max_bytes;

	assert(op->code <= STORE_WRITE_ZEROES);
	assert(!op->flags || (op->flags == STORE_FUA && op->code == STORE_WRITE_ZEROES));
	if (op->code == STORE_FLUSH) {
		assert(op->length == 0);
		return;
	}
	store_check_blocks(g, op, longest);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	assert(store->in_flight == 0);
	store->ops->close(store);
}
