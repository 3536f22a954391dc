/* SPDX-License-Identifier: BSD-3-Clause */
/* The nvme backend's opening: the names, the claim, and what we make of the device's facts. */
#include "nvme/backend.h"
#include "nvme/claim.h"
#include "nvme/nvme_path.h"
#include "nvme/nvme_store.h"
#include "nvme/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* No single command of ours may take long: the kernel gives each 30 s. */
static const uint64_t discard_limit_bytes = GIB(1);
/* Where zeroes are written: as much as is done without a word to the caller. */
static const uint64_t written_zeroes_limit_bytes = MIB(16);

static bool takes(const char *path)
{
	struct nvme_path p;

	return nvme_path_parse(path, &p);
}

static int check_path(const char *path, struct nvme_path *p, struct err *err)
{
	if (!nvme_path_parse(path, p))
		return err_set(err, -EINVAL, "%s: is no NVMe namespace", path);
	if (p->kind == NVME_PATH_PARTITION)
		return err_set(err, -EINVAL,
			       "%s: is a partition, and NVMe commands know only the namespace %s; "
			       "give that, or file:%s to go through the block layer",
			       path, p->block, path);
	if (p->kind == NVME_PATH_CONTROLLER)
		return err_set(err, -EINVAL, "%s: is a controller; give a namespace, such as %s",
			       path, p->block);
	return 0;
}

static int open_error(const char *path, int code, struct err *err)
{
	if (code == -ENOENT || code == -ENXIO || code == -ENODEV)
		return err_set(err, code, "%s: no such device", path);
	if (code == -EACCES || code == -EPERM)
		return err_set(err, code, "%s: no permission to read and write it", path);
	return err_set(err, code, "%s: cannot open: %s", path, strerror(-code));
}

static int claim(struct nvme_store *n, const struct nvme_path *p, dev_t *device, struct err *err)
{
	struct stat st;
	int fd;

	if (stat(p->block, &st) < 0)
		return open_error(p->block, -errno, err);
	if (!S_ISBLK(st.st_mode))
		return err_set(err, -ENOTBLK, "%s: is not a block device", p->block);
	*device = st.st_rdev;
	/* Against mounts, md, LVM, and another of us. */
	fd = claim_device(p->block, st.st_rdev, n->base.queue->claim_wait_ms, err);
	if (fd < 0)
		return fd == -EBUSY ? fd : open_error(p->block, fd, err);
	n->base.claim_fd = fd;
	return 0;
}

static int open_generic(struct nvme_store *n, const struct nvme_path *p, struct err *err)
{
	if (n->base.queue->rung == QUEUE_PLAIN)
		return err_set(err, -EOPNOTSUPP,
			       "%s: this kernel has no NVMe passthrough by io_uring (Linux 5.19 or "
			       "later does); file:%s goes through the block layer",
			       p->block, p->block);
	n->fd = open(p->generic, O_RDWR | O_CLOEXEC);
	if (n->fd >= 0)
		return 0;
	if (errno == ENOENT)
		return err_set(
			err, -ENOENT,
			"%s: missing, though %s is there: the kernel gives no passthrough to "
			"it (Linux 5.13 or later does); file:%s goes through the block layer",
			p->generic, p->block, p->block);
	return open_error(p->generic, -errno, err);
}

static int check_format(const struct nvme_facts *facts, const char *path, dev_t device,
			struct err *err)
{
	char zoned[32];

	if (facts->metadata_bytes || facts->protection)
		return err_set(err, -EINVAL,
			       "%s: is formatted with %u bytes of metadata per block%s; format it "
			       "without (nvme format --lbaf=...)",
			       path, facts->metadata_bytes,
			       facts->protection ? " and data protection" : "");
	if (facts->block_bytes != 512 && facts->block_bytes != 4096)
		return err_set(err, -EINVAL,
			       "%s: has blocks of %u bytes; 512 or 4096 are possible (nvme format "
			       "--lbaf=...)",
			       path, facts->block_bytes);
	if (sysfs_block_text(device, "queue/zoned", zoned, sizeof(zoned)) &&
	    strcmp(zoned, "none") != 0)
		return err_set(err, -EINVAL,
			       "%s: is a zoned namespace (%s), which cannot be written "
			       "in any order",
			       path, zoned);
	return 0;
}

static uint64_t power_of_two_below(uint64_t n)
{
	uint64_t p = 1;

	while (p * 2 <= n)
		p *= 2;
	return p;
}

static uint64_t lower_limit(uint64_t limit, uint64_t other)
{
	return other == 0 ? limit : min_u64(limit, other);
}

/* One command is never split: it must fit the device and the driver's scatter list. */
static uint32_t longest_transfer(const struct nvme_facts *facts, dev_t device)
{
	uint64_t segments = (uint64_t)sysfs_block_number(device, "queue/max_segments", 0);
	uint64_t driver_kib = (uint64_t)sysfs_block_number(device, "queue/max_hw_sectors_kb", 0);
	uint64_t limit = lower_limit(MIB(4), facts->transfer_max_bytes);

	limit = lower_limit(limit, KIB(driver_kib));
	segments = lower_limit(QUEUE_SEGMENTS_MAX, segments);
	/* A buffer that does not start on a page touches one more than it fills. */
	if (segments > 1)
		limit = min_u64(limit, (segments - 1) * QUEUE_PAGE_BYTES);
	return (uint32_t)power_of_two_below(limit);
}

static void set_zeroes(struct nvme_store *n, const struct nvme_facts *facts, dev_t device)
{
	struct store_geometry *g = &n->base.store.geometry;
	uint64_t limit = (uint64_t)facts->block_bytes << 16; /* NLB has 16 bits */
	uint64_t transfer = facts->transfer_max_bytes ? facts->transfer_max_bytes : MIB(4);

	/* 0: the kernel knows that this model does it wrong (NVME_QUIRK_DISABLE_WRITE_ZEROES). */
	n->zero_by_write = !facts->has_write_zeroes ||
			   sysfs_block_number(device, "queue/write_zeroes_max_bytes", 1) == 0;
	n->zero_deallocates = facts->deallocate_zeroes;
	/* A device that names no limit for it gets no more than a transfer, as in the kernel. */
	limit = min_u64(limit, facts->zeroes_max_bytes ? facts->zeroes_max_bytes : transfer);
	g->zeroes_max_bytes = n->zero_by_write ? written_zeroes_limit_bytes : limit;
}

static void set_geometry(struct nvme_store *n, const struct nvme_path *p,
			 const struct nvme_facts *facts, dev_t device)
{
	struct store_geometry *g = &n->base.store.geometry;

	n->nsid = facts->nsid;
	n->block_shift = facts->block_bytes == 512 ? 9 : 12;
	g->size_bytes = facts->size_bytes;
	g->block_bytes = facts->block_bytes;
	g->io_max_bytes = longest_transfer(facts, device);
	g->atomic_bytes = (uint32_t)facts->atomic_bytes;
	g->volatile_cache = facts->cache_on;
	n->base.store.fua_flushes = facts->ignores_fua;
	g->can_discard = facts->has_dsm;
	/* DSM is a hint that the device may ignore, whatever DLFEAT says of deallocated blocks. */
	g->discard_zeroes = false;
	g->discard_max_bytes = lower_limit(discard_limit_bytes, facts->discard_max_bytes);
	set_zeroes(n, facts, device);
	g->numa_node = sysfs_block_numa_node(device);
	snprintf(g->backend, sizeof(g->backend), "nvme");
	snprintf(g->path, sizeof(g->path), "%s", p->block);
	snprintf(g->model, sizeof(g->model), "%s", facts->model);
	snprintf(g->serial, sizeof(g->serial), "%s", facts->serial);
	snprintf(g->detail, sizeof(g->detail),
		 "io_uring passthrough on %s, write cache %s%s, zeroes by %s", p->generic,
		 !facts->cache_present ? "absent"
		 : facts->cache_on     ? "on"
				       : "off",
		 n->base.store.fua_flushes ? " (FUA by flush)" : "",
		 n->zero_by_write      ? "writing"
		 : n->zero_deallocates ? "deallocating"
				       : "command");
}

/* First and last block: finds a wrong size, a dead medium or a missing right now, not later. */
static int probe_read(const struct nvme_store *n, struct err *err)
{
	const struct store_geometry *g = &n->base.store.geometry;
	void *buf = aligned_alloc(QUEUE_PAGE_BYTES, QUEUE_PAGE_BYTES);
	int rc;

	if (!buf)
		return err_set(err, -ENOMEM, "%s: no memory to read a block", g->path);
	rc = nvme_blocking_read(n, 0, buf, g->block_bytes, err);
	if (rc == 0)
		rc = nvme_blocking_read(n, g->size_bytes - g->block_bytes, buf, g->block_bytes,
					err);
	free(buf);
	return rc;
}

static int identify(struct nvme_store *n, const struct nvme_path *p, dev_t device,
		    uint64_t size_bytes, struct err *err)
{
	struct nvme_facts facts;
	int rc = nvme_facts_read(n->fd, p->block, &facts, err);

	if (rc == 0)
		rc = check_format(&facts, p->block, device, err);
	if (rc < 0)
		return rc;
	if (facts.size_bytes < max_u64(size_bytes, facts.block_bytes))
		return err_set(err, -ENOSPC, "%s: too small: has %llu bytes, %llu are needed",
			       p->block, (unsigned long long)facts.size_bytes,
			       (unsigned long long)max_u64(size_bytes, facts.block_bytes));
	set_geometry(n, p, &facts, device);
	return probe_read(n, err);
}

static int open_nvme(struct store_queue *queue, const char *path, uint64_t size_bytes,
		     struct store **store, struct err *err)
{
	struct nvme_path p;
	struct nvme_store *n;
	dev_t device = 0;
	int rc = check_path(path, &p, err);

	if (rc < 0)
		return rc;
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(err, -ENOMEM, "%s: no memory for a store", path);
	n->base.store.ops = &nvme_store_ops;
	n->base.queue = queue;
	n->base.queue_ops = &nvme_queue_ops;
	rc = claim(n, &p, &device, err);
	if (rc < 0)
		goto free_store;
	rc = open_generic(n, &p, err);
	if (rc < 0)
		goto unclaim;
	rc = identify(n, &p, device, size_bytes, err);
	if (rc < 0)
		goto close_generic;
	/* What earlier users left in the block device's cache must not be written over us. */
	(void)ioctl(n->base.claim_fd, BLKFLSBUF, 0);
	*store = &n->base.store;
	return 0;

close_generic:
	close(n->fd);
unclaim:
	close(n->base.claim_fd);
free_store:
	free(n);
	return rc;
}

const struct store_backend store_backend_nvme = {
	.name = "nvme",
	.takes = takes,
	.open = open_nvme,
};
