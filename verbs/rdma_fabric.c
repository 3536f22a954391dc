/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The RDMA fabric: one device, one protection domain, one listener, one CM thread.  A fabric
 * is bound to one device, because a region has one key; the device is that of the listening
 * address or, without one, the first with an active port.
 */
#include "verbs/rdma.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static struct rdma_fabric *rdma_fabric_of(struct fabric *fabric)
{
	return CONTAINER_OF(fabric, struct rdma_fabric, fabric);
}

/* The CM thread. */

static void rdma_ready(void *owner, void *source, uint32_t events)
{
	struct rdma_fabric *rdma = owner;
	struct rdma_cm_event *event, copy;
	uint8_t data[RDMA_HELLO_BYTES] = {0};

	(void)source, (void)events;
	if (rdma_get_cm_event(rdma->channel, &event) < 0)
		return;
	copy = *event;
	if (event->param.conn.private_data && event->param.conn.private_data_len >= sizeof(data))
		memcpy(data, event->param.conn.private_data, sizeof(data));
	/* Acknowledged before it is handled: handling may destroy the identifier, and that would
	 * wait for the acknowledgement for ever. */
	rdma_ack_cm_event(event);
	rdma_cm_event(rdma, &copy, data);
}

static void commands_run(struct rdma_fabric *rdma)
{
	struct list *node;

	while (1) {
		struct rdma_conn *conn;
		unsigned requests;

		pthread_mutex_lock(&rdma->lock);
		node = list_pop(&rdma->requests);
		if (node) {
			conn = LIST_ENTRY(node, struct rdma_conn, request_node);
			requests = conn->requests;
			conn->requests = 0;
		}
		pthread_mutex_unlock(&rdma->lock);
		if (!node)
			break;
		rdma_cm_requested(conn, requests);
	}
	while (1) {
		pthread_mutex_lock(&rdma->lock);
		node = list_pop(&rdma->dials);
		pthread_mutex_unlock(&rdma->lock);
		if (!node)
			break;
		list_add_tail(&rdma->connections, node);
		rdma_cm_dial(LIST_ENTRY(node, struct rdma_conn, node));
	}
}

static uint64_t rdma_tick(void *owner, uint64_t now_ms)
{
	struct rdma_fabric *rdma = owner;
	uint64_t next_ms = CM_NEVER;

	commands_run(rdma);
	LIST_FOR_SAFE(node, &rdma->connections) {
		struct rdma_conn *conn = LIST_ENTRY(node, struct rdma_conn, node);

		if (conn->deadline_ms <= now_ms)
			rdma_cm_late(conn);
	}
	LIST_FOR(node, &rdma->connections)
		next_ms = min_u64(next_ms, LIST_ENTRY(node, struct rdma_conn, node)->deadline_ms);
	return next_ms;
}

static void rdma_stopping(void *owner)
{
	struct rdma_fabric *rdma = owner;

	pthread_mutex_lock(&rdma->lock);
	list_splice_tail(&rdma->connections, &rdma->dials);
	pthread_mutex_unlock(&rdma->lock);
	commands_run(rdma);
	LIST_FOR_SAFE(node, &rdma->connections) {
		struct rdma_conn *conn = LIST_ENTRY(node, struct rdma_conn, node);

		/* All links must have been destroyed before their fabric. */
		assert(conn->state < CONN_OPEN);
		rdma_cm_fail(conn, "the fabric was closed while connecting");
	}
}

static const struct cm_thread_ops rdma_cm_ops = {
	.ready = rdma_ready,
	.tick = rdma_tick,
	.stopping = rdma_stopping,
};

void rdma_fabric_request(struct rdma_fabric *rdma, struct rdma_conn *conn, unsigned requests)
{
	pthread_mutex_lock(&rdma->lock);
	if (conn->requests == 0)
		list_add_tail(&rdma->requests, &conn->request_node);
	conn->requests |= requests;
	pthread_mutex_unlock(&rdma->lock);
	cm_thread_wake(&rdma->cm);
}

/* Making and ending the fabric. */

static int listen_error(struct err *err, int code, const char *text)
{
	switch (code) {
	case EADDRINUSE:
		return err_set(err, -code, "cannot listen on %s: the port is taken", text);
	case ENODEV:
	case EADDRNOTAVAIL:
		return err_set(err, -EADDRNOTAVAIL,
			       "cannot listen on %s: no RDMA device of this host has that address "
			       "(`rdma link` shows them; or use tcp://%s)", text, text);
	default:
		return err_set(err, -code, "cannot listen on %s: %s", text, strerror(code));
	}
}

static int listener_open(struct rdma_fabric *rdma, const char *address, struct err *err)
{
	struct address_list list;
	struct sockaddr *addr;
	char text[ADDRESS_TEXT_BYTES];
	const char *name = NULL;
	int rc = address_resolve(address, &list, err);

	if (rc < 0)
		return rc;
	addr = (struct sockaddr *)&list.at[0].addr;
	address_format(addr, text);
	if (rdma_create_id(rdma->channel, &rdma->listener, NULL, RDMA_PS_TCP) < 0)
		return err_set(err, -errno, "cannot make a listener: %s", strerror(errno));
	if (rdma_bind_addr(rdma->listener, addr) < 0)
		return listen_error(err, errno, text);
	/* Without a device it is the address of none, such as 0.0.0.0. */
	if (rdma->listener->verbs) {
		name = ibv_get_device_name(rdma->listener->verbs->device);
		rdma->source = list.at[0].addr;
		address_set_port(&rdma->source, 0);
		rdma->has_source = true;
	}
	rc = rdma_device_open(&rdma->device, name, err);
	if (rc < 0)
		return rc;
	if (rdma_listen(rdma->listener, FABRIC_HALF_OPEN_MAX) < 0)
		return listen_error(err, errno, text);
	rdma->fabric.port = be16toh(rdma_get_src_port(rdma->listener));
	address_set_port(&list.at[0].addr, rdma->fabric.port);
	address_format(addr, text);
	snprintf(rdma->fabric.describe, sizeof(rdma->fabric.describe), "%s%s, %s",
		 rdma->device.name, rdma->device.soft ? " (soft-RoCE)" : "", text);
	return 0;
}

static int dialler_open(struct rdma_fabric *rdma, struct err *err)
{
	int rc = rdma_device_open(&rdma->device, NULL, err);

	if (rc == 0)
		snprintf(rdma->fabric.describe, sizeof(rdma->fabric.describe), "%s%s, dials only",
			 rdma->device.name, rdma->device.soft ? " (soft-RoCE)" : "");
	return rc;
}

static int channel_open(struct rdma_fabric *rdma, struct err *err)
{
	int flags, rc;

	rdma->channel = rdma_create_event_channel();
	if (!rdma->channel)
		return err_set(err, -errno,
			       "cannot open the RDMA connection manager: %s; `modprobe rdma_ucm`, "
			       "and look at the permissions of /dev/infiniband/rdma_cm",
			       strerror(errno));
	flags = fcntl(rdma->channel->fd, F_GETFL);
	if (flags < 0 || fcntl(rdma->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, -errno, "cannot set up the connection manager: %s",
			       strerror(errno));
	rc = cm_thread_watch(&rdma->cm, rdma->channel->fd, EPOLLIN, rdma->channel);
	return rc < 0 ? err_set(err, rc, "cannot watch the connection manager: %s", strerror(-rc))
		      : 0;
}

static void rdma_fabric_destroy(struct fabric *fabric)
{
	struct rdma_fabric *rdma = rdma_fabric_of(fabric);

	cm_thread_fini(&rdma->cm);
	assert(list_empty(&rdma->connections) && rdma->dial_count == 0);
	if (rdma->listener)
		rdma_destroy_id(rdma->listener);
	if (rdma->channel)
		rdma_destroy_event_channel(rdma->channel);
	rdma_device_close(&rdma->device);
	pthread_mutex_destroy(&rdma->lock);
	free(rdma);
}

static int rdma_fabric_create(const char *address, const struct fabric_config *config,
			      const struct fabric_handler *handler, void *owner,
			      struct fabric **fabric, struct err *err)
{
	struct rdma_fabric *rdma = calloc(1, sizeof(*rdma));
	int rc;

	if (!rdma)
		return err_set(err, -ENOMEM, "no memory for a fabric");
	rdma->fabric = (struct fabric){
		.backend = &rdma_backend,
		.handler = handler,
		.owner = owner,
		.config = *config,
	};
	list_init(&rdma->connections);
	list_init(&rdma->dials);
	list_init(&rdma->requests);
	pthread_mutex_init(&rdma->lock, NULL);
	rc = cm_thread_init(&rdma->cm, &rdma_cm_ops, rdma, err);
	if (rc == 0)
		rc = rdma_device_check(err);
	if (rc == 0)
		rc = channel_open(rdma, err);
	if (rc == 0)
		rc = *address ? listener_open(rdma, address, err) : dialler_open(rdma, err);
	if (rc == 0)
		rc = cm_thread_start(&rdma->cm, err);
	if (rc < 0) {
		rdma_fabric_destroy(&rdma->fabric);
		return rc;
	}
	*fabric = &rdma->fabric;
	return 0;
}

static int rdma_fabric_dial(struct fabric *fabric, const char *address, void *cookie,
			    struct err *err)
{
	struct rdma_fabric *rdma = rdma_fabric_of(fabric);
	struct rdma_conn *conn = calloc(1, sizeof(*conn));
	bool full;

	if (!conn)
		return err_set(err, -ENOMEM, "no memory to dial %s", address);
	conn->fabric = rdma;
	conn->dialled = true;
	conn->cookie = cookie;
	conn->deadline_ms = CM_NEVER;
	list_init(&conn->request_node);
	snprintf(conn->target, sizeof(conn->target), "%s", address);
	pthread_mutex_lock(&rdma->lock);
	full = rdma->dial_count == FABRIC_DIALS_MAX;
	if (!full) {
		rdma->dial_count++;
		list_add_tail(&rdma->dials, &conn->node);
	}
	pthread_mutex_unlock(&rdma->lock);
	if (full) {
		free(conn);
		return err_set(err, -EAGAIN, "%u connections are being made already",
			       FABRIC_DIALS_MAX);
	}
	cm_thread_wake(&rdma->cm);
	return 0;
}

static int rdma_region_add(struct fabric *fabric, struct region *region, struct err *err)
{
	struct rdma_fabric *rdma = rdma_fabric_of(fabric);
	struct ibv_mr *mr;
	/* Local only: no peer can name this memory. */
	int rc = rdma_device_register(&rdma->device, region->base, region->length_bytes,
				      IBV_ACCESS_LOCAL_WRITE, "registration of a region", &mr, err);

	if (rc < 0)
		return rc;
	region->lkey = mr->lkey;
	region->fabric_handle = mr;
	return 0;
}

static void rdma_region_remove(struct fabric *fabric, struct region *region)
{
	(void)fabric;
	assert(region->fabric_handle);
	ibv_dereg_mr(region->fabric_handle);
	region->fabric_handle = NULL;
}

static uint64_t rdma_rnr_count(const struct fabric *fabric)
{
	return rdma_device_rnr_count(&CONTAINER_OF(fabric, struct rdma_fabric, fabric)->device);
}

const struct fabric_backend rdma_backend = {
	.scheme = "rdma",
	.create = rdma_fabric_create,
	.destroy = rdma_fabric_destroy,
	.dial = rdma_fabric_dial,
	.region_add = rdma_region_add,
	.region_remove = rdma_region_remove,
	.rnr_count = rdma_rnr_count,
};
