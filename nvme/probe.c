/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose data is on a device: asks libblkid, the judge that mount and mkfs ask. */
#include "nvme/nvme_path.h"
#include "nvme/store_queue.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Strips the decoration that store_open() takes. */
static void plain_path(const char *path, char *plain, size_t plain_bytes)
{
	struct nvme_path nvme;

	if (strncmp(path, "fail:", 5) == 0) {
		const char *rest = strchr(path + 5, ':');

		/* fail:FILE:PATH, or fail:CODE:NTH:PATH */
		if (path[5] != '/')
			rest = rest ? strchr(rest + 1, ':') : NULL;
		path = rest ? rest + 1 : path;
	}
	if (strncmp(path, "file:", 5) == 0)
		snprintf(plain, plain_bytes, "%.*s", (int)strcspn(path + 5, "?"), path + 5);
	else if (nvme_path_parse(path, &nvme))
		snprintf(plain, plain_bytes, "%s", nvme.block);
	else
		snprintf(plain, plain_bytes, "%s", path);
}

static void name_superblock(const char *type, const char *usage, char *what, size_t what_bytes)
{
	if (strcmp(type, "linux_raid_member") == 0)
		snprintf(what, what_bytes, "md member");
	else if (strcmp(type, "LVM2_member") == 0)
		snprintf(what, what_bytes, "LVM physical volume");
	else if (strcmp(type, "swap") == 0)
		snprintf(what, what_bytes, "swap space");
	else if (usage && strcmp(usage, "filesystem") == 0)
		snprintf(what, what_bytes, "%s file system", type);
	else
		snprintf(what, what_bytes, "%s", type);
}

static int look(blkid_probe probe, char *what, size_t what_bytes)
{
	const char *type = NULL, *usage = NULL, *table = NULL;
	int rc;

	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
	blkid_probe_enable_partitions(probe, 1);
	rc = blkid_do_safeprobe(probe);
	if (rc == -2) {
		snprintf(what, what_bytes, "several signatures that contradict each other");
		return 1;
	}
	if (rc != 0)
		return 0;
	(void)blkid_probe_lookup_value(probe, "TYPE", &type, NULL);
	(void)blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
	(void)blkid_probe_lookup_value(probe, "PTTYPE", &table, NULL);
	if (type)
		name_superblock(type, usage, what, what_bytes);
	else if (table)
		snprintf(what, what_bytes, "%s partition table",
			 strcmp(table, "gpt") == 0   ? "GPT"
			 : strcmp(table, "dos") == 0 ? "MBR"
						     : table);
	else
		return 0;
	return 1;
}

int store_probe_foreign(const char *path, char *what, size_t what_bytes)
{
	char plain[256];
	blkid_probe probe;
	int fd, found = 0;

	plain_path(path, plain, sizeof(plain));
	fd = open(plain, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	/* Passthrough writes go round the page cache: what is cached may be old. */
	(void)ioctl(fd, BLKFLSBUF, 0);
	probe = blkid_new_probe();
	if (probe && blkid_probe_set_device(probe, fd, 0, 0) == 0)
		found = look(probe, what, what_bytes);
	blkid_free_probe(probe);
	close(fd);
	return found;
}
