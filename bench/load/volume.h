/* SPDX-License-Identifier: BSD-3-Clause */
/* The load on a Lockstep volume, through the queue that the program shares with its engine. */
#ifndef LS_BENCH_LOAD_VOLUME_H
#define LS_BENCH_LOAD_VOLUME_H

#include "bench/load/load.h"
#include "engine/include/lockstep.h"

struct volume {
	struct ls_connection *connection;
	int handle;
	void *buffers[DEPTH_MAX];
};

/*
 * @socket: the daemon's client socket.  An error ends the program with a sentence, here and in
 * volume_job().
 */
void volume_open(struct volume *v, const char *socket, const char *name, uint64_t span);
/* From load_begin() until load_ended(). */
void volume_job(struct load *load, struct volume *v);
void volume_close(struct volume *v);

#endif
