/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench-load: the same closed loop on a block device, on an NVMe device past the block layer, or
 * on a Lockstep volume through its queue in shared memory; and what belongs to a comparison:
 * devices that were written before, and legs that are equal afterwards.
 */
#include "bench/load/clients.h"
#include "bench/load/disk.h"
#include "bench/load/load.h"
#include "bench/load/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK (1u << 20)

static const char usage_text[] =
	"usage: bench-load --jobs KIND:BYTES:DEPTH,... [OPTIONS] TARGET\n"
	"       bench-load --fill DEVICE     writes --span bytes, always the same\n"
	"       bench-load --unused DEVICE   fails, and says so, when somebody has claimed it\n"
	"       bench-load --compare DEVICE:OFFSET DEVICE:OFFSET    --span bytes of both\n"
	"A closed loop of random requests; the target's content is lost.  KIND: randread, "
	"randwrite,\n"
	"randrw (70 % reads), fsync (each write is followed by a flush), or without figures touch "
	"(one\n"
	"write in each MiB) and fill (every block once).  TARGET: /dev/ng*, a block device, or\n"
	"SOCKET:VOLUME of lockstepd.  Prints one JSON object for each job.\n"
	"  --cpu N            where it runs (default: anywhere)\n"
	"  --span BYTES  --seconds S  --warm S  --system NAME  --round N\n"
	"  --stride BYTES     only the first block in each stride of the span (default: all "
	"blocks)\n"
	"  --clients N        so many processes, each --jobs deep; a % in VOLUME is the client's "
	"number from\n"
	"                     0, without one they share it.  One object for all, with each in "
	"\"clients\"\n";

static void *map_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory");
	return memory;
}

/* Devices. */

static void disk_issue(struct load *load, struct disk *disk, uint8_t *buffers, unsigned slot)
{
	struct io io;
	void *buffer = buffers + (size_t)slot * BLOCK_MAX;

	if (load_issue(load, slot, buffer, &io))
		disk_start(disk, &io, slot, buffer);
}

static void disk_job(struct load *load, struct disk *disk, uint8_t *buffers)
{
	struct disk_events events;

	for (unsigned slot = 0; slot < load->job.qd; slot++)
		disk_issue(load, disk, buffers, slot);
	while (load->in_flight) {
		disk_wait(disk);
		disk_reap(disk, &events);
		for (unsigned i = 0; i < events.done; i++) {
			load_complete(load, events.slots[i]);
			disk_issue(load, disk, buffers, events.slots[i]);
		}
	}
}

static void run_on_disk(const struct load_options *o, const char *path)
{
	static struct load load;
	struct iovec iovecs[DEPTH_MAX];
	struct disk disk;
	uint8_t *buffers = map_memory((size_t)DEPTH_MAX * BLOCK_MAX);

	if (disk_bytes(path) < o->span_bytes)
		die("%s is smaller than --span", path);
	fill_random(buffers, (size_t)DEPTH_MAX * BLOCK_MAX, ticks());
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		iovecs[i] = (struct iovec){buffers + (size_t)i * BLOCK_MAX, BLOCK_MAX};
	disk_open(&disk, path, iovecs, DEPTH_MAX, 0);
	for (unsigned job = 0; job < o->job_count; job++) {
		load_begin(&load, o, job);
		disk_job(&load, &disk, buffers);
		load_print(&load);
	}
}

static void run_on_volume(const struct load_options *o, const char *socket, const char *name)
{
	static struct load load;
	struct volume v;

	volume_open(&v, socket, name, o->span_bytes);
	for (unsigned job = 0; job < o->job_count; job++) {
		load_begin(&load, o, job);
		volume_job(&load, &v);
		load_print(&load);
	}
	volume_close(&v);
}

/* Around it. */

static int open_direct(const char *path, int flags)
{
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		die("cannot open %s: %s", path, strerror(errno));
	return fd;
}

/* What is mounted, part of an array or of a pool, or swapped to is not overwritten. */
static void fill(const char *path, uint64_t span)
{
	int fd = open_direct(path, O_WRONLY | O_EXCL);
	void *chunk = map_memory(CHUNK);

	fill_random(chunk, CHUNK, 1); /* the same on every device */
	for (uint64_t at = 0; at < span; at += CHUNK)
		if (pwrite(fd, chunk, CHUNK, (off_t)at) != CHUNK)
			die("cannot write to %s: %s", path, strerror(errno));
	if (fsync(fd))
		die("cannot flush %s: %s", path, strerror(errno));
}

/* "PATH:OFFSET" */
static int open_leg(char *leg, uint64_t *offset)
{
	char *colon = strrchr(leg, ':');

	if (!colon)
		die("'%s': write DEVICE:OFFSET", leg);
	*colon = '\0';
	*offset = strtoull(colon + 1, NULL, 0);
	return open_direct(leg, O_RDONLY);
}

static int compare(char *legs[2], uint64_t span)
{
	uint8_t *chunks = map_memory(2 * CHUNK);
	uint64_t offsets[2];
	int fds[2];

	for (int i = 0; i < 2; i++)
		fds[i] = open_leg(legs[i], &offsets[i]);
	for (uint64_t at = 0; at < span; at += CHUNK) {
		for (int i = 0; i < 2; i++)
			if (pread(fds[i], chunks + i * CHUNK, CHUNK, (off_t)(offsets[i] + at)) !=
			    CHUNK)
				die("cannot read %s: %s", legs[i], strerror(errno));
		if (memcmp(chunks, chunks + CHUNK, CHUNK) != 0) {
			printf("%s and %s differ within 1 MiB from %llu\n", legs[0], legs[1],
			       (unsigned long long)at);
			return 1;
		}
	}
	return 0;
}

enum mode { MODE_LOAD, MODE_FILL, MODE_COMPARE, MODE_UNUSED };

static unsigned parse_clients(const char *text)
{
	unsigned long count = strtoul(text, NULL, 10);

	if (count < 1 || count > CLIENTS_MAX)
		die("--clients: 1 to %u, not '%s'", CLIENTS_MAX, text);
	return (unsigned)count;
}

static enum mode parse(struct load_options *o, unsigned *clients, int argc, char **argv)
{
	static const struct option longs[] = {
		LOAD_LONG_OPTIONS,
		{"cpu", required_argument, NULL, 'c'},
		{"clients", required_argument, NULL, 'N'},
		{"fill", no_argument, NULL, 'F'},
		{"compare", no_argument, NULL, 'C'},
		{"unused", no_argument, NULL, 'U'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	enum mode mode = MODE_LOAD;
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (load_parse_option(o, option, optarg))
			continue;
		switch (option) {
		case 'c':
			pin_to(atoi(optarg));
			break;
		case 'N':
			*clients = parse_clients(optarg);
			break;
		case 'F':
			mode = MODE_FILL;
			break;
		case 'C':
			mode = MODE_COMPARE;
			break;
		case 'U':
			mode = MODE_UNUSED;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			fputs(usage_text, stderr);
			exit(2);
		}
	}
	if (argc - optind != (mode == MODE_COMPARE ? 2 : 1) ||
	    (mode == MODE_LOAD && !o->job_count)) {
		fputs(usage_text, stderr);
		exit(2);
	}
	return mode;
}

int main(int argc, char **argv)
{
	static struct load_options o = {
		.system = "raw", .seconds = 2, .warm_seconds = 0.3, .span_bytes = 256u << 20};
	unsigned clients = 0;
	enum mode mode = parse(&o, &clients, argc, argv);
	char *target = argv[optind], *colon = strrchr(target, ':');

	if (mode == MODE_FILL) {
		fill(target, o.span_bytes);
	} else if (mode == MODE_COMPARE) {
		return compare(argv + optind, o.span_bytes);
	} else if (mode == MODE_UNUSED) {
		close(open_direct(target, O_RDWR | O_EXCL));
	} else if (!colon && clients) {
		die("--clients is for SOCKET:VOLUME");
	} else if (!colon) {
		run_on_disk(&o, target);
	} else {
		*colon = '\0';
		if (clients)
			return clients_run(&o, clients, target, colon + 1);
		run_on_volume(&o, target, colon + 1);
	}
	return 0;
}
