/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/shard_internal.h"
#include "engine/daemon/log.h"
#include "engine/daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Life */

static bool make_boxes(struct shard *s)
{
	struct epoll_event alarm = {.events = EPOLLIN | EPOLLET, .data.ptr = &s->alarm_fd};

	s->calls_in = call_box_create();
	s->calls_out = call_box_create();
	s->links_in = link_box_create();
	s->notes_out = note_box_create();
	s->bell_in = bell_create();
	s->bell_out = bell_create();
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->alarm_ns = UINT64_MAX;
	return s->calls_in && s->calls_out && s->links_in && s->notes_out && s->bell_in >= 0 &&
	       s->bell_out >= 0 && s->epoll_fd >= 0 && s->alarm_fd >= 0 &&
	       !epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->alarm_fd, &alarm);
}

int shard_create(const struct shard_config *config, struct store_queue *queue, struct shard **shard,
		 struct err *err)
{
	struct shard *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, -ENOMEM, "no memory for a shard");
	assert(config->polling != POLLING_AUTO);
	s->config = *config;
	s->queue = queue;
	sem_init(&s->started, 0, 0);
	atomic_init(&s->handlers, 0);
	atomic_init(&s->closing, false);
	if (!make_boxes(s)) {
		shard_destroy(s);
		return err_set(err, -EMFILE, "no memory or descriptors for a shard");
	}
	if (shard_watch_bell(s, s->bell_in, err) ||
	    shard_watch_bell(s, store_queue_fd(queue), err)) {
		shard_destroy(s);
		return err->code;
	}
	*shard = s;
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void shard_destroy(struct shard *s)
{
	if (!s)
		return;
	call_box_destroy(s->calls_in);
	call_box_destroy(s->calls_out);
	link_box_destroy(s->links_in);
	note_box_destroy(s->notes_out);
	close_if_open(s->bell_in);
	close_if_open(s->bell_out);
	close_if_open(s->alarm_fd);
	close_if_open(s->epoll_fd);
	sem_destroy(&s->started);
	free(s);
}

int shard_watch_for(struct shard *s, int fd, uint32_t events, struct nbd_server *server,
		    struct err *err)
{
	struct epoll_event event = {.events = events, .data.ptr = server};
	int rc = epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event);

	assert(rc == 0 || errno == ENOMEM || errno == ENOSPC);
	if (!rc)
		return 0;
	return err_set(err, -errno, "the engine cannot watch one more descriptor: %s (%s)",
		       strerror(errno),
		       errno == ENOSPC
			       ? "`sysctl fs.epoll.max_user_watches` says how many a user may "
				 "have: raise it"
			       : "the kernel has no memory for it");
}

int shard_watch_bell(struct shard *s, int fd, struct err *err)
{
	return shard_watch_for(s, fd, EPOLLIN | EPOLLET, NULL, err);
}

void shard_watch_again(struct shard *s, uint32_t events, struct nbd_server *server)
{
	struct epoll_event event = {.events = events, .data.ptr = server};

	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, server->fd, &event);
}

void shard_unwatch(struct shard *s, int fd)
{
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* What the engine asks of us */

static void env_random(void *ctx, void *buf, size_t bytes)
{
	uint8_t *p = buf;

	(void)ctx;
	while (bytes) {
		ssize_t got = getrandom(p, bytes, 0);

		if (got < 0) {
			assert(errno == EINTR);
			continue;
		}
		p += got;
		bytes -= (size_t)got;
	}
}

/* The control thread dials: looking up an address may take a system call or two. */
static void env_dial(void *ctx, const char *address, void *cookie)
{
	struct note note = {.kind = NOTE_DIAL, .cookie = cookie};

	snprintf(note.text, sizeof(note.text), "%s", address);
	shard_note(ctx, &note);
}

static void env_release_link(void *ctx, struct link *link)
{
	struct shard *s = ctx;

	watch_pause();
	if (link->fd >= 0)
		shard_unwatch(s, link->fd);
	store_queue_region_remove(s->queue, &link->slots);
	link_destroy(link);
	watch_resume();
}

static void env_administering(void *ctx, bool begin)
{
	(void)ctx;
	if (begin)
		watch_pause();
	else
		watch_resume();
}

static void env_log(void *ctx, int level, const char *text)
{
	shard_log(ctx, level, "%s", text);
}

/* What does not fit is lost; the gap in the sequence tells the control thread how many. */
static void env_event(void *ctx, const struct engine_event *event)
{
	struct note note = {.kind = NOTE_EVENT};

	event_note_set(&note.event, event);
	shard_note(ctx, &note);
}

static struct region *env_copy_buffers(void *ctx, size_t bytes)
{
	struct shard *s = ctx;
	struct err err;
	void *base;

	bytes = round_up_u64(bytes, 4096);
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	s->copy_region = (struct region){
		.base = base,
		.length_bytes = bytes,
		.buffer_first = REGION_NO_BUFFERS,
	};
	if (fabric_region_add(s->fabric, &s->copy_region, &err)) {
		shard_log(s, 3, "memory for the initial copy: %s", err.text);
		munmap(base, bytes);
		s->copy_region = (struct region){0};
		return NULL;
	}
	store_queue_region_add(s->queue, &s->copy_region, ARENA_BUFFER_BYTES);
	return &s->copy_region;
}

/* The thread */

static int start_engine(struct shard *s)
{
	struct engine_env env = {
		.ctx = s,
		.random = env_random,
		.dial = env_dial,
		.release_link = env_release_link,
		.log = env_log,
		.event = env_event,
		.administering = env_administering,
		.copy_buffers = env_copy_buffers,
	};

	return engine_create(&s->config.engine, &env, &s->engine, &s->start_err);
}

static void free_copy_region(struct shard *s)
{
	if (!s->copy_region.base)
		return;
	store_queue_region_remove(s->queue, &s->copy_region);
	fabric_region_remove(s->fabric, &s->copy_region);
	munmap(s->copy_region.base, s->copy_region.length_bytes);
}

static void *shard_main(void *arg)
{
	struct shard *s = arg;
	struct note stopped = {.kind = NOTE_STOPPED};
	int rc;

	prctl(PR_SET_NAME, "shard-0");
	rc = start_engine(s);
	s->start_err.code = rc;
	sem_post(&s->started);
	if (!rc) {
		loop_run(s);
		clients_drop_all(s);
		engine_destroy(s->engine);
	}
	free_copy_region(s);
	watch.on = false;
	shard_note(s, &stopped);
	bell_ring(s->bell_out);
	return NULL;
}

int shard_start(struct shard *s, struct fabric *fabric, struct err *err)
{
	int rc;

	s->fabric = fabric;
	rc = pthread_create(&s->thread, NULL, shard_main, s);
	if (rc)
		return err_set(err, -rc, "cannot start the shard's thread: %s", strerror(rc));
	while (sem_wait(&s->started) && errno == EINTR)
		;
	if (!s->start_err.code)
		return 0;
	pthread_join(s->thread, NULL);
	*err = s->start_err;
	return err->code;
}

pthread_t shard_thread(const struct shard *s)
{
	return s->thread;
}

void shard_join(struct shard *s)
{
	struct call *call;

	pthread_join(s->thread, NULL);
	/* Its thread is gone, so both ends of the ring are ours. */
	while ((call = call_pop(s->calls_in))) {
		bool pushed = call_push(s->calls_out, call);

		assert(pushed);
		(void)pushed;
	}
}

void shard_stop(struct shard *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	engine_stop(s->engine);
}

/* Mail */

bool shard_call(struct shard *s, struct call *call)
{
	bool pushed;

	/* So that the way back has room, always. */
	if (s->calls_open >= CALLS_MAX - 1)
		return false;
	pushed = call_push(s->calls_in, call);
	assert(pushed);
	(void)pushed;
	s->calls_open++;
	bell_ring(s->bell_in);
	return true;
}

void shard_return(struct shard *s, struct call *call)
{
	bool pushed = call_push(s->calls_out, call);

	assert(pushed);
	(void)pushed;
	s->news = true;
}

struct call *shard_take_returned(struct shard *s)
{
	struct call *call = call_pop(s->calls_out);

	if (call)
		s->calls_open--;
	return call;
}

int shard_bell(const struct shard *s)
{
	return s->bell_out;
}

void shard_bell_quiet(struct shard *s)
{
	bell_quiet(s->bell_out);
}

bool shard_take_note(struct shard *s, struct note *note)
{
	return note_pop(s->notes_out, note);
}

void shard_note(struct shard *s, const struct note *note)
{
	bool pushed = note_push(s->notes_out, note);

	/* The reserve of the box is the sum of all that may not be lost. */
	assert(pushed || note_may_be_lost(note));
	s->notes_lost += !pushed;
	s->news = true;
}

void shard_log(struct shard *s, int level, const char *fmt, ...)
{
	struct note note = {.kind = NOTE_LOG, .level = level};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(note.text, sizeof(note.text), fmt, ap);
	va_end(ap);
	shard_note(s, &note);
}

static void take_link(struct shard *s, const struct link_event *event)
{
	struct link *link = event->link;
	struct err err;

	if (!link) {
		engine_dial_failed(s->engine, event->cookie, event->reason);
		return;
	}
	/* A slot and the header page before it are one fixed buffer. */
	store_queue_region_add(s->queue, &link->slots, link->slot_stride);
	if (link->fd >= 0 && shard_watch_for(s, link->fd, EPOLLIN, NULL, &err))
		shard_log(s, 3, "%s; a link is looked at now and then only, and is slow", err.text);
	engine_link_opened(s->engine, link, event->cookie);
}

unsigned shard_inbox(struct shard *s)
{
	struct link_event event;
	struct call *call;
	unsigned work = 0;

	if (LIKELY(shard_inbox_empty(s)))
		return 0;
	watch_pause();
	while ((call = call_pop(s->calls_in))) {
		call->on_shard(s, call);
		work++;
	}
	while (link_pop(s->links_in, &event)) {
		take_link(s, &event);
		work++;
	}
	watch_resume();
	return work;
}

bool shard_inbox_empty(const struct shard *s)
{
	return call_box_empty(s->calls_in) && link_box_empty(s->links_in);
}

/* On the CM thread */

static void post_link(struct shard *s, const struct link_event *event)
{
	bool closing, pushed = false;

	atomic_fetch_add(&s->handlers, 1);
	closing = atomic_load(&s->closing);
	if (!closing)
		pushed = link_push(s->links_in, event, event->cookie || !event->link);
	atomic_fetch_sub(&s->handlers, 1);
	if (pushed) {
		bell_ring(s->bell_in);
		return;
	}
	/* A stranger's link that comes when too many wait is turned away. */
	assert(closing || !event->cookie);
	if (event->link)
		link_destroy(event->link);
}

static void handle_opened(void *owner, struct link *link, void *cookie)
{
	struct link_event event = {.link = link, .cookie = cookie};

	post_link(owner, &event);
}

static void handle_failed(void *owner, void *cookie, const char *reason)
{
	struct link_event event = {.cookie = cookie};

	snprintf(event.reason, sizeof(event.reason), "%s", reason);
	post_link(owner, &event);
}

/* Strangers can cause these at will: one line a second says enough. */
static void handle_refused(void *owner, const char *reason)
{
	struct shard *s = owner;
	uint64_t now = clock_precise();

	if (now - s->refused_said_ns < NS_PER_S)
		return;
	s->refused_said_ns = now;
	log_line(LOG_LEVEL_WARNING, "a connection from outside came to nothing: %s", reason);
}

const struct fabric_handler shard_fabric_handler = {
	.opened = handle_opened,
	.failed = handle_failed,
	.refused = handle_refused,
};

void shard_drop_links(struct shard *s)
{
	struct link_event event;

	atomic_store(&s->closing, true);
	/* At most one handler runs, and it never waits. */
	while (atomic_load(&s->handlers))
		sched_yield();
	while (link_pop(s->links_in, &event))
		if (event.link)
			link_destroy(event.link);
}

/* Status */

struct engine *shard_engine(struct shard *s)
{
	return s->engine;
}

struct store_queue *shard_store_queue(struct shard *s)
{
	return s->queue;
}

void shard_status(struct shard *s, struct shard_status *status)
{
	engine_status(s->engine, &status->engine);
	status->loop = s->stats;
	status->store = store_queue_stats(s->queue);
	snprintf(status->store_describe, sizeof(status->store_describe), "%s",
		 store_queue_describe(s->queue));
	status->polling = s->config.polling;
	status->spin_ns = s->config.spin_ns;
	status->data_path_allocations = watch.allocations;
	status->data_path_locks = watch.locks;
	memcpy(status->latency, s->sampler.histograms, sizeof(status->latency));
	status->client_count = s->client_count;
	for (unsigned i = 0; i < s->client_count; i++) {
		const struct shard_client *c = s->clients[i];

		status->clients[i] = (struct client_status){
			.id = c->id,
			.requests = c->fetched,
			.wakeups = c->queue ? shmq_wakeups(c->queue) : 0,
			.depth = c->queue ? shmq_depth(c->queue) : NBD_BUFFERS,
			.in_flight = c->in_flight,
			.volume_count = c->volume_count,
			.broken = c->broken,
		};
	}
}
