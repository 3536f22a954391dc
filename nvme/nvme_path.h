/* SPDX-License-Identifier: BSD-3-Clause */
/* The names of a namespace: /dev/nvmeXnY (block), /dev/ngXnY (generic), links to them. */
#ifndef LS_NVME_NVME_PATH_H
#define LS_NVME_NVME_PATH_H

#include <stdbool.h>

enum nvme_path_kind {
	NVME_PATH_NAMESPACE,
	NVME_PATH_PARTITION,
	NVME_PATH_CONTROLLER,
};

struct nvme_path {
	enum nvme_path_kind kind;
	char block[40]; /* of the whole namespace, for a partition too */
	char generic[40];
};

/* False when @path is not the name of something NVMe. */
bool nvme_path_parse(const char *path, struct nvme_path *parsed);

#endif
