/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

/* So often in the time that the service manager waits: one may be late. */
#define PINGS 4

struct watchdog {
	struct daemon *d;
	sd_event_source *timer;
	struct call call;
	bool asked; /* the call is with the shard */
	uint64_t period_us;
};

static void answer_on_shard(void *shard, struct call *call)
{
	shard_return(shard, call);
}

static void answered(struct call *call)
{
	struct watchdog *w = CONTAINER_OF(call, struct watchdog, call);

	w->asked = false;
	sd_notify(0, "WATCHDOG=1");
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct watchdog *w = userdata;
	int rc;

	/* Stopping takes as long as requests in flight take; it has a limit of its own. */
	if (w->d->stopping)
		sd_notify(0, "WATCHDOG=1");
	else if (!w->asked)
		w->asked = shard_call(w->d->shard, &w->call);
	rc = sd_event_source_set_time(source, usec + w->period_us);
	if (rc >= 0)
		rc = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return rc;
}

int watchdog_start(struct daemon *d, struct err *err)
{
	struct watchdog *w;
	uint64_t usec;
	int rc = sd_watchdog_enabled(0, &usec);

	if (rc <= 0)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, -ENOMEM, "no memory for the watchdog");
	w->d = d;
	w->call = (struct call){.on_shard = answer_on_shard, .on_control = answered};
	w->period_us = usec / PINGS;
	d->watchdog = w;
	rc = sd_event_add_time_relative(d->event, &w->timer, CLOCK_MONOTONIC, w->period_us,
					w->period_us / 8, on_time, w);
	if (rc < 0)
		return err_set(err, rc, "cannot set up the watchdog: %s", strerror(-rc));
	return 0;
}

void watchdog_stop(struct daemon *d)
{
	if (!d->watchdog)
		return;
	sd_event_source_disable_unref(d->watchdog->timer);
	free(d->watchdog);
	d->watchdog = NULL;
}
