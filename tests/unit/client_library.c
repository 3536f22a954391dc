/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liblockstep against a fake engine in a thread of the same process.
 * client_library EXAMPLE runs that program against it, too.
 */
#include "tests/unit/client_engine.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define KIB4 4096

static const char *example;

struct fixture {
	struct fake_engine *engine;
	struct ls_connection *c;
	int volume;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct ls_options options_for(const struct fake_engine *f)
{
	return (struct ls_options){
		.size = sizeof(struct ls_options),
		.queue_depth = 8,
		.arena_bytes = 1 << 20,
		.socket = f->path,
		.reconnect_ms = LS_RECONNECT_NEVER, /* client_reattach.c is about that */
	};
}

static void start(struct fixture *x, enum fake_way way)
{
	struct ls_options o;
	struct ls_volume_info info;
	char message[400];

	x->engine = fake_start(way);
	o = options_for(x->engine);
	if (ls_connect(&o, &x->c, message, sizeof(message)))
		fail_msg("ls_connect: %s", message);
	x->volume = ls_volume_open(x->c, FAKE_VOLUME, &info);
	assert_int_equal(x->volume, 0);
	assert_int_equal(info.size_bytes, FAKE_VOLUME_BYTES);
	assert_int_equal(info.block_bytes, 512);
	assert_int_equal(info.request_max_bytes, 65536);
	assert_int_equal(info.mirrored, 1);
	assert_int_equal(info.primary, 1);
}

static void finish(struct fixture *x)
{
	ls_disconnect(x->c);
	fake_stop(x->engine);
}

static int set_up(void **state)
{
	static struct fixture x;

	start(&x, FAKE_SERVES);
	*state = &x;
	return 0;
}

static int set_up_holding(void **state)
{
	static struct fixture x;

	start(&x, FAKE_HOLDS);
	*state = &x;
	return 0;
}

static int tear_down(void **state)
{
	finish(*state);
	return 0;
}

/* The status of the one request in flight. */
static uint32_t wait_one(struct fixture *x, uint64_t tag)
{
	struct ls_completion done;

	assert_int_equal(ls_wait(x->c, &done, 1, 10000), 1);
	assert_int_equal(done.tag, tag);
	assert_int_equal(done.failed_legs, 0);
	assert_int_equal(done.engine_ns, 1000);
	return done.status;
}

static void test_operations(void **state)
{
	struct fixture *x = *state;
	char *a = ls_buf_alloc(x->c, KIB4), *b = ls_buf_alloc(x->c, KIB4);

	assert_true(a && b && a != b);
	memset(a, 'a', KIB4);
	assert_int_equal(ls_write(x->c, x->volume, a, KIB4, KIB4, LS_FUA, 11), 0);
	assert_int_equal(wait_one(x, 11), LS_OK);
	assert_int_equal(ls_read(x->c, x->volume, b, KIB4, KIB4, 12), 0);
	assert_int_equal(wait_one(x, 12), LS_OK);
	assert_memory_equal(a, b, KIB4);
	assert_int_equal(ls_write_zeroes(x->c, x->volume, KIB4, 512, LS_FUA, 13), 0);
	assert_int_equal(wait_one(x, 13), LS_OK);
	assert_int_equal(ls_read(x->c, x->volume, b, KIB4, KIB4, 14), 0);
	assert_int_equal(wait_one(x, 14), LS_OK);
	assert_int_equal(b[511], 0);
	assert_int_equal(b[512], 'a');
	assert_int_equal(ls_discard(x->c, x->volume, 0, FAKE_VOLUME_BYTES, 15), 0);
	assert_int_equal(wait_one(x, 15), LS_OK);
	assert_int_equal(ls_flush(x->c, x->volume, 16), 0);
	assert_int_equal(wait_one(x, 16), LS_OK);
}

/* What is wrong with a request is the engine's to say, so nothing may be lost on the way. */
static void test_bad_requests_reach_the_engine(void **state)
{
	struct fixture *x = *state;
	char outside[512], *last = ls_buf_alloc(x->c, 1 << 20);

	assert_non_null(last);
	assert_int_equal(ls_read(x->c, x->volume, outside, 0, 512, 1), 0);
	assert_int_equal(wait_one(x, 1), LS_BAD_BUFFER);
	assert_int_equal(ls_read(x->c, x->volume, last + (1 << 20) - 512, 0, 1024, 2), 0);
	assert_int_equal(wait_one(x, 2), LS_BAD_BUFFER);
	assert_int_equal(ls_flush(x->c, -1, 3), 0);
	assert_int_equal(wait_one(x, 3), LS_NO_VOLUME);
	assert_int_equal(ls_write(x->c, x->volume, last, 0, 512, 1u << 16, 4), 0);
	assert_int_equal(wait_one(x, 4), LS_INVALID);
	assert_int_equal(ls_discard(x->c, x->volume, UINT64_MAX, UINT64_MAX, 5), 0);
	assert_int_equal(wait_one(x, 5), LS_OUT_OF_RANGE);
}

static void test_queue_is_full(void **state)
{
	struct fixture *x = *state;
	struct ls_completion done[16];
	int taken = 0;

	for (int i = 0; i < 8; i++)
		assert_int_equal(ls_flush(x->c, x->volume, (uint64_t)i), 0);
	assert_int_equal(ls_flush(x->c, x->volume, 8), -EAGAIN);
	assert_non_null(strstr(ls_error(x->c), "full"));
	assert_int_equal(ls_poll(x->c, done, 16), 0); /* Not submitted. */
	assert_int_equal(ls_submit(x->c), 8);
	assert_int_equal(ls_submit(x->c), 0);
	while (taken < 8)
		taken += ls_wait(x->c, done + taken, 3, -1);
	for (int i = 0; i < 8; i++)
		assert_int_equal(done[i].tag, i);
	assert_int_equal(ls_flush(x->c, x->volume, 8), 0);
	assert_int_equal(wait_one(x, 8), LS_OK);
}

static void on_signal(int number)
{
	(void)number;
}

/* Not a moment too early, and signals do not matter. */
static void test_wait_times_out(void **state)
{
	struct fixture *x = *state;
	const struct itimerval often = {{0, 7000}, {0, 7000}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_signal};
	struct ls_completion done;
	double before;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(ls_flush(x->c, x->volume, 1), 0);
	for (int ms = 0; ms < 150; ms += 49) {
		before = now_ms();
		assert_int_equal(ls_wait(x->c, &done, 1, ms), 0);
		assert_true(now_ms() - before >= ms);
		assert_true(now_ms() - before < ms + 5000);
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

static void test_wait_for_nothing(void **state)
{
	struct fixture *x = *state;
	struct ls_completion done;

	assert_int_equal(ls_wait(x->c, &done, 1, -1), -EINVAL);
	assert_int_equal(ls_wait(x->c, &done, 1, 0), 0);
	assert_int_equal(ls_wait(x->c, &done, 0, 0), -EINVAL);
	assert_int_equal(ls_poll(x->c, &done, 0), -EINVAL);
}

/* Arm, poll once more, sleep on the descriptor: with a poll that finds something or not. */
static void test_event_loop(void **state)
{
	struct fixture *x = *state;
	struct pollfd fd = {.fd = ls_fd(x->c), .events = POLLIN};
	struct ls_completion done[8];
	uint64_t queued = 0, taken = 0;
	int n;

	while (taken < 20000) {
		while (queued - taken < 1 + queued % 5)
			assert_int_equal(ls_flush(x->c, x->volume, queued++), 0);
		assert_true(ls_submit(x->c) >= 0);
		ls_arm(x->c);
		n = ls_poll(x->c, done, 8);
		assert_in_range(n, 0, 8);
		taken += (uint64_t)n;
		/* Sleeps although some were found: as long as one is out, a wake-up comes. */
		if (queued == taken)
			continue;
		if (poll(&fd, 1, 20000) != 1)
			fail_msg("lost wake-up after %llu", (unsigned long long)taken);
		n = ls_poll(x->c, done, 8);
		assert_in_range(n, 0, 8);
		taken += (uint64_t)n;
	}
}

static void test_sleeps_and_spins(void **state)
{
	struct fixture x;
	struct ls_options o;
	struct ls_completion done;
	double before;

	(void)state;
	x.engine = fake_start(FAKE_SERVES);
	o = options_for(x.engine);
	for (o.spin_us = 0; o.spin_us <= 200; o.spin_us += 200) {
		assert_int_equal(ls_connect(&o, &x.c, NULL, 0), 0);
		assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), 0);
		before = now_ms();
		for (uint64_t i = 0; i < 20000; i++) {
			assert_int_equal(ls_flush(x.c, 0, i), 0);
			assert_int_equal(ls_wait(x.c, &done, 1, 20000), 1);
			assert_int_equal(done.tag, i);
		}
		print_message("spin %u us: %.1f us each\n", o.spin_us,
			      (now_ms() - before) / 20000 * 1e3);
		ls_disconnect(x.c);
		fake_order(x.engine, FAKE_CLOSE_QUEUE);
	}
	fake_stop(x.engine);
}

struct killer {
	struct fake_engine *engine;
	enum fake_order order;
	double at_ms;
};

static void *killer_main(void *arg)
{
	struct killer *k = arg;

	fake_await(k->engine, 1, true);
	k->at_ms = now_ms();
	fake_order(k->engine, k->order);
	return NULL;
}

static void death_is_seen(struct fixture *x, enum fake_order order)
{
	struct killer k = {.engine = x->engine, .order = order};
	struct ls_completion done;
	struct pollfd fd = {.fd = ls_fd(x->c), .events = POLLIN};
	pthread_t thread;
	double seen;

	assert_int_equal(ls_flush(x->c, x->volume, 1), 0);
	assert_int_equal(ls_submit(x->c), 1);
	assert_int_equal(pthread_create(&thread, NULL, killer_main, &k), 0);
	assert_int_equal(ls_wait(x->c, &done, 1, -1), -EPIPE);
	seen = now_ms();
	pthread_join(thread, NULL);
	assert_true(seen - k.at_ms < 1000);
	assert_non_null(strstr(ls_error(x->c), "the engine is gone"));
	assert_int_equal(poll(&fd, 1, 1000), 1);
	/* For good, everywhere. */
	assert_int_equal(ls_wait(x->c, &done, 1, 0), -EPIPE);
	assert_int_equal(ls_poll(x->c, &done, 1), -EPIPE);
	assert_int_equal(ls_submit(x->c), -EPIPE);
	assert_int_equal(ls_flush(x->c, x->volume, 2), -EPIPE);
	assert_int_equal(ls_volume_open(x->c, FAKE_VOLUME, NULL), -EPIPE);
	assert_non_null(strstr(ls_error(x->c), "the engine is gone"));
}

static void test_engine_dies(void **state)
{
	death_is_seen(*state, FAKE_DIE);
}

static void test_engine_closes_socket(void **state)
{
	death_is_seen(*state, FAKE_CLOSE_SOCKET);
}

static void test_engine_closes_queue(void **state)
{
	death_is_seen(*state, FAKE_CLOSE_QUEUE);
}

/* A program that only polls, and one with an event loop. */
static void test_death_while_polling(void **state)
{
	struct fixture *x = *state;
	struct ls_completion done;
	int n = 0;

	assert_int_equal(ls_flush(x->c, x->volume, 1), 0);
	ls_submit(x->c);
	fake_order(x->engine, FAKE_DIE);
	for (int i = 0; i < 5000 && n == 0; i++)
		n = ls_poll(x->c, &done, 1);
	assert_int_equal(n, -EPIPE);
}

static void test_death_in_event_loop(void **state)
{
	struct fixture *x = *state;
	struct pollfd fd = {.fd = ls_fd(x->c), .events = POLLIN};
	struct ls_completion done;

	assert_int_equal(ls_flush(x->c, x->volume, 1), 0);
	ls_submit(x->c);
	ls_arm(x->c);
	assert_int_equal(ls_poll(x->c, &done, 1), 0);
	fake_order(x->engine, FAKE_DIE);
	assert_int_equal(poll(&fd, 1, 20000), 1);
	ls_arm(x->c);
	assert_int_equal(ls_poll(x->c, &done, 1), -EPIPE);
}

/* What was completed before the end is still handed out. */
static void test_last_completions(void **state)
{
	struct fixture *x = *state;
	struct ls_completion done[8];

	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(ls_flush(x->c, x->volume, i), 0);
	ls_submit(x->c);
	fake_await(x->engine, 3, false);
	fake_order(x->engine, FAKE_DIE);
	ls_arm(x->c);
	assert_int_equal(ls_wait(x->c, done, 2, -1), 2);
	assert_int_equal(ls_wait(x->c, done, 2, -1), 1);
	assert_int_equal(ls_wait(x->c, done, 2, -1), -EPIPE);
}

/* A real process, killed. */
static void test_engine_process_killed(void **state)
{
	struct fixture x;
	struct ls_options o;
	struct ls_completion done;
	int ready[2];
	char path[80];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		x.engine = fake_start(FAKE_HOLDS);
		(void)!write(ready[1], x.engine->path, sizeof(x.engine->path));
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], path, sizeof(path)), sizeof(path));
	o = (struct ls_options){
		.size = sizeof(o),
		.socket = path,
		.reconnect_ms = LS_RECONNECT_NEVER,
	};
	assert_int_equal(ls_connect(&o, &x.c, NULL, 0), 0);
	assert_int_equal(ls_volume_open(x.c, FAKE_VOLUME, NULL), 0);
	assert_int_equal(ls_flush(x.c, 0, 1), 0);
	assert_int_equal(ls_wait(x.c, &done, 1, 20), 0);
	kill(pid, SIGKILL);
	assert_int_equal(ls_wait(x.c, &done, 1, -1), -EPIPE);
	ls_disconnect(x.c);
	waitpid(pid, NULL, 0);
	unlink(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
	close(ready[0]);
	close(ready[1]);
}

static void connect_fails(const struct ls_options *o, int rc, const char *words)
{
	struct ls_connection *c = NULL;
	char message[400];

	assert_int_equal(ls_connect(o, &c, message, sizeof(message)), rc);
	assert_null(c);
	if (!strstr(message, words))
		fail_msg("'%s' is not in: %s", words, message);
	assert_int_equal(ls_connect(o, &c, NULL, 0), rc);
	assert_int_equal(ls_connect(o, &c, message, 2), rc);
	assert_int_equal(message[1], 0);
}

static void test_refusals(void **state)
{
	static const struct {
		enum fake_way way;
		int rc;
		const char *words;
	} cases[] = {
		{FAKE_REFUSES, -ENOMEM, "the engine refused: cannot register 32 MiB"},
		{FAKE_OTHER_VERSION, -EPROTONOSUPPORT, "the engine has 42"},
		{FAKE_NO_MEMORY, -EPROTO, "no shared memory"},
		{FAKE_HANGS_UP, -EPIPE, "closed the connection"},
	};
	struct fake_engine *f;
	struct ls_connection *c = NULL;
	struct ls_options o;
	char message[400];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f = fake_start(cases[i].way);
		o = options_for(f);
		assert_int_equal(ls_connect(&o, &c, message, sizeof(message)), cases[i].rc);
		assert_null(c);
		if (!strstr(message, cases[i].words))
			fail_msg("'%s' is not in: %s", cases[i].words, message);
		fake_stop(f);
	}
}

static void test_no_engine(void **state)
{
	struct ls_options o = {.size = sizeof(o), .socket = "/tmp/ls-no/such.sock"};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/ls-client-XXXXXX";
	char path[80], longer[200];
	int fd;

	(void)state;
	connect_fails(&o, -ENOENT, "the engine does not answer at /tmp/ls-no/such.sock");
	setenv("LOCKSTEP_SOCKET", "/tmp/ls-no/env.sock", 1);
	o.socket = NULL;
	connect_fails(&o, -ENOENT, "/tmp/ls-no/env.sock: is lockstepd running?");
	connect_fails(NULL, -ENOENT, "/tmp/ls-no/env.sock");
	unsetenv("LOCKSTEP_SOCKET");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	o.socket = longer;
	connect_fails(&o, -ENAMETOOLONG, "is longer than 107");

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	o.socket = path;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	connect_fails(&o, -EPROTOTYPE, "not the engine's client socket");
	close(fd);
	connect_fails(&o, -ECONNREFUSED, "is lockstepd running?");
	unlink(path);
	rmdir(folder);
}

/* As an unprivileged user, in a child: tests often run as root. */
static void test_no_permission(void **state)
{
	struct fake_engine *f = fake_start(FAKE_SERVES);
	struct ls_options o = options_for(f);
	struct ls_connection *c;
	char message[400];
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534))
			_exit(2);
		if (ls_connect(&o, &c, message, sizeof(message)) != -EACCES)
			_exit(geteuid() == 65534 ? 1 : 0);
		_exit(strstr(message, "no permission for the engine's socket") ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	fake_stop(f);
	assert_int_equal(status, 0);
}

static void test_options(void **state)
{
	struct ls_options o = {.size = sizeof(o), .socket = "/tmp/ls-no/such.sock"};
	struct {
		struct ls_options o;
		uint64_t future;
	} newer = {.o = {.size = sizeof(newer), .socket = "/tmp/ls-no/such.sock"}, .future = 0};

	(void)state;
	o.size = 0;
	connect_fails(&o, -EINVAL, "ls_options.size");
	o.size = sizeof(o);
	o.queue_depth = 3;
	connect_fails(&o, -EINVAL, "power of two");
	o.queue_depth = 8192;
	connect_fails(&o, -EINVAL, "power of two");
	o.queue_depth = 1;
	o.arena_bytes = (1ull << 30) + 1;
	connect_fails(&o, -EINVAL, "arena");
	connect_fails(&newer.o, -ENOENT, "is lockstepd running");
	newer.future = 1;
	connect_fails(&newer.o, -E2BIG, "install a newer one");
	o.arena_bytes = 0;
	o.reserved = 1;
	connect_fails(&o, -EINVAL, "reserved");
	/* A program of before: what it has behind its last field is not looked at. */
	o.size = offsetof(struct ls_options, reconnect_ms);
	o.unused = 1;
	connect_fails(&o, -ENOENT, "is lockstepd running");
}

static void test_volumes(void **state)
{
	struct fixture *x = *state;
	char name[100];

	assert_int_equal(ls_volume_open(x->c, "other", NULL), -ENOENT);
	assert_string_equal(ls_error(x->c), "cannot open volume 'other': no such volume; "
					    "the pool has 'vol'");
	assert_int_equal(ls_volume_open(x->c, "", NULL), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_int_equal(ls_volume_open(x->c, name, NULL), -ENAMETOOLONG);
	assert_int_equal(ls_volume_open(x->c, FAKE_VOLUME, NULL), 0);
}

static void test_buffers(void **state)
{
	struct fixture *x = *state;
	char *all = ls_buf_alloc(x->c, 1 << 20), *a, *b;

	assert_non_null(all);
	assert_int_equal((uintptr_t)all % 4096, 0);
	assert_null(ls_buf_alloc(x->c, 1));
	assert_non_null(strstr(ls_error(x->c), "has no room"));
	ls_buf_free(x->c, all);
	a = ls_buf_alloc(x->c, 1);
	b = ls_buf_alloc(x->c, 4097);
	assert_int_equal((uintptr_t)a % 4096, 0);
	assert_true(b - a >= 4096 || a - b >= 8192);
	ls_buf_free(x->c, a);
	ls_buf_free(x->c, b);
	ls_buf_free(x->c, NULL);
	assert_null(ls_buf_alloc(x->c, 0));
	assert_null(ls_buf_alloc(x->c, (1 << 20) + 1));
	assert_null(ls_buf_alloc(x->c, SIZE_MAX));
	assert_ptr_equal(ls_buf_alloc(x->c, 1 << 20), all);
}

/* A program that writes past its buffers loses its connection, not its mind. */
static void test_spoilt_memory(void **state)
{
	struct fixture *x = *state;
	struct ls_completion done[8];
	char *arena = ls_buf_alloc(x->c, 1 << 20);

	memset(arena - 4096 * 2, 0xee, 4096 * 2); /* The rings and the header. */
	assert_int_equal(ls_poll(x->c, done, 8), -EPIPE);
	assert_non_null(strstr(ls_error(x->c), "overwritten"));
	assert_int_equal(ls_flush(x->c, x->volume, 1), -EPIPE);
}

/* Another process, another build of the library: the shared one. */
static void test_example(void **state)
{
	struct fake_engine *f;
	char command[400], said[400] = "";
	FILE *pipe_end;
	size_t n;

	(void)state;
	if (!example)
		skip();
	f = fake_start(FAKE_SERVES);
	snprintf(command, sizeof(command), "LOCKSTEP_SOCKET=%s %s %s", f->path, example,
		 FAKE_VOLUME);
	pipe_end = popen(command, "r");
	assert_non_null(pipe_end);
	n = fread(said, 1, sizeof(said) - 1, pipe_end);
	said[n] = 0;
	assert_int_equal(pclose(pipe_end), 0);
	assert_string_equal(said, "write: done, 1 us in the engine\n"
				  "read: done, 1 us in the engine\n"
				  "the same data: yes\n");
	fake_await(f, 2, false); /* ThreadSanitizer does not know what the pipe has ordered. */
	assert_int_equal(f->volume[4095], 'L');
	fake_stop(f);
}

static void test_status_texts(void **state)
{
	(void)state;
	assert_string_equal(ls_status_text(LS_OK), "done");
	for (int i = LS_OK; i <= LS_BUSY; i++)
		assert_string_not_equal(ls_status_text((enum ls_status)i), "unknown status");
	for (int i = LS_LOCAL_IO; i <= LS_SHUTDOWN; i++)
		assert_string_not_equal(ls_status_text((enum ls_status)i), "unknown status");
	assert_string_equal(ls_status_text((enum ls_status)10), "unknown status");
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define HELD(f) cmocka_unit_test_setup_teardown(f, set_up_holding, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_process_killed),
		cmocka_unit_test(test_no_permission),
		SERVED(test_operations),
		SERVED(test_bad_requests_reach_the_engine),
		SERVED(test_queue_is_full),
		HELD(test_wait_times_out),
		SERVED(test_wait_for_nothing),
		SERVED(test_event_loop),
		cmocka_unit_test(test_sleeps_and_spins),
		HELD(test_engine_dies),
		HELD(test_engine_closes_socket),
		HELD(test_engine_closes_queue),
		HELD(test_death_while_polling),
		HELD(test_death_in_event_loop),
		SERVED(test_last_completions),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_engine),
		cmocka_unit_test(test_options),
		SERVED(test_volumes),
		SERVED(test_buffers),
		HELD(test_spoilt_memory),
		cmocka_unit_test(test_status_texts),
		cmocka_unit_test(test_example),
	};

	example = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
