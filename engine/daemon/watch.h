/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proof that the data path neither allocates nor locks: lockstepd is linked with
 * -Wl,--wrap for malloc, calloc, realloc, free, aligned allocation and pthread_mutex_lock
 * (wrap.c), and the wrappers count on the thread whose watch is on.  The shard turns it on
 * for the loop and pauses it while it runs an administrator's call, takes or drops a link or
 * a client, and where the engine says that it administers (engine_env.administering).  So
 * both counters must stay 0.  Only the objects of our own program are wrapped: what a shared
 * library (libibverbs' providers, libc) does by itself is not seen.
 */
#ifndef LS_DAEMON_WATCH_H
#define LS_DAEMON_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
	bool on;
	unsigned paused; /* nests */
	uint64_t allocations; /* malloc, calloc, realloc, free, … while on */
	uint64_t locks; /* pthread_mutex_lock while on */
};

/* One for each thread. */
extern _Thread_local struct watch watch;

static inline void watch_pause(void)
{
	watch.paused++;
}

static inline void watch_resume(void)
{
	watch.paused--;
}

static inline bool watch_counts(void)
{
	return watch.on && !watch.paused;
}

#endif
