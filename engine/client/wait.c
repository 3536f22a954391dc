/* SPDX-License-Identifier: BSD-3-Clause */
/* Sleeping until a completion is there, and noticing that the engine is gone. */
#include "engine/client/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

uint64_t clock_ns(void)
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

/* Takes what is there to read and drops it. */
static void socket_drain(int socket)
{
	char bytes[512];
	ssize_t n;

	do {
		n = recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT);
		/* Less than asked for: it is empty, and one call was enough. */
	} while (n == sizeof(bytes) || (n < 0 && errno == EINTR));
}

/*
 * Sleeps until a descriptor has something, up to @timeout_ns.  The bell is emptied only if
 * @drain, that is by who arms anew: an armed program may be about to sleep on it.
 */
static void descriptors_poll(struct ls_connection *c, uint64_t timeout_ns, bool drain)
{
	struct pollfd fds[] = {
		{.fd = c->wakeup, .events = POLLIN},
		{.fd = c->socket, .events = POLLIN},
		{.fd = c->timer, .events = POLLIN},
	};
	struct timespec t = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};

	if (ppoll(fds, ARRAY_SIZE(fds), timeout_ns == NO_DEADLINE ? NULL : &t, NULL) <= 0)
		return; /* Time is up, or a signal: the caller looks at the clock. */
	if (c->session != SESSION_UP)
		return; /* What comes is session_advance()'s. */
	for (unsigned i = 0; i < 2; i++) {
		if (fds[i].revents & (POLLHUP | POLLERR)) {
			session_lost(c, "the engine is gone: lockstepd ended or dropped "
					"this connection, see its log");
			return;
		}
		if (drain && fds[i].revents & POLLIN)
			socket_drain(fds[i].fd);
	}
}

void wait_look(struct ls_connection *c)
{
	if (c->session == SESSION_UP)
		descriptors_poll(c, 0, false);
}

void wait_for_session(struct ls_connection *c)
{
	wait_look(c);
	while (c->session == SESSION_LOST) {
		session_advance(c);
		if (c->session == SESSION_LOST)
			descriptors_poll(c, NO_DEADLINE, false);
	}
}

/* True when a completion came within the time that the options allow for looking. */
static bool spin(const struct ls_connection *c, uint64_t deadline)
{
	uint64_t end = min_u64(deadline, clock_ns() + (uint64_t)c->spin_us * 1000);

	do {
		for (int i = 0; i < 32; i++) {
			if (queue_ready(c))
				return true;
			cpu_relax();
		}
	} while (clock_ns() < end);
	return false;
}

/* Until a completion is there, the deadline has passed, or the session is gone. */
static void sleep_until(struct ls_connection *c, uint64_t deadline)
{
	uint64_t now = 0;

	while (!queue_arm(c) && c->session != SESSION_GONE) {
		if (deadline != NO_DEADLINE)
			now = clock_ns();
		if (now >= deadline)
			break;
		descriptors_poll(c, deadline == NO_DEADLINE ? NO_DEADLINE : deadline - now, true);
		if (c->session == SESSION_LOST)
			session_advance(c);
	}
	queue_disarm(c);
}

int ls_wait(struct ls_connection *c, struct ls_completion *completions, int max, int timeout_ms)
{
	uint64_t deadline = NO_DEADLINE;
	int n;

	if (max <= 0)
		return err_set(&c->err, -EINVAL, "room for %d completions", max);
	queue_show(c);
	n = queue_take(c, completions, max);
	if (n || c->session == SESSION_GONE)
		return n ? n : session_error(c);
	if (timeout_ms >= 0)
		deadline = clock_ns() + (uint64_t)timeout_ms * 1000000;
	else if (c->sq_tail == c->cq_head)
		return err_set(&c->err, -EINVAL,
			       "waiting without limit, and no request is in flight");
	/* What is there may be no completion: a stopping engine's refusal is the library's own. */
	do {
		if (c->session == SESSION_LOST)
			session_advance(c);
		if (timeout_ms == 0)
			wait_look(c);
		else if (!c->spin_us || c->session != SESSION_UP || !spin(c, deadline))
			sleep_until(c, deadline);
		n = queue_take(c, completions, max);
	} while (!n && c->session != SESSION_GONE && timeout_ms != 0 && clock_ns() < deadline);
	return n || c->session != SESSION_GONE ? n : session_error(c);
}

int ls_fd(const struct ls_connection *c)
{
	return c->epoll;
}

void ls_arm(struct ls_connection *c)
{
	/* Before the new number: what is drained here belongs to an older arming. */
	if (c->session == SESSION_UP)
		descriptors_poll(c, 0, true);
	queue_arm(c);
}
