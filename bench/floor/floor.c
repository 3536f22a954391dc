/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, the processes, and the client of floor-queue. */
#include "bench/floor/floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: bench-floor --jobs KIND:BYTES:DEPTH,... [OPTIONS] [DEVICE-A DEVICE-B]\n"
	"The floor of a mirrored write: randwrite jobs over RDMA and two devices (/dev/ng*), "
	"whose\n"
	"content is lost.  Without devices: the wire alone.  Prints one JSON object for each job.\n"
	"  --serve IP         only B: [DEVICE-B]; prints the port that A is told, and ends with A\n"
	"  --peer IP:PORT     only A, and the client: [DEVICE-A]\n"
	"  --queue            a third process asks, through a ring in shared memory\n"
	"  --frame FORM       train (default), each or imm: how the headers travel\n"
	"  --qps N            queue pairs, 1 to 4 (default: 1); more need --frame each or imm\n"
	"  --without LIST     techniques to leave out, with commas: chain, inline, moderation,\n"
	"                     ack-batch, submit-batch, fixed-buffers, fixed-file, deferred\n"
	"  --rdma NAME        RDMA device (default: the first)\n"
	"  --cpus A,B,C       where A, B and the client run; -1: anywhere (default: 0,1,0)\n"
	"  --spin A,B,C       microseconds that each looks before it sleeps (default: 0,300,0)\n"
	"  --span BYTES  --seconds S  --warm S  --system NAME  --round N\n";

static void *map_shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory");
	return memory;
}

void *slots_map(void)
{
	return map_shared((size_t)DEPTH_MAX * SLOT_BYTES);
}

void slots_iovecs(void *memory, struct iovec *iovecs)
{
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		iovecs[i] = (struct iovec){payload_of(memory, i), BLOCK_MAX};
}

/* The process that asks: all it does is fill slots and wait for them. */
static void client_wait(struct queue *done, uint64_t spin_ticks)
{
	uint64_t since = 0;
	eventfd_t count;

	while (queue_empty(done)) {
		if (spin_on(&since, spin_ticks)) {
			sched_yield();
			continue;
		}
		if (queue_doze(done) && eventfd_read(done->bell, &count) < 0)
			die("cannot wait: %s", strerror(errno));
		queue_wake(done);
	}
}

static void client_issue(struct load *load, void *memory, struct shared *shared, unsigned slot)
{
	if (load_issue(load, slot, payload_of(memory, slot), &shared->ios[slot]))
		queue_put(&shared->requests, slot);
}

void client_run(const struct options *o, void *memory, struct shared *shared)
{
	static struct load load;
	uint64_t spin_ticks = ticks_of_us(o->spin_us[SIDE_CLIENT]);
	uint32_t slot;

	for (unsigned job = 0; job < o->load.job_count; job++) {
		load_begin(&load, &o->load, job);
		for (slot = 0; slot < load.job.qd; slot++)
			client_issue(&load, memory, shared, slot);
		queue_ring(&shared->requests);
		while (load.in_flight) {
			client_wait(&shared->done, spin_ticks);
			while (queue_get(&shared->done, &slot)) {
				load_complete(&load, slot);
				client_issue(&load, memory, shared, slot);
			}
			queue_ring(&shared->requests);
		}
		load_print(&load);
	}
	queue_put(&shared->requests, SLOT_STOP);
	queue_ring(&shared->requests);
}

static void parse_three(const char *text, int64_t values[SIDES])
{
	if (sscanf(text, "%ld,%ld,%ld", &values[0], &values[1], &values[2]) != SIDES)
		die("'%s': write three numbers, for A, B and the client", text);
}

static void parse_frame(struct options *o, const char *text)
{
	static const char *const names[] = {
		[FRAME_TRAIN] = "train", [FRAME_EACH] = "each", [FRAME_IMM] = "imm"};
	unsigned i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i], text) != 0)
		i++;
	if (i == ARRAY_SIZE(names))
		die("--frame: train, each or imm, not '%s'", text);
	o->framing = (enum framing)i;
}

static void parse_without(struct options *o, const char *list)
{
	static const struct {
		const char *name;
		enum technique bit;
	} techniques[] = {
		{"chain", TECHNIQUE_CHAIN},
		{"inline", TECHNIQUE_INLINE},
		{"moderation", TECHNIQUE_MODERATION},
		{"ack-batch", TECHNIQUE_ACK_BATCH},
		{"submit-batch", TECHNIQUE_SUBMIT_BATCH},
		{"fixed-buffers", TECHNIQUE_FIXED_BUFFERS},
		{"fixed-file", TECHNIQUE_FIXED_FILE},
		{"deferred", TECHNIQUE_DEFERRED},
	};
	char *copy = strdupa(list), *name;
	unsigned i;

	while ((name = strsep(&copy, ",")) != NULL) {
		for (i = 0; i < ARRAY_SIZE(techniques); i++)
			if (!strcmp(techniques[i].name, name))
				break;
		if (i == ARRAY_SIZE(techniques))
			die("--without: there is no technique '%s'; see --help", name);
		o->without |= techniques[i].bit;
	}
}

static void parse_lanes(struct options *o, const char *text)
{
	if (sscanf(text, "%u", &o->lanes) != 1 || o->lanes < 1 || o->lanes > LANES_MAX)
		die("--qps: 1 to %u, not '%s'", LANES_MAX, text);
}

static void parse_one(struct options *o, int option, const char *value)
{
	int64_t three[SIDES];

	if (load_parse_option(&o->load, option, value))
		return;
	switch (option) {
	case 'q':
		o->queue = true;
		break;
	case 'B':
		o->serve = value;
		break;
	case 'A':
		o->peer = value;
		break;
	case 'f':
		parse_frame(o, value);
		break;
	case 'L':
		parse_lanes(o, value);
		break;
	case 'W':
		parse_without(o, value);
		break;
	case 'd':
		o->rdma = value;
		break;
	case 'c':
		parse_three(value, three);
		for (int i = 0; i < SIDES; i++)
			o->cpus[i] = (int)three[i];
		break;
	case 'S':
		parse_three(value, three);
		for (int i = 0; i < SIDES; i++)
			o->spin_us[i] = (uint64_t)three[i];
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(0);
	default:
		fputs(usage_text, stderr);
		exit(2);
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		LOAD_LONG_OPTIONS,
		{"queue", no_argument, NULL, 'q'},
		{"serve", required_argument, NULL, 'B'},
		{"peer", required_argument, NULL, 'A'},
		{"frame", required_argument, NULL, 'f'},
		{"qps", required_argument, NULL, 'L'},
		{"without", required_argument, NULL, 'W'},
		{"rdma", required_argument, NULL, 'd'},
		{"cpus", required_argument, NULL, 'c'},
		{"spin", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option, devices, first;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
		parse_one(o, option, optarg);
	devices = argc - optind;
	first = o->serve ? SIDE_B : SIDE_A;
	if (!(o->load.job_count || o->serve) || (o->serve && o->peer) ||
	    (devices && devices != (o->serve || o->peer ? 1 : 2))) {
		fputs(usage_text, stderr);
		exit(2);
	}
	for (int i = 0; i < devices; i++) {
		o->devices[first + i] = argv[optind + i];
		if (disk_bytes(argv[optind + i]) < o->load.span_bytes)
			die("%s is smaller than --span", argv[optind + i]);
	}
	if (!o->load.system)
		o->load.system = o->queue ? "floor-queue" : "floor";
	if (o->lanes > 1 && o->framing == FRAME_TRAIN)
		die("--qps: nothing orders payloads and headers on different queue pairs: --frame "
		    "each or imm");
	/* B alone takes what comes. */
	for (unsigned i = 0; !o->serve && i < o->load.job_count; i++)
		if (o->load.jobs[i].kind != JOB_WRITE &&
		    (o->load.jobs[i].kind != JOB_READ || !o->devices[SIDE_A]))
			die("the floor writes, and reads where it has a device: randwrite and "
			    "randread jobs");
}

/* A child that ends with its parent. */
static pid_t fork_side(const struct options *o, int side)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	pin_to(o->cpus[side]);
	return 0;
}

/* Where B waits for A, by address alone; the port is the kernel's choice. */
static int accept_one(const char *ip)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), connected;

	if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
		die("--serve: '%s' is no IPv4 address", ip);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &length))
		die("cannot listen on %s: %s", ip, strerror(errno));
	printf("%u\n", ntohs(address.sin_port));
	fflush(stdout);
	connected = accept(listener, NULL, NULL);
	if (connected < 0)
		die("cannot accept: %s", strerror(errno));
	close(listener);
	return connected;
}

static int connect_to(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	char ip[INET_ADDRSTRLEN];
	uint16_t port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sscanf(text, "%15[0-9.]:%hu", ip, &port) != 2 ||
	    inet_pton(AF_INET, ip, &address.sin_addr) != 1)
		die("--peer: '%s' is not IP:PORT", text);
	address.sin_port = htons(port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("cannot connect to %s: %s", text, strerror(errno));
	return fd;
}

static void child_ended(int signal)
{
	int status, saved = errno;

	(void)signal;
	while (waitpid(-1, &status, WNOHANG) > 0)
		if (status)
			_exit(1); /* it said why */
	errno = saved;
}

int main(int argc, char **argv)
{
	static struct options o = {
		.load = {.seconds = 2, .warm_seconds = 0.3, .span_bytes = 256u << 20},
		.cpus = {0, 1, 0},
		.lanes = 1,
		.spin_us = {0, 300, 0},
	};
	struct sigaction action = {.sa_handler = child_ended, .sa_flags = SA_RESTART};
	struct shared *shared;
	int sockets[2];
	void *memory;
	char end;

	parse(&o, argc, argv);
	if (o.serve) {
		pin_to(o.cpus[SIDE_B]);
		side_b_run(&o, accept_one(o.serve));
		return 0;
	}
	shared = map_shared(sizeof(*shared));
	queue_init(&shared->requests);
	queue_init(&shared->done);
	memory = slots_map();
	fill_random(memory, (size_t)DEPTH_MAX * SLOT_BYTES, ticks());
	if (o.peer)
		sockets[0] = connect_to(o.peer);
	else if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		die("cannot make a socket pair: %s", strerror(errno));
	sigaction(SIGCHLD, &action, NULL);
	if (!o.peer && !fork_side(&o, SIDE_B)) {
		side_b_run(&o, sockets[1]);
		return 0;
	}
	if (o.queue && !fork_side(&o, SIDE_CLIENT)) {
		client_run(&o, memory, shared);
		return 0;
	}
	pin_to(o.cpus[SIDE_A]);
	side_a_run(&o, memory, shared, sockets[0]);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	/* B has taken the last frame when it has closed. */
	if (o.peer && recv(sockets[0], &end, 1, 0) != 0)
		die("the other process did not end");
	return 0;
}
