/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/keeper.h"

#include "engine/client/serve.h"
#include "tools/lockstep/control.h"
#include "tools/lockstep/nbd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nbd.h>
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
#define GATHER_US 10000ull
#define ASK_LIMIT_S 5
#define AGAIN_MIN_US (2 * US_PER_S)
#define AGAIN_MAX_US (32 * US_PER_S)
#define LOG_MAX_BYTES (1 << 20)
#define EXIT_STAYS 3
/* The keeper gives up first, and says so; the kernel, when there is none. */
#define KERNEL_EXTRA_S 5
/* Of a fail-closed volume, which waits until its peer is back, however long that takes. */
#define PATIENCE_CLOSED_S (365ull * 24 * 3600)
/* Of the engine; a flush is of both replicas, whichever connection it comes on. */
#define SERVED_FLAGS                                                                               \
	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |       \
	 NBD_FLAG_CAN_MULTI_CONN)

struct keeper {
	const struct keeper_job *job;
	struct nbd_device *kernel; /* NULL: only an export */
	struct nbd_setup setup;
	sd_event *loop;
	sd_event_source *child, *timer, *hearing, *redial, *again;
	pid_t nbdkit; /* of an export */
	unsigned links; /* connections that the kernel has, dead or alive */
	unsigned deaths; /* of these, those that are known to be dead */
	uint64_t started_us, trouble_us; /* 0: none */
	bool secondary; /* as last heard */
	uint64_t again_us; /* how long until the next refresh, after one in vain; 0: it was not */
	uint8_t id[16]; /* the volume's; known: job->uuid is not empty */
	int exit_status;
	int lock; /* -1: another one's */
	bool stays; /* the device is in use: it is left as it is */
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

/* --- trouble --- */

static void once_in(sd_event_source *timer, uint64_t usec)
{
	sd_event_source_set_time_relative(timer, usec);
	sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void again_in(struct keeper *k, uint64_t usec)
{
	once_in(k->timer, usec);
}

static void trouble(struct keeper *k)
{
	if (!k->trouble_us)
		k->trouble_us = now_us();
}

/* --- what the engine says --- */

/* Whether two volumes are known to be different ones: earlier releases do not say which. */
static bool other(const char *one, const char *two)
{
	return *one && *two && strcmp(one, two) != 0;
}

/* NULL: it is not there, or another one has its name; with *@answer NULL nobody knows. */
static struct json_object *ask_volume(const struct keeper *k, struct json_object **answer)
{
	struct json_object *request = control_request("volume-list"), *list, *volume;

	json_set_text(request, "volume", k->job->options->volume);
	*answer = control_ask(k->job->cli, request, ASK_LIMIT_S);
	list = json_get_array(*answer, "volumes");
	volume = list ? json_object_array_get_idx(list, 0) : NULL;
	return volume && other(json_get_text(volume, "uuid", ""), k->job->uuid) ? NULL : volume;
}

/* The event that it was done for does not come a second time. */
static void refresh_again(struct keeper *k, const char *why)
{
	if (!k->again_us)
		note(k, "%s; tried again", why);
	k->again_us = k->again_us ? min_u64(2 * k->again_us, AGAIN_MAX_US) : AGAIN_MIN_US;
	once_in(k->again, k->again_us);
}

/* Returns whether some have died; they die together, and are told of one by one. */
static bool hear_deaths(struct keeper *k)
{
	unsigned deaths = nbd_device_deaths(k->kernel, k->setup.index);

	k->deaths = deaths == NBD_DEATHS_UNKNOWN ? k->links
						 : (unsigned)min_u64(k->deaths + deaths, k->links);
	if (k->deaths && !k->trouble_us) {
		trouble(k);
		again_in(k, GATHER_US);
	}
	return k->deaths != 0;
}

/* The device has the volume's size, and waits as its policy says. */
static void refresh(struct keeper *k)
{
	struct json_object *answer, *volume = ask_volume(k, &answer);
	struct nbd_setup next = k->setup;
	bool secondary;

	if (!answer) {
		refresh_again(k, "the engine does not say what the volume is like");
		return;
	}
	if (volume) {
		secondary = !strcmp(json_get_text(volume, "role", ""), "secondary");
		if (secondary && !k->secondary)
			note(k, "the volume is secondary on this node now: its I/O fails until it "
				"is promoted here");
		k->secondary = secondary;
		/* What is in flight waits for the peer, the kernel for that: an event will come. */
		if (strcmp(json_get_text(volume, "mirror", ""), "waiting") != 0)
			next.size_bytes = json_get_u64(volume, "size_bytes", next.size_bytes);
		next.patience_s = !strcmp(json_get_text(volume, "policy", ""), "fail-closed")
					  ? PATIENCE_CLOSED_S
					  : k->job->options->timeout_s + KERNEL_EXTRA_S;
	}
	json_object_put(answer);
	if (!k->kernel || k->setup.index < 0 ||
	    (next.size_bytes == k->setup.size_bytes && next.patience_s == k->setup.patience_s)) {
		k->again_us = 0;
		return;
	}
	/*
	 * Nor while that waits for a connection, which only this process can make: connect_again()
	 * comes back here.
	 */
	if (hear_deaths(k))
		return;
	if (nbd_device_change(k->kernel, &next, NULL, 0, &k->err)) {
		refresh_again(k, k->err.text);
		return;
	}
	k->again_us = 0;
	if (next.size_bytes != k->setup.size_bytes)
		note(k, "/dev/nbd%d has %" PRIu64 " bytes now", next.index, next.size_bytes);
	k->setup = next;
}

static int on_again(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)source;
	(void)usec;
	refresh(ctx);
	return 0;
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
		once_in(k->redial, 2 * RETRY_US);
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
		json_set_text(state, "uuid", k->job->uuid);
		json_set_u64(state, "connections", k->links);
	} else {
		nbd_export_uri(e, text, sizeof(text));
		json_set_text(state, "uri", text);
		if (e->path[0]) {
			json_set_text(state, "socket", e->path);
			json_set_u64(state, "socket_inode", e->inode);
		}
		json_set_u64(state, "nbdkit", (uint64_t)k->nbdkit);
	}
	json_set_u64(state, "timeout_s", k->job->options->timeout_s);
	json_set_u64(state, "keeper", (uint64_t)getpid());
	return state;
}

static void save_state(const struct keeper *k)
{
	struct json_object *state = state_of(k);

	if (attach_state_save(k->job->place, state))
		note(k, "%s cannot be written", k->job->place->state);
	json_object_put(state);
}

/* --- time --- */

static void leave(struct keeper *k, int exit_status)
{
	k->exit_status = exit_status;
	sd_event_exit(k->loop, 0);
}

/* Of the time that I/O may wait; 0: none is left. */
static uint64_t patience_us(const struct keeper *k)
{
	uint64_t all = k->job->options->timeout_s * US_PER_S;
	uint64_t waited = k->trouble_us ? now_us() - k->trouble_us : 0;

	return waited < all ? all - waited : 0;
}

/* True when the trouble has lasted for as long as I/O may wait: the end. */
static bool gives_up(struct keeper *k, const char *why)
{
	if (patience_us(k))
		return false;
	note(k,
	     "given up after %u s, I/O fails from now on; `lockstep attach` it again after what "
	     "used it has ended: %s",
	     k->job->options->timeout_s, why);
	leave(k, EXIT_FAILED);
	return true;
}

static void goes_on(struct keeper *k)
{
	note(k, "goes on, after %.1f s", (double)(now_us() - k->trouble_us) / 1e6);
	save_state(k);
}

/* --- the kernel's connections to the engine --- */

static int serve(struct keeper *k)
{
	return serve_volume(k->job->cli->client, k->job->options->volume,
			    k->job->uuid[0] ? k->id : NULL, &k->err);
}

/* One connection in the place of one that is dead; when none is, the kernel takes none. */
static int connect_one(struct keeper *k)
{
	int rc = serve(k);
	int fd = rc;

	if (fd < 0)
		return fd;
	rc = nbd_device_change(k->kernel, &k->setup, &fd, 1, &k->err);
	close(fd);
	return rc;
}

/* The device, with all of its connections. */
static int connect_all(struct keeper *k)
{
	unsigned count = k->job->options->connections, made = 0;
	int fds[ATTACH_CONNECTIONS_MAX], rc = 0;

	while (made < count && rc >= 0) {
		rc = serve(k);
		if (rc >= 0)
			fds[made++] = rc;
	}
	if (rc >= 0)
		rc = nbd_device_connect(k->kernel, &k->setup, fds, count, &k->err);
	while (made)
		close(fds[--made]); /* the kernel has its own */
	if (!rc)
		k->links = count;
	return rc;
}

/* The kernel sends again what it had no answer for. */
static void connect_again(struct keeper *k)
{
	int rc = 0;

	while (k->deaths && !rc) {
		rc = connect_one(k);
		k->deaths -= !rc;
	}
	if (rc) {
		/* Those that live serve all of it: patience begins when none does. */
		if (k->deaths < k->links)
			k->trouble_us = now_us();
		if (k->deaths < k->links || !gives_up(k, k->err.text))
			again_in(k, RETRY_US);
		return;
	}
	goes_on(k);
	k->trouble_us = 0;
	refresh(k);
}

static int on_deaths(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	(void)fd;
	(void)revents;
	hear_deaths(k);
	return 0;
}

/* --- nbdkit --- */

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

static void export_again(struct keeper *k)
{
	if (start_nbdkit(k)) {
		note(k, "%s", k->err.text);
		if (!gives_up(k, k->err.text))
			again_in(k, RETRY_US);
		return;
	}
	goes_on(k);
	refresh(k);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	note(k, "nbdkit ended by itself, %s %d", info->si_code == CLD_EXITED ? "status" : "signal",
	     info->si_status);
	/* A server that comes up and goes at once is one long trouble. */
	if (now_us() - k->started_us > 2 * US_PER_S)
		k->trouble_us = 0;
	trouble(k);
	k->nbdkit = 0;
	k->child = sd_event_source_unref(k->child);
	if (!gives_up(k, "nbdkit does not stay"))
		again_in(k, RETRY_US);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	(void)usec;
	if (k->kernel)
		connect_again(k);
	else
		export_again(k);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
	struct keeper *k = ctx;

	(void)source;
	k->stays =
		info->ssi_signo != KEEPER_DETACH && k->kernel && nbd_device_in_use(k->setup.index);
	if (k->stays)
		note(k,
		     "told to end, but /dev/nbd%d is in use: it stays, and works on for as long as "
		     "the engine does; `lockstep attach %s` takes it over, `lockstep detach %s` "
		     "takes it away",
		     k->setup.index, k->job->options->volume, k->job->options->volume);
	/* A service manager that was not asked for it tries again: the next one takes it over. */
	leave(k, k->stays ? EXIT_STAYS : 0);
	return 0;
}

/* --- begin and end --- */

static int begin_loop(struct keeper *k)
{
	if (sd_event_new(&k->loop) < 0 ||
	    sd_event_add_signal(k->loop, NULL, SIGTERM, on_signal, k) < 0 ||
	    sd_event_add_signal(k->loop, NULL, SIGINT, on_signal, k) < 0 ||
	    sd_event_add_signal(k->loop, NULL, KEEPER_DETACH, on_signal, k) < 0 ||
	    sd_event_add_time_relative(k->loop, &k->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, k) <
		    0 ||
	    sd_event_add_time_relative(k->loop, &k->redial, CLOCK_MONOTONIC, 0, 1000, on_redial,
				       k) < 0 ||
	    sd_event_add_time_relative(k->loop, &k->again, CLOCK_MONOTONIC, 0, 1000, on_again, k) <
		    0)
		return err_set(&k->err, -ENOMEM, "no memory for an event loop");
	sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(k->again, SD_EVENT_OFF);
	if (k->kernel &&
	    sd_event_add_io(k->loop, NULL, nbd_device_fd(k->kernel), EPOLLIN, on_deaths, k) < 0)
		return err_set(&k->err, -ENOMEM, "no memory for an event loop");
	return 0;
}

/* A keeper that was killed has left an nbdkit, which ends, or a device, which works on. */
static int adopt(struct keeper *k)
{
	struct json_object *state = attach_state_load(k->job->place);
	int index = attach_device(k->job->place, state);
	const char *was = json_get_text(state, "uuid", "");
	int taken = k->kernel && index < 0 ? nbd_device_find(k->job->place->backend) : -1;

	attach_end_process(attach_nbdkit(state), 3000);
	if (index >= 0 && !k->kernel) {
		json_object_put(state);
		return err_set(&k->err, -EBUSY,
			       "volume '%s' is there as /dev/nbd%d, without a process that stays "
			       "with it: attach it without --nbd, or detach it first",
			       k->job->options->volume, index);
	}
	if (index >= 0 && other(was, k->job->uuid)) {
		json_object_put(state);
		return err_set(&k->err, -ESTALE,
			       "/dev/nbd%d is of a volume '%s' that was deleted, and not of the "
			       "one that has this name now: `lockstep detach %s --force` first",
			       index, k->job->options->volume, k->job->options->volume);
	}
	if (index >= 0) {
		k->setup.index = index;
		/* Not a new one together with a connection: the kernel stops for it. */
		k->setup.size_bytes = nbd_device_bytes(index);
		k->links =
			(unsigned)json_get_u64(state, "connections", k->job->options->connections);
		note(k, "/dev/nbd%d is there without a keeper: taken over", index);
	}
	json_object_put(state);
	if (taken < 0)
		return 0;
	return err_set(
		&k->err, -EBUSY,
		"/dev/nbd%d is the block device of a volume '%s' that this lockstepd knows "
		"nothing of: another one of this host has attached it, or it was left behind "
		"(then `nbd-client -d /dev/nbd%d` takes it away)",
		taken, k->job->options->volume, taken);
}

static int begin(struct keeper *k)
{
	const struct keeper_job *job = k->job;
	pid_t holder;
	sigset_t mask;
	int rc;

	/* Before anybody can know of it: `detach` ends it in good order or not at all. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, KEEPER_DETACH);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	rc = attach_lock(job->place, &holder);
	if (rc == -EBUSY)
		return err_set(&k->err, rc,
			       "the volume is just being attached by process %d; ask again",
			       (int)holder);
	if (rc < 0)
		return err_set(&k->err, rc, "%s cannot be written: %s", job->place->folder,
			       strerror(-rc));
	k->lock = rc;
	/* Until it is known that what is there is ours, and that we can stay with it. */
	k->stays = true;
	if (job->uuid[0] && !attach_id(job->uuid, k->id))
		return err_set(&k->err, -EPROTO, "'%s' is no identity of a volume", job->uuid);
	k->setup = (struct nbd_setup){
		.index = job->options->index,
		.size_bytes = job->size_bytes,
		.block_bytes = job->block_bytes,
		.flags = SERVED_FLAGS,
		.patience_s = job->options->timeout_s + KERNEL_EXTRA_S,
	};
	snprintf(k->setup.backend, sizeof(k->setup.backend), "%s", job->place->backend);
	if (!job->options->nbd) {
		rc = nbd_device_open(&k->kernel, &k->err);
		if (rc)
			return rc;
	}
	rc = adopt(k);
	if (!rc)
		rc = begin_loop(k);
	if (rc)
		return rc;
	k->stays = false;
	if (!k->kernel)
		return start_nbdkit(k);
	if (!k->links)
		return connect_all(k);
	/* How many have died meanwhile nobody says.  It is in use: it waits as long as any. */
	k->deaths = k->links;
	trouble(k);
	again_in(k, 0);
	return 0;
}

static void announce(struct keeper *k)
{
	char device[32], uevent[64];
	int fd;

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

static void take_away(struct keeper *k)
{
	struct err err;

	if (k->kernel && k->setup.index >= 0 && k->links &&
	    nbd_device_disconnect(k->kernel, k->setup.index, &err))
		note(k, "%s", err.text);
	k->child = sd_event_source_disable_unref(k->child);
	/* Requests that it holds have nobody who waits for them any more. */
	attach_end_process(k->nbdkit, 3000);
	if (k->kernel)
		attach_unlink(k->job->place);
	attach_forget(k->job->place, k->job->export->path, k->job->export->inode);
}

static void end(struct keeper *k)
{
	if (k->lock < 0)
		return; /* it is another one's */
	sd_notify(0, "STOPPING=1");
	if (!k->stays)
		take_away(k);
	close(k->lock);
}

int keeper_run(const struct keeper_job *job)
{
	struct keeper k = {.job = job, .lock = -1};
	struct json_object *answer;
	int rc = begin(&k);

	if (rc) {
		/* Before it is told: who hears it may try again at once. */
		end(&k);
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
		end(&k);
	}
	nbd_device_close(k.kernel);
	return k.exit_status;
}
