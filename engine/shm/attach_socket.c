/* SPDX-License-Identifier: BSD-3-Clause */
/* The system calls of attach.h: one message, with descriptors, on a unix socket. */
#include "engine/shm/attach.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
	char bytes[CMSG_SPACE(ATTACH_NR_FDS * sizeof(int))];
	struct cmsghdr align;
};

int attach_send(int socket, const void *message, size_t length_bytes, const int *fds,
		unsigned nr_fds)
{
	union control control = {0};
	struct iovec iov = {.iov_base = (void *)message, .iov_len = length_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;
	ssize_t n;

	assert(nr_fds <= ATTACH_NR_FDS);
	if (nr_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Moves the descriptors of @msg to @fds, which has room for all; returns how many came. */
static unsigned fds_take(struct msghdr *msg, int *fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t bytes;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	bytes = c->cmsg_len - CMSG_LEN(0);
	memcpy(fds, CMSG_DATA(c), bytes);
	return (unsigned)(bytes / sizeof(int));
}

ssize_t attach_receive(int socket, void *buffer, int *fds, unsigned nr_fds, unsigned *got_fds)
{
	union control control = {0};
	struct iovec iov = {.iov_base = buffer, .iov_len = ATTACH_MESSAGE_MAX};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned got = 0;
	ssize_t n;

	assert(nr_fds <= ATTACH_NR_FDS);
	if (nr_fds) {
		*got_fds = 0;
		msg.msg_control = control.bytes;
		/* Not one more, be it padding: those that do not fit the kernel drops. */
		msg.msg_controllen = CMSG_LEN(nr_fds * sizeof(int));
	}
	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (nr_fds)
		*got_fds = got = fds_take(&msg, fds);
	if (msg.msg_flags & MSG_TRUNC || (got && got != nr_fds) ||
	    (nr_fds && msg.msg_flags & MSG_CTRUNC))
		return -EPROTO;
	return n;
}
