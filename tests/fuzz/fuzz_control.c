/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever comes on the control socket, the daemon neither asserts nor crashes or leaks;
 * each line gets one answer, which is a JSON object that says ok or not, and the connection
 * stays, unless a line was too long.
 *
 * The control thread's side is the real one, from accept() on: ctl.c, json.c, task.c and all
 * commands, with an engine that has a pool and a peer.  This program plays both threads, by
 * turns.  What would reach the machine is replaced at link time (--wrap): devices are memory, key
 * files and node.json are not there.
 */
#include "engine/daemon/ctl.h"
#include "engine/daemon/daemon.h"
#include "engine/daemon/door.h"
#include "engine/daemon/keyfile.h"
#include "engine/daemon/log.h"
#include "engine/daemon/shard_internal.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 2u
#define TURNS_MAX 64u
#define END_TURNS 2000u
#define ANSWER_BYTES_MAX (8u << 20)
/* Blanks before a line that is to be about as long as a line may be (64 KiB). */
#define PADDING_BYTES ((64u << 10) - 64u)
/* In the input: what is before it is read before what is behind it.  No UTF-8 has it. */
#define PAUSE 0xff

struct scene {
	struct daemon d;
	struct shard shard;
	struct node node;
	uint64_t now_ns;
	struct asker {
		int fd;
		unsigned asked, answered;
		bool too_long; /* the daemon said so: it hears no more and hangs up */
		bool hung_up; /* the daemon did */
		char *text;
		size_t bytes;
	} askers[CLIENTS];
};

static struct scene scene;

/* What is replaced; declared by their users' headers */

int __wrap_store_open(struct store_queue *queue, const char *path, uint64_t size_bytes,
		      struct store **store, struct err *err);
int __wrap_store_probe_foreign(const char *path, char *what, size_t what_bytes);
int __wrap_keyfile_read(const char *path, struct key *key, struct err *err);
int __wrap_state_save(const struct state *state, struct err *err);
struct store_queue_stats __wrap_store_queue_stats(const struct store_queue *queue);
const char *__wrap_store_queue_describe(const struct store_queue *queue);
const char *__wrap_fabric_backend(const struct fabric *fabric);
const char *__wrap_fabric_describe(const struct fabric *fabric);
uint64_t __wrap_fabric_rnr_count(const struct fabric *fabric);
struct json_object *__wrap_door_json(const struct door *door, const struct shard_status *status);
void __wrap_placement_add_devices(struct daemon *d, struct store *const *stores, unsigned count);
void __wrap_log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);
void __wrap_log_with(int level, const struct log_fields *fields, const char *text);

int __wrap_store_open(struct store_queue *queue, const char *path, uint64_t size_bytes,
		      struct store **store, struct err *err)
{
	struct disk *d;

	(void)queue;
	if (strstr(path, "none"))
		return err_set(err, -ENOENT, "%s: no such device", path);
	d = disk_open(size_bytes ? size_bytes : DISK_BYTES, strstr(path, "4k") ? 4096 : 512);
	*store = &d->store;
	return 0;
}

int __wrap_store_probe_foreign(const char *path, char *what, size_t what_bytes)
{
	snprintf(what, what_bytes, "ext4 file system");
	return strstr(path, "foreign") != NULL;
}

int __wrap_keyfile_read(const char *path, struct key *key, struct err *err)
{
	if (strstr(path, "none"))
		return err_set(err, -ENOENT, "cannot open key file %s", path);
	memset(key->bytes, 'k', 32);
	key->length_bytes = 32;
	return 0;
}

int __wrap_state_save(const struct state *state, struct err *err)
{
	struct json_object *json = state_to_json(state);
	struct state *again = calloc(1, sizeof(*again));
	int rc = again ? state_from_json(again, json, err) : -ENOMEM;

	free(again);
	json_object_put(json);
	if (rc)
		fuzz_fail("a node.json was written that cannot be read again");
	return 0;
}

struct store_queue_stats __wrap_store_queue_stats(const struct store_queue *queue)
{
	(void)queue;
	return (struct store_queue_stats){0};
}

const char *__wrap_store_queue_describe(const struct store_queue *queue)
{
	(void)queue;
	return "memory";
}

const char *__wrap_fabric_backend(const struct fabric *fabric)
{
	(void)fabric;
	return "fuzz";
}

const char *__wrap_fabric_describe(const struct fabric *fabric)
{
	(void)fabric;
	return "nothing";
}

uint64_t __wrap_fabric_rnr_count(const struct fabric *fabric)
{
	(void)fabric;
	return 0;
}

struct json_object *__wrap_door_json(const struct door *door, const struct shard_status *status)
{
	(void)door;
	(void)status;
	return json_object_new_array();
}

void __wrap_placement_add_devices(struct daemon *d, struct store *const *stores, unsigned count)
{
	(void)d;
	(void)stores;
	(void)count;
}

void __wrap_log_line(int level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
}

void __wrap_log_with(int level, const struct log_fields *fields, const char *text)
{
	(void)level;
	(void)fields;
	(void)text;
}

void daemon_stop(struct daemon *d, const char *why)
{
	(void)why;
	d->stopping = true;
}

/* The listening socket stays; an address of the kernel's choice, in no file system. */
static int listener(struct sockaddr_un *address, socklen_t *bytes)
{
	static struct sockaddr_un at = {.sun_family = AF_UNIX};
	static socklen_t length;
	static int fd = -1;

	if (fd < 0) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		length = sizeof(sa_family_t);
		if (fd < 0 || bind(fd, (struct sockaddr *)&at, length) || listen(fd, 8))
			fuzz_fail("no socket");
		length = sizeof(at);
		getsockname(fd, (struct sockaddr *)&at, &length);
	}
	*address = at;
	*bytes = length;
	return fd;
}

/* Those whom a daemon that ended at once has not let in: they would fill the next one's backlog. */
static void turn_away(void)
{
	struct sockaddr_un at;
	socklen_t bytes;
	int fd;

	while ((fd = accept4(listener(&at, &bytes), NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

static void open_asker(struct asker *a)
{
	struct sockaddr_un at;
	socklen_t bytes;

	listener(&at, &bytes);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&at, bytes))
		fuzz_fail("no connection");
}

static void begin_shard(struct shard *s, struct node *n)
{
	s->engine = n->engine;
	s->calls_in = call_box_create();
	s->calls_out = call_box_create();
	s->links_in = link_box_create();
	s->notes_out = note_box_create();
	s->bell_in = bell_create();
	s->bell_out = bell_create();
	if (!s->calls_in || !s->calls_out || !s->links_in || !s->notes_out || s->bell_in < 0 ||
	    s->bell_out < 0)
		fuzz_fail("no memory or descriptors");
}

static void begin(struct scene *s, uint8_t how)
{
	struct daemon *d = &s->d;
	struct state_pool *pool = &d->state.pools[0];
	struct sockaddr_un at;
	socklen_t bytes;
	struct err err;

	memset(s, 0, sizeof(*s));
	node_create(&s->node, "a", 0xa1);
	node_make_pool(&s->node, &s->now_ns);
	node_make_volume(&s->node, &s->now_ns, "vol", MIB(1));
	begin_shard(&s->shard, &s->node);
	d->shard = &s->shard;
	d->state.node_address = 0xa1;
	snprintf(d->state.node_name, sizeof(d->state.node_name), "a");
	snprintf(pool->name, sizeof(pool->name), "pool");
	snprintf(pool->devices[0], sizeof(pool->devices[0]), "/memory");
	pool->device_count = 1;
	d->state.pool_count = 1;
	d->ready = !(how & 1);
	d->stopping = how & 2;
	d->events = events_create();
	if (!d->events || sd_event_new(&d->event) < 0 ||
	    control_create(d, listener(&at, &bytes), &d->control, &err))
		fuzz_fail("no event loop");
	for (unsigned i = 0; i < CLIENTS; i++)
		open_asker(&s->askers[i]);
}

/* Answers */

static void check_refusal(struct asker *a, struct json_object *json)
{
	struct json_object *error, *code;

	if (!json_object_object_get_ex(json, "error", &error) ||
	    !json_object_get_string(error)[0] || !json_object_object_get_ex(json, "code", &code))
		fuzz_fail("a refusal that does not say why");
	/* Of a line whose end may never come. */
	if (strcmp(json_object_get_string(code), "EMSGSIZE") == 0)
		a->too_long = true;
}

static void check_answer(struct asker *a, const char *line)
{
	struct json_object *json = json_tokener_parse(line), *member;

	if (!json_object_is_type(json, json_type_object))
		fuzz_fail("an answer that is no JSON object");
	if (a->too_long)
		fuzz_fail("an answer after the one that ends the connection");
	if (json_object_object_get_ex(json, "ok", &member)) {
		if (!json_object_get_boolean(member))
			check_refusal(a, json);
		a->answered += !a->too_long;
	} else if (!json_object_object_get_ex(json, "progress", &member) &&
		   !json_object_object_get_ex(json, "event", &member)) {
		fuzz_fail("an answer that says neither ok nor progress nor event");
	}
	json_object_put(json);
	if (a->answered > a->asked)
		fuzz_fail("more answers than lines");
}

static void read_answers(struct asker *a)
{
	char buf[65536], *end;
	ssize_t n = -1;

	while (a->fd >= 0 && (n = recv(a->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		if (a->bytes + (size_t)n > ANSWER_BYTES_MAX)
			fuzz_fail("an answer without end");
		a->text = realloc(a->text, a->bytes + (size_t)n + 1);
		if (!a->text)
			fuzz_fail("no memory");
		memcpy(a->text + a->bytes, buf, (size_t)n);
		a->bytes += (size_t)n;
	}
	/* ECONNRESET: it hung up before it had read everything. */
	a->hung_up |= a->fd >= 0 && (n == 0 || errno == ECONNRESET);
	while (a->bytes && (end = memchr(a->text, '\n', a->bytes))) {
		*end = '\0';
		check_answer(a, a->text);
		a->bytes -= (size_t)(end + 1 - a->text);
		memmove(a->text, end + 1, a->bytes);
	}
}

/* Both threads, one after the other, as often as there is something to do. */
static void turn(struct scene *s, uint64_t ms)
{
	struct call *call;
	struct note note;
	bool work = true;

	for (unsigned i = 0; i < TURNS_MAX && work; i++) {
		work = sd_event_run(s->d.event, 0) > 0;
		s->now_ns += ms * NS_PER_MS;
		work |= shard_inbox(&s->shard) > 0;
		node_pass(&s->node, s->now_ns);
		disks_step();
		if (s->node.dialling) {
			s->node.dialling = false;
			engine_dial_failed(s->node.engine, s->node.dial_cookie, "nobody is there");
		}
		while (note_pop(s->shard.notes_out, &note))
			;
		while ((call = shard_take_returned(&s->shard))) {
			call->on_control(call);
			work = true;
		}
		for (unsigned k = 0; k < CLIENTS; k++)
			read_answers(&s->askers[k]);
	}
}

static void ask(struct scene *s, struct asker *a, const uint8_t *text, size_t bytes)
{
	ssize_t n;

	while (bytes > 0 && a->fd >= 0) {
		n = send(a->fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			a->asked += text[i] == '\n';
		text += n;
		bytes -= (size_t)n;
	}
	turn(s, 1);
}

static void hang_up(struct asker *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

/* Every line was answered; or one was too long, and so the last that was heard. */
static bool all_answered(const struct scene *s)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct asker *a = &s->askers[i];

		if (a->fd >= 0 && (a->too_long ? !a->hung_up : a->answered != a->asked))
			return false;
	}
	return true;
}

static void end(struct scene *s, bool early)
{
	unsigned i;

	if (early)
		hang_up(&s->askers[0]);
	/* Who follows events is answered at their end. */
	events_end(s->d.events);
	/*
	 * Whatever takes its time has a time limit: it is answered in the end.  A turn is bounded:
	 * thousands of short lines take several.
	 */
	for (i = 0; i < END_TURNS && (s->shard.calls_open || !all_answered(s)); i++)
		turn(s, 100);
	if (s->shard.calls_open)
		fuzz_fail("a command without an end");
	if (!all_answered(s))
		fuzz_fail("a line without an answer");
	for (i = 0; i < CLIENTS; i++)
		if (s->askers[i].hung_up && !s->askers[i].too_long)
			fuzz_fail("the daemon hung up on a client that did nothing wrong");
	engine_stop(s->node.engine);
	for (i = 0; i < END_TURNS && !engine_stopped(s->node.engine); i++)
		turn(s, 100);
	if (!engine_stopped(s->node.engine))
		fuzz_fail("the engine does not stop");
	control_destroy(s->d.control);
	turn_away();
	for (i = 0; i < CLIENTS; i++) {
		hang_up(&s->askers[i]);
		free(s->askers[i].text);
	}
	events_destroy(s->d.events);
	sd_event_unref(s->d.event);
	call_box_destroy(s->shard.calls_in);
	call_box_destroy(s->shard.calls_out);
	link_box_destroy(s->shard.links_in);
	note_box_destroy(s->shard.notes_out);
	close(s->shard.bell_in);
	close(s->shard.bell_out);
	node_destroy(&s->node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t newline = '\n';
	static uint8_t padding[PADDING_BYTES];
	struct scene *s = &scene;
	uint8_t how = size ? data[0] : 0;
	const uint8_t *at = data + (size ? 1 : 0), *stop = data + size, *pause;
	unsigned turns = 0;

	begin(s, how);
	if (how & 32) {
		memset(padding, ' ', sizeof(padding));
		ask(s, &s->askers[0], padding, sizeof(padding));
	}
	while (at < stop && turns < TURNS_MAX) {
		struct asker *a = &s->askers[how & 4 ? turns % CLIENTS : 0];

		pause = memchr(at, PAUSE, (size_t)(stop - at));
		ask(s, a, at, (size_t)((pause ? pause : stop) - at));
		at = pause ? pause + 1 : stop;
		turns++;
	}
	for (unsigned i = 0; i < CLIENTS && !(how & 8); i++)
		ask(s, &s->askers[i], &newline, 1);
	end(s, how & 16);
	return 0;
}
