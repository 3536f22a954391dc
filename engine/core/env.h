/* SPDX-License-Identifier: BSD-3-Clause */
/* What the pure code asks of its surroundings, besides links and stores. */
#ifndef LS_CORE_ENV_H
#define LS_CORE_ENV_H

#include "engine/base/region.h"
#include "verbs/link.h"

struct engine_event;

/* What the engine asks of its surroundings. */
struct engine_env {
	void *ctx;
	/* Fills @buf with unpredictable bytes (the simulator: seeded ones). */
	void (*random)(void *ctx, void *buf, size_t bytes);
	/*
	 * Starts to connect to @address.  The answer is engine_link_opened() or
	 * engine_dial_failed() with the same @cookie, later, exactly once.
	 */
	void (*dial)(void *ctx, const char *address, void *cookie);
	/*
	 * The engine is through with @link (down() was called, and no store operation uses its
	 * slots): forget its regions and destroy it.
	 */
	void (*release_link)(void *ctx, struct link *link);
	/* One line for the log; @level as in syslog (3 error, 4 warning, 6 info). */
	void (*log)(void *ctx, int level, const char *text);
	/* A change of state (event.h), for the time of the call.  Optional: else log() has it. */
	void (*event)(void *ctx, const struct engine_event *event);
	/*
	 * Brackets what is not the data path although a completion began it: the steps of
	 * pairing, of making pools and volumes, the handshake.  Only there may the engine
	 * allocate.  Nests.  Optional.
	 */
	void (*administering)(void *ctx, bool begin);
	/*
	 * Memory for the initial copy: a region of at least @bytes known to links and stores,
	 * page-aligned, or NULL.  Called once, from engine_create(); freed by its maker after
	 * engine_destroy().
	 */
	struct region *(*copy_buffers)(void *ctx, size_t bytes);
};

#endif
