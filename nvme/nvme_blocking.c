/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The blocking path.  libnvme 1.3 sends one command by one ioctl(); its nvme_ns_read()
 * and nvme_ns_write() refuse odd block numbers (fixed in 1.5), so nvme_io() it is.
 */
#include "nvme/nvme_store.h"

#include <errno.h>
#include <libnvme.h>

static int send_io(const struct nvme_store *n, uint8_t opcode, uint64_t offset, void *buf,
		   uint32_t bytes)
{
	struct nvme_io_args args = {
		.args_size = sizeof(args),
		.fd = n->fd,
		.nsid = n->nsid,
		.slba = offset >> n->block_shift,
		.nlb = (uint16_t)((bytes >> n->block_shift) - 1),
		.data = buf,
		.data_len = bytes,
	};

	errno = 0;
	return nvme_io(&args, opcode);
}

int nvme_blocking_read(const struct nvme_store *n, uint64_t offset, void *buf, uint32_t bytes,
		       struct err *err)
{
	int rc = send_io(n, nvme_cmd_read, offset, buf, bytes);

	return rc ? nvme_status_error(err, n->base.store.geometry.path, "read", rc) : 0;
}

int nvme_blocking_write(const struct nvme_store *n, uint64_t offset, const void *buf,
			uint32_t bytes, struct err *err)
{
	int rc = send_io(n, nvme_cmd_write, offset, (void *)(uintptr_t)buf, bytes);

	return rc ? nvme_status_error(err, n->base.store.geometry.path, "write", rc) : 0;
}
