/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/rdma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number in a one-line file of sysfs, or @otherwise. */
static long long sysfs_number(const char *path, long long otherwise)
{
	char text[32];
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return otherwise;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return otherwise;
	text[got] = '\0';
	return strtoll(text, NULL, 10);
}

static int no_device(struct err *err)
{
	return err_set(err, -ENODEV,
		       "no RDMA device found: load its driver, or for soft-RoCE `modprobe rdma_rxe "
		       "rdma_ucm` and `rdma link add rxe0 type rxe netdev eth0`; or use the TCP "
		       "link: tcp://ADDRESS:PORT");
}

int rdma_device_check(struct err *err)
{
	int count = 0;
	struct ibv_device **list = ibv_get_device_list(&count);

	if (list)
		ibv_free_device_list(list);
	return count > 0 ? 0 : no_device(err);
}

static bool device_is_active(struct ibv_device *device)
{
	struct ibv_context *context = ibv_open_device(device);
	struct ibv_device_attr attr;
	bool active = false;

	if (!context)
		return false;
	if (ibv_query_device(context, &attr) == 0) {
		for (uint8_t port = 1; port <= attr.phys_port_cnt && !active; port++) {
			struct ibv_port_attr port_attr;

			active = ibv_query_port(context, port, &port_attr) == 0 &&
				 port_attr.state == IBV_PORT_ACTIVE;
		}
	}
	ibv_close_device(context);
	return active;
}

static struct ibv_context *device_find(const char *name)
{
	struct ibv_context *context = NULL;
	struct ibv_device **list = ibv_get_device_list(NULL);

	for (int i = 0; list && list[i] && !context; i++) {
		if (name ? strcmp(name, ibv_get_device_name(list[i])) == 0
			 : device_is_active(list[i]))
			context = ibv_open_device(list[i]);
	}
	if (list)
		ibv_free_device_list(list);
	return context;
}

int rdma_device_open(struct rdma_device *device, const char *name, struct err *err)
{
	struct ibv_device_attr attr;
	char path[256];
	int rc = rdma_device_check(err);

	*device = (struct rdma_device){0};
	if (rc < 0)
		return rc;
	device->context = device_find(name);
	if (!device->context)
		return name ? err_set(err, -ENODEV, "cannot open RDMA device %s: %s", name,
				      strerror(errno))
			    : err_set(err, -ENODEV, "no RDMA device has an active port: see `rdma "
				      "link`");
	snprintf(device->name, sizeof(device->name), "%s",
		 ibv_get_device_name(device->context->device));
	rc = ibv_query_device(device->context, &attr);
	if (rc == 0) {
		device->pd = ibv_alloc_pd(device->context);
		rc = device->pd ? 0 : errno;
	}
	if (rc != 0) {
		rc = err_set(err, -rc, "cannot use RDMA device %s: %s", device->name, strerror(rc));
		rdma_device_close(device);
		return rc;
	}
	device->wr_max = (uint32_t)attr.max_qp_wr;
	device->cqe_max = (uint32_t)attr.max_cqe;
	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/parent", device->name);
	device->soft = access(path, F_OK) == 0;
	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/device/numa_node", device->name);
	device->numa_node = (int)sysfs_number(path, -1);
	return 0;
}

void rdma_device_close(struct rdma_device *device)
{
	if (device->pd)
		ibv_dealloc_pd(device->pd);
	if (device->context)
		ibv_close_device(device->context);
	*device = (struct rdma_device){0};
}

int rdma_device_memory_error(struct err *err, int code, const char *what)
{
	struct rlimit limit;

	if (code != ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return err_set(err, -code, "cannot make the %s: %s", what, strerror(code));
	return err_set(err, -code,
		       "cannot make the %s: no memory that may be locked; the limit is %llu KiB: "
		       "set LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`",
		       what, (unsigned long long)limit.rlim_cur / 1024);
}

int rdma_device_register(struct rdma_device *device, void *base, size_t length_bytes, int access,
			 const char *what, struct ibv_mr **mr, struct err *err)
{
	*mr = ibv_reg_mr(device->pd, base, length_bytes, access);
	if (*mr)
		return 0;
	return rdma_device_memory_error(err, errno, what);
}

uint64_t rdma_device_rnr_count(const struct rdma_device *device)
{
	/* Of soft-RoCE and of mlx5; a device has some of them. */
	static const char *const names[] = {"rcvd_rnr_err", "send_rnr_err", "rnr_nak_retry_err",
					    "out_of_buffer"};
	uint64_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[256];

		snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/1/hw_counters/%s",
			 device->name, names[i]);
		count += (uint64_t)sysfs_number(path, 0);
	}
	return count;
}
