/* SPDX-License-Identifier: BSD-3-Clause */
/* Which core the shard runs on, and how it waits. */
#include "engine/daemon/daemon.h"
#include "engine/daemon/log.h"
#include "engine/daemon/wake_cost.h"

#include <stdio.h>
#include <string.h>

/*
 * The shard, and whatever it waits for: a process, the kernel, the other engine.  With one
 * hardware thread a spinner only keeps its own answer from being made.
 */
#define THREADS_TO_SPIN 2
/* An answer that comes within what a sleep costs is worth waiting for; so is one a little later. */
#define SPIN_US_MIN 50
#define SPIN_US_MAX 500

/* "rxe0 (soft-RoCE), GID 1, …" -> "rxe0" */
static void nic_name(const struct fabric *fabric, char *name, size_t bytes)
{
	const char *text = fabric ? fabric_describe(fabric) : "";
	size_t length = strcspn(text, " ,:");

	name[0] = '\0';
	if (fabric && !strcmp(fabric_backend(fabric), "rdma") && length < bytes)
		snprintf(name, bytes, "%.*s", (int)length, text);
}

static uint32_t spin_us(const struct daemon *d)
{
	uint64_t us;

	if (d->options.spin_us != SPIN_AUTO)
		return d->options.spin_us;
	us = d->polling == POLLING_ADAPTIVE ? 2 * wake_cost_ns() / 1000 : 0;
	return (uint32_t)min_u64(max_u64(us, SPIN_US_MIN), SPIN_US_MAX);
}

void placement_polling(struct daemon *d)
{
	unsigned threads = topo_threads(d->topo);

	d->hardware_threads = threads;
	d->polling = d->options.polling;
	if (d->polling == POLLING_AUTO)
		d->polling = threads < THREADS_TO_SPIN ? POLLING_EVENT : POLLING_ADAPTIVE;
	d->spin_us = spin_us(d);
	if (d->options.polling != POLLING_AUTO) {
		snprintf(d->polling_why, sizeof(d->polling_why), "asked for with option 'polling'");
		return;
	}
	snprintf(d->polling_why, sizeof(d->polling_why),
		 threads < THREADS_TO_SPIN
			 ? "auto: %u hardware thread: a spinning shard would be in its own way"
			 : "auto: %u hardware threads; spins up to %u us, and sleeps at once while "
			   "that seldom pays",
		 threads, d->spin_us);
}

int placement_choose(struct daemon *d, struct err *err)
{
	struct topo_wish wish = {
		.core = d->options.core,
		.device_node = d->device_nodes,
		.device_count = d->device_count,
	};
	char nic[64];

	nic_name(d->fabric, nic, sizeof(nic));
	wish.nic = nic;
	return topo_choose(d->topo, &wish, &d->pick, err);
}

int placement_apply(struct daemon *d, struct err *err)
{
	int rc;

	d->bind_error[0] = '\0';
	if (d->pick.core < 0) {
		log_line(LOG_LEVEL_INFO, "shard 0 is not pinned: %s", d->pick.why);
		return 0;
	}
	rc = topo_bind(d->topo, shard_thread(d->shard), d->pick.core, err);
	if (rc) {
		snprintf(d->bind_error, sizeof(d->bind_error), "%.190s", err->text);
		if (d->options.core >= 0)
			return rc;
		log_line(LOG_LEVEL_WARNING, "%s", err->text);
		return 0;
	}
	log_line(LOG_LEVEL_INFO, "shard 0 runs on core %d: %s", d->pick.core, d->pick.why);
	return 0;
}

void placement_add_devices(struct daemon *d, struct store *const *stores, unsigned count)
{
	int old = d->pick.core;
	struct err err;

	for (unsigned i = 0; i < count && d->device_count < ARRAY_SIZE(d->device_nodes); i++)
		d->device_nodes[d->device_count++] = stores[i]->geometry.numa_node;
	if (!d->ready || d->options.core != CORE_CHOOSE)
		return;
	if (placement_choose(d, &err) || (d->pick.core != old && placement_apply(d, &err)))
		log_line(LOG_LEVEL_WARNING, "%s", err.text);
}
