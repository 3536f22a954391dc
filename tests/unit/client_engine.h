/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fake engine for tests of the client library: a thread with the real engine's side of the
 * queue and of the socket, and one small volume in memory.  It serves one client.  After
 * FAKE_DIE it can be started again, at the same place, with the same volume.
 */
#ifndef LS_TESTS_UNIT_CLIENT_ENGINE_H
#define LS_TESTS_UNIT_CLIENT_ENGINE_H

#include "engine/include/lockstep.h"
#include "engine/shm/shmq.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define FAKE_VOLUME "vol"
#define FAKE_VOLUME_BYTES (1u << 20)
#define FAKE_HANDLE 7u

enum fake_way {
	FAKE_SERVES,
	FAKE_REFUSES, /* HELLO, with a sentence about memlock */
	FAKE_OTHER_VERSION, /* answers HELLO as another version would */
	FAKE_NO_MEMORY, /* answers HELLO without descriptors */
	FAKE_HANGS_UP, /* closes instead of an answer */
	FAKE_HOLDS, /* fetches, and completes nothing */
	FAKE_KEEPS_SILENT, /* does everything, and completes nothing */
	FAKE_STOPS, /* refuses requests: LS_SHUTDOWN */
	FAKE_REPEATS, /* completes the first of those that it fetched for all of them */
	FAKE_NO_ANSWER, /* to HELLO, ever */
	FAKE_STOPS_AT_OPEN, /* refuses OPEN, because it is stopping */
	FAKE_ENDS_AT_OPEN, /* closes instead of answering OPEN */
};

#define FAKE_JOURNAL_MAX 64

struct fake_engine {
	enum fake_way way;
	char folder[64], path[80];
	int listener, socket, control; /* control: an eventfd that wakes the thread */
	struct shmq *queue;
	pthread_t thread;
	bool running;
	_Atomic int order; /* enum fake_order */
	sem_t followed; /* the order was */
	_Atomic uint64_t fetched;
	/*
	 * Done, before it is told.  Who reads this after a completion may look at all that was done
	 * for it: ThreadSanitizer takes the two mappings of the rings for two memories.
	 */
	_Atomic uint64_t served;
	/* Set while it does not run. */
	uint64_t volume_bytes;
	uint32_t handle;
	uint8_t id; /* of the volume; 0 = there is none */
	unsigned completes; /* after so many it goes on as FAKE_KEEPS_SILENT */
	_Atomic unsigned busy; /* so many HELLOs are refused with -EBUSY */
	/* What it fetched in this life. */
	struct shmq_request journal[FAKE_JOURNAL_MAX];
	_Atomic unsigned adopted; /* HELLOs that brought their memory, in all lives */
	unsigned char volume[FAKE_VOLUME_BYTES];
};

/* What a test tells the running thread. */
enum fake_order {
	FAKE_GO_ON,
	FAKE_DIE, /* everything is closed, as when a process ends */
	FAKE_CLOSE_SOCKET, /* the session is dropped, the queue still there */
	FAKE_CLOSE_QUEUE,
};

struct fake_engine *fake_start(enum fake_way way);
/* The next life of one that died. */
void fake_restart(struct fake_engine *f, enum fake_way way);
/* Returns when it is done. */
void fake_order(struct fake_engine *f, enum fake_order order);
/* Until it has fetched @fetched requests; and, if @asleep, the client waits for a wake-up. */
void fake_await(struct fake_engine *f, uint64_t fetched, bool asleep);
void fake_stop(struct fake_engine *f);

#endif
