/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static int alloc_buffers(struct io *io)
{
	io->buffers = calloc(io->depth, sizeof(*io->buffers));
	if (!io->buffers)
		return fail("no memory");
	for (uint32_t i = 0; i < io->depth; i++) {
		io->buffers[i] = ls_buf_alloc(io->connection, io->buffer_bytes);
		if (!io->buffers[i])
			return fail("the arena has no room for %u buffers of %u bytes", io->depth,
				    io->buffer_bytes);
	}
	return 0;
}

int io_open(const struct cli *cli, const char *volume, uint32_t depth, uint32_t buffer_bytes,
	    uint32_t spin_us, uint32_t reconnect_ms, struct io *io)
{
	struct ls_options options = {
		.size = sizeof(options),
		.queue_depth = power_of_two(depth),
		.arena_bytes = (uint64_t)depth * round_up_u64(buffer_bytes, 4096),
		.socket = cli->client,
		.spin_us = spin_us,
		.reconnect_ms = reconnect_ms,
	};
	char message[400];

	*io = (struct io){.depth = depth, .buffer_bytes = buffer_bytes};
	if (ls_connect(&options, &io->connection, message, sizeof(message)))
		return fail("%s", message);
	io->volume = ls_volume_open(io->connection, volume, &io->info);
	if (io->volume < 0)
		fail("%s", ls_error(io->connection));
	if (io->volume < 0 || alloc_buffers(io)) {
		io_close(io);
		return EXIT_FAILED;
	}
	return 0;
}

void io_close(struct io *io)
{
	free(io->buffers);
	if (io->connection)
		ls_disconnect(io->connection);
	*io = (struct io){0};
}

int io_failed(const char *what, uint64_t offset, const struct ls_completion *completion)
{
	const char *legs = completion->failed_legs == LS_LEG_LOCAL  ? " (this node's leg)"
			   : completion->failed_legs == LS_LEG_PEER ? " (the peer's leg)"
			   : completion->failed_legs		    ? " (both legs)"
								    : "";

	return fail("%s at offset %" PRIu64 ": %s%s", what, offset,
		    ls_status_text((enum ls_status)completion->status), legs);
}
