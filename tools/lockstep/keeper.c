/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/keeper.h"

#include "tools/lockstep/control.h"
#include "tools/lockstep/nbd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S 1000000ull
#define RETRY_US 250000ull
/* Old connections are dead as soon as the kernel has seen nbdkit's end; told or not. */
#define DEATHS_TOLD_US (2 * US_PER_S)
#define DOUBT_US 300000ull
#define ASK_LIMIT_S 5
#define LOG_MAX_BYTES (1 << 20)
/* The keeper gives up first, and says so; the kernel, when there is none. */
#define KERNEL_EXTRA_S 5
/* Of a fail-closed volume, which waits until its peer is back, however long that takes. */
#define PATIENCE_CLOSED_S (365ull * 24 * 3600)
enum phase {
	PHASE_STARTING, /* there may be an nbdkit; the kernel has no connections */
	PHASE_SERVING,
	PHASE_DOUBT, /* a connection died: did nbdkit, or did a request take too long? */
	PHASE_ENDING, /* nbdkit was told to end */
};

struct keeper {
	const struct keeper_job *job;
	struct nbd_device *kernel; /* NULL: only an export */
	struct nbd_setup setup;
	sd_event *loop;
	sd_event_source *child, *timer, *hearing, *redial;
	enum phase phase;
	pid_t nbdkit;
	int fds[ATTACH_CONNECTIONS_MAX]; /* our copies of the kernel's connections */
	unsigned open_fds;
	unsigned links, deaths; /* connections that the kernel had, and that have died of them */
	uint64_t started_us, trouble_us; /* 0: none */
	bool secondary; /* as last heard */
	int exit_status;
	bool locked;
	struct err err;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static void PRINTF_LIKE(2, 3) note(const struct keeper *k, const char *fmt, ...)
{
	char text[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* What nbdkit says of requests that fail is in there, too, and has no end. */
	if (!k->job->options->foreground && lseek(STDERR_FILENO, 0, SEEK_END) > LOG_MAX_BYTES &&
	    ftruncate(STDERR_FILENO, 0))
		return;
	fprintf(stderr, "lockstep attach %s: %s\n", k->job->options->volume, text);
}

/* --- what the engine says --- */

static struct json_object *ask_volume(const struct keeper *k, struct json_object **answer)
{
	struct json_object *request = control_request("volume-list"), *list;

	json_set_text(request, "volume", k->job->options->volume);
	*answer = control_ask(k->job->cli, request, ASK_LIMIT_S);
	list = json_get_array(*answer, "volumes");
	return list ? json_object_array_get_idx(list, 0) : NULL;
}

/* True when requests may wait for the peer, and not for an engine. */
static bool waits_for_peer(const struct keeper *k)
{
	struct json_object *answer, *volume = ask_volume(k, &answer);
	bool waits = volume && !strcmp(json_get_text(volume, "policy", ""), "fail-closed") &&
		     strcmp(json_get_text(volume, "mirror", ""), "synced");

	json_object_put(answer);
	return waits;
}

/* The device has the volume's size, and waits as its policy says. */
static void refresh(struct keeper *k)
{
	struct json_object *answer, *volume = ask_volume(k, &answer);
	struct nbd_setup next = k->setup;
	bool secondary;

	if (volume) {
		secondary = !strcmp(json_get_text(volume, "role", ""), "secondary");
		if (secondary && !k->secondary)
			note(k, "the volume is secondary on this node now: its I/O fails until it "
				"is promoted here");
		k->secondary = secondary;
		next.size_bytes = json_get_u64(volume, "size_bytes", next.size_bytes);
		next.patience_s = !strcmp(json_get_text(volume, "policy", ""), "fail-closed")
					  ? PATIENCE_CLOSED_S
					  : k->job->options->timeout_s + KERNEL_EXTRA_S;
	}
	json_object_put(answer);
	if (!k->kernel || k->setup.index < 0 ||
	    (next.size_bytes == k->setup.size_bytes && next.patience_s == k->setup.patience_s))
		return;
	if (nbd_device_change(k->kernel, &next, NULL, 0, &k->err)) {
		note(k, "%s", k->err.text);
		return;
	}
	if (next.size_bytes != k->setup.size_bytes)
		note(k, "/dev/nbd%d has %" PRIu64 " bytes now", next.index, next.size_bytes);
	k->setup = next;
}

static int on_redial(sd_event_source *source, uint64_t usec, void *ctx);

static int on_event(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	struct keeper *k = ctx;
	char words[4096];
	ssize_t n = recv(fd, words, sizeof(words), MSG_DONTWAIT);

	(void)source;
	(void)revents;
	if (n > 0) {
		/* Whatever has changed: what counts is asked for. */
		while (recv(fd, words, sizeof(words), MSG_DONTWAIT) > 0)
			;
		refresh(k);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		k->hearing = sd_event_source_disable_unref(k->hearing);
		on_redial(NULL, 0, k);
	}
	return 0;
}

/* Listens to the engine's events; to the next engine's when that one went away. */
static int on_redial(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct keeper *k = ctx;
	struct json_object *request = control_request("events");
	int fd = control_dial(k->job->cli);

	(void)source;
	(void)usec;
	json_set_text(request, "volume", k->job->options->volume);
	if (fd >= 0 && dprintf(fd, "%s\n", json_object_to_json_string(request)) > 0 &&
	    sd_event_add_io(k->loop, &k->hearing, fd, EPOLLIN, on_event, k) >= 0) {
		sd_event_source_set_io_fd_own(k->hearing, true);
		refresh(k);
	} else {
		if (fd >= 0)
			close(fd);
		sd_event_source_set_time_relative(k->redial, 2 * RETRY_US);
		sd_event_source_set_enabled(k->redial, SD_EVENT_ONESHOT);
	}
	json_object_put(request);
	return 0;
}

/* --- the state, for `attach` and `detach` --- */

static struct json_object *state_of(const struct keeper *k)
{
	const struct nbd_export *e = k->job->export;
	struct json_object *state = json_object_new_object();
	char text[256];

	json_set_bool(state, "ok", true);
	json_set_text(state, "volume", k->job->options->volume);
	if (k->kernel) {
		snprintf(text, sizeof(text), "/dev/nbd%d", k->setup.index);
		json_set_text(state, "device", text);
		json_set_text(state, "link", k->job->place->link);
	} else {
		nbd_export_uri(e, text, sizeof(text));
		json_set_text(state, "uri", text);
	}
	if (e->path[0])
		json_set_text(state, "socket", e->path);
	json_set_u64(state, "connections", k->links);
	json_set_u64(state, "timeout_s", k->job->options->timeout_s);
	json_set_u64(state, "keeper", (uint64_t)getpid());
	json_set_u64(state, "nbdkit", (uint64_t)k->nbdkit);
	return state;
}

static void save_state(const struct keeper *k)
{
	struct json_object *state = state_of(k);

	if (attach_state_save(k->job->place, state))
		note(k, "%s cannot be written", k->job->place->state);
	json_object_put(state);
}

/* --- nbdkit, and the kernel's connections to it --- */

static void again_in(struct keeper *k, uint64_t usec)
{
	sd_event_source_set_time_relative(k->timer, usec);
	sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
}

static void leave(struct keeper *k, int exit_status)
{
	k->exit_status = exit_status;
	sd_event_exit(k->loop, 0);
}

static void trouble(struct keeper *k)
{
	if (!k->trouble_us)
		k->trouble_us = now_us();
}

/* Of the time that I/O may wait; 0: none is left. */
static uint64_t patience_us(const struct keeper *k)
{
	uint64_t all = k->job->options->timeout_s * US_PER_S;
	uint64_t waited = k->trouble_us ? now_us() - k->trouble_us : 0;

	return waited < all ? all - waited : 0;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *ctx);

static int start_nbdkit(struct keeper *k)
{
	pid_t pid = nbd_export_start(k->job->export, &k->err);

	if (pid < 0)
		return (int)pid;
	k->nbdkit = pid;
	k->started_us = now_us();
	return sd_event_add_child(k->loop, &k->child, pid, WEXITED, on_child, k);
}

static void close_all(struct keeper *k)
{
	while (k->open_fds)
		close(k->fds[--k->open_fds]);
}

/* Gives the kernel all connections that it is to have; the first time that makes the device. */
static int connect_kernel(struct keeper *k)
{
	unsigned count = k->job->options->connections;
	int rc;

	close_all(k);
	while (k->open_fds < count) {
		rc = nbd_export_dial(k->job->export, &k->setup.flags, &k->err);
		if (rc < 0) {
			close_all(k);
			return rc;
		}
		k->fds[k->open_fds++] = rc;
	}
	if (k->links)
		rc = nbd_device_change(k->kernel, &k->setup, k->fds, count, &k->err);
	else
		rc = nbd_device_connect(k->kernel, &k->setup, k->fds, count, &k->err);
	if (rc)
		close_all(k);
	else
		k->links = count;
	return rc;
}

static void serve_again(struct keeper *k)
{
	uint64_t waited_us = k->trouble_us ? now_us() - k->trouble_us : 0;

	/* The kernel puts a new one only where it knows that the old one is dead. */
	if (k->kernel && k->deaths < k->links && waited_us < DEATHS_TOLD_US) {
		again_in(k, RETRY_US);
		return;
	}
	if (!k->nbdkit && start_nbdkit(k)) {
		note(k, "%s", k->err.text);
		again_in(k, RETRY_US);
		return;
	}
	if (k->kernel && connect_kernel(k)) {
		if (patience_us(k)) {
			again_in(k, RETRY_US);
			return;
		}
		note(k,
		     "given up after %u s, I/O fails from now on; `lockstep attach` it again "
		     "after what used it has ended: %s",
		     k->job->options->timeout_s, k->err.text);
		leave(k, EXIT_FAILED);
		return;
	}
	note(k, "goes on, after %.1f s", (double)waited_us / 1e6);
	k->phase = PHASE_SERVING;
	k->deaths = 0;
	if (k->kernel)
		k->trouble_us = 0;
	save_state(k);
	refresh(k);
}

static void end_nbdkit(const struct keeper *k, int signal_number)
{
	if (k->nbdkit > 0)
		kill(k->nbdkit, signal_number);
}

/* nbdkit has to end: the kernel has given up connections to it. */
static void renew(struct keeper *k)
{
	trouble(k);
	k->trouble_us -= k->setup.request_s * US_PER_S;
	k->phase = PHASE_ENDING;
	note(k, "a request had no answer for %u s: nbdkit is started anew", k->setup.request_s);
	/*
	 * First the kernel lets go of all connections, for an nbdkit that ends answers what comes
	 * then with an error.  What it has in flight ends before it does, in the engine or for
	 * want of one.
	 */
	for (unsigned i = 0; i < k->open_fds; i++)
		shutdown(k->fds[i], SHUT_RDWR);
	end_nbdkit(k, SIGTERM);
	again_in(k, patience_us(k));
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	struct keeper *k = ctx;
	enum phase was = k->phase;

	(void)source;
	if (k->phase == PHASE_SERVING || k->phase == PHASE_DOUBT)
		note(k, "nbdkit ended by itself, %s %d",
		     info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
	/* A server that comes up and goes at once is one long trouble. */
	if (!k->kernel && now_us() - k->started_us > 2 * US_PER_S)
		k->trouble_us = 0;
	trouble(k);
	k->nbdkit = 0;
	k->child = sd_event_source_unref(k->child);
	k->phase = PHASE_STARTING;
	if (!k->kernel && !patience_us(k)) {
		note(k, "given up: nbdkit does not stay");
		leave(k, EXIT_FAILED);
		return 0;
	}
	again_in(k, k->kernel && was != PHASE_STARTING ? 0 : RETRY_US);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	(void)usec;
	if (k->phase == PHASE_STARTING) {
		serve_again(k);
	} else if (k->phase == PHASE_DOUBT) {
		renew(k);
	} else if (k->phase == PHASE_ENDING) {
		if (waits_for_peer(k))
			k->trouble_us = now_us(); /* which is none */
		else
			end_nbdkit(k, SIGKILL);
		again_in(k, k->job->options->timeout_s * US_PER_S);
	}
	return 0;
}

static int on_deaths(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	(void)fd;
	(void)revents;
	k->deaths += nbd_device_deaths(k->kernel, k->setup.index);
	if (k->phase == PHASE_SERVING && k->deaths) {
		k->phase = PHASE_DOUBT;
		again_in(k, DOUBT_US);
	} else if (k->phase == PHASE_STARTING && k->deaths >= k->links) {
		again_in(k, 0);
	}
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
	(void)source;
	(void)info;
	leave(ctx, 0);
	return 0;
}

/* --- begin and end --- */

static int begin_loop(struct keeper *k)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	if (sd_event_new(&k->loop) < 0 ||
	    sd_event_add_signal(k->loop, NULL, SIGTERM, on_signal, k) < 0 ||
	    sd_event_add_signal(k->loop, NULL, SIGINT, on_signal, k) < 0 ||
	    sd_event_add_time_relative(k->loop, &k->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, k) <
		    0 ||
	    sd_event_add_time_relative(k->loop, &k->redial, CLOCK_MONOTONIC, 0, 1000, on_redial,
				       k) < 0)
		return err_set(&k->err, -ENOMEM, "no memory for an event loop");
	sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
	if (k->kernel &&
	    sd_event_add_io(k->loop, NULL, nbd_device_fd(k->kernel), EPOLLIN, on_deaths, k) < 0)
		return err_set(&k->err, -ENOMEM, "no memory for an event loop");
	return 0;
}

/* A keeper that was killed has left a device: its nbdkit ends, and it gets connections to ours. */
static void adopt(struct keeper *k)
{
	struct json_object *state = attach_state_load(k->job->place);
	int index = k->kernel ? nbd_device_find(k->job->place->backend) : -1;
	struct pollfd fd = {.events = POLLIN};
	uint64_t end;

	/* With connections that live it would answer with errors on its way out. */
	attach_end_process(attach_nbdkit(state), index >= 0 ? 0 : 3000);
	if (index >= 0) {
		k->setup.index = index;
		k->links =
			(unsigned)json_get_u64(state, "connections", k->job->options->connections);
		note(k, "/dev/nbd%d is there without a keeper: taken over", index);
		fd.fd = nbd_device_fd(k->kernel);
		end = now_us() + DEATHS_TOLD_US;
		while (k->deaths < k->links && now_us() < end) {
			poll(&fd, 1, (int)((end - now_us()) / 1000) + 1);
			k->deaths += nbd_device_deaths(k->kernel, index);
		}
		k->deaths = 0;
	}
	json_object_put(state);
}

static int begin(struct keeper *k)
{
	const struct keeper_job *job = k->job;
	pid_t holder;
	int rc = attach_lock(job->place, &holder);

	if (rc == -EBUSY)
		return err_set(&k->err, rc,
			       "the volume is just being attached by process %d; ask again",
			       (int)holder);
	if (rc < 0)
		return err_set(&k->err, rc, "%s cannot be written: %s", job->place->folder,
			       strerror(-rc));
	k->locked = true;
	k->setup = (struct nbd_setup){
		.index = job->options->index,
		.size_bytes = job->size_bytes,
		.block_bytes = job->block_bytes,
		.request_s = (uint32_t)min_u64(job->options->resend_s, job->options->timeout_s),
		.patience_s = job->options->timeout_s + KERNEL_EXTRA_S,
	};
	snprintf(k->setup.backend, sizeof(k->setup.backend), "%s", job->place->backend);
	if (job->export->for_kernel) {
		rc = nbd_device_open(&k->kernel, &k->err);
		if (rc)
			return rc;
	}
	adopt(k);
	rc = begin_loop(k);
	if (!rc)
		rc = start_nbdkit(k);
	if (rc || !k->kernel)
		return rc;
	rc = connect_kernel(k);
	if (rc && k->links) {
		/* One that was taken over is in use: it waits as long as any. */
		note(k, "%s", k->err.text);
		trouble(k);
		again_in(k, RETRY_US);
		return 0;
	}
	if (!rc)
		k->phase = PHASE_SERVING;
	return rc;
}

static void announce(struct keeper *k)
{
	char device[32], uevent[64];
	int fd;

	if (!k->kernel)
		k->phase = PHASE_SERVING;
	save_state(k);
	if (k->kernel) {
		snprintf(device, sizeof(device), "/dev/nbd%d", k->setup.index);
		attach_link(k->job->place, device);
		/* The kernel told udev before the device had the name that the rule looks for. */
		snprintf(uevent, sizeof(uevent), "/sys/block/nbd%d/uevent", k->setup.index);
		fd = open(uevent, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "change", 6) < 0)
			note(k, "udev was not told of %s: %s", device, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	k->job->told(k->job->ctx, state_of(k));
	sd_notify(0, "READY=1");
}

static void end(struct keeper *k)
{
	struct err err;

	if (!k->locked)
		return; /* it is another one's */
	sd_notify(0, "STOPPING=1");
	if (k->kernel && k->setup.index >= 0 && k->links &&
	    nbd_device_disconnect(k->kernel, k->setup.index, &err))
		note(k, "%s", err.text);
	k->child = sd_event_source_disable_unref(k->child);
	/* Requests that it holds have nobody who waits for them any more. */
	attach_end_process(k->nbdkit, 3000);
	attach_forget(k->job->place, k->job->export->path);
}

int keeper_run(const struct keeper_job *job)
{
	struct keeper k = {.job = job, .phase = PHASE_STARTING};
	struct json_object *answer;
	int rc = begin(&k);

	if (rc) {
		answer = json_object_new_object();
		json_set_bool(answer, "ok", false);
		json_set_text(answer, "error", k.err.text[0] ? k.err.text : strerror(-rc));
		job->told(job->ctx, answer);
		k.exit_status = EXIT_FAILED;
	} else {
		announce(&k);
		/* Its timer connects to the engine's events. */
		if (sd_event_loop(k.loop) < 0)
			k.exit_status = EXIT_FAILED;
	}
	end(&k);
	nbd_device_close(k.kernel);
	return k.exit_status;
}
