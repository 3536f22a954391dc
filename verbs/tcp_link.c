/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link over TCP, for hosts without an RDMA device, for sanitizers and for fuzzers.
 *
 * Sending: send() and write() fill a ring of items; flush() hands as much of it to the
 * kernel as it takes, payloads straight from the caller's memory, and asks for EPOLLOUT
 * when it takes no more.  Receiving: the payload is read straight into its slot, together
 * with the prefix of whatever comes next, so that a busy link makes one call per item.
 */
#include "verbs/tcp.h"

#include "engine/base/wire.h"
#include "verbs/address.h"
#include "verbs/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define PREFIX_BYTES 12u
#define PREFIX_MAGIC 0x4b4cu /* "LK" */
#define GRANT_MAGIC 0x3154474cu /* "LGT1" */
/* Vectors per call: enough to keep the kernel busy, few enough for the stack. */
#define TX_VECTORS 64

enum item_kind {
	ITEM_MESSAGE = 1,
	ITEM_REQUEST = 2,
};

struct tx_item {
	uint8_t lead[PREFIX_BYTES + LINK_HEADER_BYTES];
	uint32_t lead_bytes;
	uint32_t body_bytes;
	const uint8_t *body;
	uint32_t slot;
	enum item_kind kind;
};

struct tcp_link {
	struct link link;
	int socket;
	bool wants_out; /* EPOLLOUT is on */
	bool open_slots; /* after grant() */
	bool failed;
	bool more; /* the last poll stopped at its budget */
	char reason[256];

	struct {
		uint8_t prefix[PREFIX_BYTES];
		uint32_t prefix_bytes;
		bool in_body;
		enum item_kind kind;
		uint32_t slot;
		uint8_t *body;
		uint32_t body_bytes, got_bytes;
		uint8_t message[LINK_MESSAGE_MAX];
	} rx;

	struct {
		struct tx_item *items;
		uint32_t item_max, item_first, item_count;
		size_t sent_bytes; /* of the first item */
		uint8_t (*messages)[LINK_MESSAGE_MAX];
		uint32_t message_max, message_next, message_count;
		bool queued[LINK_SLOTS_MAX]; /* the peer's slots that wait in the ring */
	} tx;
};

static struct tcp_link *tcp_of(struct link *link)
{
	return CONTAINER_OF(link, struct tcp_link, link);
}

static void tcp_fail(struct tcp_link *tcp, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void tcp_fail(struct tcp_link *tcp, const char *fmt, ...)
{
	va_list ap;

	if (tcp->failed)
		return;
	tcp->failed = true;
	va_start(ap, fmt);
	vsnprintf(tcp->reason, sizeof(tcp->reason), fmt, ap);
	va_end(ap);
}

/* Sending. */

static struct tx_item *tx_item_at(struct tcp_link *tcp, uint32_t index)
{
	return &tcp->tx.items[(tcp->tx.item_first + index) % tcp->tx.item_max];
}

static void tx_prefix_put(struct tx_item *item, uint32_t length)
{
	put_u16(item->lead, PREFIX_MAGIC);
	item->lead[2] = (uint8_t)item->kind;
	item->lead[3] = 0;
	put_u32(item->lead + 4, item->slot);
	put_u32(item->lead + 8, length);
}

static bool tx_join(struct tcp_link *tcp, const void *bytes, uint32_t length)
{
	struct tx_item *last;
	uint8_t *body;

	if (tcp->tx.item_count == 0 || (tcp->tx.item_count == 1 && tcp->tx.sent_bytes > 0))
		return false;
	last = tx_item_at(tcp, tcp->tx.item_count - 1);
	if (last->kind != ITEM_MESSAGE || last->body_bytes + length > LINK_MESSAGE_MAX)
		return false;
	body = tcp->tx.messages[(tcp->tx.message_next + tcp->tx.message_max - 1) %
				tcp->tx.message_max];
	memcpy(body + last->body_bytes, bytes, length);
	last->body_bytes += length;
	tx_prefix_put(last, last->body_bytes);
	return true;
}

static void tcp_send(struct link *link, const void *bytes, uint32_t length)
{
	struct tcp_link *tcp = tcp_of(link);
	struct tx_item *item;
	uint8_t *body;

	if (tcp->failed || tx_join(tcp, bytes, length))
		return;
	if (tcp->tx.message_count == tcp->tx.message_max) {
		tcp_fail(tcp, "%u messages wait and the peer takes none", tcp->tx.message_count);
		return;
	}
	body = tcp->tx.messages[tcp->tx.message_next];
	tcp->tx.message_next = (tcp->tx.message_next + 1) % tcp->tx.message_max;
	tcp->tx.message_count++;
	memcpy(body, bytes, length);

	item = tx_item_at(tcp, tcp->tx.item_count++);
	item->kind = ITEM_MESSAGE;
	item->slot = 0;
	item->lead_bytes = PREFIX_BYTES;
	item->body = body;
	item->body_bytes = length;
	tx_prefix_put(item, length);
	link->stats.messages_tx++;
}

static void tcp_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
		      const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct tcp_link *tcp = tcp_of(link);
	struct tx_item *item;

	(void)region;
	if (tcp->failed)
		return;
	if (tcp->tx.queued[slot]) {
		tcp_fail(tcp, "the peer answered the request in slot %u before it was sent", slot);
		return;
	}
	tcp->tx.queued[slot] = true;
	item = tx_item_at(tcp, tcp->tx.item_count++);
	item->kind = ITEM_REQUEST;
	item->slot = slot;
	item->lead_bytes = PREFIX_BYTES + LINK_HEADER_BYTES;
	item->body = payload;
	item->body_bytes = payload_bytes;
	tx_prefix_put(item, payload_bytes);
	memcpy(item->lead + PREFIX_BYTES, header, LINK_HEADER_BYTES);
	link->stats.requests_tx++;
	link->stats.payload_tx += payload_bytes;
}

/* Adds the part of @bytes that lies after @skip, and takes what it skipped off @skip. */
static int tx_vector_add(struct iovec *vector, int count, const uint8_t *bytes, size_t length,
			 size_t *skip)
{
	size_t skipped = min_u64(*skip, length);

	*skip -= skipped;
	if (length == skipped)
		return count;
	vector[count].iov_base = (void *)(bytes + skipped);
	vector[count].iov_len = length - skipped;
	return count + 1;
}

static int tx_vector_fill(struct tcp_link *tcp, struct iovec vector[TX_VECTORS])
{
	size_t skip = tcp->tx.sent_bytes;
	int count = 0;

	for (uint32_t i = 0; i < tcp->tx.item_count && count + 2 <= TX_VECTORS; i++) {
		struct tx_item *item = tx_item_at(tcp, i);

		count = tx_vector_add(vector, count, item->lead, item->lead_bytes, &skip);
		count = tx_vector_add(vector, count, item->body, item->body_bytes, &skip);
	}
	return count;
}

static void tx_sent(struct tcp_link *tcp, size_t bytes)
{
	tcp->tx.sent_bytes += bytes;
	while (tcp->tx.item_count > 0) {
		struct tx_item *item = tx_item_at(tcp, 0);
		size_t item_bytes = (size_t)item->lead_bytes + item->body_bytes;

		if (tcp->tx.sent_bytes < item_bytes)
			return;
		tcp->tx.sent_bytes -= item_bytes;
		if (item->kind == ITEM_MESSAGE)
			tcp->tx.message_count--;
		else
			tcp->tx.queued[item->slot] = false;
		tcp->tx.item_first = (tcp->tx.item_first + 1) % tcp->tx.item_max;
		tcp->tx.item_count--;
	}
}

static void tx_want_out(struct tcp_link *tcp, bool wanted)
{
	struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0)};

	if (tcp->wants_out == wanted)
		return;
	tcp->wants_out = wanted;
	if (epoll_ctl(tcp->link.fd, EPOLL_CTL_MOD, tcp->socket, &event) < 0)
		tcp_fail(tcp, "cannot watch the socket: %s", strerror(errno));
}

static void tcp_flush(struct link *link)
{
	struct tcp_link *tcp = tcp_of(link);

	while (!tcp->failed && tcp->tx.item_count > 0) {
		struct iovec vector[TX_VECTORS];
		struct msghdr message = {.msg_iov = vector};
		ssize_t sent;

		message.msg_iovlen = (size_t)tx_vector_fill(tcp, vector);
		sent = sendmsg(tcp->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		link->stats.posts++;
		if (sent >= 0) {
			tx_sent(tcp, (size_t)sent);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			tx_want_out(tcp, true);
			return;
		}
		if (errno != EINTR)
			tcp_fail(tcp, "connection to %s lost: %s", link->address, strerror(errno));
	}
	if (!tcp->failed)
		tx_want_out(tcp, false);
}

/* Receiving. */

static void rx_request_begin(struct tcp_link *tcp, uint32_t length)
{
	struct link *link = &tcp->link;

	if (!tcp->open_slots)
		tcp_fail(tcp, "the peer sent a request before it was given any slot");
	else if (tcp->rx.slot >= link->slot_count)
		tcp_fail(tcp, "the peer sent a request to slot %u of %u", tcp->rx.slot,
			 link->slot_count);
	else if (length > link->slot_bytes)
		tcp_fail(tcp, "the peer sent %u bytes to a slot of %u", length, link->slot_bytes);
	if (tcp->failed)
		return;
	/* Header and payload lie side by side, so one read takes both. */
	tcp->rx.body = link_slot_header(link, tcp->rx.slot);
	tcp->rx.body_bytes = LINK_HEADER_BYTES + length;
}

static void rx_prefix_parse(struct tcp_link *tcp)
{
	const uint8_t *prefix = tcp->rx.prefix;
	uint32_t length = get_u32(prefix + 8);

	if (get_u16(prefix) != PREFIX_MAGIC || prefix[3] != 0) {
		tcp_fail(tcp, "the peer sent bytes that are no frame of a TCP link");
		return;
	}
	tcp->rx.slot = get_u32(prefix + 4);
	tcp->rx.got_bytes = 0;
	switch (prefix[2]) {
	case ITEM_MESSAGE:
		if (length == 0 || length > LINK_MESSAGE_MAX || tcp->rx.slot != 0) {
			tcp_fail(tcp, "the peer sent a message of %u bytes: 1 to %u are allowed",
				 length, LINK_MESSAGE_MAX);
			return;
		}
		tcp->rx.body = tcp->rx.message;
		tcp->rx.body_bytes = length;
		break;
	case ITEM_REQUEST:
		rx_request_begin(tcp, length);
		break;
	default:
		tcp_fail(tcp, "the peer sent a frame of unknown kind %u", prefix[2]);
		return;
	}
	tcp->rx.kind = (enum item_kind)prefix[2];
	tcp->rx.in_body = true;
	tcp->rx.prefix_bytes = 0;
}

/* One read: the rest of the body, and the prefix behind it.  False when no more is there. */
static bool rx_read(struct tcp_link *tcp)
{
	struct iovec vector[2];
	struct msghdr message = {.msg_iov = vector};
	size_t asked = 0, body = 0;
	ssize_t got;

	if (tcp->rx.in_body) {
		body = tcp->rx.body_bytes - tcp->rx.got_bytes;
		vector[message.msg_iovlen].iov_base = tcp->rx.body + tcp->rx.got_bytes;
		vector[message.msg_iovlen++].iov_len = body;
	}
	vector[message.msg_iovlen].iov_base = tcp->rx.prefix + tcp->rx.prefix_bytes;
	vector[message.msg_iovlen++].iov_len = PREFIX_BYTES - tcp->rx.prefix_bytes;
	asked = body + PREFIX_BYTES - tcp->rx.prefix_bytes;
	do {
		got = recvmsg(tcp->socket, &message, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got == 0) {
		tcp_fail(tcp, "the peer closed the connection");
		return false;
	}
	if (got < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			tcp_fail(tcp, "connection to %s lost: %s", tcp->link.address,
				 strerror(errno));
		return false;
	}
	tcp->rx.got_bytes += (uint32_t)min_u64((uint64_t)got, body);
	if ((size_t)got > body)
		tcp->rx.prefix_bytes += (uint32_t)((size_t)got - body);
	return (size_t)got == asked;
}

static void rx_deliver(struct tcp_link *tcp)
{
	struct link *link = &tcp->link;

	tcp->rx.in_body = false;
	link->stats.completions++;
	if (tcp->rx.kind == ITEM_MESSAGE) {
		link->stats.messages_rx++;
		link->handler->message(link->owner, tcp->rx.message, tcp->rx.body_bytes);
		return;
	}
	link->stats.requests_rx++;
	link->stats.payload_rx += tcp->rx.body_bytes - LINK_HEADER_BYTES;
	link->handler->landed(link->owner, tcp->rx.slot, link_slot_header(link, tcp->rx.slot),
			      tcp->rx.body_bytes - LINK_HEADER_BYTES);
}

static unsigned rx_run(struct tcp_link *tcp, unsigned budget)
{
	bool maybe_more = true;
	unsigned handled = 0;

	tcp->more = false;
	while (!tcp->failed) {
		if (tcp->rx.in_body && tcp->rx.got_bytes == tcp->rx.body_bytes) {
			if (handled == budget) {
				tcp->more = true;
				break;
			}
			rx_deliver(tcp);
			handled++;
		} else if (!tcp->rx.in_body && tcp->rx.prefix_bytes == PREFIX_BYTES) {
			rx_prefix_parse(tcp);
		} else if (maybe_more) {
			maybe_more = rx_read(tcp);
		} else {
			break;
		}
	}
	return handled;
}

static void tcp_close(struct tcp_link *tcp)
{
	if (tcp->socket >= 0)
		close(tcp->socket);
	tcp->socket = -1;
}

static unsigned tcp_poll(struct link *link, unsigned budget)
{
	struct tcp_link *tcp = tcp_of(link);
	unsigned handled = 0;

	if (!tcp->failed && tcp->wants_out)
		tcp_flush(link);
	if (!tcp->failed)
		handled = rx_run(tcp, budget);
	if (!tcp->failed)
		return handled;
	/* The kernel copied what it took; nothing reads or fills our buffers any more. */
	tcp_close(tcp);
	link->handler->down(link->owner, tcp->reason);
	return handled + 1;
}

static bool tcp_arm(struct link *link)
{
	struct tcp_link *tcp = tcp_of(link);

	return tcp->failed || tcp->more;
}

static void tcp_shut(struct link *link, const char *reason)
{
	tcp_fail(tcp_of(link), "%s", reason);
}

static int tcp_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	struct tcp_link *tcp = tcp_of(link);

	memset(grant, 0, LINK_GRANT_BYTES);
	put_u32(grant, GRANT_MAGIC);
	put_u32(grant + 4, link->slot_count);
	put_u32(grant + 8, link->slot_bytes);
	tcp->open_slots = true;
	return 0;
}

static bool tcp_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	uint32_t count = get_u32(grant + 4), bytes = get_u32(grant + 8);

	if (get_u32(grant) != GRANT_MAGIC || count == 0 || count > LINK_SLOTS_MAX)
		return false;
	if (bytes == 0 || bytes % 4096 != 0 || bytes > FABRIC_SLOT_BYTES_MAX)
		return false;
	for (size_t i = 12; i < LINK_GRANT_BYTES; i++) {
		if (grant[i] != 0)
			return false;
	}
	link->granted_count = count;
	link->granted_bytes = bytes;
	return true;
}

static void tcp_destroy(struct link *link)
{
	struct tcp_link *tcp = tcp_of(link);

	tcp_close(tcp);
	if (link->fd >= 0)
		close(link->fd);
	slots_fini(link);
	free(tcp->tx.items);
	free(tcp->tx.messages);
	free(tcp);
}

static const struct link_ops tcp_link_ops = {
	.grant = tcp_grant,
	.use_grant = tcp_use_grant,
	.send = tcp_send,
	.write = tcp_write,
	.flush = tcp_flush,
	.poll = tcp_poll,
	.arm = tcp_arm,
	.shut = tcp_shut,
	.destroy = tcp_destroy,
};

static int tcp_memory_init(struct tcp_link *tcp, const struct fabric_config *config)
{
	/* One answer per request of the peer; twice, because sending lags behind queueing. */
	tcp->tx.message_max = 2 * (config->slot_count + LINK_SPARE_MESSAGES);
	tcp->tx.item_max = LINK_SLOTS_MAX + tcp->tx.message_max;
	tcp->tx.items = calloc(tcp->tx.item_max, sizeof(*tcp->tx.items));
	tcp->tx.messages = calloc(tcp->tx.message_max, sizeof(*tcp->tx.messages));
	if (!tcp->tx.items || !tcp->tx.messages)
		return -ENOMEM;
	return slots_init(&tcp->link, config->slot_count, config->slot_bytes);
}

static void tcp_names_fill(struct link *link, int socket)
{
	struct sockaddr_storage addr = {0};
	socklen_t length = sizeof(addr);
	char text[ADDRESS_TEXT_BYTES];

	snprintf(link->backend, sizeof(link->backend), "tcp");
	snprintf(link->detail, sizeof(link->detail), "TCP: the kernel copies, no RDMA");
	if (getpeername(socket, (struct sockaddr *)&addr, &length) == 0) {
		address_format((struct sockaddr *)&addr, text);
		snprintf(link->address, sizeof(link->address), "%s", text);
	}
	length = sizeof(addr);
	if (getsockname(socket, (struct sockaddr *)&addr, &length) == 0) {
		address_format((struct sockaddr *)&addr, text);
		snprintf(link->device, sizeof(link->device), "%.63s", text);
	}
	link->numa_node = -1;
}

int tcp_link_create(const struct fabric_config *config, int socket, struct link **link,
		    struct err *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct tcp_link *tcp = calloc(1, sizeof(*tcp));
	int rc;

	if (!tcp) {
		close(socket);
		return err_set(err, -ENOMEM, "no memory for a link");
	}
	tcp->socket = socket;
	tcp->link.ops = &tcp_link_ops;
	tcp->link.fd = epoll_create1(EPOLL_CLOEXEC);
	if (tcp->link.fd < 0 || epoll_ctl(tcp->link.fd, EPOLL_CTL_ADD, socket, &event) < 0) {
		rc = err_set(err, -errno, "cannot watch the socket: %s", strerror(errno));
		goto destroy;
	}
	rc = tcp_memory_init(tcp, config);
	if (rc < 0) {
		rc = err_set(err, rc, "no memory for %u slots of %u bytes: %s", config->slot_count,
			     config->slot_bytes, strerror(-rc));
		goto destroy;
	}
	tcp_names_fill(&tcp->link, socket);
	*link = &tcp->link;
	return 0;
destroy:
	tcp_destroy(&tcp->link);
	return rc;
}
