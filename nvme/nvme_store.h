/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The nvme backend's parts: identify.c reads what a namespace can do, nvme_open.c decides
 * and claims, nvme.c does the work, nvme_status.c understands the device's answers.
 */
#ifndef LS_NVME_NVME_STORE_H
#define LS_NVME_NVME_STORE_H

#include "nvme/queue_internal.h"

#include <sys/types.h>

/* What the device says of itself; limits are in bytes, 0 = it names none. */
struct nvme_facts {
	uint32_t nsid;
	uint32_t block_bytes;
	uint32_t metadata_bytes; /* in each block */
	bool protection; /* end-to-end data protection is on */
	uint64_t size_bytes;
	uint64_t transfer_max_bytes; /* MDTS */
	uint64_t zeroes_max_bytes; /* WZSL */
	uint64_t discard_max_bytes; /* DMRSL, DMSL */
	uint64_t atomic_bytes; /* NAWUPF or AWUPF */
	bool cache_present; /* VWC */
	bool cache_on; /* feature 06h */
	bool ignores_fua; /* takes the bit, and leaves the write in its cache */
	bool has_write_zeroes; /* ONCS */
	bool has_dsm;
	bool deallocate_zeroes; /* DLFEAT: write zeroes may deallocate, and reads as zeroes */
	char model[64];
	char serial[64];
};

int nvme_facts_read(int fd, const char *path, struct nvme_facts *facts, struct err *err) MUST_CHECK;

struct nvme_store {
	struct queue_store base;
	int fd; /* /dev/ngXnY: commands; base.claim_fd is /dev/nvmeXnY */
	uint32_t nsid;
	unsigned block_shift;
	bool zero_by_write; /* no Write Zeroes command */
	bool zero_deallocates;
};

extern const struct store_ops nvme_store_ops;
extern const struct queue_store_ops nvme_queue_ops;

/*
 * One command by ioctl(), through libnvme: for the control path.  Returns 0 or a negative
 * errno with a sentence.  @bytes is one command's worth.
 */
int nvme_blocking_read(const struct nvme_store *n, uint64_t offset, void *buf, uint32_t bytes,
		       struct err *err) MUST_CHECK;
int nvme_blocking_write(const struct nvme_store *n, uint64_t offset, const void *buf,
			uint32_t bytes, struct err *err) MUST_CHECK;

/*
 * The device's answer: 0, a status (type and code, More, Do Not Retry), or a negative
 * errno of the kernel.
 */
enum ls_status nvme_status_ls(int result);
/* The same command may succeed when it is sent again. */
bool nvme_status_may_pass(int result);
/*
 * And nobody has heard how it ended: it did not begin, or was given up.  Any other failure of a
 * flush may be about data that are lost.
 */
bool nvme_status_unheard(int result);
/* The device does not know this command, or not with these bits. */
bool nvme_status_unsupported(int result);
/* What a libnvme call returned, as a negative errno and a sentence. */
int nvme_status_error(struct err *err, const char *path, const char *what, int result);

#endif
