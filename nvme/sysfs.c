/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme/sysfs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { SYSFS_PATH_BYTES = 320 };

static bool read_line(const char *path, char *text, size_t text_bytes)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(text, (int)text_bytes, f) != NULL;
	fclose(f);
	if (!ok)
		return false;
	for (size_t n = strlen(text); n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '); n--)
		text[n - 1] = '\0';
	return true;
}

bool sysfs_block_text(dev_t device, const char *attribute, char *text, size_t text_bytes)
{
	char path[SYSFS_PATH_BYTES];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device), minor(device),
		 attribute);
	return read_line(path, text, text_bytes);
}

long long sysfs_block_number(dev_t device, const char *attribute, long long missing)
{
	char text[64], *end;
	long long n;

	if (!sysfs_block_text(device, attribute, text, sizeof(text)))
		return missing;
	n = strtoll(text, &end, 10);
	return end == text ? missing : n;
}

bool sysfs_block_is_partition(dev_t device)
{
	return sysfs_block_number(device, "partition", 0) > 0;
}

/* A namespace hangs on a controller, or (multipath) on a subsystem that has controllers. */
static int subsystem_numa_node(dev_t device)
{
	char path[SYSFS_PATH_BYTES], attribute[SYSFS_PATH_BYTES];
	struct dirent *entry;
	long long node = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/device", major(device), minor(device));
	dir = opendir(path);
	if (!dir)
		return -1;
	while (node < 0 && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "nvme", 4) != 0 || strchr(entry->d_name + 4, 'n'))
			continue;
		snprintf(attribute, sizeof(attribute), "device/%.64s/numa_node", entry->d_name);
		node = sysfs_block_number(device, attribute, -1);
	}
	closedir(dir);
	return (int)node;
}

int sysfs_block_numa_node(dev_t device)
{
	static const char *const places[] = {
		"device/numa_node",
		"device/device/numa_node",
		"../device/numa_node",
		"../device/device/numa_node",
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		long long node = sysfs_block_number(device, places[i], -1);

		if (node >= 0)
			return (int)node;
	}
	return subsystem_numa_node(device);
}

static bool find_mount(dev_t device, char *text, size_t text_bytes)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024], target[256];
	unsigned maj, min;
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %255s", &maj, &min, target) == 3 &&
		    makedev(maj, min) == device) {
			snprintf(text, text_bytes, "is mounted at %s", target);
			found = true;
		}
	}
	fclose(f);
	return found;
}

static bool find_swap(const char *name, char *text, size_t text_bytes)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[512], path[300], wanted[128];
	bool found = false;

	if (!f)
		return false;
	snprintf(wanted, sizeof(wanted), "/dev/%s", name);
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%299s", path) == 1 && strcmp(path, wanted) == 0) {
			snprintf(text, text_bytes, "is swap space");
			found = true;
		}
	}
	fclose(f);
	return found;
}

static bool find_holder(dev_t device, char *text, size_t text_bytes)
{
	char path[SYSFS_PATH_BYTES];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(device), minor(device));
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(text, text_bytes, "belongs to /dev/%s", entry->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

static bool find_user(dev_t device, const char *name, char *text, size_t text_bytes)
{
	char user[320];

	if (!find_mount(device, user, sizeof(user)) && !find_swap(name, user, sizeof(user)) &&
	    !find_holder(device, user, sizeof(user)))
		return false;
	snprintf(text, text_bytes, "/dev/%s %s", name, user);
	return true;
}

/* The name of the device, from the last part of where the /sys link points. */
static void block_name(dev_t device, char *name, size_t name_bytes)
{
	char link[SYSFS_PATH_BYTES], target[SYSFS_PATH_BYTES];
	const char *slash;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(device), minor(device));
	n = readlink(link, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	slash = strrchr(target, '/');
	snprintf(name, name_bytes, "%s", slash ? slash + 1 : "?");
}

bool sysfs_block_users(dev_t device, char *text, size_t text_bytes)
{
	char path[SYSFS_PATH_BYTES], name[96], dev_file[160];
	struct dirent *entry;
	unsigned maj, min;
	bool found;
	DIR *dir;

	block_name(device, name, sizeof(name));
	found = find_user(device, name, text, text_bytes);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(device), minor(device));
	dir = found ? NULL : opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		char numbers[32];

		/* Partitions are folders that begin with the name of the device. */
		if (strncmp(entry->d_name, name, strlen(name)) != 0)
			continue;
		snprintf(dev_file, sizeof(dev_file), "%.128s/dev", entry->d_name);
		if (sysfs_block_text(device, dev_file, numbers, sizeof(numbers)) &&
		    sscanf(numbers, "%u:%u", &maj, &min) == 2)
			found = find_user(makedev(maj, min), entry->d_name, text, text_bytes);
	}
	if (dir)
		closedir(dir);
	if (!found)
		snprintf(text, text_bytes,
			 "another program holds it (a second lockstepd, a mount in another "
			 "namespace, or the last command of an engine that was killed)");
	return found;
}
