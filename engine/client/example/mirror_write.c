/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes one block to a volume, durable on every replica, and reads it back.
 *
 *   cc mirror_write.c $(pkg-config --cflags --libs lockstep) -o mirror_write
 *   ./mirror_write VOLUME
 */
#include <lockstep.h>

#include <stdio.h>
#include <string.h>

/* Waits for the one request in flight and says how it went. */
static int finish(struct ls_connection *c, const char *what)
{
	struct ls_completion done;
	int n = ls_wait(c, &done, 1, 10000);

	if (n <= 0) {
		fprintf(stderr, "%s: %s\n", what, n ? ls_error(c) : "no answer in 10 s");
		return -1;
	}
	printf("%s: %s, %u us in the engine\n", what, ls_status_text(done.status),
	       done.engine_ns / 1000);
	return done.status == LS_OK ? 0 : -1;
}

static int write_and_read(struct ls_connection *c, const char *name)
{
	struct ls_volume_info info;
	int volume = ls_volume_open(c, name, &info);
	char *data = ls_buf_alloc(c, 4096), *back = ls_buf_alloc(c, 4096);

	if (volume < 0 || !data || !back) {
		fprintf(stderr, "%s\n", ls_error(c));
		return -1;
	}
	memset(data, 'L', 4096);
	if (ls_write(c, volume, data, 0, 4096, LS_FUA, 1) || finish(c, "write"))
		return -1;
	if (ls_read(c, volume, back, 0, 4096, 2) || finish(c, "read"))
		return -1;
	printf("the same data: %s\n", memcmp(data, back, 4096) ? "no" : "yes");
	return memcmp(data, back, 4096) ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct ls_connection *c;
	char message[400];
	int rc;

	if (argc != 2 || ls_connect(NULL, &c, message, sizeof(message))) {
		fprintf(stderr, "%s\n", argc != 2 ? "usage: mirror_write VOLUME" : message);
		return 1;
	}
	rc = write_and_read(c, argv[1]);
	ls_disconnect(c);
	return rc ? 1 : 0;
}
