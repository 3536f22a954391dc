/* SPDX-License-Identifier: BSD-3-Clause */
/* A volume through liblockstep, as bench, pattern and load use it. */
#ifndef LS_TOOLS_IO_H
#define LS_TOOLS_IO_H

#include "engine/include/lockstep.h"
#include "tools/lockstep/cli.h"

struct io {
	struct ls_connection *connection;
	int volume;
	struct ls_volume_info info;
	uint32_t depth;
	char **buffers; /* depth of them, buffer_bytes each, in the arena */
	uint32_t buffer_bytes;
};

/*
 * Connects and opens @volume with @depth buffers.  @reconnect_ms: as in struct ls_options.
 * Failures are told; EXIT_FAILED.
 */
int io_open(const struct cli *cli, const char *volume, uint32_t depth, uint32_t buffer_bytes,
	    uint32_t spin_us, uint32_t reconnect_ms, struct io *io);
void io_close(struct io *io);
/* Tells that a request failed; returns EXIT_FAILED. */
int io_failed(const char *what, uint64_t offset, const struct ls_completion *completion);

uint64_t now_ns(void);

#endif
