/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/cm_thread.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

uint64_t cm_now_ms(void)
{
	return clock_precise() / NS_PER_MS;
}

static int cm_wait_ms(uint64_t deadline_ms)
{
	uint64_t now_ms = cm_now_ms();

	if (deadline_ms == CM_NEVER)
		return -1;
	if (deadline_ms <= now_ms)
		return 0;
	return (int)min_u64(deadline_ms - now_ms, 60000);
}

static void *cm_thread_main(void *arg)
{
	struct cm_thread *cm = arg;
	uint64_t deadline_ms = 0;

	while (!atomic_load_explicit(&cm->stop, memory_order_acquire)) {
		struct epoll_event event;
		eventfd_t count;
		/* One event at a time: handling it may free the source of the next. */
		int n = epoll_wait(cm->epoll_fd, &event, 1, cm_wait_ms(deadline_ms));

		if (n == 1 && event.data.ptr == cm)
			(void)eventfd_read(cm->wake_fd, &count);
		else if (n == 1)
			cm->ops->ready(cm->owner, event.data.ptr, event.events);
		deadline_ms = cm->ops->tick(cm->owner, cm_now_ms());
	}
	cm->ops->stopping(cm->owner);
	return NULL;
}

int cm_thread_init(struct cm_thread *cm, const struct cm_thread_ops *ops, void *owner,
		   struct err *err)
{
	int rc;

	*cm = (struct cm_thread){.ops = ops, .owner = owner, .epoll_fd = -1, .wake_fd = -1};
	cm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (cm->epoll_fd < 0)
		goto fail;
	cm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cm->wake_fd < 0)
		goto fail;
	rc = cm_thread_watch(cm, cm->wake_fd, EPOLLIN, cm);
	if (rc == 0)
		return 0;
	errno = -rc;
fail:
	rc = -errno;
	cm_thread_fini(cm);
	return err_set(err, rc, "cannot make the connection thread's descriptors: %s",
		       strerror(-rc));
}

int cm_thread_start(struct cm_thread *cm, struct err *err)
{
	sigset_t all, old;
	int rc;

	/* Signals belong to the daemon's main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&cm->thread, NULL, cm_thread_main, cm);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		return err_set(err, -rc, "cannot start the connection thread: %s", strerror(rc));
	cm->started = true;
	pthread_setname_np(cm->thread, "ls-fabric");
	return 0;
}

void cm_thread_fini(struct cm_thread *cm)
{
	if (cm->started) {
		assert(!pthread_equal(pthread_self(), cm->thread));
		atomic_store_explicit(&cm->stop, true, memory_order_release);
		cm_thread_wake(cm);
		pthread_join(cm->thread, NULL);
		cm->started = false;
	}
	if (cm->wake_fd >= 0)
		close(cm->wake_fd);
	if (cm->epoll_fd >= 0)
		close(cm->epoll_fd);
	cm->wake_fd = cm->epoll_fd = -1;
}

int cm_thread_watch(struct cm_thread *cm, int fd, uint32_t events, void *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(cm->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (errno == ENOENT && epoll_ctl(cm->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	return -errno;
}

void cm_thread_unwatch(struct cm_thread *cm, int fd)
{
	(void)epoll_ctl(cm->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void cm_thread_wake(struct cm_thread *cm)
{
	/* It can only fail when the counter is full, and then the thread is awake anyway. */
	(void)eventfd_write(cm->wake_fd, 1);
}
