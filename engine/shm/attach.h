/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages on the client's unix socket (SOCK_SEQPACKET: one message, one packet).
 * The client asks, the engine answers each question once and in order:
 *
 *   HELLO  ->  <- HELLO_REPLY with three descriptors: memory, doorbell, wake-up
 *                 (HELLO may bring one: the memory of a session that ended)
 *   OPEN   ->  <- OPEN_REPLY, any number of times
 *
 * or, for the block device (engine/doc/block-device.md):
 *
 *   SERVE  ->  <- SERVE_REPLY, and the socket is closed
 *                 (with one descriptor: a connected unix stream socket, whose other end is the
 *                 kernel's nbd)
 *
 * The session lasts as long as the socket.  All numbers little-endian, reserved bytes
 * zero.  Every message starts alike, and every reply starts alike, in every version: so
 * that two versions that do not fit can still say so.
 *
 *   offset size field         every message
 *        0    4 magic         "LSAT"
 *        4    2 type          enum attach_type
 *        6    2 length_bytes  of this message
 *
 *   offset size field         every reply
 *        8    4 status        0 or a negative errno
 *       12    4 abi_version   SHMQ_ABI_VERSION of the engine
 *       16  400 text          a sentence when status < 0, NUL-terminated
 *
 * Check functions copy from untrusted bytes: -EPROTO for a malformed message,
 * -EPROTONOSUPPORT for another version.  The other side's texts have no control characters
 * left when they come out of here.
 *
 * Threads: pure functions, and system calls on the caller's socket.
 */
#ifndef LS_SHM_ATTACH_H
#define LS_SHM_ATTACH_H

#include "engine/base/err.h"
#include "engine/include/lockstep.h"

#include <sys/types.h>

#define ATTACH_SOCKET_DEFAULT "/run/lockstep/client.sock"
#define ATTACH_SOCKET_ENV "LOCKSTEP_SOCKET"
#define ATTACH_MAGIC 0x5441534cu
#define ATTACH_NAME_BYTES 64 /* of a volume, with its NUL */
#define ATTACH_ID_BYTES 16 /* of a volume's identity */
#define ATTACH_VOLUMES_MAX 64 /* open in one session */
#define ATTACH_TEXT_BYTES 400
#define ATTACH_MESSAGE_MAX 512 /* no message is longer: the size of a receive buffer */

enum attach_type {
	ATTACH_HELLO = 1,
	ATTACH_HELLO_REPLY = 2,
	ATTACH_OPEN = 3,
	ATTACH_OPEN_REPLY = 4,
	ATTACH_SERVE = 5,
	ATTACH_SERVE_REPLY = 6, /* struct attach_reply, and no more */
};

/* The descriptors of a HELLO_REPLY, in this order; none when its status is not 0. */
enum attach_fd { ATTACH_FD_MEMORY, ATTACH_FD_DOORBELL, ATTACH_FD_WAKEUP, ATTACH_NR_FDS };

/* HELLO comes with one descriptor, the memory of an earlier session, to be used again. */
#define ATTACH_HELLO_MEMORY 1u

struct attach_head {
	uint32_t magic;
	uint16_t type;
	uint16_t length_bytes;
};

/*
 *   offset size field        HELLO
 *        8    4 abi_version  SHMQ_ABI_VERSION of the client
 *       12    4 queue_depth  a power of two, up to SHMQ_DEPTH_MAX
 *       16    8 arena_bytes  1 to SHMQ_ARENA_MAX; the engine rounds up to whole pages
 *       24    4 flags        ATTACH_HELLO_*
 *       28    4 reserved
 */
struct attach_hello {
	struct attach_head head;
	uint32_t abi_version;
	uint32_t queue_depth;
	uint64_t arena_bytes;
	uint32_t flags;
	uint32_t reserved;
};

struct attach_reply {
	struct attach_head head;
	int32_t status;
	uint32_t abi_version;
	char text[ATTACH_TEXT_BYTES];
};

/*
 *   offset size field         HELLO_REPLY
 *      416    4 queue_depth   slots of each ring
 *      420    4 reserved
 *      424    8 arena_offset  in the memory
 *      432    8 arena_bytes   page multiple
 *      440    8 total_bytes   of the memory
 */
struct attach_hello_reply {
	struct attach_reply reply;
	uint32_t queue_depth;
	uint32_t reserved;
	uint64_t arena_offset;
	uint64_t arena_bytes;
	uint64_t total_bytes;
};

/*
 *   offset size field         OPEN
 *        8   64 name          of the volume, NUL-terminated
 */
struct attach_open {
	struct attach_head head;
	char name[ATTACH_NAME_BYTES];
};

#define ATTACH_VOLUME_MIRRORED 1u
#define ATTACH_VOLUME_PRIMARY 2u

/*
 *   offset size field              OPEN_REPLY
 *      416    4 handle             0 to INT32_MAX, for the descriptors
 *      420    4 block_bytes        512 or 4096
 *      424    8 size_bytes         of the volume
 *      432    4 request_max_bytes  longest read or write
 *      436    4 flags              ATTACH_VOLUME_*
 *      440   16 id                 never another volume's, not even of the same name
 */
struct attach_open_reply {
	struct attach_reply reply;
	uint32_t handle;
	uint32_t block_bytes;
	uint64_t size_bytes;
	uint32_t request_max_bytes;
	uint32_t flags;
	uint8_t id[ATTACH_ID_BYTES];
};

/*
 *   offset size field        SERVE
 *        8    4 abi_version  SHMQ_ABI_VERSION of who asks
 *       12    4 reserved
 *       16   64 name         of the volume, NUL-terminated
 *       80   16 id           which volume of that name; all zero, or a message that ends before it
 *                            (an earlier release's): any
 */
struct attach_serve {
	struct attach_head head;
	uint32_t abi_version;
	uint32_t reserved;
	char name[ATTACH_NAME_BYTES];
	uint8_t id[ATTACH_ID_BYTES];
};

/* The type of a received message, or -EPROTO when it cannot be one of ours. */
int attach_type(const void *bytes, size_t length_bytes);

/* Client. */
void attach_hello_set(struct attach_hello *hello, uint32_t queue_depth, uint64_t arena_bytes);
/* -ENAMETOOLONG; -EINVAL when @name is empty. */
int attach_open_set(struct attach_open *open, const char *name) MUST_CHECK;
/* @id NULL: the message that earlier engines know, too. */
int attach_serve_set(struct attach_serve *serve, const char *name,
		     const uint8_t id[ATTACH_ID_BYTES]) MUST_CHECK;
/* @reply's own status, checked to be 0 or a negative errno, is for the caller to look at. */
int attach_hello_reply_check(const void *bytes, size_t length_bytes,
			     struct attach_hello_reply *reply, struct err *err) MUST_CHECK;
int attach_open_reply_check(const void *bytes, size_t length_bytes, struct attach_open_reply *reply,
			    struct err *err) MUST_CHECK;

int attach_serve_reply_check(const void *bytes, size_t length_bytes, struct attach_reply *reply,
			     struct err *err) MUST_CHECK;

/* Engine.  On failure @err has the status and sentence for the reply. */
int attach_hello_check(const void *bytes, size_t length_bytes, struct attach_hello *hello,
		       struct err *err) MUST_CHECK;
int attach_open_check(const void *bytes, size_t length_bytes, struct attach_open *open,
		      struct err *err) MUST_CHECK;
int attach_serve_check(const void *bytes, size_t length_bytes, struct attach_serve *serve,
		       struct err *err) MUST_CHECK;
/* Failed when @err says so. */
void attach_serve_reply_set(struct attach_reply *reply, const struct err *err);
/* @arena_bytes as in HELLO; the rest follows from shmq_layout_of(). */
void attach_hello_reply_set(struct attach_hello_reply *reply, uint32_t queue_depth,
			    uint64_t arena_bytes);
void attach_open_reply_set(struct attach_open_reply *reply, uint32_t handle,
			   const struct ls_volume_info *info, const uint8_t id[ATTACH_ID_BYTES]);
/* The failed forms, for @err from anywhere. */
void attach_hello_reply_fail(struct attach_hello_reply *reply, const struct err *err);
void attach_open_reply_fail(struct attach_open_reply *reply, const struct err *err);

/* Sends one message, with @nr_fds descriptors.  0 or a negative errno; never SIGPIPE. */
int attach_send(int socket, const void *message, size_t length_bytes, const int *fds,
		unsigned nr_fds) MUST_CHECK;
/*
 * Receives one message of up to ATTACH_MESSAGE_MAX bytes to @buffer, and exactly @nr_fds or
 * no descriptors (close-on-exec) to @fds; *@got_fds tells which.  Returns its length, 0
 * at the end of the session, or a negative errno; -EPROTO: too long, or another number of
 * descriptors.  Those that are in @fds are the caller's then, too: only he knows whether it is
 * safe to close them.  With @nr_fds 0 the kernel drops whatever came, and @got_fds may be NULL.
 */
ssize_t attach_receive(int socket, void *buffer, int *fds, unsigned nr_fds,
		       unsigned *got_fds) MUST_CHECK;

#define ATTACH_AT(type, field, offset)                                                             \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field)

ATTACH_AT(attach_head, magic, 0);
ATTACH_AT(attach_head, type, 4);
ATTACH_AT(attach_head, length_bytes, 6);
ATTACH_AT(attach_hello, abi_version, 8);
ATTACH_AT(attach_hello, queue_depth, 12);
ATTACH_AT(attach_hello, arena_bytes, 16);
ATTACH_AT(attach_hello, flags, 24);
ATTACH_AT(attach_hello, reserved, 28);
_Static_assert(sizeof(struct attach_hello) == 32, "HELLO");
ATTACH_AT(attach_reply, status, 8);
ATTACH_AT(attach_reply, abi_version, 12);
ATTACH_AT(attach_reply, text, 16);
_Static_assert(sizeof(struct attach_reply) == 416, "start of every reply");
ATTACH_AT(attach_hello_reply, queue_depth, 416);
ATTACH_AT(attach_hello_reply, reserved, 420);
ATTACH_AT(attach_hello_reply, arena_offset, 424);
ATTACH_AT(attach_hello_reply, arena_bytes, 432);
ATTACH_AT(attach_hello_reply, total_bytes, 440);
_Static_assert(sizeof(struct attach_hello_reply) == 448, "HELLO_REPLY");
ATTACH_AT(attach_open, name, 8);
_Static_assert(sizeof(struct attach_open) == 72, "OPEN");
ATTACH_AT(attach_serve, abi_version, 8);
ATTACH_AT(attach_serve, reserved, 12);
ATTACH_AT(attach_serve, name, 16);
ATTACH_AT(attach_serve, id, 80);
_Static_assert(sizeof(struct attach_serve) == 96, "SERVE");
ATTACH_AT(attach_open_reply, handle, 416);
ATTACH_AT(attach_open_reply, block_bytes, 420);
ATTACH_AT(attach_open_reply, size_bytes, 424);
ATTACH_AT(attach_open_reply, request_max_bytes, 432);
ATTACH_AT(attach_open_reply, flags, 436);
ATTACH_AT(attach_open_reply, id, 440);
_Static_assert(sizeof(struct attach_open_reply) == 456, "OPEN_REPLY");
_Static_assert(sizeof(struct attach_open_reply) <= ATTACH_MESSAGE_MAX, "receive buffer");
_Static_assert(ATTACH_TEXT_BYTES == sizeof(((struct err *)0)->text), "a sentence fits");

#endif
