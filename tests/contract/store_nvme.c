/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: the nvme backend understands names and answers, and does without what a device lacks. */
#include "nvme/file_store.h"
#include "nvme/nvme_path.h"
#include "nvme/nvme_store.h"
#include "tests/contract/store_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void names_of_namespaces_are_understood(void **state)
{
	static const struct {
		const char *path;
		bool known;
		enum nvme_path_kind kind;
		const char *generic;
	} rows[] = {
		/* clang-format off */
		{"/dev/nvme70n1", true, NVME_PATH_NAMESPACE, "/dev/ng70n1"},
		{"/dev/ng70n31", true, NVME_PATH_NAMESPACE, "/dev/ng70n31"},
		{"/dev/nvme70n1p3", true, NVME_PATH_PARTITION, "/dev/ng70n1"},
		{"/dev/nvme70", true, NVME_PATH_CONTROLLER, "/dev/ng70n1"},
		{"/dev/nvme70n", false, 0, ""},
		{"/dev/nvme70n1p", false, 0, ""},
		{"/dev/nvme70n1x", false, 0, ""},
		{"/dev/nvme-fabrics", false, 0, ""},
		{"/dev/sda", false, 0, ""},
		{"nvme0n1", false, 0, ""},
		{"/tmp/dev/nvme0n1", false, 0, ""},
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nvme_path p;

		assert_int_equal(nvme_path_parse(rows[i].path, &p), rows[i].known);
		if (!rows[i].known)
			continue;
		assert_int_equal(p.kind, rows[i].kind);
		assert_string_equal(p.generic, rows[i].generic);
	}
}

/* What becomes of a command of an operation when the device answers so. */
static enum queue_verdict verdict(enum store_code code, int result)
{
	struct nvme_store n = {0};
	struct store_op op = {.store = &n.base.store, .code = code};
	struct queue_slot slot = {.op = &op};
	enum queue_verdict first = nvme_queue_ops.complete(&n.base.store, &slot, result);

	/* Not for ever. */
	slot.retries = QUEUE_RETRIES_MAX;
	assert_int_equal(nvme_queue_ops.complete(&n.base.store, &slot, result), QUEUE_DONE);
	return first;
}

void answers_of_the_device_are_understood(void **state)
{
	static const struct {
		int result;
		enum ls_status status;
		bool may_pass;
		bool flush_may_pass;
		bool unsupported;
	} rows[] = {
		/* clang-format off */
		{0, LS_OK, false, false, false},
		{0x0006, LS_LOCAL_IO, true, false, false},     /* internal error */
		{0x4006, LS_LOCAL_IO, false, false, false},    /* and do not retry */
		{0x2006, LS_LOCAL_IO, true, false, false},     /* and more in the log */
		{0x4001, LS_LOCAL_IO, false, false, true},     /* invalid opcode */
		{0x4002, LS_LOCAL_IO, false, false, true},     /* invalid field */
		{0x4081, LS_NO_SPACE, false, false, false},    /* capacity exceeded */
		{0x0081, LS_NO_SPACE, false, false, false},
		{0x0082, LS_LOCAL_IO, true, true, false},      /* namespace not ready */
		{0x0021, LS_LOCAL_IO, true, true, false},      /* command interrupted */
		{0x0007, LS_LOCAL_IO, true, true, false},      /* abort requested */
		{0x0280, LS_LOCAL_IO, true, false, false},     /* write fault */
		{0x4281, LS_LOCAL_IO, false, false, false},    /* unrecovered read error */
		{0x0370, LS_LOCAL_IO, true, true, false},      /* host path error */
		{-EINTR, LS_LOCAL_IO, true, true, false},      /* cancelled by a reset */
		{-EIO, LS_LOCAL_IO, false, false, false},
		{-ENODEV, LS_LOCAL_IO, false, false, false},   /* unplugged */
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(nvme_status_ls(rows[i].result), rows[i].status);
		assert_int_equal(nvme_status_may_pass(rows[i].result), rows[i].may_pass);
		assert_int_equal(verdict(STORE_WRITE, rows[i].result) == QUEUE_RETRY,
				 rows[i].may_pass);
		assert_int_equal(verdict(STORE_FLUSH, rows[i].result) == QUEUE_RETRY,
				 rows[i].flush_may_pass);
		assert_int_equal(nvme_status_unsupported(rows[i].result), rows[i].unsupported);
	}
}

static void forget_zeroing(struct store *store)
{
	if (strcmp(store->geometry.backend, "nvme") == 0)
		CONTAINER_OF(store, struct nvme_store, base.store)->zero_by_write = true;
	else
		CONTAINER_OF(store, struct file_store, base.store)->zero_by_write = true;
}

void zeroes_are_written_where_there_is_no_command(void **state)
{
	struct env *e = *state;
	const struct store_geometry *g = &e->store->geometry;
	const uint32_t block = g->block_bytes;
	uint64_t bytes = min_u64(g->zeroes_max_bytes, MIB(1) + block);
	void *edge = buffer_new(block, 0);
	struct probe p = probe_make(STORE_WRITE_ZEROES, block, bytes, NULL);

	forget_zeroing(e->store);
	for (unsigned flags = 0; flags <= STORE_FUA; flags++) {
		p = probe_make(STORE_WRITE_ZEROES, block, bytes, NULL);
		p.op.flags = flags;
		lay(e, bytes + 2 * (uint64_t)block, 4);
		assert_int_equal(run_probe(e, e->store, &p), LS_OK);
		assert_range(e, block, bytes, true);
		assert_int_equal(run(e, STORE_READ, 0, block, edge), LS_OK);
		assert_filled(edge, block, 4);
		assert_int_equal(run(e, STORE_READ, block + bytes, block, edge), LS_OK);
		assert_int_not_equal(*(uint64_t *)edge, 0);
	}
	free(edge);
}
