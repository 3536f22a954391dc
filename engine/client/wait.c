/* SPDX-License-Identifier: BSD-3-Clause */
/* Sleeping until a completion is there, and noticing that the engine is gone. */
#include "engine/client/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define NO_DEADLINE UINT64_MAX

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

int wait_gone(struct ls_connection *c, const char *why)
{
	if (!c->gone)
		c->gone = why;
	return err_set(&c->err, -EPIPE, "%s", c->gone);
}

/* Takes what is there to read and drops it. */
static void socket_drain(int socket)
{
	char bytes[512];
	ssize_t n;

	do {
		n = recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

/*
 * Sleeps until either descriptor has something, up to @timeout_ns.  The bell is emptied only
 * if @drain, that is by who arms anew: an armed program may be about to sleep on it.
 */
static int descriptors_poll(struct ls_connection *c, uint64_t timeout_ns, bool drain)
{
	struct pollfd fds[] = {
		{.fd = c->wakeup, .events = POLLIN},
		{.fd = c->socket, .events = POLLIN},
	};
	struct timespec t = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};

	if (ppoll(fds, ARRAY_SIZE(fds), timeout_ns == NO_DEADLINE ? NULL : &t, NULL) <= 0)
		return 0; /* Time is up, or a signal: the caller looks at the clock. */
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i].revents & (POLLHUP | POLLERR))
			return wait_gone(c, "the engine is gone: lockstepd ended or dropped "
					    "this connection, see its log");
		if (drain && fds[i].revents & POLLIN)
			socket_drain(fds[i].fd);
	}
	return 0;
}

int wait_look(struct ls_connection *c)
{
	return c->gone ? wait_gone(c, c->gone) : descriptors_poll(c, 0, false);
}

/* True when a completion came within the time that the options allow for looking. */
static bool spin(const struct ls_connection *c, uint64_t deadline)
{
	uint64_t end = min_u64(deadline, now_ns() + (uint64_t)c->spin_us * 1000);

	do {
		for (int i = 0; i < 32; i++) {
			if (queue_ready(c))
				return true;
			cpu_relax();
		}
	} while (now_ns() < end);
	return false;
}

/* Until a completion is there, the deadline has passed, or the engine is gone. */
static void sleep_until(struct ls_connection *c, uint64_t deadline)
{
	uint64_t now = 0;

	while (!queue_arm(c) && !c->gone) {
		if (deadline != NO_DEADLINE)
			now = now_ns();
		if (now >= deadline)
			break;
		descriptors_poll(c, deadline == NO_DEADLINE ? NO_DEADLINE : deadline - now, true);
	}
	queue_disarm(c);
}

int ls_wait(struct ls_connection *c, struct ls_completion *completions, int max, int timeout_ms)
{
	uint64_t deadline = NO_DEADLINE;
	int n;

	if (max <= 0)
		return err_set(&c->err, -EINVAL, "room for %d completions", max);
	if (!c->gone)
		queue_show(c);
	n = queue_take(c, completions, max);
	if (n || c->gone)
		return n ? n : wait_gone(c, c->gone);
	if (timeout_ms >= 0)
		deadline = now_ns() + (uint64_t)timeout_ms * 1000000;
	else if (c->sq_tail == c->cq_head)
		return err_set(&c->err, -EINVAL,
			       "waiting without limit, and no request is in flight");
	if (timeout_ms == 0)
		wait_look(c);
	else if (!c->spin_us || !spin(c, deadline))
		sleep_until(c, deadline);
	n = queue_take(c, completions, max);
	return n || !c->gone ? n : wait_gone(c, c->gone);
}

int ls_fd(const struct ls_connection *c)
{
	return c->epoll;
}

void ls_arm(struct ls_connection *c)
{
	/* Before the new number: what is drained here belongs to an older arming. */
	if (!c->gone)
		descriptors_poll(c, 0, true);
	queue_arm(c);
}
