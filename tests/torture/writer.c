/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of one volume that records what it was told: mixed writes of 4 to 128 KiB, zeroes,
 * discards, FUA and flushes, many at a time, overlapping ones among them, and reads that are
 * checked.  It goes on with the next engine when one goes away, until SIGTERM: then it waits for
 * what is in flight and ends.  One thread.
 *
 * With --digest it reads the whole volume instead, after a flush, and prints a digest.
 *
 * Exit status: 0 ended in order; 1 with a sentence; 3 a read gave wrong bytes; 4 the volume is not
 * primary here (any more); 5 the engine died while this attached to it: nothing was done.
 */
#include "engine/include/lockstep.h"
#include "tests/torture/block.h"
#include "tests/torture/ledger.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_BLOCKS_MAX 32u /* 128 KiB */
#define DEPTH_MAX 64u
/* A long discard: crosses borders of pieces and regions. */
#define DISCARD_BLOCKS_MAX 512u
#define RATE_TICK_MS 5
/* A pass's outcomes and submissions. */
#define PENDING_MAX (4 * DEPTH_MAX)

enum { EXIT_WRONG_BYTES = 3, EXIT_NOT_PRIMARY = 4, EXIT_NOT_ATTACHED = 5 };
enum op { OP_READ, OP_WRITE, OP_ZERO, OP_DISCARD, OP_FLUSH };

/* What is known of a block while no request that changes it is in flight. */
struct block {
	uint64_t version;
	uint32_t changes; /* requests so far that change it */
	bool known, mixed; /* mixed: overlapping ones are in flight, their order is not known */
	uint8_t open; /* requests in flight that change it */
};

struct request {
	enum op op;
	bool fua;
	uint32_t count;
	uint64_t block, version;
	char *buffer;
	/* A read: struct block.changes when it was queued; 0: not known then. */
	uint32_t changes[REQUEST_BLOCKS_MAX];
};

static struct writer {
	const char *socket, *volume_name, *ledger_path;
	uint64_t seed, number, prng;
	uint32_t volume_id, depth, reconnect_s, rate;
	bool digest;

	struct ls_connection *connection;
	int volume, ledger;
	uint64_t blocks, last_version, checked;
	struct block *block;
	struct request request[DEPTH_MAX];
	uint32_t in_flight;
	struct ledger_record pending[PENDING_MAX];
	uint32_t nr_pending;
} w = {.depth = 16, .reconnect_s = 600};

static volatile sig_atomic_t ending;

static void on_term(int signal)
{
	(void)signal;
	ending = 1;
}

static uint64_t draw(uint64_t below)
{
	uint64_t z = w.prng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}

static void __attribute__((noreturn)) PRINTF_LIKE(2, 3) quit(int status, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "writer %" PRIu64 ": ", w.number);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

/* --- the ledger --- */

static void note(enum ledger_kind kind, const struct request *r, uint32_t status)
{
	static const uint8_t ops[] = {
		[OP_WRITE] = LEDGER_WRITE,
		[OP_ZERO] = LEDGER_ZERO,
		[OP_DISCARD] = LEDGER_ZERO,
		[OP_FLUSH] = LEDGER_FLUSH,
	};

	if (r->op == OP_READ)
		return;
	if (w.nr_pending == PENDING_MAX)
		quit(1, "more outcomes in a pass than requests in flight");
	w.pending[w.nr_pending++] = (struct ledger_record){
		.kind = (uint8_t)kind,
		.op = ops[r->op],
		.fua = r->fua,
		.status = (uint8_t)status,
		.count = r->count,
		.block = r->block,
		.version = r->version,
	};
}

/* Nothing that is noted is shown to the engine before this. */
static void write_ledger(void)
{
	size_t bytes = w.nr_pending * sizeof(w.pending[0]);

	if (bytes && write(w.ledger, w.pending, bytes) != (ssize_t)bytes)
		quit(1, "%s: %s", w.ledger_path, strerror(errno));
	w.nr_pending = 0;
}

/* --- requests --- */

static enum op choose_op(void)
{
	uint64_t n = draw(100);

	return n < 60	? OP_WRITE
	       : n < 85 ? OP_READ
	       : n < 90 ? OP_FLUSH
	       : n < 95 ? OP_ZERO
			: OP_DISCARD;
}

static void choose_range(struct request *r)
{
	uint32_t longest = r->op == OP_DISCARD ? DISCARD_BLOCKS_MAX : REQUEST_BLOCKS_MAX;

	r->count = 0;
	r->block = 0;
	if (r->op == OP_FLUSH)
		return;
	/* Half of them one block: what databases do most. */
	r->count = draw(2) ? 1 : 1 + (uint32_t)draw(longest);
	/* One in four in the first 64 blocks: these overlap. */
	r->block = draw(draw(4) ? w.blocks - r->count + 1 : min_u64(64, w.blocks - r->count + 1));
}

static void open_blocks(struct request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct block *b = &w.block[r->block + i];

		if (r->op == OP_READ) {
			r->changes[i] = b->known ? b->changes : 0;
			continue;
		}
		b->changes++;
		b->mixed = b->mixed || b->open;
		b->known = false;
		b->open++;
	}
}

static void close_blocks(const struct request *r, bool done)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct block *b = &w.block[r->block + i];

		b->open--;
		b->known = done && !b->mixed && !b->open;
		b->version = r->op == OP_WRITE ? r->version : VERSION_ZEROES;
		b->mixed = b->mixed && b->open;
	}
}

static void fill(const struct request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct block_id id = {w.seed, r->block + i, r->version, w.volume_id};

		block_fill(r->buffer + i * BLOCK_BYTES, &id);
	}
}

static int queue_request(const struct request *r, uint64_t tag)
{
	uint64_t offset = r->block * BLOCK_BYTES;
	uint32_t bytes = r->count * BLOCK_BYTES, flags = r->fua ? LS_FUA : 0;

	switch (r->op) {
	case OP_READ:
		memset(r->buffer, 0xa5, bytes); /* so that a read that did nothing is seen */
		return ls_read(w.connection, w.volume, r->buffer, offset, bytes, tag);
	case OP_WRITE:
		fill(r);
		return ls_write(w.connection, w.volume, r->buffer, offset, bytes, flags, tag);
	case OP_ZERO:
		return ls_write_zeroes(w.connection, w.volume, offset, bytes, flags, tag);
	case OP_DISCARD:
		return ls_discard(w.connection, w.volume, offset, bytes, tag);
	default:
		return ls_flush(w.connection, w.volume, tag);
	}
}

static void issue(uint64_t tag)
{
	struct request *r = &w.request[tag];

	r->op = choose_op();
	choose_range(r);
	r->fua = (r->op == OP_WRITE || r->op == OP_ZERO) && draw(8) == 0;
	r->version = w.number << 32 | ++w.last_version;
	open_blocks(r);
	note(LEDGER_SUBMIT, r, 0);
	if (queue_request(r, tag) < 0)
		quit(1, "%s", ls_error(w.connection));
	w.in_flight++;
}

static void check_read(const struct request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const struct block *b = &w.block[r->block + i];
		struct block_id id = {w.seed, r->block + i, 0, w.volume_id};
		enum block_verdict verdict;

		if (!b->known || b->changes != r->changes[i])
			continue;
		verdict = block_look(r->buffer + i * BLOCK_BYTES, &id);
		if (verdict != BLOCK_WHOLE || id.version != b->version)
			quit(EXIT_WRONG_BYTES,
			     "a read of block %" PRIu64 " of '%s' gave version %#" PRIx64
			     " (verdict %d), not %#" PRIx64,
			     r->block + i, w.volume_name, id.version, verdict, b->version);
		w.checked++;
	}
}

static void complete(const struct ls_completion *c)
{
	struct request *r = &w.request[c->tag];

	w.in_flight--;
	if (r->op == OP_READ) {
		if (c->status == LS_OK)
			check_read(r);
	} else {
		close_blocks(r, c->status == LS_OK);
		note(c->status == LS_OK ? LEDGER_DONE : LEDGER_FAILED, r, c->status);
	}
	if (c->status == LS_NOT_PRIMARY) {
		write_ledger();
		quit(EXIT_NOT_PRIMARY, "'%s' is not primary here any more", w.volume_name);
	}
}

/* --- the run --- */

static void open_volume(void)
{
	struct ls_options options = {
		.size = sizeof(options),
		.queue_depth = DEPTH_MAX,
		.arena_bytes = (uint64_t)DEPTH_MAX * REQUEST_BLOCKS_MAX * BLOCK_BYTES,
		.socket = w.socket,
		.reconnect_ms = w.reconnect_s * 1000,
	};
	struct ls_volume_info info;
	char message[400];

	if (ls_connect(&options, &w.connection, message, sizeof(message)))
		quit(EXIT_NOT_ATTACHED, "%s", message);
	w.volume = ls_volume_open(w.connection, w.volume_name, &info);
	if (w.volume < 0)
		quit(1, "%s", ls_error(w.connection));
	if (!info.primary)
		quit(EXIT_NOT_PRIMARY, "'%s' is not primary here", w.volume_name);
	w.blocks = info.size_bytes / BLOCK_BYTES;
	w.block = calloc(w.blocks, sizeof(*w.block));
	if (w.blocks < DISCARD_BLOCKS_MAX || !w.block)
		quit(1, "the volume is too small, or there is no memory");
	for (uint32_t i = 0; i < w.depth; i++) {
		w.request[i].buffer = ls_buf_alloc(w.connection, REQUEST_BLOCKS_MAX * BLOCK_BYTES);
		if (!w.request[i].buffer)
			quit(1, "the arena has no room");
	}
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* With --rate: no more requests than that many a second, on the whole. */
static bool may_issue(uint64_t begin_us)
{
	return !ending && (!w.rate || w.last_version * 1000000 <= w.rate * (now_us() - begin_us));
}

static void run(void)
{
	struct ls_completion done[DEPTH_MAX];
	uint64_t idle[DEPTH_MAX], begin_us = now_us(); /* tags that no request has */
	uint32_t nr_idle = 0;

	while (nr_idle < w.depth) {
		idle[nr_idle] = nr_idle;
		nr_idle++;
	}
	while (w.in_flight || !ending) {
		int count;

		while (nr_idle && may_issue(begin_us))
			issue(idle[--nr_idle]);
		write_ledger();
		count = ls_wait(w.connection, done, DEPTH_MAX, RATE_TICK_MS);
		if (count < 0)
			quit(1, "%s", ls_error(w.connection));
		for (int i = 0; i < count; i++) {
			complete(&done[i]);
			idle[nr_idle++] = done[i].tag;
		}
	}
	write_ledger();
}

/* Waits for the one request in flight. */
static void finish(int queued)
{
	struct ls_completion c;

	if (queued < 0 || ls_wait(w.connection, &c, 1, -1) != 1)
		quit(1, "%s", ls_error(w.connection));
	if (c.status != LS_OK)
		quit(1, "flush or read: %s", ls_status_text((enum ls_status)c.status));
}

static void print_digest(void)
{
	char *buffer = w.request[0].buffer;
	uint32_t digest = 0;

	finish(ls_flush(w.connection, w.volume, 0));
	for (uint64_t block = 0; block < w.blocks; block += REQUEST_BLOCKS_MAX) {
		uint32_t bytes =
			(uint32_t)min_u64(REQUEST_BLOCKS_MAX, w.blocks - block) * BLOCK_BYTES;

		finish(ls_read(w.connection, w.volume, buffer, block * BLOCK_BYTES, bytes, 0));
		digest = digest_add(digest, buffer, bytes);
	}
	printf("%08x\n", digest);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **words[] = {&w.socket, &w.volume_name, &w.ledger_path};

	switch (key) {
	case 's':
		w.seed = strtoull(arg, NULL, 0);
		return 0;
	case 'w':
		w.number = strtoull(arg, NULL, 0);
		return 0;
	case 'v':
		w.volume_id = (uint32_t)strtoul(arg, NULL, 0);
		return 0;
	case 'q':
		w.depth = (uint32_t)strtoul(arg, NULL, 0);
		if (w.depth < 1 || w.depth > DEPTH_MAX)
			argp_error(state, "--qd: 1 to %u", DEPTH_MAX);
		return 0;
	case 'r':
		w.reconnect_s = (uint32_t)strtoul(arg, NULL, 0);
		return 0;
	case 'n':
		w.rate = (uint32_t)strtoul(arg, NULL, 0);
		return 0;
	case 'd':
		w.digest = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= ARRAY_SIZE(words))
			argp_usage(state);
		*words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < ARRAY_SIZE(words) - w.digest)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"seed", 's', "N", 0, "Of the run: goes into every block", 0},
		{"number", 'w', "N", 0, "Of this writer: different for each in a run", 0},
		{"volume-id", 'v', "N", 0, "Goes into every block", 0},
		{"qd", 'q', "N", 0, "Requests in flight (16)", 0},
		{"rate", 'n', "N", 0, "Requests a second, at most (no limit)", 0},
		{"reconnect", 'r', "SECONDS", 0, "How long to look for the next engine (600)", 0},
		{"digest", 'd', NULL, 0, "Read all of it, and print a digest", 0},
		{0},
	};
	static const struct argp args = {rows, parse, "SOCKET VOLUME [LEDGER]", NULL};
	struct sigaction action = {.sa_handler = on_term};

	argp_parse(&args, argc, argv, 0, NULL, NULL);
	/* With SA_RESTART, so that the library never sees it: the next tick comes soon. */
	action.sa_flags = SA_RESTART;
	sigaction(SIGTERM, &action, NULL);
	w.prng = w.seed ^ w.number << 20 ^ w.volume_id;
	if (w.digest) {
		open_volume();
		print_digest();
		ls_disconnect(w.connection);
		return 0;
	}
	w.ledger = open(w.ledger_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (w.ledger < 0)
		quit(1, "%s: %s", w.ledger_path, strerror(errno));
	open_volume();
	run();
	printf("{\"checked\": %" PRIu64 ", \"reconnects\": %" PRIu64 "}\n", w.checked,
	       ls_reconnects(w.connection));
	ls_disconnect(w.connection);
	return 0;
}
