/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/load/volume.h"

void volume_open(struct volume *v, const char *socket, const char *name, uint64_t span)
{
	struct ls_options options = {
		.size = sizeof(options),
		.queue_depth = DEPTH_MAX,
		.arena_bytes = (uint64_t)(DEPTH_MAX + 2) * BLOCK_MAX,
		.socket = socket,
		.reconnect_ms = LS_RECONNECT_NEVER,
	};
	struct ls_volume_info info;
	char message[256];

	if (ls_connect(&options, &v->connection, message, sizeof(message)) < 0)
		die("%s", message);
	v->handle = ls_volume_open(v->connection, name, &info);
	if (v->handle < 0)
		die("%s", ls_error(v->connection));
	if (info.size_bytes < span)
		die("volume %s is smaller than --span", name);
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		v->buffers[i] = ls_buf_alloc(v->connection, BLOCK_MAX);
		if (!v->buffers[i])
			die("the arena has no room");
		fill_random(v->buffers[i], BLOCK_MAX, ticks());
	}
}

static void volume_issue(struct load *load, struct volume *v, unsigned slot)
{
	void *buffer = v->buffers[slot];
	struct io io;
	int rc;

	if (!load_issue(load, slot, buffer, &io))
		return;
	if (io.op == IO_FLUSH)
		rc = ls_flush(v->connection, v->handle, slot);
	else if (io.op == IO_READ)
		rc = ls_read(v->connection, v->handle, buffer, io.offset, io.bytes, slot);
	else
		rc = ls_write(v->connection, v->handle, buffer, io.offset, io.bytes, 0, slot);
	if (rc < 0)
		die("%s", ls_error(v->connection));
}

void volume_job(struct load *load, struct volume *v)
{
	struct ls_completion done[DEPTH_MAX];
	int count;

	for (unsigned slot = 0; slot < load->job.qd; slot++)
		volume_issue(load, v, slot);
	while (load->in_flight) {
		count = ls_wait(v->connection, done, DEPTH_MAX, -1);
		if (count < 0)
			die("%s", ls_error(v->connection));
		for (int i = 0; i < count; i++) {
			if (done[i].status)
				die("a request failed: %s", ls_status_text(done[i].status));
			load_complete(load, (unsigned)done[i].tag);
			volume_issue(load, v, (unsigned)done[i].tag);
		}
	}
}

void volume_close(struct volume *v)
{
	ls_disconnect(v->connection);
}
