/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/load/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAG_WATCH (1u << 16) /* plus the index; below that, slots */

enum { NVME_FLUSH = 0, NVME_WRITE = 1, NVME_READ = 2 };

static bool is_passthrough(const char *path)
{
	return strstr(path, "/ng") != NULL;
}

/* "/dev/ng0n1" -> "/dev/nvme0n1": what knows sizes. */
static int block_fd(const char *path)
{
	const char *at = strstr(path, "/ng");
	char name[256];
	int fd;

	if (at)
		snprintf(name, sizeof(name), "%.*s/nvme%s", (int)(at - path), path, at + 3);
	else
		snprintf(name, sizeof(name), "%s", path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("cannot open %s: %s", name, strerror(errno));
	return fd;
}

uint64_t disk_bytes(const char *path)
{
	int fd = block_fd(path);
	struct stat stat;
	uint64_t bytes;

	if (fstat(fd, &stat))
		die("%s: %s", path, strerror(errno));
	if (S_ISREG(stat.st_mode))
		bytes = (uint64_t)stat.st_size;
	else if (ioctl(fd, BLKGETSIZE64, &bytes))
		die("%s is neither a block device nor a file", path);
	close(fd);
	return bytes;
}

static void open_device(struct disk *d, const char *path)
{
	int fd, rc, bytes;

	d->passthrough = is_passthrough(path);
	d->fd = open(path, O_RDWR | O_CLOEXEC | (d->passthrough ? 0 : O_DIRECT));
	if (d->fd < 0)
		die("cannot open %s: %s", path, strerror(errno));
	if (d->passthrough) {
		fd = block_fd(path);
		if (ioctl(fd, BLKSSZGET, &bytes))
			die("%s: cannot read the block size: %s", path, strerror(errno));
		close(fd);
		d->block_shift = (unsigned)__builtin_ctz((unsigned)bytes);
		rc = ioctl(d->fd, NVME_IOCTL_ID);
		if (rc <= 0)
			die("%s: cannot read the namespace's number: %s", path, strerror(errno));
		d->nsid = (uint32_t)rc;
	}
	rc = io_uring_register_files(&d->ring, &d->fd, 1);
	if (rc < 0)
		die("%s: cannot register the file: %s", path, strerror(-rc));
}

void disk_open(struct disk *d, const char *path, const struct iovec *buffers, unsigned count,
	       unsigned without)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_SINGLE_ISSUER,
	};
	int rc;

	memset(d, 0, sizeof(*d));
	d->fd = -1;
	d->without = without;
	if (!(without & TECHNIQUE_DEFERRED))
		params.flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	rc = io_uring_queue_init_params(2 * DEPTH_MAX, &d->ring, &params);
	if (rc < 0)
		die("cannot make an io_uring with deferred task work (Linux 6.1 or later): %s",
		    strerror(-rc));
	if (!path)
		return;
	open_device(d, path);
	rc = io_uring_register_buffers(&d->ring, buffers, count);
	if (rc < 0)
		die("%s: cannot register %u buffers: %s", path, count, strerror(-rc));
}

static struct io_uring_sqe *next_sqe(struct disk *d, uint64_t tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);

	if (!sqe)
		die("the ring is full");
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->user_data = tag;
	return sqe;
}

static void watch_again(struct disk *d, unsigned index)
{
	struct io_uring_sqe *sqe = next_sqe(d, TAG_WATCH + index);

	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = d->watched[index];
	sqe->len = IORING_POLL_ADD_MULTI;
	sqe->poll32_events = POLLIN;
}

void disk_watch(struct disk *d, int fd)
{
	if (d->watch_count == WATCH_MAX)
		die("too many descriptors to watch");
	d->watched[d->watch_count] = fd;
	watch_again(d, d->watch_count++);
}

static void prepare_passthrough(const struct disk *d, const struct io *io, void *buffer,
				struct io_uring_sqe *sqe)
{
	static const uint8_t opcodes[] = {
		[IO_READ] = NVME_READ, [IO_WRITE] = NVME_WRITE, [IO_FLUSH] = NVME_FLUSH};
	struct nvme_uring_cmd *cmd = (void *)sqe->cmd;
	uint64_t block = io->offset >> d->block_shift;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->cmd_op = NVME_URING_CMD_IO;
	cmd->opcode = opcodes[io->op];
	cmd->nsid = d->nsid;
	if (io->op == IO_FLUSH)
		return;
	if (!(d->without & TECHNIQUE_FIXED_BUFFERS))
		sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	cmd->addr = (uintptr_t)buffer;
	cmd->data_len = io->bytes;
	cmd->cdw10 = (uint32_t)block;
	cmd->cdw11 = (uint32_t)(block >> 32);
	cmd->cdw12 = (io->bytes >> d->block_shift) - 1;
}

static void prepare_block(const struct disk *d, const struct io *io, void *buffer,
			  struct io_uring_sqe *sqe)
{
	static const uint8_t fixed[] = {
		[IO_READ] = IORING_OP_READ_FIXED,
		[IO_WRITE] = IORING_OP_WRITE_FIXED,
		[IO_FLUSH] = IORING_OP_FSYNC,
	};
	static const uint8_t plain[] = {
		[IO_READ] = IORING_OP_READ,
		[IO_WRITE] = IORING_OP_WRITE,
		[IO_FLUSH] = IORING_OP_FSYNC,
	};

	sqe->opcode = (d->without & TECHNIQUE_FIXED_BUFFERS ? plain : fixed)[io->op];
	if (io->op == IO_FLUSH)
		return;
	sqe->addr = (uintptr_t)buffer;
	sqe->len = io->bytes;
	sqe->off = io->offset;
}

static void enter(struct disk *d, unsigned wait_for)
{
	int rc =
		wait_for ? io_uring_submit_and_wait(&d->ring, wait_for) : io_uring_submit(&d->ring);

	if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
		die("io_uring_enter: %s", strerror(-rc));
}

void disk_submit(struct disk *d)
{
	if (io_uring_sq_ready(&d->ring))
		enter(d, 0);
}

void disk_wait(struct disk *d)
{
	enter(d, 1);
}

void disk_start(struct disk *d, const struct io *io, unsigned slot, void *buffer)
{
	struct io_uring_sqe *sqe = next_sqe(d, slot);

	if (d->passthrough)
		prepare_passthrough(d, io, buffer, sqe);
	else
		prepare_block(d, io, buffer, sqe);
	sqe->fd = d->fd;
	if (!(d->without & TECHNIQUE_FIXED_FILE)) {
		sqe->flags = IOSQE_FIXED_FILE;
		sqe->fd = 0; /* of the registered files */
	}
	if (!(d->without & TECHNIQUE_FIXED_BUFFERS))
		sqe->buf_index = (uint16_t)slot;
	d->in_flight++;
	if (d->without & TECHNIQUE_SUBMIT_BATCH)
		disk_submit(d);
}

static void take(struct disk *d, const struct io_uring_cqe *cqe, struct disk_events *events)
{
	if (cqe->user_data >= TAG_WATCH) {
		if (cqe->res < 0)
			die("cannot watch a descriptor: %s", strerror(-cqe->res));
		events->watched = true;
		if (!(cqe->flags & IORING_CQE_F_MORE))
			watch_again(d, (unsigned)(cqe->user_data - TAG_WATCH));
		return;
	}
	if (cqe->res < 0)
		die("the device refused a request: %s", strerror(-cqe->res));
	if (d->passthrough && cqe->res > 0)
		die("the device failed a command: NVMe status %#x", (unsigned)cqe->res);
	d->in_flight--;
	events->slots[events->done++] = (unsigned)cqe->user_data;
}

void disk_reap(struct disk *d, struct disk_events *events)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	events->done = 0;
	events->watched = false;
	if (!io_uring_cq_ready(&d->ring)) {
		if (!(IO_URING_READ_ONCE(*d->ring.sq.kflags) & IORING_SQ_TASKRUN))
			return;
		io_uring_get_events(&d->ring);
	}
	io_uring_for_each_cqe(&d->ring, head, cqe)
	{
		if (events->done == DEPTH_MAX)
			break;
		take(d, cqe, events);
		count++;
	}
	io_uring_cq_advance(&d->ring, count);
}
