/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a session that ended to the next.  The argument why nothing is lost, told twice or
 * different in effect is in engine/doc/client-queue.md, "When the engine goes away".
 *
 * There is no thread: each call of the program that waits or polls goes one stretch on.  So nothing
 * here waits; what is waited for is the socket or the timer, and both are in ls_fd().
 */
#include "engine/client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PAUSE_FIRST_NS 10000000ull
#define PAUSE_MAX_NS 500000000ull

/* The timer is readable from @at_ns on, 0 = never. */
static void timer_set(struct ls_connection *c, uint64_t at_ns)
{
	const struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ns / NS_PER_S),
		.it_value.tv_nsec = (long)(at_ns % NS_PER_S),
	};

	timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* A child of fork() may hold a copy: so closing alone would neither end it nor its epoll entry. */
static void watched_close(struct ls_connection *c, int *fd)
{
	if (*fd < 0)
		return;
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, *fd, NULL);
	shutdown(*fd, SHUT_RDWR);
	close(*fd);
	*fd = -1;
}

static void session_close(struct ls_connection *c)
{
	watched_close(c, &c->wakeup);
	watched_close(c, &c->socket);
	if (c->doorbell >= 0)
		close(c->doorbell);
	c->doorbell = -1;
}

static void why_set(struct ls_connection *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
}

void session_gone(struct ls_connection *c, const char *why)
{
	why_set(c, why);
	c->session = SESSION_GONE;
	session_close(c);
	timer_set(c, 1); /* ls_fd() is readable for good */
}

int session_error(struct ls_connection *c)
{
	return err_set(&c->err, -EPIPE, "%s", c->why);
}

void session_lost(struct ls_connection *c, const char *why)
{
	if (!queue_save(c)) {
		session_gone(c, QUEUE_SPOILT);
		return;
	}
	if (!c->patience_ns) {
		session_gone(c, why);
		return;
	}
	why_set(c, why);
	c->session = SESSION_LOST;
	session_close(c);
	/*
	 * Otherwise what is left of it counts, until a completion comes: a request that no engine
	 * survives must not bring down each next one for ever.
	 */
	if (list_empty(&c->open_requests))
		c->patience_left_ns = c->patience_ns;
	c->lost_ns = c->next_dial_ns = clock_ns();
	c->give_up_ns = c->lost_ns + c->patience_left_ns;
	c->pause_ns = PAUSE_FIRST_NS;
	c->dial = DIAL_PAUSE;
	timer_set(c, 1);
}

/* This engine did not work out: another try after a pause. */
static void dial_again(struct ls_connection *c)
{
	why_set(c, c->err.text);
	session_close(c);
	c->dial = DIAL_PAUSE;
	c->next_dial_ns = clock_ns() + c->pause_ns;
	c->pause_ns = min_u64(2 * c->pause_ns, PAUSE_MAX_NS);
	timer_set(c, min_u64(c->next_dial_ns, c->give_up_ns));
}

static int watch(struct ls_connection *c, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event)
		       ? err_set(&c->err, -errno, "no memory to watch the engine's socket")
		       : 0;
}

static int hello_begin(struct ls_connection *c)
{
	int rc;

	if (clock_ns() < c->next_dial_ns)
		return -EAGAIN;
	rc = dial_socket(c, SOCK_NONBLOCK);
	if (!rc)
		rc = watch(c, c->socket);
	if (!rc)
		rc = dial_hello(c, c->depth, c->arena_bytes);
	timer_set(c, c->give_up_ns);
	c->dial = DIAL_HELLO;
	/* A socket that takes nothing yet is no answer that may come. */
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

static int hello_end(struct ls_connection *c)
{
	struct attach_hello_reply reply;
	int fds[ATTACH_NR_FDS];
	int rc = dial_hello_answer(c, &reply, fds);

	if (rc)
		return rc;
	c->doorbell = fds[ATTACH_FD_DOORBELL];
	c->wakeup = fds[ATTACH_FD_WAKEUP];
	close(fds[ATTACH_FD_MEMORY]); /* it is what we handed in */
	c->dial = DIAL_OPEN;
	c->opening = 0;
	if (reply.queue_depth != c->depth || reply.arena_bytes != c->arena_bytes)
		return err_set(&c->err, -EPROTO, "the engine made another queue than before");
	return watch(c, c->wakeup);
}

/* ls_volume_open() asks and waits. */
static int session_begin(struct ls_connection *c)
{
	if (fcntl(c->socket, F_SETFL, 0))
		return err_set(&c->err, -errno, "cannot use the engine's socket");
	timer_set(c, 0);
	c->session = SESSION_UP;
	c->nr_reattached++;
	c->patience_left_ns -= min_u64(clock_ns() - c->lost_ns, c->patience_left_ns);
	queue_refill(c);
	return 0;
}

/* Asks for the next volume that was open; after the last one the session is up. */
static int volumes_go_on(struct ls_connection *c)
{
	int rc;

	if (c->opening == c->nr_volumes)
		return session_begin(c);
	rc = dial_open(c, c->volumes[c->opening].name);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

static int open_end(struct ls_connection *c)
{
	struct attach_open_reply reply;
	int rc = dial_open_answer(c, &reply);

	if (!rc)
		rc = volume_reopened(c, c->opening, &reply);
	c->opening += !rc;
	return rc ? rc : volumes_go_on(c);
}

/* One step; -EAGAIN: it is not its time yet. */
static int step(struct ls_connection *c)
{
	int rc;

	switch (c->dial) {
	case DIAL_PAUSE:
		return hello_begin(c);
	case DIAL_HELLO:
		rc = hello_end(c);
		return rc ? rc : volumes_go_on(c);
	default:
		return open_end(c);
	}
}

static void give_up(struct ls_connection *c)
{
	err_set(&c->err, -EPIPE, "the engine is gone and did not come back within %llu ms: %s",
		(unsigned long long)(c->patience_ns / 1000000), c->why);
	session_gone(c, c->err.text);
}

void session_advance(struct ls_connection *c)
{
	int rc = 0;

	while (!rc && c->session == SESSION_LOST) {
		if (clock_ns() >= c->give_up_ns) {
			give_up(c);
			return;
		}
		rc = step(c);
	}
	if (rc == -EPROTONOSUPPORT) /* no patience helps */
		session_gone(c, c->err.text);
	else if (rc && rc != -EAGAIN)
		dial_again(c);
}
