/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a visitor:
 *
 *   accepted -- HELLO: queue, regions, call ENTER --> inside -- OPEN: call --> inside
 *   inside -- socket ends, or cut off: call LEAVE --> freed when that is back
 *
 * One call at a time; a socket that ends meanwhile is noted and acted on when it is back.
 *
 * SERVE instead of HELLO hands over a connection of the kernel's nbd: call ENTER --> inside, and
 * the asking socket is closed.  From then on the visitor lives as long as that connection.
 *
 * A HELLO may bring the memory of a session that ended, with this engine or one before it.  It is
 * let in when no visitor has that memory any more: until then its requests may be in flight, and
 * devices may write to its arena.
 */
#include "engine/daemon/door.h"
#include "engine/daemon/client.h"
#include "engine/daemon/log.h"
#include "engine/json/json.h"
#include "engine/shm/attach.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Threads that close what strangers handed in; when all of them hang, nothing more is taken. */
#define CLOSERS_MAX 8u
/* More than can be inside: so that one too many is told, not left waiting. */
#define VISITORS_MAX (CLIENTS_MAX + 16)

struct visitor {
	struct call call;
	struct door *door;
	unsigned place;
	uint64_t id;
	int fd;
	sd_event_source *source;
	struct ucred who;
	char comm[32];
	struct shmq *queue;
	struct nbd_server server;
	struct shard_client client;
	bool has_client, has_region, has_server, inside;
	bool calling; /* a call is under way */
	bool gone; /* the socket ended, or must end */
	struct err err; /* outcome of the call */
	struct attach_open open;
	struct attach_serve serve;
	struct ls_volume_info info;
	uint8_t volume_id[ATTACH_ID_BYTES];
	int handle;
};

static atomic_uint closers;

struct door {
	struct daemon *d;
	sd_event_source *source;
	uint64_t last_id;
	struct visitor *visitors[VISITORS_MAX];
};

static void visitor_free(struct visitor *v)
{
	v->door->visitors[v->place] = NULL;
	v->source = sd_event_source_disable_unref(v->source);
	if (v->fd >= 0)
		close(v->fd);
	if (v->has_region)
		fabric_region_remove(v->door->d->fabric, v->client.arena);
	if (v->has_client)
		client_fini(&v->client);
	if (v->has_server) {
		nbd_server_fini(&v->server);
		close(v->server.fd);
	}
	shmq_destroy(v->queue);
	free(v);
}

static void call_on_shard(struct visitor *v, void (*on_shard)(void *, struct call *),
			  void (*on_control)(struct call *))
{
	bool sent;

	v->call.on_shard = on_shard;
	v->call.on_control = on_control;
	err_set(&v->err, -ESHUTDOWN, "the engine is stopping");
	v->calling = true;
	if (v->source)
		sd_event_source_set_io_events(v->source, 0);
	sent = shard_call(v->door->d->shard, &v->call);
	/* Visitors and connections together have fewer calls under way than there can be. */
	assert(sent);
	(void)sent;
}

/* Who it is, for people, in front of @how (more of it). */
static void PRINTF_LIKE(4, 5)
	tell(const struct visitor *v, int level, const char *to, const char *fmt, ...)
{
	char id[24], text[400];
	size_t used;
	va_list ap;

	snprintf(id, sizeof(id), "%llu", (unsigned long long)v->id);
	used = (size_t)snprintf(text, sizeof(text), "%s, pid %d, uid %d", v->comm, (int)v->who.pid,
				(int)v->who.uid);
	va_start(ap, fmt);
	vsnprintf(text + used, sizeof(text) - used, fmt, ap);
	va_end(ap);
	events_tell(v->door->d->events, &(struct engine_event){
						.kind = EVENT_CLIENT,
						.level = level,
						.client = id,
						.to = to,
						.reason = text,
					});
}

static void leave_on_shard(void *shard, struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	(void)shard;
	client_leave(&v->client, call);
}

static void leave_on_control(struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	tell(v, LOG_LEVEL_INFO, "gone", "%s", "");
	visitor_free(v);
}

/* The end of @v, now or when the call under way is back. */
static void visitor_end(struct visitor *v)
{
	v->gone = true;
	if (v->fd >= 0) {
		sd_event_source_set_enabled(v->source, SD_EVENT_OFF);
		shutdown(v->fd, SHUT_RDWR);
	}
	if (v->calling)
		return;
	if (v->inside)
		call_on_shard(v, leave_on_shard, leave_on_control);
	else
		visitor_free(v);
}

/* A reply that doesn't fit into the socket at once has a reader who is no friend. */
static bool reply(struct visitor *v, const void *message, size_t bytes, const int *fds,
		  unsigned fd_count)
{
	int rc = attach_send(v->fd, message, bytes, fds, fd_count);

	if (!rc)
		return true;
	log_line(LOG_LEVEL_WARNING, "client %llu: cannot be answered: %s",
		 (unsigned long long)v->id, strerror(-rc));
	return false;
}

static void refuse_hello(struct visitor *v, const struct err *err)
{
	struct attach_hello_reply message;

	tell(v, LOG_LEVEL_WARNING, "refused", ": %s", err->text);
	attach_hello_reply_fail(&message, err);
	(void)reply(v, &message, sizeof(message), NULL, 0);
	visitor_end(v);
}

/* True when the caller must not go on with @v. */
static bool call_back(struct visitor *v)
{
	v->calling = false;
	if (v->gone) {
		visitor_end(v);
		return true;
	}
	sd_event_source_set_io_events(v->source, EPOLLIN);
	return false;
}

static void enter_on_shard(void *shard, struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	v->err.code = client_enter(shard, &v->client, &v->err);
	shard_return(shard, call);
}

static void enter_on_control(struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);
	struct attach_hello_reply message;
	struct shmq_fds fds = shmq_fds(v->queue);
	int list[ATTACH_NR_FDS] = {
		[ATTACH_FD_MEMORY] = fds.memory,
		[ATTACH_FD_DOORBELL] = fds.doorbell,
		[ATTACH_FD_WAKEUP] = fds.wakeup,
	};

	v->inside = !v->err.code;
	if (call_back(v))
		return;
	if (!v->inside) {
		refuse_hello(v, &v->err);
		return;
	}
	tell(v, LOG_LEVEL_INFO, "attached", ", queue of %u, arena of %zu KiB", shmq_depth(v->queue),
	     shmq_arena(v->queue)->length_bytes >> 10);
	attach_hello_reply_set(&message, shmq_depth(v->queue), shmq_arena(v->queue)->length_bytes);
	if (!reply(v, &message, sizeof(message), list, ATTACH_NR_FDS))
		visitor_end(v);
}

/* --- a connection of the kernel's nbd --- */

static void serve_on_shard(void *shard, struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	v->err.code = client_serve(shard, &v->client, &v->serve, &v->err);
	shard_return(shard, call);
}

static void answer_serve(struct visitor *v, const struct err *err)
{
	struct attach_reply message;

	attach_serve_reply_set(&message, err);
	if (!reply(v, &message, sizeof(message), NULL, 0) || err->code) {
		visitor_end(v);
		return;
	}
	/* Who asked has nothing more to say. */
	v->source = sd_event_source_disable_unref(v->source);
	close(v->fd);
	v->fd = -1;
}

static void refuse_serve(struct visitor *v, const struct err *err)
{
	tell(v, LOG_LEVEL_WARNING, "refused", ": %s", err->text);
	answer_serve(v, err);
}

static void serve_on_control(struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	v->inside = !v->err.code;
	if (call_back(v))
		return;
	if (!v->inside) {
		refuse_serve(v, &v->err);
		return;
	}
	tell(v, LOG_LEVEL_INFO, "attached", ", a connection of the block device of volume '%s'",
	     v->serve.name);
	answer_serve(v, &v->err);
}

/* Takes @socket over, which is -1 when none came. */
static int make_server(struct visitor *v, int socket, struct err *err)
{
	int rc;

	if (socket < 0)
		return err_set(err, -EPROTO, "SERVE came without a connected unix socket");
	/* Whoever else has the socket could hold its lock, and the shard would wait for it. */
	if (v->who.uid != 0 && v->who.uid != geteuid())
		rc = err_set(err, -EPERM, "a block device is served to root only");
	else
		rc = nbd_server_init(&v->server, socket, err);
	if (rc) {
		close(socket);
		return rc;
	}
	v->has_server = true;
	client_init_served(&v->client, v->id, &v->server);
	v->has_client = true;
	rc = fabric_region_add(v->door->d->fabric, v->client.arena, err);
	v->has_region = !rc;
	return rc;
}

/* Takes @socket over, which is -1 when none came. */
static void take_serve(struct visitor *v, const void *bytes, size_t length, int socket)
{
	struct err err;
	int rc = attach_serve_check(bytes, length, &v->serve, &err);

	if (!rc)
		rc = make_server(v, socket, &err);
	else if (socket >= 0)
		close(socket);
	if (rc)
		refuse_serve(v, &err);
	else
		call_on_shard(v, serve_on_shard, serve_on_control);
}

/* --- a queue in shared memory --- */

static bool memory_in_use(const struct door *door, int memory)
{
	for (unsigned i = 0; i < VISITORS_MAX; i++) {
		const struct visitor *v = door->visitors[i];

		if (v && v->queue && shmq_has_memory(v->queue, memory))
			return true;
	}
	return false;
}

/* Takes @memory over, which is -1 when none came. */
static int make_queue(struct visitor *v, const struct attach_hello *hello, int memory,
		      struct err *err)
{
	int rc = 0;

	if (!!(hello->flags & ATTACH_HELLO_MEMORY) != (memory >= 0))
		rc = err_set(err, -EPROTO,
			     "HELLO came without the queue's memory that it speaks "
			     "of, or with memory that is none");
	else if (memory < 0)
		return shmq_create(hello->queue_depth, hello->arena_bytes, &v->queue, err);
	else if (memory_in_use(v->door, memory))
		rc = err_set(err, -EBUSY,
			     "requests of this queue's former session are still in flight");
	else
		return shmq_adopt(hello->queue_depth, hello->arena_bytes, memory, &v->queue, err);
	if (memory >= 0)
		close(memory);
	return rc;
}

static int build_queue(struct visitor *v, const struct attach_hello *hello, int memory,
		       struct err *err)
{
	int rc = make_queue(v, hello, memory, err);

	if (rc)
		return rc;
	rc = client_init(&v->client, v->id, v->queue, err);
	if (rc)
		return rc;
	v->has_client = true;
	rc = fabric_region_add(v->door->d->fabric, shmq_arena(v->queue), err);
	v->has_region = !rc;
	return rc;
}

/* Takes @memory over, which is -1 when none came. */
static void take_hello(struct visitor *v, const void *bytes, size_t length, int memory)
{
	struct attach_hello hello;
	struct err err;
	int rc;

	rc = v->queue ? err_set(&err, -EPROTO, "a second HELLO on one connection")
		      : attach_hello_check(bytes, length, &hello, &err);
	if (!rc)
		rc = build_queue(v, &hello, memory, &err);
	else if (memory >= 0)
		close(memory);
	if (rc)
		refuse_hello(v, &err);
	else
		call_on_shard(v, enter_on_shard, enter_on_control);
}

static void open_on_shard(void *shard, struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	v->handle = client_open(&v->client, v->open.name, &v->info, v->volume_id, &v->err);
	if (v->handle >= 0)
		v->err.code = 0;
	shard_return(shard, call);
}

static void answer_open(struct visitor *v, const struct err *err)
{
	struct attach_open_reply message;

	if (err->code)
		attach_open_reply_fail(&message, err);
	else
		attach_open_reply_set(&message, (uint32_t)v->handle, &v->info, v->volume_id);
	if (!reply(v, &message, sizeof(message), NULL, 0))
		visitor_end(v);
}

static void open_on_control(struct call *call)
{
	struct visitor *v = CONTAINER_OF(call, struct visitor, call);

	if (!call_back(v))
		answer_open(v, &v->err);
}

static void take_open(struct visitor *v, const void *bytes, size_t length)
{
	struct err err;

	if (attach_open_check(bytes, length, &v->open, &err))
		answer_open(v, &err);
	else
		call_on_shard(v, open_on_shard, open_on_control);
}

static void *closer_main(void *arg)
{
	close((int)(intptr_t)arg);
	atomic_fetch_sub(&closers, 1);
	return NULL;
}

/* close() of a file that a stranger serves (FUSE) waits for him: not on this thread. */
static void close_aside(int fd)
{
	pthread_t thread;

	atomic_fetch_add(&closers, 1);
	if (pthread_create(&thread, NULL, closer_main, (void *)(intptr_t)fd))
		closer_main((void *)(intptr_t)fd);
	else
		pthread_detach(thread);
}

static bool is_connected_unix_stream(int fd)
{
	struct sockaddr_storage other;
	socklen_t bytes = sizeof(int), other_bytes = sizeof(other);
	int type = 0;

	return !getpeername(fd, (struct sockaddr *)&other, &other_bytes) &&
	       other.ss_family == AF_UNIX && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) &&
	       type == SOCK_STREAM;
}

/* Is @fd what a message of this type may bring, and safe to close here? */
static bool descriptor_fits(int type, int fd)
{
	return type == ATTACH_SERVE ? is_connected_unix_stream(fd) : shmq_memory_fits(fd);
}

/*
 * Receives a message, and with the first one the descriptor that may come with it; *@fd is -1 when
 * none did.  What nobody asked for the kernel drops.
 */
static ssize_t receive(struct visitor *v, void *bytes, int *fd)
{
	bool take = !v->queue && atomic_load(&closers) < CLOSERS_MAX;
	unsigned got = 0;
	ssize_t length = attach_receive(v->fd, bytes, fd, take, &got);

	if (got && (length < 0 || !descriptor_fits(attach_type(bytes, (size_t)length), *fd))) {
		close_aside(*fd);
		got = 0;
	}
	if (!got)
		*fd = -1;
	return length;
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	/* As attach_receive() wants it; aligned for the messages. */
	_Alignas(uint64_t) char bytes[ATTACH_MESSAGE_MAX];
	struct visitor *v = userdata;
	ssize_t length;
	int type, with;

	(void)source;
	(void)fd;
	if (v->calling) {
		/* Nothing was asked of epoll but the end. */
		if (events & (EPOLLHUP | EPOLLERR))
			visitor_end(v);
		return 0;
	}
	length = receive(v, bytes, &with);
	if (length == -EAGAIN || length == -EINTR)
		return 0;
	type = length > 0 ? attach_type(bytes, (size_t)length) : 0;
	if (type == ATTACH_HELLO) {
		take_hello(v, bytes, (size_t)length, with);
		return 0;
	}
	if (type == ATTACH_SERVE && !v->queue) {
		take_serve(v, bytes, (size_t)length, with);
		return 0;
	}
	if (with >= 0)
		close(with);
	if (type == ATTACH_OPEN && v->inside) {
		take_open(v, bytes, (size_t)length);
	} else {
		if (length && length != -ECONNRESET)
			log_line(LOG_LEVEL_WARNING, "client %llu (%s, pid %d): malformed message",
				 (unsigned long long)v->id, v->comm, (int)v->who.pid);
		visitor_end(v);
	}
	return 0;
}

/* The name of the process, for people; it may change, or lie. */
static void read_comm(struct visitor *v)
{
	char path[64];
	FILE *f;

	snprintf(v->comm, sizeof(v->comm), "%s", "?");
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)v->who.pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(v->comm, sizeof(v->comm), f))
		v->comm[strcspn(v->comm, "\n")] = '\0';
	fclose(f);
}

static int visitor_create(struct door *door, unsigned place, int fd)
{
	struct visitor *v = calloc(1, sizeof(*v));
	socklen_t length = sizeof(v->who);
	int rc;

	if (!v)
		return -ENOMEM;
	v->door = door;
	v->place = place;
	v->id = ++door->last_id;
	v->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &v->who, &length))
		v->who = (struct ucred){.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
	read_comm(v);
	rc = sd_event_add_io(door->d->event, &v->source, fd, EPOLLIN, on_message, v);
	if (rc < 0) {
		free(v);
		return rc;
	}
	door->visitors[place] = v;
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct door *door = userdata;
	unsigned place = 0;
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (conn < 0)
		return 0;
	while (place < VISITORS_MAX && door->visitors[place])
		place++;
	if (place == VISITORS_MAX || door->d->stopping || visitor_create(door, place, conn)) {
		log_line(LOG_LEVEL_WARNING, "a client was turned away: %s",
			 door->d->stopping ? "the engine is stopping" : "too many are there");
		close(conn);
	}
	return 0;
}

int door_create(struct daemon *d, int listen_fd, struct door **door, struct err *err)
{
	struct door *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return err_set(err, -ENOMEM, "no memory for the client socket");
	n->d = d;
	rc = listen_watch(d->event, &n->source, listen_fd, on_accept, n);
	if (rc < 0) {
		free(n);
		return err_set(err, rc, "client socket: %s", strerror(-rc));
	}
	*door = n;
	return 0;
}

void door_destroy(struct door *door)
{
	if (!door)
		return;
	for (unsigned i = 0; i < VISITORS_MAX; i++)
		if (door->visitors[i])
			visitor_free(door->visitors[i]);
	sd_event_source_disable_unref(door->source);
	free(door);
}

/* Unless it is gone already. */
static struct visitor *find_visitor(struct door *door, uint64_t client_id)
{
	for (unsigned i = 0; i < VISITORS_MAX; i++) {
		struct visitor *v = door->visitors[i];

		if (v && v->id == client_id && !v->gone)
			return v;
	}
	return NULL;
}

void door_cut_off(struct door *door, uint64_t client_id)
{
	struct visitor *v = find_visitor(door, client_id);

	if (!v)
		return;
	tell(v, LOG_LEVEL_ERROR, "cut off",
	     ": it broke the rules of its queue; nobody else is concerned");
	visitor_end(v);
}

void door_ended(struct door *door, uint64_t client_id)
{
	struct visitor *v = find_visitor(door, client_id);

	if (v)
		visitor_end(v);
}

static const struct client_status *find_status(const struct shard_status *status, uint64_t id)
{
	for (unsigned i = 0; i < status->client_count; i++)
		if (status->clients[i].id == id)
			return &status->clients[i];
	return NULL;
}

struct json_object *door_json(const struct door *door, const struct shard_status *status)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < VISITORS_MAX; i++) {
		const struct visitor *v = door->visitors[i];
		const struct client_status *c = v ? find_status(status, v->id) : NULL;
		struct json_object *json;

		if (!c)
			continue;
		json = json_object_new_object();
		json_set_u64(json, "id", v->id);
		json_set_text(json, "process", v->comm);
		json_set_text(json, "kind", v->has_server ? "block device" : "queue");
		json_set_int(json, "pid", v->who.pid);
		json_set_int(json, "uid", v->who.uid);
		json_set_bool(json, "leaving", v->gone);
		json_set_u64(json, "depth", c->depth);
		json_set_u64(json, "in_flight", c->in_flight);
		json_set_u64(json, "requests", c->requests);
		json_set_u64(json, "wakeups", c->wakeups);
		json_set_u64(json, "volumes", c->volume_count);
		json_object_array_add(list, json);
	}
	return list;
}
