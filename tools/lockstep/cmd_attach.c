/* SPDX-License-Identifier: BSD-3-Clause */
/* A volume as a block device, or as an NBD export, until `lockstep detach`. */
#include "engine/base/limits.h"
#include "tools/lockstep/control.h"
#include "tools/lockstep/keeper.h"
#include "tools/lockstep/nbd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_S 60u
#define NBD_PORT 10809
#define DETACH_LIMIT_MS 60000

enum { KEY_DEVICE = 1000, KEY_NBD, KEY_CONNECTIONS, KEY_TIMEOUT, KEY_FOREGROUND, KEY_FORCE };

/* A sentence, and the same as JSON when that is wanted. */
static int refuse(const struct cli *cli, const char *text)
{
	struct json_object *answer;

	if (cli->json) {
		answer = json_object_new_object();
		json_set_bool(answer, "ok", false);
		json_set_text(answer, "error", text);
		control_print(answer);
	}
	return fail("%s", text);
}

static void check_volume_name(struct argp_state *state, const char *volume)
{
	if (!volume)
		argp_error(state, "the name of the volume is missing");
	else if (strchr(volume, '/') || volume[0] == '.' || strlen(volume) > VOLUME_NAME_MAX)
		argp_error(state, "'%s' cannot be the name of a volume", volume);
}

static int device_index(struct argp_state *state, const char *arg)
{
	const char *name = strncmp(arg, "/dev/", 5) ? arg : arg + 5;

	if (strncmp(name, "nbd", 3))
		argp_error(state, "--device: '%s' is no device like /dev/nbd0", arg);
	return (int)arg_number(state, "--device", name + 3, 0, 1023);
}

static error_t parse_attach(int key, char *arg, struct argp_state *state)
{
	struct attach_options *o = state->input;

	switch (key) {
	case KEY_DEVICE:
		o->index = device_index(state, arg);
		return 0;
	case KEY_NBD:
		if (strncmp(arg, "unix:", 5) && strcmp(arg, "tcp") && strncmp(arg, "tcp:", 4))
			argp_error(state, "--nbd is unix:PATH, tcp or tcp:PORT, not '%s'", arg);
		if (!strncmp(arg, "tcp:", 4))
			arg_number(state, "--nbd=tcp", arg + 4, 0, UINT16_MAX);
		o->nbd = arg;
		return 0;
	case KEY_CONNECTIONS:
		o->connections = (unsigned)arg_number(state, "--connections", arg, 1,
						      ATTACH_CONNECTIONS_MAX);
		return 0;
	case KEY_TIMEOUT:
		o->timeout_s = (unsigned)arg_number(state, "--timeout", arg, 2, ATTACH_TIMEOUT_MAX);
		return 0;
	case KEY_FOREGROUND:
		o->foreground = true;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &o->volume, arg);
		return 0;
	case ARGP_KEY_END:
		check_volume_name(state, o->volume);
		if (o->nbd && o->index >= 0)
			argp_error(state, "--nbd makes no --device");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What is so now; @answer is consumed. */
static int say(const struct cli *cli, struct json_object *answer)
{
	if (!json_get_bool(answer, "ok", false)) {
		char text[500];

		snprintf(text, sizeof(text), "%s", json_get_text(answer, "error", "no reason"));
		json_object_put(answer);
		return refuse(cli, text);
	}
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	puts(json_get_text(answer, "device", json_get_text(answer, "uri", "?")));
	fflush(stdout);
	json_object_put(answer);
	return 0;
}

/* Attached as it was asked for now?  The state is put. */
static int say_attached(const struct cli *cli, const struct attach_options *o,
			struct json_object *state)
{
	const char *device = json_get_text(state, "device", NULL);
	const char *uri = json_get_text(state, "uri", NULL);
	char text[600];
	int rc;

	if (!state)
		return refuse(cli, "the volume is just being attached; ask again");
	if (!o->nbd != !uri || (o->index >= 0 && (!device || atoi(device + 8) != o->index))) {
		snprintf(text, sizeof(text),
			 "volume '%s' is attached as %s: `lockstep detach %s` first", o->volume,
			 device ? device : uri, o->volume);
		rc = refuse(cli, text);
		json_object_put(state);
		return rc;
	}
	json_set_bool(state, "already", true);
	return say(cli, state);
}

/* Size, block and identity of a volume that may be attached here. */
static int look_up(const struct cli *cli, struct keeper_job *job)
{
	const char *name = job->options->volume;
	struct json_object *request = control_request("volume-list"), *answer, *list, *v;
	char text[400];
	int rc;

	json_set_text(request, "volume", name);
	rc = control_call(cli, request, NULL, NULL, &answer);
	if (rc)
		return rc;
	list = json_get_array(answer, "volumes");
	v = list ? json_object_array_get_idx(list, 0) : NULL;
	if (!v) {
		snprintf(text, sizeof(text), "there is no volume '%s' on this node", name);
		rc = refuse(cli, text);
	} else if (strcmp(json_get_text(v, "role", ""), "primary")) {
		snprintf(text, sizeof(text),
			 "volume '%s' is secondary on this node: attach it on its primary, or "
			 "`lockstep promote %s` here",
			 name, name);
		rc = refuse(cli, text);
	}
	job->size_bytes = json_get_u64(v, "size_bytes", 0);
	job->block_bytes = (uint32_t)json_get_u64(v, "block_bytes", 0);
	snprintf(job->uuid, sizeof(job->uuid), "%s", json_get_text(v, "uuid", ""));
	json_object_put(answer);
	return rc;
}

/* What it takes on this machine, or what else to use. */
static int check_machine(const struct cli *cli, const struct attach_options *o)
{
	struct nbd_device *kernel;
	char text[800];
	struct err err;

	if (o->nbd)
		return nbd_export_check(&err) ? refuse(cli, err.text) : 0;
	if (geteuid())
		err_set(&err, -EPERM, "a block device needs root");
	else if (!nbd_device_open(&kernel, &err)) {
		nbd_device_close(kernel);
		return 0;
	}
	snprintf(text, sizeof(text),
		 "%s.  Programs that speak NBD (QEMU, libnbd's tools) need none: `lockstep attach "
		 "%s --nbd unix:PATH`",
		 err.text, o->volume);
	return refuse(cli, text);
}

static int fill_export(const struct cli *cli, const struct attach_options *o, struct nbd_export *e)
{
	char path[600];
	const char *from;

	*e = (struct nbd_export){
		.volume = o->volume,
		.socket = cli->client,
		.reconnect_s = o->timeout_s,
		.port = NBD_PORT,
	};
	if (!o->nbd)
		return 0;
	if (!strncmp(o->nbd, "tcp", 3)) {
		if (o->nbd[3])
			e->port = (uint16_t)atoi(o->nbd + 4);
		return 0;
	}
	from = arg_path(o->nbd + strlen("unix:"), path, sizeof(path));
	if (strlen(from) >= sizeof(e->path))
		return refuse(cli, "the path of the socket is too long: 107 bytes are the limit");
	snprintf(e->path, sizeof(e->path), "%s", from);
	return 0;
}

/* --- the keeper, as a process of its own or in the foreground --- */

struct teller {
	const struct cli *cli;
	int fd; /* of the parent; -1: none */
	int rc;
};

static void tell(void *ctx, struct json_object *answer)
{
	struct teller *t = ctx;

	if (t->fd < 0) {
		t->rc = say(t->cli, answer);
		return;
	}
	dprintf(t->fd, "%s\n",
		json_object_to_json_string_ext(answer, JSON_C_TO_STRING_NOSLASHESCAPE));
	close(t->fd);
	t->fd = -1;
	json_object_put(answer);
}

/* Of what the caller has open it keeps @tell only: a lock there, or a pipe, is not its business. */
static _Noreturn void become_keeper(const struct keeper_job *job, int tell)
{
	int null, log;

	if (tell > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)tell - 1, 0);
	close_range((unsigned)tell + 1, ~0U, 0);
	mkdir(job->place->folder, 0755);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	log = open(job->place->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	setsid();
	if (chdir("/"))
		_exit(EXIT_FAILED);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	_exit(keeper_run(job));
}

static int start_keeper(const struct cli *cli, struct keeper_job *job)
{
	struct json_object *answer = NULL;
	struct teller teller = {.cli = cli};
	char *line = NULL;
	size_t room = 0;
	int fds[2];
	FILE *f;
	pid_t pid;

	job->told = tell;
	job->ctx = &teller;
	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0)
		return refuse(cli, "no process can be made");
	if (!pid) {
		close(fds[0]);
		teller.fd = fds[1];
		become_keeper(job, fds[1]);
	}
	close(fds[1]);
	f = fdopen(fds[0], "re");
	if (f && getline(&line, &room, f) > 0)
		answer = json_tokener_parse(line);
	free(line);
	if (f)
		fclose(f);
	if (!answer)
		return refuse(cli, "the process that stays with the volume has ended; its log is "
				   "in the folder of `lockstep attach`");
	return say(cli, answer);
}

/* keeper_run() with the lock held by who runs it. */
static int attach(struct cli *cli, struct keeper_job *job)
{
	struct teller teller = {.cli = cli, .fd = -1};

	if (!job->options->foreground)
		return start_keeper(cli, job);
	job->told = tell;
	job->ctx = &teller;
	return keeper_run(job);
}

/* At boot the engine may still be starting, or be tried again: a service waits for it. */
static void await_engine(const struct cli *cli, unsigned limit_s)
{
	const struct timespec pause = {.tv_nsec = 250000000};
	time_t end = time(NULL) + limit_s;
	bool there = false;

	while (!there && time(NULL) < end) {
		struct json_object *answer = control_ask(cli, control_request("volume-list"), 5);

		there = json_get_bool(answer, "ok", false);
		json_object_put(answer);
		if (!there)
			nanosleep(&pause, NULL);
	}
}

static void make_absolute(char *path, size_t room)
{
	char relative[PATH_MAX];

	snprintf(relative, sizeof(relative), "%s", path);
	arg_path(relative, path, room);
}

int cmd_attach(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"device", KEY_DEVICE, "DEVICE", 0, "/dev/nbdN (default: one that is free)", 0},
		{"nbd", KEY_NBD, "unix:PATH|tcp[:PORT]", 0,
		 "No block device: serve the volume to programs that speak NBD, at a unix socket "
		 "or a port (10809) of 127.0.0.1",
		 0},
		{"connections", KEY_CONNECTIONS, "N", 0,
		 "Between kernel and engine (default 1).  Of several the kernel gives up one that "
		 "owes an answer for 30 s, as a fail-closed volume without its peer does",
		 0},
		{"timeout", KEY_TIMEOUT, "SECONDS", 0,
		 "So long I/O waits for an engine that went away; then it fails (default 60)", 0},
		{"foreground", KEY_FOREGROUND, NULL, 0, "Stay until SIGTERM, for service managers",
		 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_attach, "VOLUME",
		"Makes a block device of a volume that is primary on this node, prints its name, "
		"and sets /dev/lockstep/VOLUME.  Goes on until `lockstep detach`."};
	struct attach_options o = {
		.index = -1,
		.connections = 1,
		.timeout_s = DEFAULT_TIMEOUT_S,
	};
	struct attach_place place;
	struct nbd_export export;
	struct keeper_job job = {.cli = cli, .options = &o, .place = &place, .export = &export};
	int rc;

	cli_parse(cli, argc, argv, &args, &o);
	/* The keeper is in no folder of anybody's. */
	make_absolute(cli->run, sizeof(cli->run));
	make_absolute(cli->control, sizeof(cli->control));
	make_absolute(cli->client, sizeof(cli->client));
	attach_place_init(&place, cli, o.volume);
	/* A service manager wants a process that stays, and there can be one only. */
	if (attach_holder(&place) && o.foreground)
		return fail("volume '%s' is attached already: unmount it and `lockstep detach %s` "
			    "first",
			    o.volume, o.volume);
	if (attach_holder(&place))
		return say_attached(cli, &o, attach_state_load(&place));
	if (o.foreground)
		await_engine(cli, o.timeout_s);
	rc = look_up(cli, &job);
	if (!rc)
		rc = check_machine(cli, &o);
	if (!rc)
		rc = fill_export(cli, &o, &export);
	return rc ? rc : attach(cli, &job);
}

/* --- detach --- */

struct detach {
	const char *volume;
	bool force;
};

static error_t parse_detach(int key, char *arg, struct argp_state *state)
{
	struct detach *d = state->input;

	switch (key) {
	case KEY_FORCE:
		d->force = true;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &d->volume, arg);
		return 0;
	case ARGP_KEY_END:
		check_volume_name(state, d->volume);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int await_end(const struct cli *cli, pid_t keeper)
{
	struct pollfd fd = {.fd = pidfd_open(keeper, 0), .events = POLLIN};
	char text[200];
	int ended;

	if (fd.fd < 0)
		return 0;
	pidfd_send_signal(fd.fd, KEEPER_DETACH, NULL, 0);
	ended = poll(&fd, 1, DETACH_LIMIT_MS);
	close(fd.fd);
	if (ended > 0)
		return 0;
	snprintf(text, sizeof(text), "the process %d, which stays with the volume, does not end",
		 (int)keeper);
	return refuse(cli, text);
}

/* Its keeper was killed: what is left is taken away here. */
static int clean_up(const struct cli *cli, const struct attach_place *place,
		    struct json_object *state, int index)
{
	struct nbd_device *kernel;
	struct err err = {0};

	if (index >= 0) {
		if (nbd_device_open(&kernel, &err))
			return refuse(cli, err.text);
		nbd_device_disconnect(kernel, index, &err);
		nbd_device_close(kernel);
	}
	attach_end_process(attach_nbdkit(state), 3000);
	if (index >= 0)
		attach_unlink(place);
	attach_forget(place, json_get_text(state, "socket", NULL),
		      json_get_u64(state, "socket_inode", 0));
	return err.code ? refuse(cli, err.text) : 0;
}

static int say_detached(const struct cli *cli, const char *volume, bool was)
{
	struct json_object *answer;

	if (cli->json) {
		answer = json_object_new_object();
		json_set_bool(answer, "ok", true);
		json_set_text(answer, "volume", volume);
		json_set_bool(answer, "was_attached", was);
		control_print(answer);
	} else {
		printf("volume '%s' is %s\n", volume, was ? "detached" : "not attached");
	}
	return 0;
}

int cmd_detach(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"force", KEY_FORCE, NULL, 0,
		 "Although it is in use: what is not written yet is lost, and its users get errors",
		 0},
		{0},
	};
	static const struct cli_args args = {rows, parse_detach, "VOLUME",
					     "Takes away what `lockstep attach` made of a volume.  "
					     "Refused while it is mounted."};
	struct attach_place place;
	struct detach d = {0};
	struct json_object *state;
	char device[32], text[200];
	pid_t keeper;
	int index, rc;

	cli_parse(cli, argc, argv, &args, &d);
	make_absolute(cli->run, sizeof(cli->run));
	attach_place_init(&place, cli, d.volume);
	state = attach_state_load(&place);
	keeper = attach_holder(&place);
	index = attach_device(&place, state);
	snprintf(device, sizeof(device), "/dev/nbd%d", index);
	if (!keeper && !state && index < 0) {
		rc = say_detached(cli, d.volume, false);
	} else if (index >= 0 && !d.force && nbd_device_in_use(index)) {
		snprintf(text, sizeof(text),
			 "%s is in use: unmount what is on it first (`findmnt %s`, `lsblk %s`)",
			 device, device, device);
		rc = refuse(cli, text);
	} else {
		rc = keeper ? await_end(cli, keeper) : 0;
		/* One that did not do it itself: killed, or of an earlier version. */
		if (!rc && !attach_holder(&place)) {
			json_object_put(state);
			state = attach_state_load(&place);
			if (state || !keeper)
				rc = clean_up(cli, &place, state, attach_device(&place, state));
		}
		if (!rc)
			rc = say_detached(cli, d.volume, true);
	}
	json_object_put(state);
	return rc;
}
