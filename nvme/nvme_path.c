/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme/nvme_path.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_name(const char *name, struct nvme_path *p)
{
	unsigned instance, nsid, partition;
	int end = 0;

	if ((sscanf(name, "/dev/ng%un%u%n", &instance, &nsid, &end) == 2 ||
	     sscanf(name, "/dev/nvme%un%u%n", &instance, &nsid, &end) == 2) &&
	    name[end] == '\0')
		p->kind = NVME_PATH_NAMESPACE;
	else if (sscanf(name, "/dev/nvme%un%up%u%n", &instance, &nsid, &partition, &end) == 3 &&
		 name[end] == '\0')
		p->kind = NVME_PATH_PARTITION;
	else if (sscanf(name, "/dev/nvme%u%n", &instance, &end) == 1 && name[end] == '\0')
		p->kind = NVME_PATH_CONTROLLER;
	else
		return false;
	if (p->kind == NVME_PATH_CONTROLLER)
		nsid = 1; /* an example, for the sentence */
	snprintf(p->block, sizeof(p->block), "/dev/nvme%un%u", instance, nsid);
	snprintf(p->generic, sizeof(p->generic), "/dev/ng%un%u", instance, nsid);
	return true;
}

bool nvme_path_parse(const char *path, struct nvme_path *parsed)
{
	char real[PATH_MAX];

	if (strncmp(path, "/dev/", 5) != 0)
		return false;
	/* /dev/disk/by-id/... are links; a name that does not exist is judged as it stands. */
	return parse_name(realpath(path, real) ? real : path, parsed);
}
