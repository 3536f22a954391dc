/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/slots.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int pages_map(size_t length_bytes, void **base)
{
	void *map = mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int rc;

	if (map == MAP_FAILED)
		return -errno;
	/* A child that wrote to a page under DMA would leave us with the copy. */
	if (madvise(map, length_bytes, MADV_DONTFORK) < 0) {
		rc = -errno;
		munmap(map, length_bytes);
		return rc;
	}
	/* Fewer entries in the device's tables where the kernel has huge pages to give. */
	(void)madvise(map, length_bytes, MADV_HUGEPAGE);
	/* A page fault has no place on the data path. */
	memset(map, 0, length_bytes);
	*base = map;
	return 0;
}

void pages_unmap(void *base, size_t length_bytes)
{
	if (base)
		munmap(base, length_bytes);
}

int slots_init(struct link *link, uint32_t slot_count, uint32_t slot_bytes)
{
	uint32_t stride = LINK_PAYLOAD_OFFSET + slot_bytes;
	size_t length_bytes = (size_t)slot_count * stride;
	void *base;
	int rc = pages_map(length_bytes, &base);

	if (rc < 0)
		return rc;
	link->slots = (struct region){
		.base = base,
		.length_bytes = length_bytes,
		.buffer_first = REGION_NO_BUFFERS,
	};
	link->slot_count = slot_count;
	link->slot_bytes = slot_bytes;
	link->slot_stride = stride;
	return 0;
}

void slots_fini(struct link *link)
{
	pages_unmap(link->slots.base, link->slots.length_bytes);
	link->slots.base = NULL;
}
