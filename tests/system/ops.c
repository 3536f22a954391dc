/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does operations on a volume through liblockstep, one after another, and says so.
 *
 *   ops SOCKET VOLUME OP...
 *     write:OFFSET:LENGTH:SEED[:fua]   a pattern that SEED and the place decide
 *     read:OFFSET:LENGTH:SEED          must find that pattern
 *     zeroes:OFFSET:LENGTH             write zeroes
 *     iszero:OFFSET:LENGTH             must find zeroes
 *     discard:OFFSET:LENGTH
 *     flush
 *   ops --raw PATH:OFFSET OP...        read and iszero, on a device or file, past the page cache
 *
 * Numbers may end in K, M or G.  Each operation is one line, "OP: ok" or "OP: what failed",
 * written at once; the first that fails ends the program with status 1.
 */
#include "engine/base/defs.h"
#include "engine/include/lockstep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES KIB(128)
#define NR_FIELDS 3

struct place {
	struct ls_connection *connection; /* NULL: raw */
	int volume;
	int fd;
	uint64_t base; /* raw: where the volume begins on it */
	uint8_t *buf;  /* PIECE_BYTES */
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void fill(uint8_t *buf, uint64_t offset, uint64_t length, uint64_t seed)
{
	for (uint64_t i = 0; i < length; i += 8) {
		uint64_t word = mix(seed * 0x100000001b3u + offset + i);

		memcpy(buf + i, &word, 8);
	}
}

/* Bytes that are as they should be, before the first that is not. */
static uint64_t good_bytes(const uint8_t *buf, uint64_t offset, uint64_t length, uint64_t seed,
			   bool zero)
{
	for (uint64_t i = 0; i < length; i += 8) {
		uint64_t word = zero ? 0 : mix(seed * 0x100000001b3u + offset + i);

		if (memcmp(buf + i, &word, 8))
			return i;
	}
	return length;
}

static bool number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (end == text || errno)
		return false;
	switch (*end) {
	case 'G':
		*value <<= 10; /* fall through */
	case 'M':
		*value <<= 10; /* fall through */
	case 'K':
		*value <<= 10;
		end++;
	}
	return !*end;
}

/* Waits for the one request in flight. */
static bool finish(struct place *p, int queued)
{
	struct ls_completion done;
	int n;

	if (queued < 0) {
		printf("not queued: %s (%s)\n", ls_error(p->connection), strerror(-queued));
		return false;
	}
	n = ls_wait(p->connection, &done, 1, -1);
	if (n != 1) {
		printf("no completion: %s\n", ls_error(p->connection));
		return false;
	}
	if (done.status != LS_OK) {
		printf("status %" PRIu32 ", %s (failed legs %" PRIu32 ")\n", done.status,
		       ls_status_text((enum ls_status)done.status), done.failed_legs);
		return false;
	}
	return true;
}

static bool get(struct place *p, uint64_t offset, uint64_t length)
{
	if (p->connection)
		return finish(p, ls_read(p->connection, p->volume, p->buf, offset,
					 (uint32_t)length, 1));
	if (pread(p->fd, p->buf, length, (off_t)(p->base + offset)) == (ssize_t)length)
		return true;
	printf("cannot read the device: %s\n", strerror(errno));
	return false;
}

static bool transfer(struct place *p, char verb, const uint64_t *field, uint32_t flags)
{
	uint64_t offset = field[0], end = field[0] + field[1], seed = field[2];

	while (offset < end) {
		uint64_t n = min_u64(end - offset, PIECE_BYTES);

		if (verb == 'w') {
			fill(p->buf, offset, n, seed);
			if (!finish(p, ls_write(p->connection, p->volume, p->buf, offset,
						(uint32_t)n, flags, 1)))
				return false;
		} else {
			uint64_t good;

			if (!get(p, offset, n))
				return false;
			good = good_bytes(p->buf, offset, n, seed, verb == 'i');
			if (good < n) {
				printf("wrong content at byte %" PRIu64 "\n", offset + good);
				return false;
			}
		}
		offset += n;
	}
	return true;
}

static bool run(struct place *p, const char *name, const uint64_t *field, bool fua)
{
	if (!strcmp(name, "read") || !strcmp(name, "iszero"))
		return transfer(p, name[0], field, 0);
	if (!p->connection) {
		printf("only reads work on a raw device\n");
		return false;
	}
	if (!strcmp(name, "write"))
		return transfer(p, 'w', field, fua ? LS_FUA : 0);
	if (!strcmp(name, "zeroes"))
		return finish(p, ls_write_zeroes(p->connection, p->volume, field[0], field[1],
						 fua ? LS_FUA : 0, 1));
	if (!strcmp(name, "discard"))
		return finish(p, ls_discard(p->connection, p->volume, field[0], field[1], 1));
	if (!strcmp(name, "flush"))
		return finish(p, ls_flush(p->connection, p->volume, 1));
	printf("no such operation\n");
	return false;
}

/* "name:number:number:number[:fua]" */
static bool run_text(struct place *p, const char *text)
{
	char copy[200], *save = NULL, *name, *word;
	uint64_t field[NR_FIELDS] = {0};
	bool fua = false;
	int n = 0;

	printf("%s: ", text);
	snprintf(copy, sizeof(copy), "%s", text);
	name = strtok_r(copy, ":", &save);
	while ((word = strtok_r(NULL, ":", &save))) {
		if (!strcmp(word, "fua")) {
			fua = true;
		} else if (n == NR_FIELDS || !number(word, &field[n++])) {
			printf("'%s' is no number\n", word);
			return false;
		}
	}
	if (!name || !run(p, name, field, fua))
		return false;
	printf("ok\n");
	return true;
}

static bool open_raw(struct place *p, char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon || !number(colon + 1, &p->base)) {
		fprintf(stderr, "ops: --raw PATH:OFFSET\n");
		return false;
	}
	*colon = '\0';
	p->fd = open(text, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (p->fd < 0 && errno == EINVAL) /* tmpfs has no O_DIRECT, and no cache to go past */
		p->fd = open(text, O_RDONLY | O_CLOEXEC);
	p->buf = aligned_alloc(4096, PIECE_BYTES);
	if (p->fd >= 0 && p->buf)
		return true;
	fprintf(stderr, "ops: %s: %s\n", text, strerror(errno));
	return false;
}

static bool open_volume(struct place *p, const char *socket, const char *volume)
{
	struct ls_options options = {.size = sizeof(options), .socket = socket};
	struct ls_volume_info info;
	char message[400];

	if (ls_connect(&options, &p->connection, message, sizeof(message)) < 0) {
		fprintf(stderr, "ops: %s\n", message);
		return false;
	}
	p->volume = ls_volume_open(p->connection, volume, &info);
	p->buf = ls_buf_alloc(p->connection, PIECE_BYTES);
	if (p->volume >= 0 && p->buf)
		return true;
	fprintf(stderr, "ops: %s\n", ls_error(p->connection));
	ls_disconnect(p->connection);
	return false;
}

int main(int argc, char **argv)
{
	struct place p = {.fd = -1};
	int rc = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4) {
		fprintf(stderr, "usage: ops SOCKET VOLUME OP... | ops --raw PATH:OFFSET OP...\n");
		return 2;
	}
	if (!strcmp(argv[1], "--raw") ? !open_raw(&p, argv[2]) : !open_volume(&p, argv[1], argv[2]))
		return 1;
	for (int i = 3; i < argc && !rc; i++)
		rc = run_text(&p, argv[i]) ? 0 : 1;
	if (p.connection) {
		ls_buf_free(p.connection, p.buf);
		ls_disconnect(p.connection);
	} else {
		free(p.buf);
		close(p.fd);
	}
	return rc;
}
