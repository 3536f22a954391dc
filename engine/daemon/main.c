/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lockstepd.  This file starts everything in order and stops it in reverse; see README.md
 * for the threads.
 */
#include "engine/base/crc32c.h"
#include "engine/daemon/command_line.h"
#include "engine/daemon/ctl.h"
#include "engine/daemon/daemon.h"
#include "engine/daemon/door.h"
#include "engine/daemon/log.h"
#include "engine/daemon/watchdog.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define STORE_QUEUE_DEPTH 1024
#define FABRIC_TIMEOUT_MS 5000
/* Locked memory besides the slots: copy buffers, client arenas. */
#define LOCK_EXTRA_BYTES MIB(64)

struct sockets {
	char control[256], client[256];
	int control_fd, client_fd;
};

struct life {
	struct daemon d;
	struct sockets sockets;
	struct call stop_call;
	bool stopped;
};

struct dial_failure {
	struct call call;
	void *cookie;
	char reason[400];
};

static _Noreturn void fail(struct life *l, const struct err *err)
{
	log_line(LOG_LEVEL_ERROR, "%s", err->text);
	if (l->sockets.control_fd >= 0)
		unlink(l->sockets.control);
	if (l->sockets.client_fd >= 0)
		unlink(l->sockets.client);
	exit(1);
}

/* Between threads */

static void dial_failed_on_shard(void *shard, struct call *call)
{
	struct dial_failure *f = CONTAINER_OF(call, struct dial_failure, call);

	engine_dial_failed(shard_engine(shard), f->cookie, f->reason);
	shard_return(shard, call);
}

static void dial_failed_on_control(struct call *call)
{
	free(CONTAINER_OF(call, struct dial_failure, call));
}

static void dial(struct daemon *d, const char *address, void *cookie)
{
	struct dial_failure *f;
	struct err err;

	if (!fabric_dial(d->fabric, address, cookie, &err))
		return;
	f = calloc(1, sizeof(*f));
	if (!f) {
		log_line(LOG_LEVEL_ERROR, "no memory to tell of a failed dial: %s", err.text);
		return;
	}
	f->call.on_shard = dial_failed_on_shard;
	f->call.on_control = dial_failed_on_control;
	f->cookie = cookie;
	snprintf(f->reason, sizeof(f->reason), "%s", err.text);
	if (!shard_call(d->shard, &f->call))
		free(f);
}

static void take_note(struct life *l, const struct note *note)
{
	switch (note->kind) {
	case NOTE_LOG:
		log_line(note->level, "%s", note->text);
		break;
	case NOTE_EVENT:
		events_take(l->d.events, &note->event);
		break;
	case NOTE_DIAL:
		dial(&l->d, note->text, note->cookie);
		break;
	case NOTE_CLIENT_BROKEN:
		door_cut_off(l->d.door, note->client_id);
		break;
	case NOTE_CLIENT_ENDED:
		door_ended(l->d.door, note->client_id);
		break;
	case NOTE_STOPPED:
		l->stopped = true;
		break;
	}
}

static void take_mail(struct life *l)
{
	struct call *call;
	struct note note;

	/* What the shard told before it gave a call back is heard before that. */
	do {
		call = shard_take_returned(l->d.shard);
		while (shard_take_note(l->d.shard, &note))
			take_note(l, &note);
		if (call)
			call->on_control(call);
	} while (call);
}

static int on_bell(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct life *l = userdata;

	(void)source;
	(void)fd;
	(void)events;
	shard_bell_quiet(l->d.shard);
	take_mail(l);
	return 0;
}

/* Stopping */

static void stop_on_shard(void *shard, struct call *call)
{
	shard_stop(shard);
	shard_return(shard, call);
}

static void stop_on_control(struct call *call)
{
	(void)call;
}

void daemon_stop(struct daemon *d, const char *why)
{
	struct life *l = CONTAINER_OF(d, struct life, d);
	struct err err;

	if (d->stopping)
		return;
	d->stopping = true;
	sd_notify(0, "STOPPING=1");
	events_tell(d->events, &(struct engine_event){
				       .kind = EVENT_NODE,
				       .level = LOG_LEVEL_INFO,
				       .to = "stopping",
				       .reason = why,
			       });
	l->stop_call.on_shard = stop_on_shard;
	l->stop_call.on_control = stop_on_control;
	if (!shard_call(d->shard, &l->stop_call)) {
		err_set(&err, -EBUSY, "the shard takes no calls any more: ending at once");
		fail(l, &err);
	}
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct life *l = userdata;

	(void)source;
	if (l->d.stopping) {
		log_line(LOG_LEVEL_WARNING, "second signal: ending at once");
		unlink(l->sockets.control);
		unlink(l->sockets.client);
		/* It may have ended by now, and nobody will join it. */
		pthread_detach(shard_thread(l->d.shard));
		_exit(1);
	}
	daemon_stop(&l->d, strsignal((int)si->ssi_signo));
	return 0;
}

/* Starting */

static int open_sockets(struct life *l, struct err *err)
{
	const char *dir = l->d.options.run_dir;
	struct sockets *s = &l->sockets;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return err_set(err, -errno, "cannot make the run directory %s: %s", dir,
			       strerror(errno));
	snprintf(s->control, sizeof(s->control), "%.200s/control.sock", dir);
	snprintf(s->client, sizeof(s->client), "%.200s/client.sock", dir);
	s->control_fd = listen_unix(s->control, SOCK_STREAM, err);
	if (s->control_fd < 0)
		return s->control_fd;
	s->client_fd = listen_unix(s->client, SOCK_SEQPACKET, err);
	return s->client_fd < 0 ? s->client_fd : 0;
}

static int open_state(struct daemon *d, struct err *err)
{
	const struct options *o = &d->options;
	int rc = state_open(&d->state, o->state_dir, o->node_name, err);

	if (rc)
		return rc;
	if (o->given[OPTION_NODE].source == OPTION_DEFAULT ||
	    !strcmp(o->node_name, d->state.node_name))
		return 0;
	log_line(LOG_LEVEL_WARNING, "this node was called %s, and is %s from now on",
		 d->state.node_name, o->node_name);
	snprintf(d->state.node_name, sizeof(d->state.node_name), "%s", o->node_name);
	return state_save(&d->state, err);
}

static int create_shard(struct daemon *d, struct err *err)
{
	struct shard_config config = {
		.engine =
			{
				.node_address = d->state.node_address,
				.peer_timeout_ms = d->options.peer_timeout_ms,
				.map_keep_bytes = MIB((uint64_t)d->options.map_keep_mib),
				.payload_crc = d->options.payload_crc,
				.slot_count = d->options.slot_count,
			},
		.polling = d->polling,
		.spin_ns = (uint64_t)d->spin_us * 1000,
		.spin_judged = d->options.polling == POLLING_AUTO,
	};

	snprintf(config.engine.node_name, sizeof(config.engine.node_name), "%s",
		 d->state.node_name);
	return shard_create(&config, d->store_queue, &d->shard, err);
}

/* A NIC pins what it may touch; without that nothing would work, so it is said at once. */
static int check_lock_limit(const struct daemon *d, struct err *err)
{
	const struct options *o = &d->options;
	uint64_t slots = (uint64_t)o->slot_count * (o->slot_bytes + LINK_PAYLOAD_OFFSET);

	if (strncmp(o->listen, "rdma:", 5) != 0)
		return 0;
	return machine_lock_check(&d->machine, slots + LOCK_EXTRA_BYTES, err);
}

static int create_fabric(struct daemon *d, struct err *err)
{
	const struct options *o = &d->options;
	struct fabric_config config = {
		.slot_count = o->slot_count,
		.slot_bytes = o->slot_bytes,
		.timeout_ms = FABRIC_TIMEOUT_MS,
	};
	int rc =
		fabric_create(o->listen, &config, &shard_fabric_handler, d->shard, &d->fabric, err);

	if (rc)
		return rc;
	log_line(LOG_LEVEL_INFO, "fabric: %s, %s", fabric_backend(d->fabric),
		 fabric_describe(d->fabric));
	return 0;
}

/* The URI with the port that was really taken. */
static void set_listen(struct daemon *d)
{
	const char *uri = d->options.listen, *address = strstr(uri, "://") + 3;
	const char *port = strrchr(address, ':'), *bracket = strrchr(address, ']');
	int length;

	if (port && bracket && port < bracket)
		port = NULL;
	length = (int)(port ? (size_t)(port - uri) : strlen(uri));
	if (fabric_port(d->fabric))
		snprintf(d->listen, sizeof(d->listen), "%.*s:%u", length, uri,
			 fabric_port(d->fabric));
	else
		snprintf(d->listen, sizeof(d->listen), "%s", uri);
}

static int start_threads(struct life *l, struct err *err)
{
	struct daemon *d = &l->d;
	int rc = check_lock_limit(d, err);

	if (!rc)
		rc = store_queue_create(STORE_QUEUE_DEPTH, &d->store_queue, err);
	if (rc)
		return rc;
	log_line(LOG_LEVEL_INFO, "store queue: %s", store_queue_describe(d->store_queue));
	pools_open_stores(d);
	placement_polling(d);
	log_line(LOG_LEVEL_INFO, "polling: %s (%s)", polling_name(d->polling), d->polling_why);
	rc = create_shard(d, err);
	if (!rc)
		rc = create_fabric(d, err);
	if (rc)
		return rc;
	set_listen(d);
	rc = placement_choose(d, err);
	if (!rc)
		rc = shard_start(d->shard, d->fabric, err);
	if (!rc)
		rc = placement_apply(d, err);
	return rc;
}

static int start_events(struct life *l, struct err *err)
{
	struct daemon *d = &l->d;
	int rc;

	rc = sd_event_add_io(d->event, NULL, shard_bell(d->shard), EPOLLIN, on_bell, l);
	if (rc >= 0)
		rc = sd_event_add_signal(d->event, NULL, SIGTERM, on_signal, l);
	if (rc >= 0)
		rc = sd_event_add_signal(d->event, NULL, SIGINT, on_signal, l);
	if (rc < 0)
		return err_set(err, rc, "cannot set up the control thread: %s", strerror(-rc));
	rc = watchdog_start(d, err);
	if (!rc)
		rc = control_create(d, l->sockets.control_fd, &d->control, err);
	return rc;
}

static void become_ready(struct life *l)
{
	struct daemon *d = &l->d;
	struct err err;

	peers_start(d);
	if (door_create(d, l->sockets.client_fd, &d->door, &err))
		fail(l, &err);
	d->ready = true;
	events_tell(d->events, &(struct engine_event){
				       .kind = EVENT_NODE,
				       .level = LOG_LEVEL_INFO,
				       .to = "ready",
				       .reason = d->listen,
			       });
	printf("ready node=%s address=0x%016" PRIx64 " listen=%s run=%s\n", d->state.node_name,
	       d->state.node_address, d->listen, d->options.run_dir);
	fflush(stdout);
	sd_notifyf(0, "READY=1\nSTATUS=node %s, %s", d->state.node_name, d->listen);
}

/* In reverse. */
static void finish(struct life *l)
{
	struct daemon *d = &l->d;

	shard_join(d->shard);
	take_mail(l);
	shard_drop_links(d->shard);
	watchdog_stop(d);
	door_destroy(d->door);
	events_tell(d->events, &(struct engine_event){
				       .kind = EVENT_NODE,
				       .level = LOG_LEVEL_INFO,
				       .to = "stopped",
			       });
	events_end(d->events);
	control_destroy(d->control);
	events_destroy(d->events);
	unlink(l->sockets.control);
	unlink(l->sockets.client);
	close(l->sockets.control_fd);
	close(l->sockets.client_fd);
	fabric_destroy(d->fabric);
	shard_destroy(d->shard);
	store_queue_destroy(d->store_queue);
	topo_destroy(d->topo);
	state_close(&d->state);
	sd_event_unref(d->event);
}

static void prepare(struct life *l, int argc, char **argv)
{
	struct daemon *d = &l->d;
	struct err err;
	sigset_t signals;
	int rc;

	l->sockets.control_fd = l->sockets.client_fd = -1;
	command_line_parse(&d->options, argc, argv, d->config_file);
	log_init(d->options.log_level);
	if (d->config_file[0])
		log_line(LOG_LEVEL_INFO, "configuration: %s", d->config_file);
	/* Before there are threads, which inherit the mask: signals come by signalfd. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	crc32c_init();
	machine_prepare(&d->machine);
	rc = sd_event_new(&d->event);
	d->events = events_create();
	if (rc < 0 || !d->events) {
		err_set(&err, rc, "no event loop: %s", strerror(rc < 0 ? -rc : ENOMEM));
		fail(l, &err);
	}
	if (open_state(d, &err) || topo_create(&d->topo, &err) || open_sockets(l, &err) ||
	    start_threads(l, &err) || start_events(l, &err))
		fail(l, &err);
}

int main(int argc, char **argv)
{
	struct life *l = calloc(1, sizeof(*l));

	if (!l)
		return 1;
	prepare(l, argc, argv);
	pools_start(&l->d);
	while (!l->stopped) {
		if (!l->d.ready && !l->d.stopping && !l->d.opening)
			become_ready(l);
		if (sd_event_run(l->d.event, UINT64_MAX) < 0)
			break;
	}
	finish(l);
	free(l);
	return 0;
}
