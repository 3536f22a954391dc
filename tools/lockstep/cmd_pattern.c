/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pattern write, pattern check: known bytes on a volume, and the same bytes found again
 * through the engine, or raw at the extents of either leg.
 */
#include "tools/lockstep/control.h"
#include "tools/lockstep/io.h"
#include "tools/lockstep/pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES (64u << 10)
#define RAW_BYTES (1u << 20)
#define EXTENTS_MAX 64

enum { KEY_SEED = 1000, KEY_BYTES, KEY_QD, KEY_RAW };

struct extent {
	char path[256];
	uint64_t offset, length;
};

struct pattern {
	const char *volume;
	uint64_t seed, bytes;
	uint32_t depth;
	unsigned extent_count;
	struct extent extents[EXTENTS_MAX];
	/* Outcome. */
	uint64_t done, mismatch; /* UINT64_MAX = none */
	uint64_t ns;
};

/* PATH:OFFSET:LENGTH, from behind: a path may have colons. */
static void add_extent(struct argp_state *state, struct pattern *p, char *text)
{
	struct extent *e = &p->extents[p->extent_count];
	char *length = strrchr(text, ':'), *offset;

	if (p->extent_count == EXTENTS_MAX)
		argp_error(state, "--raw: at most %d extents", EXTENTS_MAX);
	if (length)
		*length++ = '\0';
	offset = length ? strrchr(text, ':') : NULL;
	if (offset)
		*offset++ = '\0';
	if (!offset || !text[0] || strlen(text) >= sizeof(e->path))
		argp_error(state, "--raw: '%s' is not PATH:OFFSET:LENGTH", text);
	snprintf(e->path, sizeof(e->path), "%s", text);
	e->offset = arg_bytes(state, "--raw", offset);
	e->length = arg_bytes(state, "--raw", length);
	if (e->offset % 4096 || e->length % 4096 || !e->length)
		argp_error(state, "--raw: offset and length are multiples of 4096");
	p->extent_count++;
}

static error_t parse_pattern(int key, char *arg, struct argp_state *state)
{
	struct pattern *p = state->input;
	char *save, *part;

	switch (key) {
	case KEY_SEED:
		p->seed = arg_number(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_BYTES:
		p->bytes = arg_bytes(state, "--bytes", arg);
		if (p->bytes % 4096)
			argp_error(state, "--bytes: not a multiple of 4096");
		return 0;
	case KEY_QD:
		p->depth = (uint32_t)arg_number(state, "--qd", arg, 1, 1024);
		return 0;
	case KEY_RAW:
		for (part = strtok_r(arg, ",", &save); part; part = strtok_r(NULL, ",", &save))
			add_extent(state, p, part);
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &p->volume, arg);
		return 0;
	case ARGP_KEY_END:
		if (!p->volume == !p->extent_count)
			argp_error(state, "a volume%s",
				   p->extent_count ? " or --raw, not both" : " is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option write_rows[] = {
	{"seed", KEY_SEED, "N", 0, "What the bytes follow from (default 1)", 0},
	{"bytes", KEY_BYTES, "BYTES", 0, "From the start of the volume (default: all of it)", 0},
	{"qd", KEY_QD, "N", 0, "Requests in flight (default 8)", 0},
	{0},
};
static const struct argp_option check_rows[] = {
	{"seed", KEY_SEED, "N", 0, "What the bytes follow from (default 1)", 0},
	{"bytes", KEY_BYTES, "BYTES", 0, "From the start of the volume (default: all of it)", 0},
	{"qd", KEY_QD, "N", 0, "Requests in flight (default 8)", 0},
	{"raw", KEY_RAW, "PATH:OFFSET:LENGTH,...", 0,
	 "Not through the engine: the volume's extents on a device or file, in order, as "
	 "`volume list --json` shows them",
	 0},
	{0},
};

static int tell(const struct cli *cli, const struct pattern *p, const char *what)
{
	bool good = p->mismatch == UINT64_MAX;
	double seconds = (double)p->ns / 1e9;

	if (cli->json) {
		struct json_object *json = json_object_new_object();

		json_set_bool(json, "ok", good);
		json_set_u64(json, "bytes", p->done);
		json_set_u64(json, "seed", p->seed);
		if (!good)
			json_set_u64(json, "mismatch_offset", p->mismatch);
		control_print(json);
	} else if (good) {
		printf("%s %" PRIu64 " bytes, seed %" PRIu64 ": all right, %.0f MB/s\n", what,
		       p->done, p->seed, seconds > 0 ? (double)p->done / 1e6 / seconds : 0);
	}
	if (good)
		return 0;
	return fail("the bytes differ from the pattern of seed %" PRIu64
		    ", first at offset %" PRIu64 " of the volume",
		    p->seed, p->mismatch);
}

static void note_mismatch(struct pattern *p, const void *buf, size_t bytes, uint64_t offset)
{
	size_t good = pattern_match(buf, bytes, offset, p->seed, 0);

	if (good < bytes)
		p->mismatch = min_u64(p->mismatch, offset + good);
}

/* Through the engine */

struct stream {
	struct pattern *p;
	struct io io;
	bool write;
	uint64_t next, end;
	uint64_t *offsets; /* of the request in each buffer */
	uint32_t in_flight;
};

static uint32_t step_bytes(const struct stream *s, uint64_t offset)
{
	return (uint32_t)min_u64(STEP_BYTES, s->end - offset);
}

static int issue(struct stream *s, uint64_t slot)
{
	uint64_t offset = s->next;
	uint32_t bytes = step_bytes(s, offset);
	char *buf = s->io.buffers[slot];
	int rc;

	if (offset >= s->end)
		return 0;
	if (s->write) {
		pattern_fill(buf, bytes, offset, s->p->seed, 0);
		rc = ls_write(s->io.connection, s->io.volume, buf, offset, bytes, 0, slot);
	} else {
		rc = ls_read(s->io.connection, s->io.volume, buf, offset, bytes, slot);
	}
	if (rc < 0)
		return fail("%s", ls_error(s->io.connection));
	s->offsets[slot] = offset;
	s->next += bytes;
	s->in_flight++;
	return 0;
}

static int complete(struct stream *s, const struct ls_completion *c)
{
	uint64_t offset = s->offsets[c->tag];
	uint32_t bytes = step_bytes(s, offset);

	s->in_flight--;
	if (c->status)
		return io_failed(s->write ? "write" : "read", offset, c);
	if (!s->write)
		note_mismatch(s->p, s->io.buffers[c->tag], bytes, offset);
	s->p->done += bytes;
	return issue(s, c->tag);
}

static int run_stream(struct stream *s)
{
	struct ls_completion done[64];
	int rc = 0;

	for (uint32_t slot = 0; !rc && slot < s->io.depth; slot++)
		rc = issue(s, slot);
	while (!rc && s->in_flight) {
		int count = ls_wait(s->io.connection, done, (int)ARRAY_SIZE(done), -1);

		if (count < 0)
			return fail("%s", ls_error(s->io.connection));
		for (int i = 0; !rc && i < count; i++)
			rc = complete(s, &done[i]);
	}
	return rc;
}

/* What was written is to be found on the devices afterwards. */
static int flush_volume(struct io *io)
{
	struct ls_completion c;
	int count = ls_flush(io->connection, io->volume, 0);

	if (count >= 0)
		count = ls_wait(io->connection, &c, 1, -1);
	if (count < 0)
		return fail("%s", ls_error(io->connection));
	return c.status ? io_failed("flush", 0, &c) : 0;
}

static int through_engine(struct cli *cli, struct pattern *p, bool write)
{
	struct stream s = {.p = p, .write = write};
	uint64_t begin;
	int rc = io_open(cli, p->volume, p->depth, STEP_BYTES, 0, LS_RECONNECT_NEVER, &s.io);

	if (rc)
		return rc;
	s.end = p->bytes ? p->bytes : s.io.info.size_bytes;
	s.offsets = calloc(p->depth, sizeof(*s.offsets));
	if (s.end > s.io.info.size_bytes)
		rc = fail("volume '%s' has only %" PRIu64 " bytes", p->volume,
			  s.io.info.size_bytes);
	else if (!s.offsets)
		rc = fail("no memory");
	begin = now_ns();
	if (!rc)
		rc = run_stream(&s);
	if (!rc && write)
		rc = flush_volume(&s.io);
	p->ns = now_ns() - begin;
	free(s.offsets);
	io_close(&s.io);
	return rc;
}

/* Raw */

static int check_extent(struct pattern *p, const struct extent *e, uint64_t volume_offset,
			char *buf)
{
	uint64_t at = 0, end = e->length;
	int fd = open(e->path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	/* Not every file system can do O_DIRECT (tmpfs): there nothing is cached twice. */
	if (fd < 0 && errno == EINVAL)
		fd = open(e->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail("cannot open %s: %s", e->path, strerror(errno));
	if (p->bytes)
		end = min_u64(end, p->bytes > volume_offset ? p->bytes - volume_offset : 0);
	while (at < end) {
		size_t bytes = min_u64(RAW_BYTES, end - at);
		ssize_t got = pread(fd, buf, bytes, (off_t)(e->offset + at));

		if (got <= 0 || got % PATTERN_BLOCK) {
			close(fd);
			return fail("cannot read %s at %" PRIu64 ": %s", e->path, e->offset + at,
				    got < 0 ? strerror(errno) : "it ends there");
		}
		note_mismatch(p, buf, (size_t)got, volume_offset + at);
		at += (uint64_t)got;
	}
	p->done += end;
	close(fd);
	return 0;
}

static int check_raw(struct pattern *p)
{
	uint64_t volume_offset = 0, begin = now_ns();
	char *buf = aligned_alloc(4096, RAW_BYTES);
	int rc = 0;

	if (!buf)
		return fail("no memory");
	for (unsigned i = 0; !rc && i < p->extent_count; i++) {
		rc = check_extent(p, &p->extents[i], volume_offset, buf);
		volume_offset += p->extents[i].length;
	}
	p->ns = now_ns() - begin;
	free(buf);
	return rc;
}

int cmd_pattern_write(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {write_rows, parse_pattern, "VOLUME",
					     "Fills a volume with bytes that follow from a seed, "
					     "and flushes.  Its old content is "
					     "lost."};
	struct pattern p = {.seed = 1, .depth = 8, .mismatch = UINT64_MAX};
	int rc;

	cli_parse(cli, argc, argv, &args, &p);
	rc = through_engine(cli, &p, true);
	return rc ? rc : tell(cli, &p, "wrote");
}

int cmd_pattern_check(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {check_rows, parse_pattern,
					     "VOLUME | --raw PATH:OFFSET:LENGTH,...",
					     "Compares a volume with the bytes that `pattern "
					     "write` wrote with the same seed; exit "
					     "status 1 when they differ."};
	struct pattern p = {.seed = 1, .depth = 8, .mismatch = UINT64_MAX};
	int rc;

	cli_parse(cli, argc, argv, &args, &p);
	rc = p.extent_count ? check_raw(&p) : through_engine(cli, &p, false);
	return rc ? rc : tell(cli, &p, "checked");
}
