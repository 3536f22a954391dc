/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A way to open a store.  A new backend is a new file that defines one of these, and a
 * line in the array in store.c.
 */
#ifndef LS_NVME_BACKEND_H
#define LS_NVME_BACKEND_H

#include "nvme/store_queue.h"

struct store_backend {
	const char *name;
	bool (*takes)(const char *path);
	/* As store_open(). */
	int (*open)(struct store_queue *queue, const char *path, uint64_t size_bytes,
		    struct store **store, struct err *err);
};

extern const struct store_backend store_backend_nvme; /* nvme_open.c */
extern const struct store_backend store_backend_file; /* file_open.c */
extern const struct store_backend store_backend_fail; /* fault.c */

#endif
