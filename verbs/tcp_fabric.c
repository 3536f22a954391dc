/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes TCP connections, on the CM thread.  A connection becomes a link only when the other
 * end has said hello, so that whatever else connects to the port costs a descriptor for
 * at most the time limit and nothing more.
 */
#include "verbs/tcp.h"

#include "engine/base/list.h"
#include "engine/base/wire.h"
#include "verbs/address.h"
#include "verbs/cm_thread.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HELLO_MAGIC "LSTCPLNK"
#define LISTEN_AGAIN_MS 100

struct tcp_fabric {
	struct fabric fabric;
	struct cm_thread cm;
	int listener;

	/* Of the CM thread. */
	uint64_t listen_again_ms; /* CM_NEVER, or when a listener out of descriptors goes on */
	struct list connecting; /* struct opening, oldest first */
	unsigned half_open;     /* of them, those that the peer dialled */

	pthread_mutex_t lock; /* of dials: handed over from any thread */
	struct list dials;    /* struct opening */
	unsigned dial_count;  /* handed over and not ended */
};

/* A connection that is not a link yet. */
struct opening {
	struct list node;
	int socket;
	bool dialled;
	bool connected;
	void *cookie;
	char target[272];
	struct address_list addresses;
	unsigned address_next;
	uint64_t deadline_ms;
	uint8_t hello[TCP_HELLO_BYTES];
	size_t hello_bytes;
};

static struct tcp_fabric *tcp_fabric_of(struct fabric *fabric)
{
	return CONTAINER_OF(fabric, struct tcp_fabric, fabric);
}

static void hello_put(uint8_t hello[TCP_HELLO_BYTES])
{
	memcpy(hello, HELLO_MAGIC, 8);
	put_u32(hello + 8, TCP_VERSION);
	put_u32(hello + 12, 0);
}

static void socket_tune(int socket)
{
	const int on = 1, idle_s = 5, interval_s = 2, probes = 3, limit_ms = TCP_USER_TIMEOUT_MS;

	/* Each is an improvement only; a kernel that refuses one still carries the link. */
	(void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms));
}

static void opening_close(struct tcp_fabric *tcp, struct opening *opening)
{
	if (opening->socket < 0)
		return;
	cm_thread_unwatch(&tcp->cm, opening->socket);
	close(opening->socket);
	opening->socket = -1;
}

/* Ends the opening; its socket was closed or became a link. */
static void opening_free(struct tcp_fabric *tcp, struct opening *opening)
{
	list_del(&opening->node);
	if (opening->dialled) {
		pthread_mutex_lock(&tcp->lock);
		tcp->dial_count--;
		pthread_mutex_unlock(&tcp->lock);
	} else {
		tcp->half_open--;
	}
	free(opening);
}

static void opening_fail(struct tcp_fabric *tcp, struct opening *opening, const char *reason)
{
	struct fabric *fabric = &tcp->fabric;
	void *cookie = opening->cookie;
	bool dialled = opening->dialled;

	opening_close(tcp, opening);
	opening_free(tcp, opening);
	if (dialled)
		fabric->handler->failed(fabric->owner, cookie, reason);
	else if (fabric->handler->refused)
		fabric->handler->refused(fabric->owner, reason);
}

static void dial_next_address(struct tcp_fabric *tcp, struct opening *opening, const char *why);

static void opening_fail_step(struct tcp_fabric *tcp, struct opening *opening, const char *why)
{
	char reason[600];

	if (opening->dialled && opening->address_next < opening->addresses.count) {
		opening_close(tcp, opening);
		dial_next_address(tcp, opening, why);
		return;
	}
	snprintf(reason, sizeof(reason), "%s %s: %s",
		 opening->dialled ? "cannot connect to" : "no link from", opening->target, why);
	opening_fail(tcp, opening, reason);
}

static void opening_done(struct tcp_fabric *tcp, struct opening *opening)
{
	struct fabric *fabric = &tcp->fabric;
	struct link *link;
	struct err err;
	int socket = opening->socket;
	void *cookie = opening->cookie;

	if (memcmp(opening->hello, HELLO_MAGIC, 8) != 0 || get_u32(opening->hello + 12) != 0) {
		opening_fail_step(tcp, opening, "the other end is no Lockstep link over TCP");
		return;
	}
	if (get_u32(opening->hello + 8) != TCP_VERSION) {
		opening_fail_step(tcp, opening, "the other end speaks another version of the link");
		return;
	}
	cm_thread_unwatch(&tcp->cm, socket);
	opening->socket = -1;
	if (tcp_link_create(&fabric->config, socket, &link, &err) < 0) {
		opening_fail_step(tcp, opening, err.text);
		return;
	}
	opening_free(tcp, opening);
	fabric->handler->opened(fabric->owner, link, cookie);
}

/* Connected: says hello and waits for the other's. */
static void opening_hello(struct tcp_fabric *tcp, struct opening *opening)
{
	uint8_t hello[TCP_HELLO_BYTES];

	opening->connected = true;
	opening->deadline_ms = cm_now_ms() + tcp->fabric.config.timeout_ms;
	socket_tune(opening->socket);
	hello_put(hello);
	/* The socket's buffer is empty: 16 bytes always fit. */
	if (send(opening->socket, hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)sizeof(hello)) {
		opening_fail_step(tcp, opening, "the other end closed the connection");
		return;
	}
	if (cm_thread_watch(&tcp->cm, opening->socket, EPOLLIN, opening) < 0)
		opening_fail_step(tcp, opening, "cannot watch the socket");
}

static void opening_read(struct tcp_fabric *tcp, struct opening *opening)
{
	ssize_t got = recv(opening->socket, opening->hello + opening->hello_bytes,
			   TCP_HELLO_BYTES - opening->hello_bytes, MSG_DONTWAIT);

	if (got == 0) {
		opening_fail_step(tcp, opening, "the other end closed the connection");
	} else if (got < 0) {
		if (errno != EAGAIN && errno != EINTR)
			opening_fail_step(tcp, opening, strerror(errno));
	} else {
		opening->hello_bytes += (size_t)got;
		if (opening->hello_bytes == TCP_HELLO_BYTES)
			opening_done(tcp, opening);
	}
}

static void opening_connected(struct tcp_fabric *tcp, struct opening *opening)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(opening->socket, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error == ECONNREFUSED)
		opening_fail_step(tcp, opening, "nothing listens there (connection refused)");
	else if (error != 0)
		opening_fail_step(tcp, opening, strerror(error));
	else
		opening_hello(tcp, opening);
}

/* Tries the addresses in turn; @why is what the last one said. */
static void dial_next_address(struct tcp_fabric *tcp, struct opening *opening, const char *why)
{
	char last[256];

	snprintf(last, sizeof(last), "%s", why);
	while (opening->address_next < opening->addresses.count) {
		unsigned i = opening->address_next++;
		const struct sockaddr *addr = (struct sockaddr *)&opening->addresses.at[i].addr;

		opening->connected = false;
		opening->hello_bytes = 0;
		opening->deadline_ms = cm_now_ms() + tcp->fabric.config.timeout_ms;
		opening->socket = socket(addr->sa_family,
					 SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (opening->socket >= 0 &&
		    (connect(opening->socket, addr, opening->addresses.at[i].length) == 0 ||
		     errno == EINPROGRESS) &&
		    cm_thread_watch(&tcp->cm, opening->socket, EPOLLOUT, opening) == 0)
			return;
		snprintf(last, sizeof(last), "%s", strerror(errno));
		opening_close(tcp, opening);
	}
	opening_fail_step(tcp, opening, last);
}

static void dial_start(struct tcp_fabric *tcp, struct opening *opening)
{
	struct err err = {0};

	list_add_tail(&tcp->connecting, &opening->node);
	if (address_resolve(opening->target, &opening->addresses, &err) < 0)
		opening_fail(tcp, opening, err.text);
	else
		dial_next_address(tcp, opening, "");
}

static void incoming_accept(struct tcp_fabric *tcp)
{
	struct opening *opening;
	struct sockaddr_storage from = {0};
	socklen_t length = sizeof(from);
	int socket = accept4(tcp->listener, (struct sockaddr *)&from, &length,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (socket < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays pending, and epoll would report it for ever. */
			cm_thread_unwatch(&tcp->cm, tcp->listener);
			tcp->listen_again_ms = cm_now_ms() + LISTEN_AGAIN_MS;
		}
		return;
	}
	if (tcp->half_open == FABRIC_HALF_OPEN_MAX) {
		/* The oldest goes: silent connections must not lock out the peer. */
		LIST_FOR_SAFE(node, &tcp->connecting) {
			opening = LIST_ENTRY(node, struct opening, node);
			if (!opening->dialled) {
				opening_fail_step(tcp, opening, "too many connect at once");
				break;
			}
		}
	}
	opening = calloc(1, sizeof(*opening));
	if (!opening) {
		close(socket);
		return;
	}
	opening->socket = socket;
	address_format((struct sockaddr *)&from, opening->target);
	list_add_tail(&tcp->connecting, &opening->node);
	tcp->half_open++;
	opening_hello(tcp, opening);
}

static void tcp_ready(void *owner, void *source, uint32_t events)
{
	struct tcp_fabric *tcp = owner;
	struct opening *opening = source;

	(void)events;
	if (source == tcp)
		incoming_accept(tcp);
	else if (opening->connected)
		opening_read(tcp, opening);
	else
		opening_connected(tcp, opening);
}

static uint64_t tcp_tick(void *owner, uint64_t now_ms)
{
	struct tcp_fabric *tcp = owner;
	uint64_t next_ms;
	struct list dials, *node;

	list_init(&dials);
	pthread_mutex_lock(&tcp->lock);
	list_splice_tail(&dials, &tcp->dials);
	pthread_mutex_unlock(&tcp->lock);
	while ((node = list_pop(&dials)))
		dial_start(tcp, LIST_ENTRY(node, struct opening, node));

	LIST_FOR_SAFE(each, &tcp->connecting) {
		struct opening *opening = LIST_ENTRY(each, struct opening, node);

		if (opening->deadline_ms <= now_ms)
			opening_fail_step(tcp, opening,
					  opening->connected ? "the other end does not say hello"
							     : "no answer (timed out)");
	}
	if (tcp->listen_again_ms <= now_ms)
		tcp->listen_again_ms =
			cm_thread_watch(&tcp->cm, tcp->listener, EPOLLIN, tcp) == 0
				? CM_NEVER
				: now_ms + LISTEN_AGAIN_MS;
	next_ms = tcp->listen_again_ms;
	LIST_FOR(each, &tcp->connecting) {
		struct opening *opening = LIST_ENTRY(each, struct opening, node);

		next_ms = min_u64(next_ms, opening->deadline_ms);
	}
	return next_ms;
}

static void tcp_stopping(void *owner)
{
	struct tcp_fabric *tcp = owner;
	struct list *node;

	pthread_mutex_lock(&tcp->lock);
	list_splice_tail(&tcp->connecting, &tcp->dials);
	pthread_mutex_unlock(&tcp->lock);
	while ((node = list_first(&tcp->connecting)))
		opening_fail(tcp, LIST_ENTRY(node, struct opening, node),
			     "the fabric was closed while connecting");
}

static const struct cm_thread_ops tcp_cm_ops = {
	.ready = tcp_ready,
	.tick = tcp_tick,
	.stopping = tcp_stopping,
};

static int listener_open(struct tcp_fabric *tcp, const char *address, struct err *err)
{
	struct address_list list;
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char text[ADDRESS_TEXT_BYTES];
	const int on = 1;
	int rc = address_resolve(address, &list, err);

	if (rc < 0)
		return rc;
	address_format((struct sockaddr *)&list.at[0].addr, text);
	tcp->listener = socket(list.at[0].addr.ss_family,
			       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (tcp->listener < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	(void)setsockopt(tcp->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(tcp->listener, (struct sockaddr *)&list.at[0].addr, list.at[0].length) < 0 ||
	    listen(tcp->listener, FABRIC_HALF_OPEN_MAX) < 0) {
		rc = -errno;
		if (rc == -EADDRINUSE)
			return err_set(err, rc, "cannot listen on %s: the port is taken", text);
		if (rc == -EADDRNOTAVAIL)
			return err_set(err, rc, "cannot listen on %s: no device of this host has "
				       "that address", text);
		return err_set(err, rc, "cannot listen on %s: %s", text, strerror(-rc));
	}
	if (getsockname(tcp->listener, (struct sockaddr *)&bound, &length) < 0)
		return err_set(err, -errno, "cannot read the port of %s: %s", text,
			       strerror(errno));
	tcp->fabric.port = address_port((struct sockaddr *)&bound);
	address_format((struct sockaddr *)&bound, text);
	snprintf(tcp->fabric.describe, sizeof(tcp->fabric.describe), "TCP (no RDMA), %s", text);
	rc = cm_thread_watch(&tcp->cm, tcp->listener, EPOLLIN, tcp);
	return rc < 0 ? err_set(err, rc, "cannot watch the listener: %s", strerror(-rc)) : 0;
}

static void tcp_fabric_destroy(struct fabric *fabric)
{
	struct tcp_fabric *tcp = tcp_fabric_of(fabric);

	cm_thread_fini(&tcp->cm);
	assert(tcp->half_open == 0 && tcp->dial_count == 0);
	if (tcp->listener >= 0)
		close(tcp->listener);
	pthread_mutex_destroy(&tcp->lock);
	free(tcp);
}

static int tcp_fabric_create(const char *address, const struct fabric_config *config,
			     const struct fabric_handler *handler, void *owner,
			     struct fabric **fabric, struct err *err)
{
	struct tcp_fabric *tcp = calloc(1, sizeof(*tcp));
	int rc;

	if (!tcp)
		return err_set(err, -ENOMEM, "no memory for a fabric");
	tcp->fabric = (struct fabric){
		.backend = &tcp_backend,
		.handler = handler,
		.owner = owner,
		.config = *config,
		.describe = "TCP (no RDMA), dials only",
	};
	tcp->listener = -1;
	tcp->listen_again_ms = CM_NEVER;
	list_init(&tcp->connecting);
	list_init(&tcp->dials);
	pthread_mutex_init(&tcp->lock, NULL);
	rc = cm_thread_init(&tcp->cm, &tcp_cm_ops, tcp, err);
	if (rc == 0 && *address)
		rc = listener_open(tcp, address, err);
	if (rc == 0)
		rc = cm_thread_start(&tcp->cm, err);
	if (rc < 0) {
		tcp_fabric_destroy(&tcp->fabric);
		return rc;
	}
	*fabric = &tcp->fabric;
	return 0;
}

static int tcp_fabric_dial(struct fabric *fabric, const char *address, void *cookie,
			   struct err *err)
{
	struct tcp_fabric *tcp = tcp_fabric_of(fabric);
	struct opening *opening = calloc(1, sizeof(*opening));
	bool full;

	if (!opening)
		return err_set(err, -ENOMEM, "no memory to dial %s", address);
	opening->socket = -1;
	opening->dialled = true;
	opening->cookie = cookie;
	snprintf(opening->target, sizeof(opening->target), "%s", address);
	pthread_mutex_lock(&tcp->lock);
	full = tcp->dial_count == FABRIC_DIALS_MAX;
	if (!full) {
		tcp->dial_count++;
		list_add_tail(&tcp->dials, &opening->node);
	}
	pthread_mutex_unlock(&tcp->lock);
	if (full) {
		free(opening);
		return err_set(err, -EAGAIN, "%u connections are being made already",
			       FABRIC_DIALS_MAX);
	}
	cm_thread_wake(&tcp->cm);
	return 0;
}

/* The kernel copies from any memory: there is nothing to register. */
static int tcp_region_add(struct fabric *fabric, struct region *region, struct err *err)
{
	(void)err;
	region->lkey = 0;
	region->fabric_handle = fabric;
	return 0;
}

static void tcp_region_remove(struct fabric *fabric, struct region *region)
{
	assert(region->fabric_handle == fabric);
	region->fabric_handle = NULL;
}

const struct fabric_backend tcp_backend = {
	.scheme = "tcp",
	.create = tcp_fabric_create,
	.destroy = tcp_fabric_destroy,
	.dial = tcp_fabric_dial,
	.region_add = tcp_region_add,
	.region_remove = tcp_region_remove,
};
