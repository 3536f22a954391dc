/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection, from event to event.  Every step has a deadline of its own; no event is
 * relied upon to come, and none in a state that does not expect it does harm.
 *
 *   dials:    ADDRESS -> ROUTE -> CONNECT --------> OPEN -> CLOSING
 *   accepts:                      ACCEPT ---------> OPEN -> CLOSING
 *
 * Before OPEN a failure frees the connection (and tries the next address of a dial).  From
 * OPEN on the shard owns the link: it asks for the disconnect, for the end of the queue pair,
 * and at last for the destruction; what the CM thread learns it only signals to the link.
 */
#include "verbs/rdma.h"

#include "engine/base/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_MAGIC 0x4452534cu /* "LSRD" */
/* Numbers of the InfiniBand specification, table "REJ reason"; rdmacm passes them through. */
#define REJECT_NO_SERVICE 8
#define REJECT_CONSUMER 28

static void hello_put(uint8_t hello[RDMA_HELLO_BYTES])
{
	put_u32(hello, HELLO_MAGIC);
	put_u16(hello + 4, RDMA_VERSION);
	put_u16(hello + 6, 0);
}

/* NULL when @hello is good. */
static const char *hello_check(const uint8_t hello[RDMA_HELLO_BYTES])
{
	if (get_u32(hello) != HELLO_MAGIC || get_u16(hello + 6) != 0)
		return "the other end is no Lockstep link over RDMA";
	if (get_u16(hello + 4) != RDMA_VERSION)
		return "the other end speaks another version of the link";
	return NULL;
}

static struct rdma_conn_param conn_param(const struct rdma_link *link,
					 const uint8_t hello[RDMA_HELLO_BYTES])
{
	return (struct rdma_conn_param){
		.private_data = hello,
		.private_data_len = RDMA_HELLO_BYTES,
		/* No RDMA READ is ever used; some devices want 1 nevertheless. */
		.responder_resources = 1,
		.initiator_depth = 1,
		.flow_control = 1,
		.retry_count = RDMA_RETRIES,
		.rnr_retry_count = RDMA_RNR_RETRIES,
		.qp_num = link->qp->qp_num,
	};
}

static void conn_step(struct rdma_conn *conn, enum conn_state state)
{
	conn->state = state;
	conn->deadline_ms = cm_now_ms() + conn->fabric->fabric.config.timeout_ms;
}

/* Gives up the identifier and the link, but keeps the dial. */
static void conn_clear(struct rdma_conn *conn)
{
	if (conn->link)
		rdma_link_free(conn->link);
	conn->link = NULL;
	if (conn->id)
		rdma_destroy_id(conn->id);
	conn->id = NULL;
}

/* Its dial or half-open place is free again: it failed, or it is open. */
static void conn_settled(struct rdma_conn *conn)
{
	struct rdma_fabric *rdma = conn->fabric;

	if (!conn->dialled) {
		rdma->half_open--;
		return;
	}
	pthread_mutex_lock(&rdma->lock);
	rdma->dial_count--;
	pthread_mutex_unlock(&rdma->lock);
}

void rdma_cm_fail(struct rdma_conn *conn, const char *reason)
{
	struct fabric *fabric = &conn->fabric->fabric;
	void *cookie = conn->cookie;
	bool dialled = conn->dialled;

	assert(conn->state < CONN_OPEN);
	conn_clear(conn);
	conn_settled(conn);
	list_del(&conn->node);
	free(conn);
	if (dialled)
		fabric->handler->failed(fabric->owner, cookie, reason);
	else if (fabric->handler->refused)
		fabric->handler->refused(fabric->owner, reason);
}

/* Starts with the next address; false when there is none that can be started. */
static bool dial_next_address(struct rdma_conn *conn, char why[256])
{
	struct rdma_fabric *rdma = conn->fabric;
	struct sockaddr *source = rdma->has_source ? (struct sockaddr *)&rdma->source : NULL;

	while (conn->address_next < conn->addresses.count) {
		struct sockaddr_storage *to = &conn->addresses.at[conn->address_next++].addr;

		conn_step(conn, CONN_ADDRESS);
		if (rdma_create_id(rdma->channel, &conn->id, conn, RDMA_PS_TCP) == 0 &&
		    rdma_resolve_addr(conn->id, source, (struct sockaddr *)to,
				      (int)rdma->fabric.config.timeout_ms) == 0)
			return true;
		snprintf(why, 256, "%s",
			 errno == ENODEV ? "no RDMA device leads there" : strerror(errno));
		conn_clear(conn);
	}
	return false;
}

static void conn_step_failed(struct rdma_conn *conn, const char *why)
{
	char last[256], reason[600];

	snprintf(last, sizeof(last), "%s", why);
	conn_clear(conn);
	if (conn->dialled && dial_next_address(conn, last))
		return;
	snprintf(reason, sizeof(reason), "%s %s: %s",
		 conn->dialled ? "cannot connect to" : "no link from", conn->target, last);
	rdma_cm_fail(conn, reason);
}

void rdma_cm_dial(struct rdma_conn *conn)
{
	struct err err = {0};

	if (address_resolve(conn->target, &conn->addresses, &err) < 0)
		rdma_cm_fail(conn, err.text);
	else
		conn_step_failed(conn, "no address");
}

static bool conn_device_fits(const struct rdma_conn *conn)
{
	return conn->id->verbs &&
	       strcmp(ibv_get_device_name(conn->id->verbs->device), conn->fabric->device.name) == 0;
}

static void on_address(struct rdma_conn *conn)
{
	char why[256];

	if (!conn_device_fits(conn)) {
		snprintf(why, sizeof(why),
			 "it is reached over %s, but this fabric uses %s: listen on an address of "
			 "the device that leads there",
			 conn->id->verbs ? ibv_get_device_name(conn->id->verbs->device)
					 : "no device",
			 conn->fabric->device.name);
		conn_step_failed(conn, why);
		return;
	}
	conn_step(conn, CONN_ROUTE);
	if (rdma_resolve_route(conn->id, (int)conn->fabric->fabric.config.timeout_ms) < 0)
		conn_step_failed(conn, strerror(errno));
}

static void on_route(struct rdma_conn *conn)
{
	struct rdma_conn_param param;
	uint8_t hello[RDMA_HELLO_BYTES];
	struct err err = {0};

	/* Its receives are posted before the peer can know of it. */
	if (rdma_link_create(conn, &conn->link, &err) < 0) {
		conn_step_failed(conn, err.text);
		return;
	}
	hello_put(hello);
	param = conn_param(conn->link, hello);
	conn_step(conn, CONN_CONNECT);
	if (rdma_connect(conn->id, &param) < 0)
		conn_step_failed(conn, strerror(errno));
}

static void conn_open(struct rdma_conn *conn)
{
	struct fabric *fabric = &conn->fabric->fabric;
	struct err err = {0};

	if (rdma_link_open(conn->link, &err) < 0) {
		conn_step_failed(conn, err.text);
		return;
	}
	conn->state = CONN_OPEN;
	conn->deadline_ms = CM_NEVER;
	conn_settled(conn);
	fabric->handler->opened(fabric->owner, &conn->link->link, conn->cookie);
}

static void on_response(struct rdma_conn *conn, const uint8_t *data)
{
	const char *why = hello_check(data);
	struct err err = {0};

	if (why) {
		conn_step_failed(conn, why);
		return;
	}
	if (rdma_link_ready(conn->link, &err) < 0) {
		conn_step_failed(conn, err.text);
		return;
	}
	if (rdma_establish(conn->id) < 0) {
		conn_step_failed(conn, strerror(errno));
		return;
	}
	conn_open(conn);
}

static void incoming_accept(struct rdma_conn *conn)
{
	struct rdma_conn_param param;
	uint8_t hello[RDMA_HELLO_BYTES];
	struct err err = {0};

	if (rdma_link_create(conn, &conn->link, &err) < 0 ||
	    rdma_link_ready(conn->link, &err) < 0) {
		conn_step_failed(conn, err.text);
		return;
	}
	hello_put(hello);
	param = conn_param(conn->link, hello);
	conn_step(conn, CONN_ACCEPT);
	if (rdma_accept(conn->id, &param) < 0)
		conn_step_failed(conn, strerror(errno));
}

static void on_request(struct rdma_fabric *rdma, struct rdma_cm_id *id, const uint8_t *data)
{
	const char *why = hello_check(data);
	struct rdma_conn *conn = NULL;

	/* The identifier is new and ours; its context is still the listener's. */
	if (rdma->half_open < FABRIC_HALF_OPEN_MAX)
		conn = calloc(1, sizeof(*conn));
	if (!conn) {
		rdma_reject(id, NULL, 0);
		rdma_destroy_id(id);
		return;
	}
	conn->fabric = rdma;
	conn->id = id;
	id->context = conn;
	address_format(rdma_get_peer_addr(id), conn->target);
	list_init(&conn->request_node);
	list_add_tail(&rdma->connections, &conn->node);
	rdma->half_open++;
	conn_step(conn, CONN_ACCEPT);
	if (!why && !conn_device_fits(conn))
		why = "it came over another device than this fabric's";
	if (!why) {
		incoming_accept(conn);
		return;
	}
	rdma_reject(id, NULL, 0);
	conn_step_failed(conn, why);
}

static void on_refusal(struct rdma_conn *conn, const struct rdma_cm_event *event)
{
	if (conn->state >= CONN_OPEN)
		rdma_link_signal(conn->link, SIGNAL_PEER_GONE);
	else if (event->event == RDMA_CM_EVENT_REJECTED && event->status == REJECT_NO_SERVICE)
		conn_step_failed(conn, "nothing listens there (connection refused)");
	else if (event->event == RDMA_CM_EVENT_REJECTED && event->status == REJECT_CONSUMER)
		conn_step_failed(conn, "the other end refused: another version, no Lockstep link, "
				       "or too many connections at once");
	else if (event->event == RDMA_CM_EVENT_ADDR_ERROR)
		conn_step_failed(conn, event->status == -ENODEV ? "no RDMA device leads there"
								: "no such host on the network");
	else if (event->event == RDMA_CM_EVENT_ROUTE_ERROR)
		conn_step_failed(conn, "no route");
	else if (event->event == RDMA_CM_EVENT_UNREACHABLE)
		conn_step_failed(conn, "no answer (timed out)");
	else
		conn_step_failed(conn, rdma_event_str(event->event));
}

void rdma_cm_event(struct rdma_fabric *rdma, const struct rdma_cm_event *event, uint8_t *data)
{
	struct rdma_conn *conn = event->id->context;

	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
		on_request(rdma, event->id, data);
		return;
	}
	if (!conn) /* the listener's: the device went away, and every link hears it itself */
		return;
	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (conn->state == CONN_ADDRESS)
			on_address(conn);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		if (conn->state == CONN_ROUTE)
			on_route(conn);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		if (conn->state == CONN_CONNECT)
			on_response(conn, data);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (conn->state == CONN_ACCEPT)
			conn_open(conn);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		on_refusal(conn, event);
		break;
	default: /* ADDR_CHANGE, TIMEWAIT_EXIT: nothing to do */
		break;
	}
}

void rdma_cm_requested(struct rdma_conn *conn, unsigned requests)
{
	assert(conn->state >= CONN_OPEN);
	if (requests & CONN_DESTROY) {
		conn_clear(conn);
		list_del(&conn->node);
		free(conn);
		return;
	}
	if (conn->state == CONN_OPEN) {
		conn->state = CONN_CLOSING;
		conn->deadline_ms = cm_now_ms() + RDMA_DRAIN_MS;
		/* It fails when the peer was faster; nothing waits for its answer. */
		(void)rdma_disconnect(conn->id);
	}
	if (requests & CONN_TAKE_DOWN) {
		conn->deadline_ms = CM_NEVER;
		rdma_qp_destroy(conn->link);
		rdma_link_signal(conn->link, SIGNAL_TAKEN_DOWN);
	}
}

void rdma_cm_late(struct rdma_conn *conn)
{
	switch (conn->state) {
	case CONN_ADDRESS:
		conn_step_failed(conn, "the address was not resolved in time");
		break;
	case CONN_ROUTE:
		conn_step_failed(conn, "the route was not resolved in time");
		break;
	case CONN_CONNECT:
	case CONN_ACCEPT:
		conn_step_failed(conn, "no answer (timed out)");
		break;
	default:
		conn->deadline_ms = CM_NEVER;
		rdma_link_signal(conn->link, SIGNAL_DRAIN_LATE);
		break;
	}
}
