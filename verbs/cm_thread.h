/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection thread of a fabric: one epoll, one eventfd, no lock of its own.  Both
 * backends run their state machines of connecting and accepting on it.
 */
#ifndef LS_VERBS_CM_THREAD_H
#define LS_VERBS_CM_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CM_NEVER UINT64_MAX

/* All called on the thread. */
struct cm_thread_ops {
	void (*ready)(void *owner, void *source, uint32_t events);
	/* After every wake-up: takes commands, expires what is late; returns the next deadline. */
	uint64_t (*tick)(void *owner, uint64_t now_ms);
	/* The last call: ends everything that is under way. */
	void (*stopping)(void *owner);
};

struct cm_thread {
	const struct cm_thread_ops *ops;
	void *owner;
	int epoll_fd, wake_fd;
	atomic_bool stop;
	pthread_t thread;
	bool started;
};

uint64_t cm_now_ms(void);

/* init makes the descriptors only, so that sources can be added before start. */
int cm_thread_init(struct cm_thread *cm, const struct cm_thread_ops *ops, void *owner,
		   struct err *err) MUST_CHECK;
int cm_thread_start(struct cm_thread *cm, struct err *err) MUST_CHECK;
/* Stops the thread, if it runs, and closes the descriptors. */
void cm_thread_fini(struct cm_thread *cm);

/* Adds or changes (@events) a descriptor; @source comes back in ready().  0 or -errno. */
int cm_thread_watch(struct cm_thread *cm, int fd, uint32_t events, void *source) MUST_CHECK;
void cm_thread_unwatch(struct cm_thread *cm, int fd);

/* Makes the thread call tick().  Any thread. */
void cm_thread_wake(struct cm_thread *cm);

#endif
