/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's side of one client's queue in shared memory: creates it, fetches
 * descriptors, returns completions.  The bytes are in shmq_layout.h.
 *
 * The memory is made here, or was made here by an engine that is gone: then the client hands
 * it in again, and what makes it safe is checked anew.
 *
 * The client may write anything into the shared memory at any time.  So every index and
 * descriptor is read once into private memory, checked, and only the copy is used; sizes
 * are never read back.  A client that breaks the rules loses its own queue (shmq_fetch()
 * returns -EPROTO, for good) and nothing else.
 *
 * Threads: created on the control thread, then used by the shard's thread alone.
 */
#ifndef LS_SHM_SHMQ_H
#define LS_SHM_SHMQ_H

#include "engine/base/err.h"
#include "engine/base/region.h"
#include "engine/include/lockstep.h"

#include <stdbool.h>

#define SHMQ_DEPTH_MAX 4096u
#define SHMQ_ARENA_MAX GIB(1)

enum shmq_op { SHMQ_READ = 1, SHMQ_WRITE, SHMQ_FLUSH, SHMQ_DISCARD, SHMQ_WRITE_ZEROES };

/* A private, index-checked copy of one descriptor.  Its meaning is for the core to check. */
struct shmq_request {
	uint64_t tag;
	uint64_t offset;
	uint64_t length;
	uint64_t buffer; /* offset in the arena; NOT checked against it yet */
	uint32_t volume; /* the handle that the open reply gave */
	uint16_t op; /* enum shmq_op, unchecked */
	uint16_t flags; /* LS_FUA, unchecked */
};

struct shmq;

/* @depth: a power of two.  The arena is sealed against shrinking and populated. */
int shmq_create(uint32_t depth, uint64_t arena_bytes, struct shmq **queue,
		struct err *err) MUST_CHECK;
/*
 * The same with memory that the client hands in.  Takes @memory over in every case.  Its rings
 * begin anew, its arena is left as it is.  -EINVAL: it does not fit, or has another length.
 */
int shmq_adopt(uint32_t depth, uint64_t arena_bytes, int memory, struct shmq **queue,
	       struct err *err) MUST_CHECK;
void shmq_destroy(struct shmq *queue);
/*
 * Whether @memory, from a client, is of the kind that an engine makes.  Ask this first: any other
 * call, close() included, can wait for as long as whoever serves that file likes.
 */
bool shmq_memory_fits(int memory);
/* True when @memory, which fits, is this queue's. */
bool shmq_has_memory(const struct shmq *queue, int memory);

/*
 * What the client is sent: the memory, the doorbell (an eventfd, client to engine) and its
 * end of the wake-up (a socket pair, engine to client; the reason is in shmq.c).
 */
struct shmq_fds {
	int memory, doorbell, wakeup;
};
struct shmq_fds shmq_fds(const struct shmq *queue);
struct region *shmq_arena(struct shmq *queue);
uint32_t shmq_depth(const struct shmq *queue);

/*
 * Copies up to @max new descriptors to @requests and returns their number.  Never fetches
 * more than there is room for in the completion ring, counting what is in flight, so
 * shmq_complete() cannot fail.  -EPROTO: the client broke the ring.
 */
int shmq_fetch(struct shmq *queue, struct shmq_request *requests, unsigned max);

/* Writes one completion, unseen by the client until shmq_publish(). */
void shmq_complete(struct shmq *queue, uint64_t tag, enum ls_status status, uint32_t failed_legs,
		   uint32_t engine_ns);
/* Shows the completions; wakes the client if it sleeps.  Cheap when there is nothing new. */
void shmq_publish(struct shmq *queue);

/*
 * Before the engine sleeps: asks for the doorbell; true, and not armed, when there is something
 * to fetch at once (shmq_fetch() may say -EPROTO).  One ring an arming.  The doorbell is never
 * emptied: watch it edge-triggered.
 */
bool shmq_arm(struct shmq *queue);
/* There is something to fetch (shmq_fetch() may say -EPROTO); what is armed stays so. */
bool shmq_ready(struct shmq *queue);
/* After it woke: no doorbell needed. */
void shmq_disarm(struct shmq *queue);

uint32_t shmq_in_flight(const struct shmq *queue);
uint64_t shmq_wakeups(const struct shmq *queue); /* rings to the client so far */

#endif
