/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fixed buffers: the table of a ring is made sparse and large at once, and a region takes
 * a run of free entries in it.
 */
#include "nvme/queue_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void queue_buffers_init(struct store_queue *q)
{
	uint32_t table = QUEUE_BUFFERS_MAX;
	int rc = -EINVAL;

	q->buffer_used = calloc(table, 1);
	if (!q->buffer_used) {
		q->buffer_error = -ENOMEM;
		return;
	}
	/* Linux before 5.13 took 1024 at most; before 5.19 no sparse table at all. */
	for (; rc < 0 && table >= 1024; table /= 4)
		rc = io_uring_register_buffers_sparse(&q->ring, q->buffer_table = table);
	if (rc < 0) {
		q->buffer_table = 0;
		q->buffer_error = rc;
	}
}

void queue_buffers_fini(struct store_queue *q)
{
	free(q->buffer_used);
}

/* First of @count free entries in a row, or REGION_NO_BUFFERS. */
static uint32_t find_run(const struct store_queue *q, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < q->buffer_table; i++) {
		run = q->buffer_used[i] ? 0 : run + 1;
		if (run == count)
			return i + 1 - count;
	}
	return REGION_NO_BUFFERS;
}

static int update_entry(struct store_queue *q, uint32_t index, void *base, size_t bytes)
{
	struct iovec iov = {.iov_base = base, .iov_len = bytes};
	__u64 tag = 0;
	int rc = io_uring_register_buffers_update_tag(&q->ring, index, &iov, &tag, 1);

	return rc < 0 ? rc : 0;
}

static void drop_entries(struct store_queue *q, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		(void)update_entry(q, i, NULL, 0);
		q->buffer_used[i] = 0;
	}
	q->buffer_count -= count;
}

static int add_entries(struct store_queue *q, const struct region *region, size_t buffer_bytes,
		       uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		size_t at = i * buffer_bytes;
		size_t bytes = min_u64(buffer_bytes, region->length_bytes - at);
		int rc = update_entry(q, first + i, (char *)region->base + at, bytes);

		if (rc < 0) {
			drop_entries(q, first, i);
			return rc;
		}
		q->buffer_used[first + i] = 1;
		q->buffer_count++;
	}
	return 0;
}

/*
 * Linux 6.1 counts the pages from the start of a command to the end of its fixed buffer
 * (not of the command) against the device's limit: a buffer may not have more than that.
 */
static bool buffers_fit(const struct region *region, size_t buffer_bytes)
{
	size_t misaligned = ((uintptr_t)region->base | buffer_bytes) % QUEUE_PAGE_BYTES;
	size_t pages = (buffer_bytes + QUEUE_PAGE_BYTES - 1) / QUEUE_PAGE_BYTES;

	return pages + (misaligned ? 1 : 0) <= QUEUE_SEGMENTS_MAX;
}

void store_queue_region_add(struct store_queue *q, struct region *region, size_t buffer_bytes)
{
	uint32_t first, count;
	int rc;

	assert(buffer_bytes > 0 && region->length_bytes > 0);
	assert(buffers_fit(region, buffer_bytes));
	queue_own(q);
	region->buffer_first = REGION_NO_BUFFERS;
	region->buffer_count = 0;
	region->buffer_bytes = 0;
	count = (uint32_t)min_u64((region->length_bytes + buffer_bytes - 1) / buffer_bytes,
				  REGION_NO_BUFFERS - 1);
	first = find_run(q, count);
	rc = first == REGION_NO_BUFFERS ? -ENOSPC
					: add_entries(q, region, buffer_bytes, first, count);
	if (rc < 0) {
		if (q->buffer_table > 0)
			q->buffer_error = rc;
	} else {
		region->buffer_first = first;
		region->buffer_count = count;
		region->buffer_bytes = buffer_bytes;
	}
	queue_describe(q);
}

void store_queue_region_remove(struct store_queue *q, struct region *region)
{
	queue_own(q);
	if (region->buffer_first != REGION_NO_BUFFERS)
		drop_entries(q, region->buffer_first, region->buffer_count);
	region->buffer_first = REGION_NO_BUFFERS;
	region->buffer_count = 0;
	queue_describe(q);
}

bool queue_fixed_index(const struct region *region, const void *buf, uint64_t bytes,
		       uint16_t *index)
{
	uint64_t at, chunk;

	if (!region || region->buffer_first == REGION_NO_BUFFERS || region->buffer_count == 0)
		return false;
	at = (uint64_t)((const char *)buf - (const char *)region->base);
	chunk = at / region->buffer_bytes;
	if (chunk >= region->buffer_count || at + bytes > (chunk + 1) * region->buffer_bytes)
		return false;
	*index = (uint16_t)(region->buffer_first + chunk);
	return true;
}
