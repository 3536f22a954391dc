/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme/nvme_store.h"

#include <errno.h>
#include <libnvme.h>
#include <string.h>

/* Status code and its type; without the retry delay, More and Do Not Retry bits. */
enum { STATUS_MASK = 0x7ff };

enum ls_status nvme_status_ls(int result)
{
	if (result == 0)
		return LS_OK;
	if (result > 0 && (result & STATUS_MASK) == NVME_SC_CAP_EXCEEDED)
		return LS_NO_SPACE;
	return LS_LOCAL_IO;
}

/* The kernel repeats file system I/O by the same rule, but never a passthrough command. */
bool nvme_status_may_pass(int result)
{
	if (result < 0) /* EINTR: the driver cancelled it, as in a controller reset */
		return result == -EINTR || result == -EAGAIN;
	return result > 0 && !(result & NVME_SC_DNR) &&
	       (result & STATUS_MASK) != NVME_SC_CAP_EXCEEDED;
}

bool nvme_status_unheard(int result)
{
	if (result < 0) /* the kernel's word, not the device's */
		return nvme_status_may_pass(result);
	switch (result & STATUS_MASK) {
	case NVME_SC_ABORT_REQ:
	case NVME_SC_ABORT_QUEUE:
	case NVME_SC_CMD_INTERRUPTED: /* "the host should retry the command" */
	case NVME_SC_NS_NOT_READY:
		return true;
	default: /* Path Related Status */
		return (result & STATUS_MASK) >> NVME_SCT_SHIFT == NVME_SCT_PATH;
	}
}

bool nvme_status_unsupported(int result)
{
	int code = result & STATUS_MASK;

	return result > 0 && (code == NVME_SC_INVALID_OPCODE || code == NVME_SC_INVALID_FIELD);
}

int nvme_status_error(struct err *err, const char *path, const char *what, int result)
{
	int code = errno;

	if (result > 0)
		return err_set(err, -EIO, "%s: %s: NVMe status 0x%x: %s", path, what,
			       (unsigned)result & STATUS_MASK,
			       nvme_status_to_string(result, false));
	if (code == EACCES || code == EPERM)
		return err_set(err, -code,
			       "%s: %s is not permitted: NVMe passthrough needs "
			       "CAP_SYS_ADMIN",
			       path, what);
	return err_set(err, code ? -code : -EIO, "%s: %s: %s", path, what, strerror(code));
}
