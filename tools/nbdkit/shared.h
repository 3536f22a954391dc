/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection of liblockstep, used by many threads at once: each brings a request and stays
 * until it is done.
 *
 * There is no thread of its own.  Of the threads that have something in flight one *watches*: it
 * sleeps on the connection, for all, and hands out what has come.  When its own request is over,
 * the next one watches.  So at queue depth 1 a request costs no hand-over between threads.
 *
 * A request is cut into chunks, each of which takes a slot: a buffer in the arena and an entry of
 * the queue.  So the queue is never full, and the memory is bounded.  A thread that has chunks in
 * flight never waits for a slot, and takes care of what comes back; one that has none waits for
 * a slot, and does not watch.
 */
#ifndef LS_NBDKIT_SHARED_H
#define LS_NBDKIT_SHARED_H

#include "engine/include/lockstep.h"

struct shared;

struct shared_options {
	const char *socket; /* NULL = the library's default */
	const char *volume;
	unsigned slots; /* chunks in flight; a power of two */
	uint32_t reconnect_ms; /* as in struct ls_options */
	uint32_t spin_us; /* the watching thread looks for so long before it sleeps */
};

/* Longest read or write in one chunk, if the volume takes as much. */
#define SHARED_CHUNK_BYTES (256u << 10)

enum shared_op { SHARED_READ, SHARED_WRITE, SHARED_FLUSH, SHARED_DISCARD, SHARED_ZERO };

struct shared_request {
	enum shared_op op;
	void *data; /* of the caller: read from (write) or written to (read) */
	uint64_t offset, length; /* bytes; flush: 0 */
	uint32_t flags; /* LS_FUA */
};

/* The longest sentence that goes with a failure. */
#define SHARED_MESSAGE_BYTES 400

/* NULL on failure, with a sentence in @message. */
struct shared *shared_open(const struct shared_options *options,
			   char message[SHARED_MESSAGE_BYTES]);
/* No request may be under way. */
void shared_close(struct shared *shared);
const struct ls_volume_info *shared_info(const struct shared *shared);

/* Why nothing can be done any more: no engine came in time after one went.  NULL: it can. */
const char *shared_gone(struct shared *shared);

/*
 * Does one request; any thread.  LS_OK, or the status of the first chunk that failed: then others
 * may have been done.  LS_SHUTDOWN also when shared_gone().
 */
enum ls_status shared_do(struct shared *shared, const struct shared_request *request);

#endif
