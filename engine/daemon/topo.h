/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the shard runs: a core near the NIC and the NVMe devices, as hwloc knows them.
 * Says why it chose, and says so when the machine does not tell (soft-RoCE, many virtual
 * machines).  Control thread.
 */
#ifndef LS_DAEMON_TOPO_H
#define LS_DAEMON_TOPO_H

#include "engine/base/err.h"

#include <pthread.h>

struct topo;

int topo_create(struct topo **topo, struct err *err) MUST_CHECK;
void topo_destroy(struct topo *topo);

/*
 * Hardware threads that this process may use at once: its affinity, cut by the CPU quota
 * of its control group.
 */
unsigned topo_threads(const struct topo *topo);

struct topo_wish {
	int core; /* CORE_CHOOSE, CORE_NONE or a number; see options.h */
	const char *nic; /* device name as in fabric_describe(), or "" */
	const int *device_node; /* NUMA nodes of the storage devices; -1 = not told */
	unsigned device_count;
};

struct topo_pick {
	int core; /* -1 = not pinned */
	int numa_node; /* of the core; -1 = not told */
	char why[300];
};

/*
 * Chooses a core and claims it among all lockstepd of this machine (of its network
 * namespace): two of them take different cores.  When all are taken: not pinned.  A new pick
 * gives up the old claim.
 */
int topo_choose(struct topo *topo, const struct topo_wish *wish, struct topo_pick *pick,
		struct err *err) MUST_CHECK;
/* Pins @thread to @core. */
int topo_bind(struct topo *topo, pthread_t thread, int core, struct err *err) MUST_CHECK;

#endif
