/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection of the kernel's nbd driver to a volume: engine/doc/block-device.md has the bytes,
 * the states, and why nothing is written by a request that was given up.
 *
 * It reads requests from a socket, has them submitted, and sends the answers.  Nothing here
 * blocks, allocates or logs after nbd_server_init().
 *
 * Threads: one at a time; init and fini on any, the rest on the shard's.
 * Source: the NBD protocol's "Transmission phase", simple replies; drivers/block/nbd.c, Linux 6.1.
 */
#ifndef LS_DAEMON_NBD_SERVER_H
#define LS_DAEMON_NBD_SERVER_H

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/core/request.h"

#include <stdbool.h>

#define NBD_BUFFER_BYTES KIB(256)
/* The keeper tells the kernel: no more in flight on a connection, none longer than a buffer. */
#define NBD_BUFFERS 32u
/* Those that come before the kernel was told may be longer. */
#define NBD_PARTS_MAX 8u
#define NBD_REQUEST_MAX (NBD_PARTS_MAX * NBD_BUFFER_BYTES)

#define NBD_REQUEST_BYTES 28u
#define NBD_REPLY_BYTES 16u
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_REPLY_MAGIC 0x67446698u

enum nbd_type {
	NBD_READ,
	NBD_WRITE,
	NBD_DISCONNECT,
	NBD_FLUSH,
	NBD_TRIM,
	NBD_WRITE_ZEROES = 6,
};
#define NBD_FUA 1u /* of a request's flags */

/* Errors of the protocol. */
enum nbd_error {
	NBD_OK = 0,
	NBD_EPERM = 1,
	NBD_EIO = 5,
	NBD_EINVAL = 22,
	NBD_ENOSPC = 28,
	NBD_ESHUTDOWN = 108,
};

struct nbd_server;

/* A part of a request, and its buffer; the first part of a request stands for all of it. */
struct nbd_part {
	struct request request;
	struct nbd_server *server;
	uint8_t *buffer;
	struct nbd_part *next; /* free parts; or the parts of one request, in order */

	/* Of the first one. */
	struct nbd_part *first; /* in all of them */
	struct list node; /* in server.answers */
	uint8_t reply[NBD_REPLY_BYTES];
	uint32_t parts_open;
	uint32_t data_bytes; /* that the answer has, when it has no error */
	enum nbd_error error;
	bool untold; /* not answered: another engine is to be asked */
};

enum nbd_state { NBD_AT_HEADER, NBD_AT_BUFFERS, NBD_AT_PAYLOAD, NBD_AT_DROP };

struct nbd_server {
	int fd; /* the caller's */
	struct region region; /* all buffers; the caller tells NIC and devices of it */
	struct nbd_part *parts, *free_parts;
	uint32_t free_count, in_flight; /* parts */
	struct volume *volume;
	/* Submits a part's request; its done() is ours, and tells completed(). */
	void (*submit)(void *ctx, struct request *request);
	void (*completed)(void *ctx);
	void *ctx;

	enum nbd_state state;
	uint8_t header[NBD_REQUEST_BYTES];
	uint32_t have; /* bytes of the header, or of the payload */
	uint32_t wanted; /* parts that the request takes */
	uint32_t drop_bytes;
	struct nbd_part *filling; /* first part of the write whose payload is coming */
	bool readable; /* as of this pass */
	bool ended; /* nothing more is taken, nobody is answered */
	bool blocked; /* the socket takes no answer now */
	bool leaving; /* the engine stops: nothing more is taken, and no failure is told */

	struct list answers; /* in the order of their ends */
	uint32_t sent; /* bytes of the first answer */
	uint64_t requests;
};

/*
 * @fd: a connected stream socket.  -ENOMEM.  Whoever submits sets volume, submit, completed and
 * ctx afterwards.
 */
int nbd_server_init(struct nbd_server *server, int fd, struct err *err) MUST_CHECK;
/* Nothing is in flight. */
void nbd_server_fini(struct nbd_server *server);

/* What one look at all sockets said of this one, as epoll does; before each nbd_server_fetch(). */
void nbd_server_look(struct nbd_server *server, uint32_t events);
/* Takes at most @max requests, if the last look found some.  Returns how many. */
unsigned nbd_server_fetch(struct nbd_server *server, unsigned max);
/* Sends what has ended. */
void nbd_server_publish(struct nbd_server *server);
/*
 * The engine stops.  No request is taken any more, and one that fails from now on stays without an
 * answer, like those that were not taken: the kernel asks again when it has another connection.
 */
void nbd_server_leave(struct nbd_server *server);
/* Nobody is there to read: no request is taken, no answer sent. */
void nbd_server_end(struct nbd_server *server);
/* True when a request that waited for buffers can have them: not the time to sleep. */
bool nbd_server_ready(const struct nbd_server *server);
/* What is to be watched for now, as epoll wants it. */
uint32_t nbd_server_events(const struct nbd_server *server);

#endif
