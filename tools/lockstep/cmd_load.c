/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load: writes, flushes, discards, zeroes and reads at random, many at a time, and checks
 * every read.  It knows for each block which generation of bytes it wrote last; requests in
 * flight never overlap, so that this is well defined.
 */
#include "tools/lockstep/control.h"
#include "tools/lockstep/io.h"
#include "tools/lockstep/pattern.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define BLOCKS_MAX 32u /* of one request: 128 KiB */
#define BYTES_DEFAULT GIB(4)

enum { KEY_TIME = 1000, KEY_SEED, KEY_QD, KEY_BYTES, KEY_RECONNECT };
enum op { OP_READ, OP_WRITE, OP_FLUSH, OP_DISCARD, OP_ZERO, OP_COUNT };

/* What a block holds; from FIRST on it is the generation of its pattern. */
enum { UNKNOWN, ZEROES, FIRST };

static const char *const op_names[OP_COUNT] = {"read", "write", "flush", "discard", "write zeroes"};

struct request {
	enum op op;
	uint64_t block;
	uint32_t count;
	uint32_t generation;
};

struct load {
	const char *volume;
	double seconds;
	uint64_t seed, bytes;
	uint32_t depth, reconnect_ms;

	struct io io;
	uint64_t prng, blocks;
	uint32_t *holds; /* per block */
	uint8_t *busy; /* per block: a request in flight covers it */
	struct request *requests;
	uint32_t last_generation, in_flight;
	uint64_t counts[OP_COUNT], checked_bytes;
};

static error_t parse_load(int key, char *arg, struct argp_state *state)
{
	struct load *l = state->input;
	char *end;

	switch (key) {
	case KEY_TIME:
		l->seconds = strtod(arg, &end);
		if (end == arg || *end || !(l->seconds > 0))
			argp_error(state, "--time: '%s' is no number of seconds", arg);
		return 0;
	case KEY_SEED:
		l->seed = arg_number(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_QD:
		l->depth = (uint32_t)arg_number(state, "--qd", arg, 1, 256);
		return 0;
	case KEY_BYTES:
		l->bytes = arg_bytes(state, "--bytes", arg);
		return 0;
	case KEY_RECONNECT:
		l->reconnect_ms = (uint32_t)arg_number(state, "--reconnect", arg, 1, 86400) * 1000;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &l->volume, arg);
		return 0;
	case ARGP_KEY_END:
		if (!l->volume)
			argp_error(state, "the volume is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static enum op choose_op(struct load *l)
{
	uint64_t n = prng_below(&l->prng, 100);

	return n < 48	? OP_WRITE
	       : n < 86 ? OP_READ
	       : n < 91 ? OP_FLUSH
	       : n < 95 ? OP_DISCARD
			: OP_ZERO;
}

static bool range_free(const struct load *l, uint64_t block, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (l->busy[block + i])
			return false;
	return true;
}

/* A range that no request in flight touches; false when luck was against it. */
static bool choose_range(struct load *l, struct request *r)
{
	for (int attempt = 0; attempt < 16; attempt++) {
		/* Half of them one block: what databases do most. */
		r->count = prng_below(&l->prng, 2) ? 1
						   : 1 + (uint32_t)prng_below(&l->prng, BLOCKS_MAX);
		r->block = prng_below(&l->prng, l->blocks - r->count + 1);
		if (range_free(l, r->block, r->count))
			return true;
	}
	return false;
}

static void set_busy(struct load *l, const struct request *r, bool busy)
{
	memset(l->busy + r->block, busy, r->count);
}

static int send_one(struct load *l, const struct request *r, uint64_t slot)
{
	uint64_t offset = r->block * BLOCK;
	uint32_t bytes = r->count * BLOCK;
	char *buf = l->io.buffers[slot];
	struct ls_connection *c = l->io.connection;
	uint32_t fua = prng_below(&l->prng, 8) ? 0 : LS_FUA;

	switch (r->op) {
	case OP_READ:
		memset(buf, 0xa5, bytes); /* so that a read that did nothing is seen */
		return ls_read(c, l->io.volume, buf, offset, bytes, slot);
	case OP_WRITE:
		pattern_fill(buf, bytes, offset, l->seed, r->generation);
		return ls_write(c, l->io.volume, buf, offset, bytes, fua, slot);
	case OP_FLUSH:
		return ls_flush(c, l->io.volume, slot);
	case OP_DISCARD:
		return ls_discard(c, l->io.volume, offset, bytes, slot);
	default:
		return ls_write_zeroes(c, l->io.volume, offset, bytes, fua, slot);
	}
}

static int issue(struct load *l, uint64_t slot)
{
	struct request *r = &l->requests[slot];

	*r = (struct request){.op = choose_op(l)};
	if (r->op != OP_FLUSH && !choose_range(l, r))
		r->op = OP_FLUSH;
	if (r->op == OP_FLUSH)
		r->count = 0;
	if (r->op == OP_WRITE)
		r->generation = ++l->last_generation;
	set_busy(l, r, true);
	if (send_one(l, r, slot) < 0)
		return fail("%s", ls_error(l->io.connection));
	l->in_flight++;
	return 0;
}

static bool all_zero(const char *buf, size_t bytes)
{
	return buf[0] == 0 && !memcmp(buf, buf + 1, bytes - 1);
}

static int check_block(struct load *l, const char *buf, uint64_t block)
{
	uint32_t holds = l->holds[block];
	size_t good = BLOCK;

	if (holds == UNKNOWN)
		return 0;
	if (holds == ZEROES)
		good = all_zero(buf, BLOCK) ? BLOCK : 0;
	else
		good = pattern_match(buf, BLOCK, block * BLOCK, l->seed, holds);
	l->checked_bytes += BLOCK;
	if (good == BLOCK)
		return 0;
	return fail("a read at offset %" PRIu64 " gave other bytes than were written (generation "
		    "%" PRIu32 ", seed %" PRIu64 ")",
		    block * BLOCK + good, holds, l->seed);
}

static void remember(struct load *l, const struct request *r)
{
	uint32_t holds = r->op == OP_WRITE ? r->generation : r->op == OP_ZERO ? ZEROES : UNKNOWN;

	for (uint32_t i = 0; i < r->count; i++)
		l->holds[r->block + i] = holds;
}

static int complete(struct load *l, const struct ls_completion *c)
{
	struct request *r = &l->requests[c->tag];
	int rc = 0;

	l->in_flight--;
	set_busy(l, r, false);
	if (c->status)
		return io_failed(op_names[r->op], r->block * BLOCK, c);
	l->counts[r->op]++;
	if (r->op != OP_READ) {
		remember(l, r);
		return 0;
	}
	for (uint32_t i = 0; !rc && i < r->count; i++)
		rc = check_block(l, l->io.buffers[c->tag] + i * BLOCK, r->block + i);
	return rc;
}

static int run_loop(struct load *l)
{
	uint64_t end = now_ns() + (uint64_t)(l->seconds * 1e9);
	struct ls_completion done[64];
	int rc = 0;

	for (uint32_t slot = 0; !rc && slot < l->depth; slot++)
		rc = issue(l, slot);
	while (!rc && l->in_flight) {
		int count = ls_wait(l->io.connection, done, (int)ARRAY_SIZE(done), -1);

		if (count < 0)
			return fail("%s", ls_error(l->io.connection));
		for (int i = 0; !rc && i < count; i++) {
			rc = complete(l, &done[i]);
			if (!rc && now_ns() < end)
				rc = issue(l, done[i].tag);
		}
	}
	return rc;
}

/* Everything that is known, once more. */
static int check_all(struct load *l)
{
	struct ls_completion c;
	int rc = 0;

	for (uint64_t block = 0; !rc && block < l->blocks; block += BLOCKS_MAX) {
		struct request r = {.op = OP_READ, .block = block};

		r.count = (uint32_t)min_u64(BLOCKS_MAX, l->blocks - block);
		l->requests[0] = r;
		rc = send_one(l, &r, 0);
		if (rc >= 0)
			rc = ls_wait(l->io.connection, &c, 1, -1);
		if (rc < 0)
			return fail("%s", ls_error(l->io.connection));
		l->in_flight++;
		rc = complete(l, &c);
	}
	return rc;
}

static int prepare(struct load *l)
{
	uint64_t bytes = l->bytes ? l->bytes : BYTES_DEFAULT;

	l->blocks = min_u64(bytes, l->io.info.size_bytes) / BLOCK;
	if (l->blocks < BLOCKS_MAX)
		return fail("the volume is too small for this");
	l->holds = calloc(l->blocks, sizeof(*l->holds));
	l->busy = calloc(l->blocks + BLOCKS_MAX, 1);
	l->requests = calloc(l->depth, sizeof(*l->requests));
	l->prng = l->seed;
	l->last_generation = FIRST;
	return l->holds && l->busy && l->requests ? 0 : fail("no memory");
}

static void tell(const struct cli *cli, const struct load *l)
{
	struct json_object *json = json_object_new_object();

	if (!cli->json) {
		printf("%" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64 " flushes, %" PRIu64
		       " discards, %" PRIu64 " zeroings; %" PRIu64
		       " bytes checked, all right (seed "
		       "%" PRIu64 ", %" PRIu64 " reconnects)\n",
		       l->counts[OP_WRITE], l->counts[OP_READ], l->counts[OP_FLUSH],
		       l->counts[OP_DISCARD], l->counts[OP_ZERO], l->checked_bytes, l->seed,
		       ls_reconnects(l->io.connection));
		json_object_put(json);
		return;
	}
	json_set_bool(json, "ok", true);
	for (int i = 0; i < OP_COUNT; i++)
		json_set_u64(json, op_names[i], l->counts[i]);
	json_set_u64(json, "checked_bytes", l->checked_bytes);
	json_set_u64(json, "seed", l->seed);
	json_set_u64(json, "reconnects", ls_reconnects(l->io.connection));
	control_print(json);
}

int cmd_load(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"time", KEY_TIME, "SECONDS", 0, "How long (default 10)", 0},
		{"seed", KEY_SEED, "N", 0, "For everything that is random (default 1)", 0},
		{"qd", KEY_QD, "N", 0, "Requests in flight (default 16)", 0},
		{"bytes", KEY_BYTES, "BYTES", 0, "Only so far into the volume (default: up to 4G)",
		 0},
		{"reconnect", KEY_RECONNECT, "SECONDS", 0,
		 "When the daemon goes away, go on with the next one that comes within that time "
		 "(default: fail)",
		 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_load, "VOLUME",
		"Mixed random load that checks every read, and everything at the end; exit status "
		"1 "
		"on a wrong byte or a failed request.  The volume's content is lost."};
	struct load l = {
		.seconds = 10, .seed = 1, .depth = 16, .reconnect_ms = LS_RECONNECT_NEVER};
	int rc;

	cli_parse(cli, argc, argv, &args, &l);
	rc = io_open(cli, l.volume, l.depth, BLOCKS_MAX * BLOCK, 0, l.reconnect_ms, &l.io);
	if (rc)
		return rc;
	rc = prepare(&l);
	if (!rc)
		rc = run_loop(&l);
	if (!rc)
		rc = check_all(&l);
	if (!rc)
		tell(cli, &l);
	free(l.holds);
	free(l.busy);
	free(l.requests);
	io_close(&l.io);
	return rc;
}
