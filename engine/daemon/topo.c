/* SPDX-License-Identifier: BSD-3-Clause */
/* The only file that knows hwloc. */
#include "engine/daemon/topo.h"
#include "engine/base/defs.h"
#include "engine/config/options.h"

#include <errno.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NODE_UNKNOWN (-1)

struct topo {
	hwloc_topology_t hw;
	hwloc_cpuset_t usable; /* what we may run on */
	int claimed; /* core, or -1 */
	int claim_fd;
};

int topo_create(struct topo **topo, struct err *err)
{
	struct topo *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "no memory for the machine's topology");
	t->claimed = t->claim_fd = -1;
	t->usable = hwloc_bitmap_alloc();
	if (!t->usable || hwloc_topology_init(&t->hw))
		goto free_usable;
	hwloc_topology_set_io_types_filter(t->hw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
	if (hwloc_topology_load(t->hw))
		goto destroy_hw;
	if (hwloc_get_cpubind(t->hw, t->usable, HWLOC_CPUBIND_PROCESS))
		hwloc_bitmap_copy(t->usable, hwloc_topology_get_allowed_cpuset(t->hw));
	*topo = t;
	return 0;
destroy_hw:
	hwloc_topology_destroy(t->hw);
free_usable:
	hwloc_bitmap_free(t->usable);
	free(t);
	return err_set(err, -EIO, "hwloc cannot read this machine's topology");
}

void topo_destroy(struct topo *t)
{
	if (!t)
		return;
	if (t->claim_fd >= 0)
		close(t->claim_fd);
	hwloc_bitmap_free(t->usable);
	hwloc_topology_destroy(t->hw);
	free(t);
}

/* CPU quota of our control group (v2) in whole threads, rounded up; 0 = none. */
static unsigned quota_threads(void)
{
	char line[512], path[600], *nl;
	unsigned long quota = 0, period = 0;
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "0::", 3);
	fclose(f);
	if (!found)
		return 0;
	nl = strchr(line, '\n');
	if (nl)
		*nl = '\0';
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", line + 3);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &quota, &period) != 2 || !period)
		quota = 0; /* "max" */
	fclose(f);
	return quota ? (unsigned)((quota + period - 1) / period) : 0;
}

unsigned topo_threads(const struct topo *t)
{
	int weight = hwloc_bitmap_weight(t->usable);
	unsigned threads = weight > 0 ? (unsigned)weight : 1;
	unsigned quota = quota_threads();

	return quota && quota < threads ? quota : threads;
}

static int object_node(const struct topo *t, hwloc_obj_t io)
{
	hwloc_obj_t near = hwloc_get_non_io_ancestor_obj(t->hw, io);

	/* The root means "somewhere": no information, unless there is only one node. */
	if (!near || !near->nodeset || hwloc_bitmap_weight(near->nodeset) != 1)
		return NODE_UNKNOWN;
	return hwloc_bitmap_first(near->nodeset);
}

static int read_node(const char *path)
{
	FILE *f = fopen(path, "re");
	int node = NODE_UNKNOWN;

	if (!f)
		return NODE_UNKNOWN;
	if (fscanf(f, "%d", &node) != 1)
		node = NODE_UNKNOWN;
	fclose(f);
	return node;
}

/* soft-RoCE has no PCI parent, but names the network device below it. */
static int soft_nic_node(const char *nic)
{
	char path[256], netdev[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%.60s/parent", nic);
	f = fopen(path, "re");
	if (!f)
		return NODE_UNKNOWN;
	if (fscanf(f, "%63s", netdev) != 1)
		netdev[0] = '\0';
	fclose(f);
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", netdev);
	return read_node(path);
}

static int nic_node(const struct topo *t, const char *nic)
{
	hwloc_obj_t io = NULL;

	if (!nic[0])
		return NODE_UNKNOWN;
	while ((io = hwloc_get_next_osdev(t->hw, io)))
		if (io->name && !strcmp(io->name, nic))
			return object_node(t, io);
	return soft_nic_node(nic);
}

/* The node of most devices that tell theirs. */
static int devices_node(const struct topo_wish *wish)
{
	int best = NODE_UNKNOWN;
	unsigned best_count = 0;

	for (unsigned i = 0; i < wish->device_count; i++) {
		unsigned count = 0;

		for (unsigned j = 0; j < wish->device_count; j++)
			count += wish->device_node[j] == wish->device_node[i];
		if (wish->device_node[i] >= 0 && count > best_count) {
			best = wish->device_node[i];
			best_count = count;
		}
	}
	return best;
}

/* An abstract socket: gone with the process, whatever its end, and needs no directory. */
static int claim(unsigned core)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
			      "lockstep/core/%u", core);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void claim_drop(struct topo *t)
{
	if (t->claim_fd >= 0)
		close(t->claim_fd);
	t->claimed = t->claim_fd = -1;
}

/* The highest free core of @set (interrupts prefer the low ones); true if it is ours alone. */
static bool claim_from(struct topo *t, hwloc_const_cpuset_t set, int *core)
{
	int last = hwloc_bitmap_last(set);

	if (t->claimed >= 0 && hwloc_bitmap_isset(set, (unsigned)t->claimed)) {
		*core = t->claimed;
		return true;
	}
	for (int c = last; c >= 0; c--) {
		int fd;

		if (!hwloc_bitmap_isset(set, (unsigned)c))
			continue;
		fd = claim((unsigned)c);
		if (fd >= 0) {
			claim_drop(t);
			t->claimed = *core = c;
			t->claim_fd = fd;
			return true;
		}
	}
	return false;
}

static int core_node(const struct topo *t, int core)
{
	hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(t->hw, (unsigned)core);

	if (!pu || !pu->nodeset || hwloc_bitmap_weight(pu->nodeset) != 1)
		return NODE_UNKNOWN;
	return hwloc_bitmap_first(pu->nodeset);
}

static int choose_given(struct topo *t, int core, struct topo_pick *pick, struct err *err)
{
	if (!hwloc_bitmap_isset(t->usable, (unsigned)core)) {
		char list[128];

		hwloc_bitmap_list_snprintf(list, sizeof(list), t->usable);
		return err_set(err, -EINVAL, "--core %d: this process may use only core %s", core,
			       list);
	}
	claim_drop(t);
	t->claim_fd = claim((unsigned)core);
	t->claimed = t->claim_fd < 0 ? -1 : core;
	pick->core = core;
	pick->numa_node = core_node(t, core);
	snprintf(pick->why, sizeof(pick->why), "asked for with option 'core'%s",
		 t->claim_fd < 0 ? "; another lockstepd of this machine has it, too" : "");
	return 0;
}

static void say_why(struct topo_pick *pick, const struct topo_wish *wish, int nic, int devices,
		    bool alone)
{
	char where[200];

	if (nic >= 0 && devices >= 0 && nic != devices)
		snprintf(
			where, sizeof(where),
			"near %s (NUMA node %d); the devices are on node %d, which costs every I/O "
			"a hop",
			wish->nic, nic, devices);
	else if (nic >= 0)
		snprintf(where, sizeof(where), "near %s (NUMA node %d)", wish->nic, nic);
	else if (devices >= 0)
		snprintf(
			where, sizeof(where),
			"near the devices (NUMA node %d); the machine does not say where the %s is",
			devices, wish->nic[0] ? wish->nic : "network device");
	else
		snprintf(where, sizeof(where),
			 "the machine does not say where %s and the devices are",
			 wish->nic[0] ? wish->nic : "the network device");
	if (alone)
		snprintf(pick->why, sizeof(pick->why), "%s%s", where,
			 nic < 0 && devices < 0 ? ": highest free core" : "");
	else
		snprintf(pick->why, sizeof(pick->why),
			 "other lockstepd have every core that would do (%s)", where);
}

int topo_choose(struct topo *t, const struct topo_wish *wish, struct topo_pick *pick,
		struct err *err)
{
	hwloc_cpuset_t set;
	hwloc_obj_t node;
	int nic, devices, wanted;
	bool alone;

	*pick = (struct topo_pick){.core = -1, .numa_node = NODE_UNKNOWN};
	if (wish->core == CORE_NONE) {
		snprintf(pick->why, sizeof(pick->why), "option 'core' is none");
		return 0;
	}
	if (wish->core != CORE_CHOOSE)
		return choose_given(t, wish->core, pick, err);
	nic = nic_node(t, wish->nic);
	devices = devices_node(wish);
	wanted = nic >= 0 ? nic : devices;
	set = hwloc_bitmap_dup(t->usable);
	if (!set)
		return err_set(err, -ENOMEM, "no memory to choose a core");
	node = wanted >= 0 ? hwloc_get_numanode_obj_by_os_index(t->hw, (unsigned)wanted) : NULL;
	if (node && hwloc_bitmap_intersects(set, node->cpuset))
		hwloc_bitmap_and(set, set, node->cpuset);
	alone = claim_from(t, set, &pick->core);
	hwloc_bitmap_free(set);
	/* Two pinned to one core would wait for each other while others are idle. */
	if (!alone)
		pick->core = -1;
	pick->numa_node = core_node(t, pick->core);
	say_why(pick, wish, nic, devices, alone);
	return 0;
}

int topo_bind(struct topo *t, pthread_t thread, int core, struct err *err)
{
	hwloc_cpuset_t set = hwloc_bitmap_alloc();
	int rc;

	if (!set)
		return err_set(err, -ENOMEM, "no memory to pin a thread");
	hwloc_bitmap_only(set, (unsigned)core);
	rc = hwloc_set_thread_cpubind(t->hw, thread, set, 0) ? -errno : 0;
	hwloc_bitmap_free(set);
	return rc ? err_set(err, rc, "cannot pin the shard to core %d: %s", core, strerror(-rc))
		  : 0;
}
