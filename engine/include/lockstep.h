/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liblockstep: read and write Lockstep volumes through a queue in shared memory.
 *
 * A connection is one submission ring, one completion ring and one data arena,
 * shared with the engine (lockstepd) of this node.  The engine does each request
 * on the local device and, for a mirrored volume, on the peer's device too, and
 * completes it once, when all of that is done.
 *
 * Threads: a connection and everything that belongs to it is used by one thread at
 * a time; use one connection per thread.  Different connections are independent.
 * After fork() the child may do nothing with a connection but ls_disconnect(), which
 * frees its copy; the parent's goes on.
 *
 * When the engine goes away (it was restarted, or it died), the connection looks for the next
 * one at the same socket, attaches its queue and arena to that, opens its volumes again and
 * hands in every request that has no completion, in the order in which they were queued.  The
 * program sees a longer wait and nothing else: each request is completed once, buffers stay where
 * they are.  A request that was in flight may be done a second time, so until it is completed a
 * write's range holds what it held before or what the write brings, as always.  All of that
 * happens inside of the program's own calls: it must go on waiting or polling.  A volume that the
 * next engine does not have answers LS_NO_VOLUME; so does another volume of the same name, and one
 * that has become smaller.  See ls_options.reconnect_ms.
 *
 * Errors: functions that return int give 0 or a count, or a negative errno.
 * ls_error() then has a sentence for a person.  The outcome of a request is an
 * enum ls_status in its completion.
 *
 * Buffers: a buffer given to ls_read() or ls_write() must lie in the arena
 * (ls_buf_alloc()), and belongs to the engine until the request has completed.
 * Changing it earlier makes the content of both replicas undefined, and may make
 * the write fail with LS_CHECKSUM.
 */
#ifndef LOCKSTEP_H
#define LOCKSTEP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LS_API_VERSION 1

#if defined(__GNUC__)
#define LS_EXPORT __attribute__((visibility("default")))
#else
#define LS_EXPORT
#endif

/* Outcome of one request.  The numbers travel in frames and never change. */
enum ls_status {
	LS_OK = 0,
	/* Refused before anything was done. */
	LS_INVALID = 1, /* unknown operation or flag, or zero length */
	LS_UNALIGNED = 2, /* offset or length is not a multiple of the block size */
	LS_OUT_OF_RANGE = 3, /* beyond the end of the volume */
	LS_TOO_LARGE = 4, /* longer than ls_volume_info.request_max_bytes */
	LS_BAD_BUFFER = 5, /* the buffer is not inside the arena, or not aligned */
	LS_NO_VOLUME = 6, /* no such volume, or it was not opened on this connection */
	LS_NOT_PRIMARY = 7, /* the volume is the target of a mirror here */
	LS_NO_PEER = 8, /* mirrored volume without its peer: nothing was written */
	LS_BUSY = 9, /* an administrator's operation holds the volume */
	/* Tried, and failed. */
	LS_LOCAL_IO = 16, /* the local device failed */
	LS_PEER_IO = 17, /* the peer's device failed */
	LS_BOTH_IO = 18, /* both did */
	LS_PEER_LOST = 19, /* the peer was lost meanwhile: it may or may not have the write */
	LS_CHECKSUM = 20, /* the payload did not match its checksum at the peer */
	LS_PROTOCOL = 21, /* the peer did not take it: malformed, or it has left the mirror */
	LS_NO_SPACE = 22, /* the device has no room */
	LS_SHUTDOWN = 23, /* the engine is stopping */
};

/* A short sentence for @status, never NULL. */
LS_EXPORT const char *ls_status_text(enum ls_status status);

/* Bits of ls_completion.failed_legs: which replica did not do it. */
#define LS_LEG_LOCAL 1u
#define LS_LEG_PEER 2u

/* Flags of a write. */
#define LS_FUA 1u /* complete only when the data is durable on every replica */

struct ls_connection;

struct ls_options {
	uint32_t size; /* sizeof(struct ls_options); lets the struct grow */
	uint32_t queue_depth; /* requests in flight, 1..4096, a power of two; 0 = 128 */
	uint64_t arena_bytes; /* room for buffers, at most 1 GiB; 0 = 32 MiB */
	const char *socket; /* engine's client socket; NULL = $LOCKSTEP_SOCKET or the default */
	uint32_t spin_us; /* ls_wait() looks this long before it sleeps; 0 = at once */
	uint32_t unused; /* was padding once: not looked at */
	/*
	 * For how long to look for the next engine when this one went away, in all until there is
	 * a completion again; then everything is -EPIPE.  0 = 90000, also for programs that were
	 * built without this field.  LS_RECONNECT_NEVER: -EPIPE at once.
	 */
	uint32_t reconnect_ms;
	uint32_t reserved; /* 0 */
};

#define LS_RECONNECT_NEVER UINT32_MAX

/*
 * Connects to the engine.  @options may be NULL.  On failure returns a negative
 * errno and, if @message is not NULL, writes a sentence there (cut to @message_bytes).
 */
LS_EXPORT int ls_connect(const struct ls_options *options, struct ls_connection **connection,
			 char *message, size_t message_bytes);

/* Ends the connection.  Requests in flight go on in the engine; their outcome is not told. */
LS_EXPORT void ls_disconnect(struct ls_connection *connection);

/* How often another engine has been attached to since ls_connect(). */
LS_EXPORT uint64_t ls_reconnects(const struct ls_connection *connection);

/* The sentence of the last failure on @connection; never NULL. */
LS_EXPORT const char *ls_error(const struct ls_connection *connection);

struct ls_volume_info {
	uint64_t size_bytes;
	uint32_t block_bytes; /* 512 or 4096: unit of offset, length and buffer alignment */
	uint32_t request_max_bytes; /* longest read or write; discard and zeroes have no limit */
	uint32_t mirrored; /* 1 when a write goes to a peer, too */
	uint32_t primary; /* 0 when the volume is the target of a mirror here */
};

/*
 * Opens @name for this connection; returns a handle >= 0 for the calls below.
 * -ENOENT: no such volume.  -EMFILE: too many open on this connection.  While the engine is away
 * this waits for the next one.
 */
LS_EXPORT int ls_volume_open(struct ls_connection *connection, const char *name,
			     struct ls_volume_info *info);

/* A buffer in the arena, aligned to 4096 bytes, or NULL when the arena has no room. */
LS_EXPORT void *ls_buf_alloc(struct ls_connection *connection, size_t bytes);
LS_EXPORT void ls_buf_free(struct ls_connection *connection, void *buf);

/*
 * Queues one request.  @tag comes back in its completion.  Offset and length are in
 * bytes.  -EAGAIN: the queue is full, take completions first.  -EPIPE: the engine is gone for
 * good (never while the next one is looked for).  Nothing is seen by the engine before
 * ls_submit() (ls_wait() submits, too).
 */
LS_EXPORT int ls_read(struct ls_connection *connection, int volume, void *buf, uint64_t offset,
		      uint32_t length, uint64_t tag);
LS_EXPORT int ls_write(struct ls_connection *connection, int volume, const void *buf,
		       uint64_t offset, uint32_t length, uint32_t flags, uint64_t tag);
LS_EXPORT int ls_flush(struct ls_connection *connection, int volume, uint64_t tag);
LS_EXPORT int ls_discard(struct ls_connection *connection, int volume, uint64_t offset,
			 uint64_t length, uint64_t tag);
LS_EXPORT int ls_write_zeroes(struct ls_connection *connection, int volume, uint64_t offset,
			      uint64_t length, uint32_t flags, uint64_t tag);

/* Shows all queued requests to the engine and wakes it when it sleeps.  Returns their number. */
LS_EXPORT int ls_submit(struct ls_connection *connection);

struct ls_completion {
	uint64_t tag;
	uint32_t status; /* enum ls_status */
	uint32_t failed_legs; /* LS_LEG_* */
	uint32_t engine_ns; /* from the engine's fetch to its completion; saturates */
};

/*
 * Takes up to @max completions without waiting; returns their number, or -EPIPE when the
 * engine is gone for good and there are none left.
 */
LS_EXPORT int ls_poll(struct ls_connection *connection, struct ls_completion *completions, int max);

/*
 * Submits, then waits for at least one completion and takes up to @max.  Returns their
 * number, 0 after @timeout_ms (-1 = no limit), or -EPIPE when the engine is gone for good and
 * there are none left.  -EINVAL: no limit, but no request is in flight either.
 */
LS_EXPORT int ls_wait(struct ls_connection *connection, struct ls_completion *completions, int max,
		      int timeout_ms);

/*
 * For event loops: a descriptor that is readable when completions may be there, or there is
 * something to do about an engine that is gone, which ls_poll() does.  Before each sleep on it
 * call ls_arm() and then ls_poll() once more, until it returns less than @max: that order loses
 * no wake-up.
 */
LS_EXPORT int ls_fd(const struct ls_connection *connection);
LS_EXPORT void ls_arm(struct ls_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
