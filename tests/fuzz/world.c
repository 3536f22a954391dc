/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/world.h"

#include "engine/base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u
#define MAKE_PASSES_MAX 200u

const char *__asan_default_options(void);

/* Inputs make and free megabytes each: quarantine for some of them is enough. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=32:malloc_context_size=12:detect_stack_use_after_return=0";
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Once: it measures which implementation is the fastest. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	crc32c_init();
	return 0;
}

void fuzz_fail(const char *what)
{
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

static void *map_pages(size_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		fuzz_fail("no memory");
	return base;
}

/* Disks */

static struct disk *open_disks;

static void check_op(const struct disk *d, const struct store_op *op)
{
	const struct region *r = op->region;
	const char *buf = op->buf;

	if (op->code == STORE_FLUSH)
		return;
	if (r && (op->code == STORE_READ || op->code == STORE_WRITE) &&
	    (buf < (const char *)r->base ||
	     op->length > (size_t)((const char *)r->base + r->length_bytes - buf)))
		fuzz_fail("a store operation whose buffer is not inside its region");
	if (op->code != STORE_READ && op->offset < d->guard_offset + d->guard_length &&
	    d->guard_offset < op->offset + op->length)
		fuzz_fail("blocks of a volume were changed that nobody asked to change");
}

static void disk_submit(struct store *store, struct store_op *op)
{
	struct disk *d = CONTAINER_OF(store, struct disk, store);

	check_op(d, op);
	op->next = NULL;
	*d->last = op;
	d->last = &op->next;
}

static void disk_close(struct store *store)
{
	struct disk *d = CONTAINER_OF(store, struct disk, store);
	struct disk **at = &open_disks;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	if (d->holder)
		*d->holder = NULL;
	munmap(d->bytes, DISK_BYTES);
	free(d);
}

static const struct store_ops disk_ops = {.submit = disk_submit, .close = disk_close};

struct disk *disk_open(uint64_t size_bytes, uint32_t block_bytes)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (!d)
		fuzz_fail("no memory");
	d->store.ops = &disk_ops;
	d->store.geometry = (struct store_geometry){
		.size_bytes = min_u64(size_bytes, DISK_BYTES) / PAGE_BYTES * PAGE_BYTES,
		.block_bytes = block_bytes,
		.io_max_bytes = KIB(256),
		.zeroes_max_bytes = MIB(4),
		.discard_max_bytes = MIB(4),
		.atomic_bytes = block_bytes,
		.volatile_cache = true,
		.can_discard = true,
		.numa_node = -1,
		.backend = "fuzz",
		.path = "memory",
	};
	d->bytes = map_pages(DISK_BYTES);
	d->last = &d->first;
	d->next = open_disks;
	open_disks = d;
	return d;
}

static void zero(uint8_t *bytes, uint64_t offset, uint64_t length)
{
	uint64_t first = round_up_u64(offset, PAGE_BYTES);
	uint64_t end = (offset + length) / PAGE_BYTES * PAGE_BYTES;

	if (first >= end) {
		memset(bytes + offset, 0, length);
		return;
	}
	memset(bytes + offset, 0, first - offset);
	madvise(bytes + first, end - first, MADV_DONTNEED);
	memset(bytes + end, 0, offset + length - end);
}

static void apply(struct disk *d, const struct store_op *op)
{
	switch (op->code) {
	case STORE_READ:
		memcpy(op->buf, d->bytes + op->offset, op->length);
		break;
	case STORE_WRITE:
		memcpy(d->bytes + op->offset, op->buf, op->length);
		break;
	case STORE_DISCARD:
	case STORE_WRITE_ZEROES:
		zero(d->bytes, op->offset, op->length);
		break;
	case STORE_FLUSH:
		break;
	}
}

void disk_step(struct disk *d)
{
	struct store_op *op = d->first, *next;
	bool more = !d->hold;

	if (!op || !more)
		return;
	d->first = NULL;
	d->last = &d->first;
	/* The last done() may close the disk. */
	for (; op; op = next) {
		bool fails = d->fail > 0;

		next = op->next;
		if (fails)
			d->fail--;
		else
			apply(d, op);
		store_op_done(op, fails ? LS_LOCAL_IO : LS_OK);
	}
}

void disks_step(void)
{
	static unsigned round;
	struct disk *d;

	/* Done() may close any of them: so each time from the first one that had no turn yet. */
	round++;
	do {
		for (d = open_disks; d && d->round == round; d = d->next)
			;
		if (d) {
			d->round = round;
			disk_step(d);
		}
	} while (d);
}

void disks_let_go(void)
{
	for (struct disk *d = open_disks; d; d = d->next) {
		d->hold = false;
		d->fail = 0;
	}
}

/* What the engine asks of its surroundings */

static void env_random(void *ctx, void *buf, size_t bytes)
{
	struct node *n = ctx;
	uint8_t *p = buf;

	for (size_t i = 0; i < bytes; i++) {
		n->random = n->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		p[i] = (uint8_t)(n->random >> 56);
	}
}

static void env_dial(void *ctx, const char *address, void *cookie)
{
	struct node *n = ctx;

	(void)address;
	if (n->dialling)
		fuzz_fail("a second dial to the same peer");
	n->dialling = true;
	n->dial_cookie = cookie;
}

static void env_release_link(void *ctx, struct link *link)
{
	(void)ctx;
	link_destroy(link);
}

static void env_log(void *ctx, int level, const char *text)
{
	static const char *say;

	(void)ctx;
	if (!say)
		say = getenv("FUZZ_LOG") ? "y" : "n";
	if (*say == 'y')
		fprintf(stderr, "<%d> %s\n", level, text);
}

static struct region *env_copy_buffers(void *ctx, size_t bytes)
{
	struct node *n = ctx;

	n->copy = (struct region){
		.base = map_pages(bytes),
		.length_bytes = bytes,
		.buffer_first = REGION_NO_BUFFERS,
	};
	return &n->copy;
}

/* Nodes */

void node_create(struct node *n, const char *name, uint64_t address)
{
	struct engine_config config = {.node_address = address, .payload_crc = true};
	struct engine_env env = {
		.ctx = n,
		.random = env_random,
		.dial = env_dial,
		.release_link = env_release_link,
		.log = env_log,
		.copy_buffers = env_copy_buffers,
	};
	struct err err;

	memset(n, 0, sizeof(*n));
	n->random = address;
	snprintf(config.node_name, sizeof(config.node_name), "%s", name);
	if (engine_create(&config, &env, &n->engine, &err))
		fuzz_fail(err.text);
}

static void job_ended(struct job *job)
{
	struct work *w = CONTAINER_OF(job, struct work, job);

	if (!w->busy)
		fuzz_fail("a job ended twice");
	w->busy = false;
}

struct job *node_job(struct node *n)
{
	for (unsigned i = 0; i < NODE_JOBS; i++) {
		struct work *w = &n->works[i];

		if (w->busy)
			continue;
		*w = (struct work){.job.done = job_ended, .busy = true};
		return &w->job;
	}
	return NULL;
}

bool node_jobs_open(const struct node *n)
{
	for (unsigned i = 0; i < NODE_JOBS; i++)
		if (n->works[i].busy)
			return true;
	return false;
}

static void finish_jobs(struct node *n, uint64_t *now_ns)
{
	for (unsigned i = 0; i < MAKE_PASSES_MAX && node_jobs_open(n); i++) {
		node_pass(n, *now_ns += NS_PER_MS);
		disks_step();
	}
	if (node_jobs_open(n))
		fuzz_fail("setting up a node does not end");
}

void node_make_pool(struct node *n, uint64_t *now_ns)
{
	struct store *store;
	struct job *job = node_job(n);

	n->disk = disk_open(DISK_BYTES, 512);
	n->disk->holder = &n->disk;
	store = &n->disk->store;
	engine_pool_create(n->engine, job, "pool", &store, 1, true);
	finish_jobs(n, now_ns);
	if (job->err.code)
		fuzz_fail(job->err.text);
}

void node_make_volume(struct node *n, uint64_t *now_ns, const char *name, uint64_t bytes)
{
	struct job *job = node_job(n);

	engine_volume_create(n->engine, job, NULL, name, bytes, false);
	finish_jobs(n, now_ns);
	if (job->err.code)
		fuzz_fail(job->err.text);
}

void node_pass(struct node *n, uint64_t now_ns)
{
	engine_tick(n->engine, now_ns);
	engine_poll(n->engine, 64);
	if (n->disk)
		disk_step(n->disk);
	engine_flush(n->engine);
}

static void io_done(struct request *request)
{
	struct io *io = CONTAINER_OF(request, struct io, request);

	if (!io->busy)
		fuzz_fail("a request was completed twice");
	io->busy = false;
	engine_volume_put(request->volume);
}

bool node_submit(struct node *n, const char *volume, uint16_t op, uint16_t flags, uint64_t offset,
		 uint64_t length)
{
	static struct region arena;
	struct volume *v;

	if (!arena.base)
		arena = (struct region){
			.base = map_pages(REQUEST_MAX_BYTES),
			.length_bytes = REQUEST_MAX_BYTES,
			.buffer_first = REGION_NO_BUFFERS,
		};
	for (unsigned i = 0; i < NODE_REQUESTS; i++) {
		struct io *io = &n->ios[i];

		if (io->busy)
			continue;
		v = engine_volume_get(n->engine, volume);
		if (!v)
			return false;
		io->busy = true;
		io->request = (struct request){
			.volume = v,
			.op = op,
			.flags = flags,
			.offset = offset,
			.length = length,
			.buf = length <= REQUEST_MAX_BYTES ? arena.base : NULL,
			.region = &arena,
			.done = io_done,
		};
		engine_submit(n->engine, &io->request);
		return true;
	}
	return false;
}

void node_guard(struct node *n, const char *volume)
{
	struct volume_status status;

	if (!engine_volume_status_of(n->engine, volume, &status))
		fuzz_fail("the volume to be guarded is not there");
	n->disk->guard_offset = status.extents[0].offset;
	n->disk->guard_length = status.extents[0].length;
}

uint32_t node_volume_number(const struct node *n, unsigned index)
{
	struct volume_status status;

	for (unsigned at = 0; engine_volume_status(n->engine, &at, &status);)
		if (index-- == 0)
			return status.number;
	return 0;
}

void node_destroy(struct node *n)
{
	if (node_jobs_open(n))
		fuzz_fail("a job was forgotten");
	for (unsigned i = 0; i < NODE_REQUESTS; i++)
		if (n->ios[i].busy)
			fuzz_fail("a client's request was forgotten");
	engine_destroy(n->engine);
	munmap(n->copy.base, n->copy.length_bytes);
	memset(n, 0, sizeof(*n));
}
