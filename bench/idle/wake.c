/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How soon an engine that had nothing to do begins: single reads, with silence before each.
 *
 * What is measured of each is the time from ls_submit() to its completion in this process, without
 * the time that the engine had it (to the device and back): so two wake-ups, the engine's and
 * this process's own, and the ring.
 *
 * With --bare no engine is asked, but a process that sleeps in read() and answers each byte: what
 * two wake-ups cost on this machine, whoever makes them.
 */
#include "engine/include/lockstep.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 4096u

struct wake {
	const char *socket, *volume;
	unsigned count, idle_ms;
	struct ls_connection *connection;
	int handle;
	void *buf;
	bool bare;
	int echo_fd; /* of the process that answers */
	uint64_t *ns;
};

static const struct argp_option option_table[] = {
	{"socket", 's', "PATH", 0, "Of the engine's clients", 0},
	{"count", 'n', "N", 0, "Reads (200)", 0},
	{"idle-ms", 'i', "MS", 0, "Silence before each (50)", 0},
	{"bare", 'b', NULL, 0, "Of a process that only answers, instead of an engine", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct wake *w = state->input;

	switch (key) {
	case 's':
		w->socket = arg;
		return 0;
	case 'n':
		w->count = (unsigned)strtoul(arg, NULL, 0);
		return w->count ? 0 : EINVAL;
	case 'i':
		w->idle_ms = (unsigned)strtoul(arg, NULL, 0);
		return 0;
	case 'b':
		w->bare = true;
		return 0;
	case ARGP_KEY_ARG:
		w->volume = arg;
		return state->arg_num ? ARGP_ERR_UNKNOWN : 0;
	case ARGP_KEY_END:
		if (w->bare == !w->volume)
			return 0;
		argp_usage(state);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int open_volume(struct wake *w)
{
	struct ls_options options = {.size = sizeof(options), .socket = w->socket};
	char text[200];

	if (ls_connect(&options, &w->connection, text, sizeof(text))) {
		fprintf(stderr, "wake: %s\n", text);
		return -1;
	}
	w->handle = ls_volume_open(w->connection, w->volume, NULL);
	w->buf = ls_buf_alloc(w->connection, READ_BYTES);
	if (w->handle < 0 || !w->buf) {
		fprintf(stderr, "wake: %s\n", ls_error(w->connection));
		return -1;
	}
	return 0;
}

/* It ends with this process's end of the socket. */
static int open_bare(struct wake *w)
{
	int fd[2];
	pid_t child;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) || (child = fork()) < 0) {
		perror("wake: a second process");
		return -1;
	}
	w->echo_fd = fd[child == 0];
	close(fd[child != 0]);
	if (child)
		return 0;
	while (read(w->echo_fd, &byte, 1) == 1 && write(w->echo_fd, &byte, 1) == 1)
		;
	_exit(0);
}

static int bare_one(struct wake *w, uint64_t *ns)
{
	uint64_t began = now_ns();
	char byte = 0;

	if (write(w->echo_fd, &byte, 1) != 1 || read(w->echo_fd, &byte, 1) != 1) {
		perror("wake: the second process does not answer");
		return -1;
	}
	*ns = now_ns() - began;
	return 0;
}

static int read_one(struct wake *w, uint64_t *ns)
{
	uint64_t began = now_ns(), took;
	struct ls_completion done;

	if (ls_read(w->connection, w->handle, w->buf, 0, READ_BYTES, 0) ||
	    ls_wait(w->connection, &done, 1, -1) != 1 || done.status != LS_OK) {
		fprintf(stderr, "wake: a read failed: %s\n", ls_error(w->connection));
		return -1;
	}
	took = now_ns() - began;
	*ns = took > done.engine_ns ? took - done.engine_ns : 0;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse, "[VOLUME]", NULL, NULL, NULL, NULL};
	struct wake w = {.count = 200, .idle_ms = 50};
	struct timespec idle;

	if (argp_parse(&argp, argc, argv, 0, NULL, &w))
		return 2;
	w.ns = calloc(w.count, sizeof(*w.ns));
	if (!w.ns || (w.bare ? open_bare(&w) : open_volume(&w)))
		return 1;
	idle = (struct timespec){w.idle_ms / 1000, (long)(w.idle_ms % 1000) * 1000000};
	for (unsigned i = 0; i < w.count; i++) {
		nanosleep(&idle, NULL);
		if (w.bare ? bare_one(&w, &w.ns[i]) : read_one(&w, &w.ns[i]))
			return 1;
	}
	qsort(w.ns, w.count, sizeof(*w.ns), compare);
	printf("{\"reads\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", w.count,
	       (double)w.ns[w.count / 2] / 1e3, (double)w.ns[w.count - 1 - w.count / 100] / 1e3,
	       (double)w.ns[w.count - 1] / 1e3);
	free(w.ns);
	if (w.connection)
		ls_disconnect(w.connection);
	return 0;
}
