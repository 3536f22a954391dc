/* SPDX-License-Identifier: BSD-3-Clause */
/* The file backend's object, between its opening (file_open.c) and its work (file.c). */
#ifndef LS_NVME_FILE_STORE_H
#define LS_NVME_FILE_STORE_H

#include "nvme/queue_internal.h"

struct file_store {
	struct queue_store base;
	int fd;
	bool is_device;
	int zero_mode; /* of fallocate() */
	bool zero_by_write; /* fallocate() cannot zero here */
};

extern const struct store_ops file_store_ops;
extern const struct queue_store_ops file_queue_ops;

#endif
