/* SPDX-License-Identifier: BSD-3-Clause */
/* The file backend's opening: the path, the claim, what the file system can do. */
#include "nvme/backend.h"
#include "nvme/claim.h"
#include "nvme/file_store.h"
#include "nvme/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* "file:PATH?block=512&direct=no", or a path alone. */
struct file_uri {
	char path[256];
	uint32_t block_bytes; /* 0 = not said */
	bool buffered; /* O_DIRECT not wanted */
};

static bool takes(const char *path)
{
	(void)path;
	return true;
}

static int parse_option(const char *uri, const char *option, struct file_uri *u, struct err *err)
{
	if (strcmp(option, "block=512") == 0)
		u->block_bytes = 512;
	else if (strcmp(option, "block=4096") == 0)
		u->block_bytes = 4096;
	else if (strcmp(option, "direct=no") == 0)
		u->buffered = true;
	else
		return err_set(err, -EINVAL,
			       "%s: unknown option '%s' (known: block=512, block=4096, direct=no)",
			       uri, option);
	return 0;
}

static int parse_uri(const char *uri, struct file_uri *u, struct err *err)
{
	bool has_scheme = strncmp(uri, "file:", 5) == 0;
	const char *path = has_scheme ? uri + 5 : uri;
	size_t n = has_scheme ? strcspn(path, "?") : strlen(path);
	char options[64], *rest = options, *option;

	memset(u, 0, sizeof(*u));
	if (n == 0 || n >= sizeof(u->path))
		return err_set(err, -EINVAL, "%s: the path must have 1 to %zu characters", uri,
			       sizeof(u->path) - 1);
	memcpy(u->path, path, n);
	if (path[n] == '\0')
		return 0;
	if (snprintf(options, sizeof(options), "%s", path + n + 1) >= (int)sizeof(options))
		return err_set(err, -EINVAL, "%s: too many options", uri);
	while ((option = strsep(&rest, "&"))) {
		int rc = parse_option(uri, option, u, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int open_error(const char *path, int code, uint64_t size_bytes, struct err *err)
{
	switch (-code) {
	case ENOENT:
		return err_set(err, code, "%s: no such %s", path,
			       strncmp(path, "/dev/", 5) == 0 ? "device"
			       : size_bytes > 0		      ? "directory"
							      : "file");
	case EACCES:
	case EPERM:
		return err_set(err, code, "%s: no permission to read and write it", path);
	case EROFS:
		return err_set(err, code, "%s: is read-only", path);
	case EISDIR:
		return err_set(err, code, "%s: is a directory; a file or block device is needed",
			       path);
	default:
		return err_set(err, code, "%s: cannot open: %s", path, strerror(-code));
	}
}

static int claim_file(struct file_store *f, const char *path, uint64_t size_bytes, struct err *err)
{
	f->base.claim_fd = open(path, O_RDWR | O_CLOEXEC | (size_bytes > 0 ? O_CREAT : 0), 0600);
	if (f->base.claim_fd < 0)
		return open_error(path, -errno, size_bytes, err);
	if (claim_lock(f->base.claim_fd, f->base.queue->claim_wait_ms))
		return 0;
	close(f->base.claim_fd);
	return err_set(err, -EBUSY, "%s: in use by another process (or twice by this one)", path);
}

static int claim(struct file_store *f, const char *path, uint64_t size_bytes, struct err *err)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;
	int fd;

	if (exists && S_ISBLK(st.st_mode)) {
		f->is_device = true;
		fd = claim_device(path, st.st_rdev, f->base.queue->claim_wait_ms, err);
		f->base.claim_fd = fd;
		return fd >= 0 ? 0 : fd == -EBUSY ? fd : open_error(path, fd, 0, err);
	}
	if (exists && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: is neither a file nor a block device", path);
	return claim_file(f, path, size_bytes, err);
}

/* The name is durable only when the directory is. */
static int sync_directory(const char *path)
{
	char copy[256];
	int rc, fd;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
	close(fd);
	return rc;
}

/* An empty file counts as missing: it is one whose making was cut short. */
static int create_content(struct file_store *f, const char *path, uint64_t size_bytes,
			  struct err *err)
{
	int rc;

	if (ftruncate(f->base.claim_fd, (off_t)size_bytes) < 0 || fsync(f->base.claim_fd) < 0)
		return err_set(err, -errno, "%s: cannot make it %llu bytes long: %m", path,
			       (unsigned long long)size_bytes);
	rc = sync_directory(path);
	if (rc < 0)
		return err_set(err, rc, "%s: cannot make its name durable: %s", path,
			       strerror(-rc));
	return 0;
}

static int read_size(struct file_store *f, const struct file_uri *u, uint64_t size_bytes,
		     struct err *err)
{
	struct store_geometry *g = &f->base.store.geometry;
	struct stat st;
	int rc;

	if (fstat(f->base.claim_fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", u->path);
	if (f->is_device) {
		if (ioctl(f->base.claim_fd, BLKGETSIZE64, &g->size_bytes) < 0)
			return err_set(err, -errno, "%s: cannot read its size: %m", u->path);
		g->size_bytes -= g->size_bytes % g->block_bytes;
	} else {
		g->size_bytes = (uint64_t)st.st_size;
		if (g->size_bytes == 0 && size_bytes > 0) {
			g->size_bytes = size_bytes;
			rc = size_bytes % g->block_bytes == 0
				     ? create_content(f, u->path, size_bytes, err)
				     : 0;
			if (rc < 0)
				return rc;
		}
	}
	if (g->size_bytes % g->block_bytes)
		return err_set(err, -EINVAL, "%s: %llu bytes are not a multiple of its block of %u",
			       u->path, (unsigned long long)g->size_bytes, g->block_bytes);
	if (g->size_bytes < max_u64(size_bytes, g->block_bytes))
		return err_set(err, -ENOSPC, "%s: too small: has %llu bytes, %llu are needed",
			       u->path, (unsigned long long)g->size_bytes,
			       (unsigned long long)max_u64(size_bytes, g->block_bytes));
	return 0;
}

static int choose_block(struct file_store *f, const struct file_uri *u, struct err *err)
{
	struct store_geometry *g = &f->base.store.geometry;
	int sector_bytes = 512;

	g->block_bytes = u->block_bytes ? u->block_bytes : 4096;
	if (!f->is_device)
		return 0;
	if (ioctl(f->base.claim_fd, BLKSSZGET, &sector_bytes) < 0)
		return err_set(err, -errno, "%s: cannot read its block size: %m", u->path);
	if ((uint32_t)sector_bytes > g->block_bytes)
		return err_set(err, -EINVAL, "%s: has blocks of %d bytes; %u is what can be used",
			       u->path, sector_bytes, g->block_bytes);
	return 0;
}

/* Tries a read at the smallest alignment that the contract allows in offset and memory. */
static bool direct_works(int fd, uint32_t block_bytes, uint64_t size_bytes)
{
	char *memory = NULL;
	off_t at = size_bytes >= 2 * (uint64_t)block_bytes ? (off_t)block_bytes : 0;
	bool ok;

	if (posix_memalign((void **)&memory, 8192, 16384) != 0)
		return false;
	ok = pread(fd, memory + block_bytes, block_bytes, at) == (ssize_t)block_bytes;
	free(memory);
	return ok;
}

static int open_io(struct file_store *f, const struct file_uri *u, bool *direct, struct err *err)
{
	const struct store_geometry *g = &f->base.store.geometry;

	*direct = !u->buffered;
	if (*direct) {
		f->fd = open(u->path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (f->fd >= 0 && direct_works(f->fd, g->block_bytes, g->size_bytes))
			return 0;
		if (f->fd >= 0)
			close(f->fd);
		*direct = false;
	}
	f->fd = open(u->path, O_RDWR | O_CLOEXEC);
	return f->fd < 0 ? open_error(u->path, -errno, 0, err) : 0;
}

/*
 * Hands the claim of a file over to the descriptor that does the I/O.  A request in flight holds
 * that one, not the other: when this process is killed, the next one cannot open the file before
 * the last request has ended.  In between somebody else may be faster: then this open fails.
 */
static int claim_by_io(struct file_store *f, const char *path, struct err *err)
{
	if (f->is_device)
		return 0;
	(void)flock(f->base.claim_fd, LOCK_UN);
	if (claim_lock(f->fd, f->base.queue->claim_wait_ms))
		return 0;
	return err_set(err, -EBUSY, "%s: in use by another process", path);
}

static const char *file_system_name(int fd)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		/* clang-format off */
		{0xef53,     "ext4"},
		{0x58465342, "xfs"},
		{0x01021994, "tmpfs"},
		{0x9123683e, "btrfs"},
		{0x6969,     "nfs"},
		{0x794c7630, "overlayfs"},
		{0x01021997, "9p"},
		{0x2fc12fc1, "zfs"},
		{0xf2f52010, "f2fs"},
		/* clang-format on */
	};
	struct statfs s;

	if (fstatfs(fd, &s) < 0)
		return "unknown file system";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if ((unsigned long)s.f_type == known[i].magic)
			return known[i].name;
	}
	return "unknown file system";
}

static void describe(struct file_store *f, const struct file_uri *u, bool direct)
{
	struct store_geometry *g = &f->base.store.geometry;

	snprintf(g->detail, sizeof(g->detail), "io_uring %s on %s%s",
		 direct	       ? "O_DIRECT"
		 : u->buffered ? "buffered (as asked)"
			       : "buffered (O_DIRECT not possible)",
		 f->is_device ? "block device" : file_system_name(f->fd),
		 f->zero_by_write ? ", zeroes are written" : "");
}

/* Hole punching is tried behind the end, where it changes nothing. */
static bool can_punch(const struct file_store *f)
{
	return fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)round_up_u64(f->base.store.geometry.size_bytes, 4096), 4096) == 0;
}

static void fill_geometry(struct file_store *f, const struct file_uri *u)
{
	struct store_geometry *g = &f->base.store.geometry;
	struct stat st = {0};

	g->io_max_bytes = (uint32_t)MIB(4);
	g->zeroes_max_bytes = MIB(64);
	g->discard_max_bytes = GIB(1);
	g->atomic_bytes = g->block_bytes;
	g->volatile_cache = true;
	g->numa_node = -1;
	snprintf(g->backend, sizeof(g->backend), "file");
	snprintf(g->path, sizeof(g->path), "%s", u->path);
	if (!f->is_device) {
		g->can_discard = can_punch(f);
		g->discard_zeroes = g->can_discard;
		f->zero_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		f->zero_by_write = !g->can_discard;
		return;
	}
	f->zero_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	(void)fstat(f->base.claim_fd, &st);
	g->numa_node = sysfs_block_numa_node(st.st_rdev);
	g->can_discard = sysfs_block_number(st.st_rdev,
					    sysfs_block_is_partition(st.st_rdev)
						    ? "../queue/discard_max_bytes"
						    : "queue/discard_max_bytes",
					    0) > 0;
	(void)sysfs_block_text(st.st_rdev, "device/model", g->model, sizeof(g->model));
}

static int open_file(struct store_queue *queue, const char *uri, uint64_t size_bytes,
		     struct store **store, struct err *err)
{
	struct file_uri u;
	struct file_store *f;
	bool direct;
	int rc = parse_uri(uri, &u, err);

	if (rc < 0)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(err, -ENOMEM, "%s: no memory for a store", uri);
	f->base.store.ops = &file_store_ops;
	f->base.store.fua_flushes = true;
	f->base.queue = queue;
	f->base.queue_ops = &file_queue_ops;
	rc = claim(f, u.path, size_bytes, err);
	/* The lock of a file is held by the descriptor of its I/O: claim_by_io(). */
	f->base.claim_asked = !f->is_device;
	if (rc < 0)
		goto free_store;
	rc = choose_block(f, &u, err);
	if (rc < 0)
		goto unclaim;
	rc = read_size(f, &u, size_bytes, err);
	if (rc < 0)
		goto unclaim;
	rc = open_io(f, &u, &direct, err);
	if (rc < 0)
		goto unclaim;
	rc = claim_by_io(f, u.path, err);
	if (rc < 0)
		goto close_io;
	fill_geometry(f, &u);
	describe(f, &u, direct);
	*store = &f->base.store;
	return 0;

close_io:
	close(f->fd);
unclaim:
	close(f->base.claim_fd);
free_store:
	free(f);
	return rc;
}

const struct store_backend store_backend_file = {
	.name = "file",
	.takes = takes,
	.open = open_file,
};
