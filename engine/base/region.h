/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region is memory that was made known to the devices once, at set-up: a client's
 * arena, the receive slots of a link, the engine's own buffers.  The core only carries
 * the pointer from the request to the link and the store, which find there the keys
 * that they put in when the region was registered.
 *
 * Lifetime: a region may be removed only when no operation that names it is in flight.
 */
#ifndef LS_BASE_REGION_H
#define LS_BASE_REGION_H

#include <stddef.h>
#include <stdint.h>

#define REGION_NO_BUFFERS UINT32_MAX

struct region {
	void *base;
	size_t length_bytes;

	/* Set by the fabric: local key for RDMA, and its own handle. */
	uint32_t lkey;
	void *fabric_handle;

	/*
	 * Set by the store queue: the region is registered as io_uring fixed buffers of
	 * buffer_bytes each, from index buffer_first; REGION_NO_BUFFERS = not registered.
	 */
	uint32_t buffer_first;
	uint32_t buffer_count;
	size_t buffer_bytes;
};

#endif
