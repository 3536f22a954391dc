/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/nbd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The deaths of all devices of this host are told to each: an engine with all of its clients. */
#define HEAR_BUFFER_BYTES (1 << 20)

struct nbd_device {
	struct nl_sock *ask, *hear;
	int family;
	/* Of the request that is under way. */
	bool done;
	int error; /* negative errno */
	int index;
	/* Of what is heard. */
	int heard_index;
	unsigned deaths;
};

/* --- the netlink family --- */

static int index_of(struct nl_msg *message, uint8_t *command)
{
	struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attrs[NBD_ATTR_MAX + 1] = {0};

	if (!genlmsg_valid_hdr(nlmsg_hdr(message), 0) ||
	    genlmsg_parse(nlmsg_hdr(message), 0, attrs, NBD_ATTR_MAX, NULL) < 0 ||
	    !attrs[NBD_ATTR_INDEX])
		return -1;
	*command = header->cmd;
	return (int)nla_get_u32(attrs[NBD_ATTR_INDEX]);
}

static int on_reply(struct nl_msg *message, void *arg)
{
	struct nbd_device *d = arg;
	uint8_t command;
	int index = index_of(message, &command);

	if (index >= 0)
		d->index = index;
	return NL_OK;
}

static int on_ack(struct nl_msg *message, void *arg)
{
	struct nbd_device *d = arg;

	(void)message;
	d->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct nbd_device *d = arg;

	(void)from;
	d->done = true;
	d->error = error->error;
	return NL_STOP;
}

static int on_heard(struct nl_msg *message, void *arg)
{
	struct nbd_device *d = arg;
	uint8_t command;

	if (index_of(message, &command) == d->heard_index && command == NBD_CMD_LINK_DEAD)
		d->deaths++;
	return NL_OK;
}

/* The only line of a file of /sys; false, and then @text is empty, when it cannot be read. */
static bool sys_line(const char *path, char *text, int bytes)
{
	FILE *f = fopen(path, "re");
	bool read = f && fgets(text, bytes, f);

	if (f)
		fclose(f);
	text[read ? strcspn(text, "\n") : 0] = 0;
	return read;
}

/* True when the module is loaded now. */
static bool load_module(void)
{
	static const char *const programs[] = {"modprobe", "/sbin/modprobe"};
	const char *argv[] = {"modprobe", "-q", "nbd", NULL};
	int status = 1;
	pid_t pid;

	for (unsigned i = 0; i < ARRAY_SIZE(programs) && status; i++)
		if (posix_spawnp(&pid, programs[i], NULL, NULL, (char *const *)argv, environ) ||
		    waitpid(pid, &status, 0) < 0)
			status = 1;
	return !status;
}

static int find_family(struct nbd_device *d, struct err *err)
{
	d->family = genl_ctrl_resolve(d->ask, NBD_GENL_FAMILY_NAME);
	if (d->family < 0 && load_module())
		d->family = genl_ctrl_resolve(d->ask, NBD_GENL_FAMILY_NAME);
	if (d->family < 0)
		return err_set(
			err, -ENODEV,
			"this kernel has no nbd (`modprobe nbd` does not bring it), so there "
			"can be no block device");
	return 0;
}

static int hear_deaths(struct nbd_device *d, struct err *err)
{
	int group = genl_ctrl_resolve_grp(d->ask, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME);

	nl_socket_disable_seq_check(d->hear);
	nl_socket_modify_cb(d->hear, NL_CB_VALID, NL_CB_CUSTOM, on_heard, d);
	if (genl_connect(d->hear) || nl_socket_set_nonblocking(d->hear) ||
	    nl_socket_set_buffer_size(d->hear, HEAR_BUFFER_BYTES, 0) || group < 0 ||
	    nl_socket_add_membership(d->hear, group))
		return err_set(err, -EIO, "the kernel's nbd does not tell when a connection dies");
	return 0;
}

int nbd_device_open(struct nbd_device **device, struct err *err)
{
	struct nbd_device *d = calloc(1, sizeof(*d));
	int rc;

	if (!d || !(d->ask = nl_socket_alloc()) || !(d->hear = nl_socket_alloc()))
		rc = err_set(err, -ENOMEM, "no memory");
	else if (genl_connect(d->ask))
		rc = err_set(err, -EIO, "the kernel's generic netlink cannot be used");
	else if (!(rc = find_family(d, err)))
		rc = hear_deaths(d, err);
	if (rc) {
		nbd_device_close(d);
		return rc;
	}
	nl_socket_modify_cb(d->ask, NL_CB_VALID, NL_CB_CUSTOM, on_reply, d);
	nl_socket_modify_cb(d->ask, NL_CB_ACK, NL_CB_CUSTOM, on_ack, d);
	nl_socket_modify_err_cb(d->ask, NL_CB_CUSTOM, on_error, d);
	*device = d;
	return 0;
}

void nbd_device_close(struct nbd_device *d)
{
	if (!d)
		return;
	nl_socket_free(d->ask);
	nl_socket_free(d->hear);
	free(d);
}

/* --- requests --- */

static struct nl_msg *request(struct nbd_device *d, uint8_t command)
{
	struct nl_msg *m = nlmsg_alloc();

	if (m && !genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, d->family, 0, 0, command,
			      NBD_GENL_VERSION)) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

/* Sends @m (consumed), which is NULL when it could not be made. */
static int transact(struct nbd_device *d, struct nl_msg *m)
{
	int rc = -ENOMEM;

	d->done = false;
	d->error = 0;
	if (m) {
		rc = nl_send_auto(d->ask, m) < 0 ? -EIO : 0;
		nlmsg_free(m);
	}
	/* Until it is acknowledged or refused; a reply may come before that. */
	while (!rc && !d->done)
		if (nl_recvmsgs_default(d->ask) < 0 && !d->done)
			rc = -EIO;
	return rc ? rc : d->error;
}

static int put_sockets(struct nl_msg *m, const int *sockets, unsigned count)
{
	struct nlattr *all = nla_nest_start(m, NBD_ATTR_SOCKETS);

	for (unsigned i = 0; all && i < count; i++) {
		struct nlattr *one = nla_nest_start(m, NBD_SOCK_ITEM);

		if (!one || nla_put_u32(m, NBD_SOCK_FD, (uint32_t)sockets[i]))
			return -ENOMEM;
		nla_nest_end(m, one);
	}
	if (!all)
		return -ENOMEM;
	nla_nest_end(m, all);
	return 0;
}

static struct nl_msg *setup_request(struct nbd_device *d, uint8_t command,
				    const struct nbd_setup *s, const int *sockets, unsigned count)
{
	struct nl_msg *m = request(d, command);

	if (!m)
		return NULL;
	if ((s->index >= 0 && nla_put_u32(m, NBD_ATTR_INDEX, (uint32_t)s->index)) ||
	    nla_put_u64(m, NBD_ATTR_SIZE_BYTES, s->size_bytes) ||
	    nla_put_u64(m, NBD_ATTR_BLOCK_SIZE_BYTES, s->block_bytes) ||
	    nla_put_u64(m, NBD_ATTR_SERVER_FLAGS, s->flags) ||
	    /*
	     * 0: a request that takes long, for want of a peer, say, is told of and waited for.
	     * Only of a device with one connection: of several the kernel ends one after 30 s.
	     */
	    nla_put_u64(m, NBD_ATTR_TIMEOUT, 0) ||
	    nla_put_u64(m, NBD_ATTR_DEAD_CONN_TIMEOUT, s->patience_s) ||
	    nla_put_string(m, NBD_ATTR_BACKEND_IDENTIFIER, s->backend) ||
	    (count && put_sockets(m, sockets, count))) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

/*
 * What the engine has buffers for; and no discard that zeroes gigabytes in one go, for which NBD
 * has no limit.  A new size makes the kernel forget the last of these.  Linux 6.11 and later
 * stop the device for a write here, even of the same value, and wait until nothing is in
 * flight: while a connection is dead that may be for ever.
 */
static void limit_queue(int index)
{
	static const struct {
		const char *name, *value;
	} limits[] = {
		{"nr_requests", "32"}, /* for each connection */
		{"max_sectors_kb", "256"},
		{"discard_max_bytes", "16777216"},
	};
	char path[96], now[32];
	FILE *f;

	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
		snprintf(path, sizeof(path), "/sys/block/nbd%d/queue/%s", index, limits[i].name);
		if (sys_line(path, now, sizeof(now)) && !strcmp(now, limits[i].value))
			continue;
		f = fopen(path, "we");
		if (f) {
			fputs(limits[i].value, f);
			fclose(f);
		}
	}
}

int nbd_device_connect(struct nbd_device *d, struct nbd_setup *setup, const int *sockets,
		       unsigned count, struct err *err)
{
	int rc;

	d->index = setup->index;
	rc = transact(d, setup_request(d, NBD_CMD_CONNECT, setup, sockets, count));
	if (rc == -EPERM)
		return err_set(err, rc, "the kernel gives a block device to root only");
	if (rc == -EBUSY && setup->index >= 0)
		return err_set(err, rc, "/dev/nbd%d is in use: name another one, or none",
			       setup->index);
	if (rc)
		return err_set(err, rc, "the kernel made no block device: %s", strerror(-rc));
	setup->index = d->heard_index = d->index;
	limit_queue(d->index);
	return 0;
}

int nbd_device_change(struct nbd_device *d, const struct nbd_setup *setup, const int *sockets,
		      unsigned count, struct err *err)
{
	int rc;

	d->heard_index = setup->index;
	rc = transact(d, setup_request(d, NBD_CMD_RECONFIGURE, setup, sockets, count));
	if (rc)
		return err_set(err, rc, "the kernel does not change /dev/nbd%d: %s", setup->index,
			       strerror(-rc));
	limit_queue(setup->index);
	return 0;
}

int nbd_device_disconnect(struct nbd_device *d, int index, struct err *err)
{
	struct nl_msg *m = request(d, NBD_CMD_DISCONNECT);
	int rc;

	if (m && nla_put_u32(m, NBD_ATTR_INDEX, (uint32_t)index)) {
		nlmsg_free(m);
		m = NULL;
	}
	rc = transact(d, m);
	/* -EINVAL: no such device, or it is connected to nothing. */
	return rc && rc != -EINVAL
		       ? err_set(err, rc, "the kernel does not let go of /dev/nbd%d: %s", index,
				 strerror(-rc))
		       : 0;
}

/* --- what is heard --- */

int nbd_device_fd(const struct nbd_device *d)
{
	return nl_socket_get_fd(d->hear);
}

unsigned nbd_device_deaths(struct nbd_device *d, int index)
{
	int rc;

	d->heard_index = index;
	d->deaths = 0;
	while ((rc = nl_recvmsgs_default(d->hear)) >= 0)
		;
	return rc == -NLE_AGAIN ? d->deaths : NBD_DEATHS_UNKNOWN;
}

uint64_t nbd_device_bytes(int index)
{
	char path[64], sectors[32];

	snprintf(path, sizeof(path), "/sys/block/nbd%d/size", index);
	return sys_line(path, sectors, sizeof(sectors)) ? strtoull(sectors, NULL, 10) * 512 : 0;
}

bool nbd_device_has(int index, const char *backend)
{
	char path[64], text[128];

	snprintf(path, sizeof(path), "/sys/block/nbd%d/backend", index);
	return sys_line(path, text, sizeof(text)) && !strcmp(text, backend);
}

int nbd_device_find(const char *backend)
{
	int found = -1;
	glob_t all;

	if (glob("/sys/block/nbd*", 0, NULL, &all))
		return -1;
	for (size_t i = 0; i < all.gl_pathc && found < 0; i++) {
		int index = atoi(all.gl_pathv[i] + strlen("/sys/block/nbd"));

		found = nbd_device_has(index, backend) ? index : -1;
	}
	globfree(&all);
	return found;
}

bool nbd_device_in_use(int index)
{
	char path[32];
	bool busy;
	int fd;

	snprintf(path, sizeof(path), "/dev/nbd%d", index);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	busy = fd < 0 && errno == EBUSY;
	if (fd >= 0)
		close(fd);
	return busy;
}
