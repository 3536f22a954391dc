/* SPDX-License-Identifier: BSD-3-Clause */
/* What all stores share: the checked submit, and which backend opens which path. */
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

static uint64_t longest_bytes(const struct store_geometry *g, enum store_code code)
{
	switch (code) {
	case STORE_READ:
	case STORE_WRITE:
		return g->io_max_bytes;
	case STORE_DISCARD:
		return g->discard_max_bytes;
	case STORE_WRITE_ZEROES:
		return g->zeroes_max_bytes;
	case STORE_FLUSH:
		return 0;
	}
	return 0;
}

static void check_contract(const struct store *store, const struct store_op *op)
{
	const struct store_geometry *g = &store->geometry;
	bool moves_data = op->code == STORE_READ || op->code == STORE_WRITE;
	/* Blocks, and buffers for them, begin at multiples of a power of two. */
	uint64_t bits = op->offset | op->length | (moves_data ? (uintptr_t)op->buf : 0);

	assert(op->done);
	assert(op->code <= STORE_WRITE_ZEROES);
	assert(!op->flags || (op->flags == STORE_FUA &&
			      (op->code == STORE_WRITE || op->code == STORE_WRITE_ZEROES)));
	if (op->code == STORE_FLUSH) {
		assert(op->length == 0);
		return;
	}
	assert(op->length > 0 && op->length <= longest_bytes(g, op->code));
	assert((bits & (g->block_bytes - 1)) == 0);
	assert(op->offset <= g->size_bytes && op->length <= g->size_bytes - op->offset);
	assert(!moves_data || op->buf);
}

void store_submit(struct store *store, struct store_op *op)
{
	check_contract(store, op);
	op->store = store;
	op->next = NULL;
	store->in_flight++;
	if (UNLIKELY(store_op_flushes(op)))
		store->flushes_open++;
	store->ops->submit(store, op);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	assert(store->in_flight == 0);
	store->ops->close(store);
}
