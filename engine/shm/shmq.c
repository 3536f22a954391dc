/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Engine side of a client's queue.  Ordering, each point with its other side in
 * engine/client/queue.c:
 *
 *   sq_tail       store seq_cst by queue_show()    load acquire by tail_look()
 *   cq_head       store release by queue_take()    load acquire by room_look()
 *   cq_tail       store seq_cst by shmq_publish()  load acquire by queue_ready()
 *   engine_sleep  store seq_cst by shmq_arm()      load seq_cst by queue_show()
 *   client_sleep  store seq_cst by queue_arm()     load seq_cst by shmq_publish()
 *
 * A sleeper stores its flag and then loads the index; a waker stores the index and then
 * loads the flag.  All four are seq_cst, so at least one of the two sees the other.  (An
 * atomic exchange on x86 and stlr/ldar on Arm: no dearer than a fence, and
 * ThreadSanitizer understands it.)
 *
 * Descriptors that the client holds too must not be able to block us: it could clear O_NONBLOCK.
 * The doorbell is an eventfd that we never read; whoever sleeps on it watches for edges, and
 * each ring is one.  The wake-up cannot be an eventfd: a write to a full one would block; so it
 * is a socket pair, where MSG_DONTWAIT holds whatever the client did.  Nor a pipe, although it is
 * cheaper: its reader holds its lock while it copies, and may fault for as long as it likes.
 */
#include "engine/shm/shmq.h"

#include "engine/base/mutant.h"
#include "engine/shm/shmq_layout.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Without that on shrinking the client could make us run into SIGBUS. */
#define MEMORY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct shmq {
	struct shmq_header *header;
	const volatile struct shmq_descriptor *sq; /* volatile: each field is read once */
	struct shmq_completion *cq;
	uint32_t depth;
	uint32_t sq_head; /* fetched so far */
	uint32_t sq_tail_seen; /* what the client showed last; may not go back */
	uint32_t cq_tail; /* written so far */
	uint32_t cq_tail_shown;
	uint32_t cq_head_seen; /* what the client took last; may not go back */
	uint32_t in_flight;
	bool broken; /* for good */
	uint64_t sleep; /* number of our last sleep; never 0 in the shared word */
	uint64_t woken; /* the client's sleep that was answered already */
	uint64_t wakeups;

	struct region arena;
	uint64_t total_bytes;
	int memory, doorbell;
	int wake_engine, wake_client; /* ends of the socket pair */
};

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

/*
 * Only a memfd can have these seals.  One that is sealed against writing, too, cannot be mapped.
 * Huge pages are refused: a hole in them that no free page can fill is a SIGBUS.
 */
bool shmq_memory_fits(int memory)
{
	int seals = fcntl(memory, F_GET_SEALS);
	struct statfs fs;

	return seals >= 0 && (seals & MEMORY_SEALS) == MEMORY_SEALS && !fstatfs(memory, &fs) &&
	       fs.f_type == TMPFS_MAGIC;
}

/* Allocates every page that is missing: running out later would be a SIGBUS. */
static int memory_allocate(const struct shmq *q, struct err *err)
{
	int code;

	if (!fallocate(q->memory, 0, 0, (off_t)q->total_bytes))
		return 0;
	code = -errno;
	return err_set(err, code, "no %llu MiB of shared memory for a client queue: %s",
		       (unsigned long long)(q->total_bytes >> 20), strerror(-code));
}

static int memory_create(struct shmq *q, struct err *err)
{
	int rc;

	q->memory = memfd_create("lockstep-queue", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (q->memory < 0 || ftruncate(q->memory, (off_t)q->total_bytes))
		return err_set(err, -errno, "cannot create shared memory: %s", strerror(errno));
	rc = memory_allocate(q, err);
	if (rc)
		return rc;
	if (fcntl(q->memory, F_ADD_SEALS, MEMORY_SEALS))
		return err_set(err, -errno, "cannot seal shared memory: %s", strerror(errno));
	return 0;
}

static int memory_check(const struct shmq *q, struct err *err)
{
	struct stat st;

	if (!shmq_memory_fits(q->memory))
		return err_set(err, -EINVAL,
			       "the memory that was handed in is not what an engine made");
	if (fstat(q->memory, &st) || st.st_size < 0 || (uint64_t)st.st_size != q->total_bytes)
		return err_set(err, -EINVAL,
			       "the memory that was handed in does not have the length of a queue "
			       "of %u and its arena",
			       q->depth);
	return memory_allocate(q, err);
}

/* Memory that is used again has the words of its former queue. */
static void header_write(struct shmq *q, const struct shmq_layout *layout)
{
	struct shmq_header *h = q->header;

	h->magic = SHMQ_MAGIC;
	h->abi_version = SHMQ_ABI_VERSION;
	h->depth = q->depth;
	h->cq_offset = layout->cq_offset;
	h->arena_offset = layout->arena_offset;
	h->arena_bytes = layout->arena_bytes;
	h->total_bytes = layout->total_bytes;
	atomic_store(&h->sq_tail, 0);
	atomic_store(&h->cq_head, 0);
	atomic_store(&h->cq_tail, 0);
	atomic_store(&h->engine_sleep, 0);
	atomic_store(&h->client_sleep, 0);
}

static int memory_map(struct shmq *q, const struct shmq_layout *layout, struct err *err)
{
	void *base = mmap(NULL, q->total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			  q->memory, 0);

	if (base == MAP_FAILED)
		return err_set(err, -errno, "cannot map a client queue: %s", strerror(errno));
	q->header = base;
	q->sq = (void *)((char *)base + SHMQ_PAGE_BYTES);
	q->cq = (void *)((char *)base + layout->cq_offset);
	q->arena = (struct region){
		.base = (char *)base + layout->arena_offset,
		.length_bytes = layout->arena_bytes,
		.buffer_first = REGION_NO_BUFFERS,
	};
	header_write(q, layout);
	return 0;
}

static int wake_create(struct shmq *q, struct err *err)
{
	int ends[2];

	q->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->doorbell < 0)
		return err_set(err, -errno, "cannot create a doorbell: %s", strerror(errno));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return err_set(err, -errno, "cannot create a wake-up: %s", strerror(errno));
	q->wake_engine = ends[0];
	q->wake_client = ends[1];
	/* Nothing that the client sends, descriptors above all, may pile up at our end. */
	if (shutdown(q->wake_engine, SHUT_RD))
		return err_set(err, -errno, "cannot create a wake-up: %s", strerror(errno));
	return 0;
}

static int sizes_check(uint32_t depth, uint64_t arena_bytes, struct err *err)
{
	if (!depth || depth > SHMQ_DEPTH_MAX || depth & (depth - 1))
		return err_set(err, -EINVAL, "queue depth %u is not a power of two up to %u", depth,
			       SHMQ_DEPTH_MAX);
	if (!arena_bytes || arena_bytes > SHMQ_ARENA_MAX)
		return err_set(err, -EINVAL, "an arena has 1 to %llu bytes",
			       (unsigned long long)SHMQ_ARENA_MAX);
	return 0;
}

static int queue_build(struct shmq *q, const struct shmq_layout *layout, struct err *err)
{
	int rc = q->memory < 0 ? memory_create(q, err) : memory_check(q, err);

	if (!rc)
		rc = memory_map(q, layout, err);
	return rc ? rc : wake_create(q, err);
}

int shmq_adopt(uint32_t depth, uint64_t arena_bytes, int memory, struct shmq **queue,
	       struct err *err)
{
	struct shmq_layout layout;
	struct shmq *q = NULL;
	int rc = sizes_check(depth, arena_bytes, err);

	if (!rc) {
		q = calloc(1, sizeof(*q));
		if (!q)
			rc = err_set(err, -ENOMEM, "no memory for a client queue");
	}
	if (rc) {
		close_if_open(memory);
		return rc;
	}
	layout = shmq_layout_of(depth, arena_bytes);
	q->depth = depth;
	q->total_bytes = layout.total_bytes;
	q->memory = memory;
	q->doorbell = q->wake_engine = q->wake_client = -1;
	rc = queue_build(q, &layout, err);
	if (rc) {
		shmq_destroy(q);
		return rc;
	}
	*queue = q;
	return 0;
}

int shmq_create(uint32_t depth, uint64_t arena_bytes, struct shmq **queue, struct err *err)
{
	return shmq_adopt(depth, arena_bytes, -1, queue, err);
}

void shmq_destroy(struct shmq *q)
{
	if (!q)
		return;
	if (q->header)
		munmap(q->header, q->total_bytes);
	close_if_open(q->memory);
	close_if_open(q->doorbell);
	close_if_open(q->wake_engine);
	close_if_open(q->wake_client);
	free(q);
}

struct shmq_fds shmq_fds(const struct shmq *q)
{
	return (struct shmq_fds){
		.memory = q->memory,
		.doorbell = q->doorbell,
		.wakeup = q->wake_client,
	};
}

bool shmq_has_memory(const struct shmq *q, int memory)
{
	struct stat ours, theirs;

	return !fstat(q->memory, &ours) && !fstat(memory, &theirs) &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

struct region *shmq_arena(struct shmq *q)
{
	return &q->arena;
}

uint32_t shmq_depth(const struct shmq *q)
{
	return q->depth;
}

uint32_t shmq_in_flight(const struct shmq *q)
{
	return q->in_flight;
}

uint64_t shmq_wakeups(const struct shmq *q)
{
	return q->wakeups;
}

static int queue_break(struct shmq *q)
{
	q->broken = true;
	return -EPROTO;
}

/*
 * How many descriptors the client shows that were not fetched, or -EPROTO.  Forward only,
 * and never more than a ring ahead: counted from what it showed before, so that one
 * comparison catches a jump, a step back, and both across the wrap.
 */
static int tail_look(struct shmq *q)
{
	uint32_t unfetched = q->sq_tail_seen - q->sq_head;
	/* seq_cst for shmq_arm(); on x86 and Arm the load costs what acquire does. */
	uint32_t tail = atomic_load_explicit(&q->header->sq_tail, memory_order_seq_cst);

	if (UNLIKELY(tail - q->sq_tail_seen > q->depth - unfetched) && !MUTANT(TAIL_UNCHECKED))
		return queue_break(q);
	q->sq_tail_seen = tail;
	return (int)(tail - q->sq_head);
}

/*
 * How many completions there is room for, not counting those in flight, or -EPROTO.  The
 * client's head is looked at only when @wanted do not fit by the last look: its line is
 * hot in the client's cache.
 */
static int room_look(struct shmq *q, uint32_t wanted)
{
	uint32_t room = q->depth - q->in_flight - (q->cq_tail - q->cq_head_seen);
	uint32_t head;

	if (LIKELY(room >= wanted))
		return (int)room;
	head = atomic_load_explicit(&q->header->cq_head, memory_order_acquire);
	if (UNLIKELY(head - q->cq_head_seen > q->cq_tail_shown - q->cq_head_seen))
		return queue_break(q);
	q->cq_head_seen = head;
	return (int)(q->depth - q->in_flight - (q->cq_tail - head));
}

/* How many can be fetched now, or -EPROTO. */
static int fetchable(struct shmq *q)
{
	int shown = tail_look(q);
	int room;

	if (shown <= 0)
		return shown;
	/* After the tail: so an honest client's head is at least as new, and there is room. */
	room = room_look(q, (uint32_t)shown);
	return room < shown ? room : shown;
}

int shmq_fetch(struct shmq *q, struct shmq_request *requests, unsigned max)
{
	const volatile struct shmq_descriptor *d;
	int n;

	if (UNLIKELY(q->broken))
		return -EPROTO;
	n = fetchable(q);
	if (n <= 0)
		return n;
	if ((unsigned)n > max)
		n = (int)max;
	for (int i = 0; i < n; i++) {
		d = &q->sq[(q->sq_head + (uint32_t)i) & (q->depth - 1)];
		requests[i].tag = d->tag;
		requests[i].offset = d->offset;
		requests[i].length = d->length;
		requests[i].buffer = d->buffer;
		requests[i].volume = d->volume;
		requests[i].op = d->op;
		requests[i].flags = d->flags;
	}
	q->sq_head += (uint32_t)n;
	q->in_flight += (uint32_t)n;
	return n;
}

void shmq_complete(struct shmq *q, uint64_t tag, enum ls_status status, uint32_t failed_legs,
		   uint32_t engine_ns)
{
	assert(q->in_flight > 0);
	q->cq[q->cq_tail & (q->depth - 1)] = (struct shmq_completion){
		.tag = tag,
		.status = status,
		.failed_legs = failed_legs,
		.engine_ns = engine_ns,
	};
	q->cq_tail++;
	q->in_flight--;
}

/* A ring for each sleep is enough.  A full socket is readable, so that its loss is none. */
static void client_wake(struct shmq *q, uint64_t sleep)
{
	uint64_t one = 1;

	q->woken = sleep;
	q->wakeups++;
	(void)!send(q->wake_engine, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void shmq_publish(struct shmq *q)
{
	uint64_t sleep;

	if (q->cq_tail_shown == q->cq_tail)
		return;
	q->cq_tail_shown = q->cq_tail;
	atomic_store_explicit(&q->header->cq_tail, q->cq_tail, memory_order_seq_cst);
	sleep = atomic_load_explicit(&q->header->client_sleep, memory_order_seq_cst);
	if (UNLIKELY(sleep && sleep != q->woken))
		client_wake(q, sleep);
}

bool shmq_arm(struct shmq *q)
{
	if (q->broken)
		return false;
	q->sleep++;
	atomic_store_explicit(&q->header->engine_sleep, q->sleep, memory_order_seq_cst);
	if (!fetchable(q))
		return false;
	shmq_disarm(q);
	return true;
}

bool shmq_ready(struct shmq *q)
{
	return !q->broken && fetchable(q);
}

void shmq_disarm(struct shmq *q)
{
	atomic_store_explicit(&q->header->engine_sleep, 0, memory_order_relaxed);
}
