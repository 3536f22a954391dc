/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/nbd_server.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Pieces of memory that one call sends. */
#define SEND_PIECES 64
/* What is refused goes here: nobody looks at it. */
#define DROP_BYTES 4096u
/* Header, buffers, payload, and one for a payload in pieces: nobody holds up a pass. */
#define STEPS_EACH 4u

static uint16_t be16_at(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return be16toh(value);
}

static uint32_t be32_at(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return be32toh(value);
}

static uint64_t be64_at(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return be64toh(value);
}

static void put_be32(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, sizeof(value));
}

/* --- life --- */

static void part_free(struct nbd_part *p)
{
	struct nbd_server *s = p->server;

	p->next = s->free_parts;
	s->free_parts = p;
	s->free_count++;
}

int nbd_server_init(struct nbd_server *s, int fd, struct err *err)
{
	size_t bytes = NBD_BUFFERS * NBD_BUFFER_BYTES;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	*s = (struct nbd_server){.fd = fd};
	list_init(&s->answers);
	if (base != MAP_FAILED) {
		s->region = (struct region){
			.base = base,
			.length_bytes = bytes,
			.buffer_first = REGION_NO_BUFFERS,
		};
		s->parts = calloc(NBD_BUFFERS, sizeof(*s->parts));
	}
	if (!s->parts) {
		nbd_server_fini(s);
		return err_set(err, -ENOMEM, "no memory for the buffers of a block device");
	}
	for (uint32_t i = NBD_BUFFERS; i-- > 0;) {
		s->parts[i].server = s;
		s->parts[i].buffer = (uint8_t *)base + i * NBD_BUFFER_BYTES;
		list_init(&s->parts[i].node);
		part_free(&s->parts[i]);
	}
	return 0;
}

void nbd_server_fini(struct nbd_server *s)
{
	assert(!s->in_flight);
	if (s->region.base)
		munmap(s->region.base, s->region.length_bytes);
	s->region.base = NULL;
	free(s->parts);
	s->parts = NULL;
}

/* --- answers --- */

static enum nbd_error error_of(enum ls_status status)
{
	switch (status) {
	case LS_OK:
		return NBD_OK;
	case LS_INVALID:
	case LS_UNALIGNED:
	case LS_TOO_LARGE:
	case LS_BAD_BUFFER:
		return NBD_EINVAL;
	case LS_OUT_OF_RANGE:
	case LS_NO_SPACE:
		return NBD_ENOSPC;
	case LS_NOT_PRIMARY:
		return NBD_EPERM;
	case LS_NO_VOLUME:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

static void request_free(struct nbd_part *first)
{
	struct nbd_part *next;

	for (struct nbd_part *p = first; p; p = next) {
		next = p->next;
		part_free(p);
	}
}

/* All parts are done, or there was nothing to do. */
static void answer(struct nbd_part *first)
{
	struct nbd_server *s = first->server;

	if (s->ended || first->untold) {
		request_free(first);
		return;
	}
	put_be32(first->reply, NBD_REPLY_MAGIC);
	put_be32(first->reply + 4, first->error);
	if (first->error)
		first->data_bytes = 0;
	list_add_tail(&s->answers, &first->node);
}

static void part_done(struct request *r)
{
	struct nbd_part *p = CONTAINER_OF(r, struct nbd_part, request), *first = p->first;
	struct nbd_server *s = p->server;

	s->in_flight--;
	s->completed(s->ctx);
	if (r->status != LS_OK && !first->error)
		first->error = error_of(r->status);
	/* Nobody who uses a block device is to know of a restart; the kernel would make it EIO. */
	first->untold |= r->status == LS_SHUTDOWN || (r->status != LS_OK && s->leaving);
	if (--first->parts_open == 0)
		answer(first);
}

static unsigned add_piece(struct iovec *iov, unsigned count, uint8_t *base, uint32_t bytes,
			  uint32_t *skip)
{
	uint32_t skipped = (uint32_t)min_u64(*skip, bytes);

	*skip -= skipped;
	if (skipped == bytes)
		return count;
	iov[count] = (struct iovec){base + skipped, bytes - skipped};
	return count + 1;
}

/* The pieces of one answer, less the first @skip bytes. */
static unsigned answer_pieces(struct nbd_part *first, uint32_t skip, struct iovec *iov)
{
	unsigned count = add_piece(iov, 0, first->reply, NBD_REPLY_BYTES, &skip);
	uint32_t left = first->data_bytes;

	for (struct nbd_part *p = first; left; p = p->next) {
		uint32_t bytes = (uint32_t)min_u64(left, NBD_BUFFER_BYTES);

		count = add_piece(iov, count, p->buffer, bytes, &skip);
		left -= bytes;
	}
	return count;
}

/* The first answers, as many as fit. */
static unsigned gather(struct nbd_server *s, struct iovec iov[SEND_PIECES])
{
	uint32_t skip = s->sent;
	unsigned count = 0;

	LIST_FOR (n, &s->answers) {
		if (count + 1 + NBD_PARTS_MAX > SEND_PIECES)
			break;
		count += answer_pieces(LIST_ENTRY(n, struct nbd_part, node), skip, iov + count);
		skip = 0;
	}
	return count;
}

/* @bytes more are sent: what is whole has its buffers back. */
static void sent(struct nbd_server *s, size_t bytes)
{
	while (bytes) {
		struct nbd_part *first = LIST_ENTRY(list_first(&s->answers), struct nbd_part, node);
		size_t left = NBD_REPLY_BYTES + first->data_bytes - s->sent;

		if (bytes < left) {
			s->sent += (uint32_t)bytes;
			return;
		}
		bytes -= left;
		s->sent = 0;
		list_del(&first->node);
		request_free(first);
	}
}

void nbd_server_publish(struct nbd_server *s)
{
	struct iovec iov[SEND_PIECES];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t n;

	while (!list_empty(&s->answers) && !s->blocked) {
		msg.msg_iovlen = gather(s, iov);
		n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			sent(s, (size_t)n);
		else if (errno == EAGAIN)
			s->blocked = true;
		else if (errno != EINTR)
			nbd_server_end(s);
	}
}

void nbd_server_leave(struct nbd_server *s)
{
	s->leaving = true;
}

void nbd_server_end(struct nbd_server *s)
{
	struct list *node;

	s->ended = true;
	s->sent = 0;
	while ((node = list_pop(&s->answers)))
		request_free(LIST_ENTRY(node, struct nbd_part, node));
	if (s->filling)
		request_free(s->filling);
	s->filling = NULL;
}

/* --- requests --- */

/* Up to @bytes; 0: nothing is there now, or nothing more will come (ended). */
static uint32_t take(struct nbd_server *s, void *to, uint32_t bytes)
{
	ssize_t n;

	do {
		n = recv(s->fd, to, bytes, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (uint32_t)n;
	if (n < 0 && errno == EAGAIN)
		s->readable = false;
	else
		nbd_server_end(s);
	return 0;
}

static enum nbd_type type_of(const struct nbd_server *s)
{
	return be16_at(s->header + 6);
}

static bool has_data(enum nbd_type type)
{
	return type == NBD_READ || type == NBD_WRITE;
}

static uint64_t offset_of(const struct nbd_server *s)
{
	return be64_at(s->header + 16);
}

static uint32_t length_of(const struct nbd_server *s)
{
	return be32_at(s->header + 24);
}

/* How the request is refused before anything of it is begun. */
static enum nbd_error refusal(const struct nbd_server *s)
{
	enum nbd_type type = type_of(s);
	uint32_t length = length_of(s);

	if (be16_at(s->header + 4) & ~NBD_FUA)
		return NBD_EINVAL;
	/* Cut into parts, the ones behind the end of 64 bits would begin at 0. */
	if (offset_of(s) > UINT64_MAX - length)
		return NBD_ENOSPC; /* as any other that does not lie within the volume */
	if (has_data(type))
		return length && length <= NBD_REQUEST_MAX ? NBD_OK : NBD_EINVAL;
	return type == NBD_FLUSH || type == NBD_TRIM || type == NBD_WRITE_ZEROES ? NBD_OK
										 : NBD_EINVAL;
}

/* The header is whole. */
static void header_taken(struct nbd_server *s)
{
	s->have = 0;
	if (be32_at(s->header) != NBD_REQUEST_MAGIC || type_of(s) == NBD_DISCONNECT) {
		nbd_server_end(s);
		return;
	}
	s->requests++;
	s->wanted = 1;
	if (has_data(type_of(s)) && !refusal(s))
		s->wanted = (length_of(s) + NBD_BUFFER_BYTES - 1) / NBD_BUFFER_BYTES;
	s->state = NBD_AT_BUFFERS;
}

static struct nbd_part *parts_take(struct nbd_server *s)
{
	struct nbd_part *first = s->free_parts, *last = first;

	for (uint32_t i = 1; i < s->wanted; i++)
		last = last->next;
	s->free_parts = last->next;
	s->free_count -= s->wanted;
	last->next = NULL;
	first->error = NBD_OK;
	first->untold = false;
	first->data_bytes = 0;
	memcpy(first->reply + 8, s->header + 8, 8);
	for (struct nbd_part *p = first; p; p = p->next)
		p->first = first;
	return first;
}

static uint16_t op_of(enum nbd_type type, bool fua)
{
	switch (type) {
	case NBD_READ:
		return REQUEST_READ;
	case NBD_WRITE:
		return REQUEST_WRITE;
	case NBD_FLUSH:
		return REQUEST_FLUSH;
	default:
		/* A discard makes zeroes, too, but has no FUA. */
		return type == NBD_TRIM && !fua ? REQUEST_DISCARD : REQUEST_WRITE_ZEROES;
	}
}

/* A read has no use for FUA, and a flush is one. */
static uint16_t flags_of(uint16_t op, bool fua)
{
	return fua && (op == REQUEST_WRITE || op == REQUEST_WRITE_ZEROES) ? LS_FUA : 0;
}

/* Every byte of it is there. */
static void submit(struct nbd_server *s, struct nbd_part *first)
{
	bool fua = be16_at(s->header + 4) & NBD_FUA, data = has_data(type_of(s));
	uint64_t offset = offset_of(s), left = length_of(s);
	uint16_t op = op_of(type_of(s), fua);
	struct nbd_part *next;

	s->state = NBD_AT_HEADER;
	if (op == REQUEST_READ)
		first->data_bytes = (uint32_t)left;
	first->parts_open = s->wanted;
	s->in_flight += s->wanted;
	for (struct nbd_part *p = first; p; p = next) {
		uint64_t bytes = data ? min_u64(left, NBD_BUFFER_BYTES) : left;

		/* The last one may be done, and the request gone, before submit() is back. */
		next = p->next;
		p->request.volume = s->volume;
		p->request.op = op;
		p->request.flags = flags_of(op, fua);
		p->request.offset = op == REQUEST_FLUSH ? 0 : offset;
		p->request.length = op == REQUEST_FLUSH ? 0 : bytes;
		p->request.buf = data ? p->buffer : NULL;
		p->request.region = &s->region;
		p->request.done = part_done;
		s->submit(s->ctx, &p->request);
		offset += bytes;
		left -= bytes;
	}
}

/* There are buffers for the request whose header is here. */
static void begin(struct nbd_server *s)
{
	struct nbd_part *first = parts_take(s);

	first->error = refusal(s);
	if (type_of(s) == NBD_WRITE && length_of(s)) {
		s->filling = first;
		s->drop_bytes = length_of(s);
		s->state = first->error ? NBD_AT_DROP : NBD_AT_PAYLOAD;
	} else if (first->error) {
		s->state = NBD_AT_HEADER;
		answer(first);
	} else {
		submit(s, first);
	}
}

/* True when the payload is whole. */
static bool payload_take(struct nbd_server *s)
{
	uint32_t length = length_of(s);
	struct nbd_part *p = s->filling;
	uint32_t at = s->have % NBD_BUFFER_BYTES, room = NBD_BUFFER_BYTES - at;

	for (uint32_t i = s->have / NBD_BUFFER_BYTES; i; i--)
		p = p->next;
	s->have += take(s, p->buffer + at, (uint32_t)min_u64(room, length - s->have));
	return !s->ended && s->have == length;
}

static bool drop_take(struct nbd_server *s)
{
	uint8_t bytes[DROP_BYTES];

	s->drop_bytes -= take(s, bytes, (uint32_t)min_u64(sizeof(bytes), s->drop_bytes));
	return !s->ended && !s->drop_bytes;
}

/* One step; true when a request has come. */
static bool step(struct nbd_server *s)
{
	struct nbd_part *first = s->filling;
	uint64_t before = s->requests;

	switch (s->state) {
	case NBD_AT_HEADER:
		s->have += take(s, s->header + s->have, NBD_REQUEST_BYTES - s->have);
		if (!s->ended && s->have == NBD_REQUEST_BYTES)
			header_taken(s);
		break;
	case NBD_AT_BUFFERS:
		begin(s);
		break;
	case NBD_AT_PAYLOAD:
		if (payload_take(s)) {
			s->filling = NULL;
			s->have = 0;
			submit(s, first);
		}
		break;
	case NBD_AT_DROP:
		if (drop_take(s)) {
			s->filling = NULL;
			s->state = NBD_AT_HEADER;
			answer(first);
		}
		break;
	}
	return s->requests != before;
}

static bool can_step(const struct nbd_server *s)
{
	if (s->ended || s->leaving)
		return false;
	return s->state == NBD_AT_BUFFERS ? s->free_count >= s->wanted : s->readable;
}

void nbd_server_look(struct nbd_server *s, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		nbd_server_end(s);
	s->readable = events & EPOLLIN;
	if (events & EPOLLOUT)
		s->blocked = false;
}

unsigned nbd_server_fetch(struct nbd_server *s, unsigned max)
{
	unsigned taken = 0, steps = STEPS_EACH * max;

	while (taken < max && steps-- && can_step(s)) {
		taken += step(s);
		/* Who asks for one thing at a time has sent nothing behind it: look later. */
		if (taken && s->in_flight <= 1 && s->state == NBD_AT_HEADER)
			break;
	}
	/* The next look is to say whether there is more, and whether anybody is there. */
	s->readable = false;
	return taken;
}

bool nbd_server_ready(const struct nbd_server *s)
{
	return s->state == NBD_AT_BUFFERS && can_step(s);
}

uint32_t nbd_server_events(const struct nbd_server *s)
{
	uint32_t events = EPOLLRDHUP;

	if (s->ended)
		return 0;
	if (s->state != NBD_AT_BUFFERS && !s->leaving)
		events |= EPOLLIN;
	if (s->blocked)
		events |= EPOLLOUT;
	return events;
}
