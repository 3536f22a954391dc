/* SPDX-License-Identifier: BSD-3-Clause */
/* bench: closed loop at a fixed depth through the shared-memory queue, buffers in the arena. */
#include "engine/base/hist.h"
#include "tools/lockstep/control.h"
#include "tools/lockstep/io.h"
#include "tools/lockstep/pattern.h"
#include "tools/lockstep/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LIST_MAX 16
#define DEPTH_MAX 4096

enum {
	KEY_RW = 1000,
	KEY_BS,
	KEY_QD,
	KEY_TIME,
	KEY_VOLUME,
	KEY_NAME,
	KEY_VERIFY,
	KEY_SEED,
	KEY_SPIN
};

/* What a mode does. */
struct mode {
	const char *name;
	bool random;
	unsigned write_percent;
};

static const struct mode modes[] = {
	{"read", false, 0},    {"write", false, 100},	 {"rw", false, 50},
	{"randread", true, 0}, {"randwrite", true, 100}, {"randrw", true, 50},
};

struct bench {
	const struct mode *modes[LIST_MAX];
	uint32_t bs[LIST_MAX], qd[LIST_MAX];
	unsigned mode_count, bs_count, qd_count;
	double seconds;
	const char *volume, *system;
	bool verify;
	uint64_t seed;
	bool seed_given;
	uint32_t spin_us;
};

struct job {
	const struct bench *bench;
	const struct mode *mode;
	uint32_t bs;
	struct io io;
	uint64_t prng, next, blocks;
	uint64_t *started, *offsets; /* of the request in each buffer */
	uint8_t *written; /* bit per block, for --verify */
	struct hist hist;
	uint64_t elapsed_ns;
	uint32_t in_flight;
};

static void add_modes(struct argp_state *state, struct bench *b, char *list)
{
	char *save, *part;

	for (part = strtok_r(list, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < ARRAY_SIZE(modes) && strcmp(part, modes[i].name))
			i++;
		if (i == ARRAY_SIZE(modes) || b->mode_count == LIST_MAX)
			argp_error(state,
				   "--rw: '%s' is none of read, write, rw, randread, randwrite, "
				   "randrw",
				   part);
		b->modes[b->mode_count++] = &modes[i];
	}
}

static void add_numbers(struct argp_state *state, const char *what, char *list, uint32_t *out,
			unsigned *count, uint64_t max)
{
	char *save, *part;

	for (part = strtok_r(list, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		uint64_t value = arg_bytes(state, what, part);

		if (!value || value > max || *count == LIST_MAX)
			argp_error(state, "%s: '%s' is not from 1 to %" PRIu64, what, part, max);
		out[(*count)++] = (uint32_t)value;
	}
}

static void set_time(struct argp_state *state, struct bench *b, const char *arg)
{
	char *end;

	b->seconds = strtod(arg, &end);
	if (end == arg || *end || !(b->seconds > 0) || b->seconds > 86400)
		argp_error(state, "--time: '%s' is no number of seconds", arg);
}

static error_t parse_bench(int key, char *arg, struct argp_state *state)
{
	struct bench *b = state->input;

	switch (key) {
	case KEY_RW:
		add_modes(state, b, arg);
		return 0;
	case KEY_BS:
		add_numbers(state, "--bs", arg, b->bs, &b->bs_count, MIB(1));
		return 0;
	case KEY_QD:
		add_numbers(state, "--qd", arg, b->qd, &b->qd_count, DEPTH_MAX);
		return 0;
	case KEY_TIME:
		set_time(state, b, arg);
		return 0;
	case KEY_VOLUME:
		b->volume = arg;
		return 0;
	case KEY_NAME:
		b->system = arg;
		return 0;
	case KEY_VERIFY:
		b->verify = true;
		return 0;
	case KEY_SEED:
		b->seed = arg_number(state, "--seed", arg, 0, UINT64_MAX);
		b->seed_given = true;
		return 0;
	case KEY_SPIN:
		b->spin_us = (uint32_t)arg_number(state, "--spin-us", arg, 0, 1000000);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not expected here (--volume?)", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option rows[] = {
	{"rw", KEY_RW, "MODE,...", 0,
	 "read, write, rw, randread, randwrite, randrw (default randread)", 0},
	{"bs", KEY_BS, "BYTES,...", 0, "Block sizes (default 4k)", 0},
	{"qd", KEY_QD, "N,...", 0, "Requests in flight (default 1)", 0},
	{"time", KEY_TIME, "SECONDS", 0, "For each job (default 5)", 0},
	{"volume", KEY_VOLUME, "NAME", 0,
	 "Which volume; a write job needs it, it destroys the data", 0},
	{"name", KEY_NAME, "TEXT", 0, "Name of the system in the output (default lockstep)", 0},
	{"verify", KEY_VERIFY, NULL, 0, "Write known bytes, and read them back behind the clock",
	 0},
	{"seed", KEY_SEED, "N", 0, "For the offsets (default: random, and printed)", 0},
	{"spin-us", KEY_SPIN, "N", 0, "The process looks so long before it sleeps (default 0)", 0},
	{0},
};

static void set_defaults(struct bench *b)
{
	if (!b->mode_count)
		b->modes[b->mode_count++] = &modes[3];
	if (!b->bs_count)
		b->bs[b->bs_count++] = 4096;
	if (!b->qd_count)
		b->qd[b->qd_count++] = 1;
	if (!b->seed_given && getrandom(&b->seed, sizeof(b->seed), 0) < 0)
		b->seed = now_ns();
	b->seed &= UINT32_MAX; /* short enough to type */
}

static bool writes(const struct bench *b)
{
	for (unsigned i = 0; i < b->mode_count; i++)
		if (b->modes[i]->write_percent)
			return true;
	return false;
}

/* The volume when there is only one; copied to @name. */
static int only_volume(struct cli *cli, char *name, size_t room)
{
	struct json_object *answer, *volumes;
	int rc = control_call(cli, control_request("volume-list"), NULL, NULL, &answer);

	if (rc)
		return rc;
	volumes = json_get_array(answer, "volumes");
	if (!volumes || json_object_array_length(volumes) != 1)
		rc = fail("which volume? This node has %zu: name one with --volume",
			  volumes ? json_object_array_length(volumes) : 0);
	else
		snprintf(name, room, "%s",
			 json_get_text(json_object_array_get_idx(volumes, 0), "name", ""));
	json_object_put(answer);
	return rc;
}

/* One job */

static uint64_t next_block(struct job *j)
{
	if (j->mode->random)
		return prng_below(&j->prng, j->blocks);
	return j->next++ % j->blocks;
}

static int issue(struct job *j, uint64_t slot, uint64_t now)
{
	bool write = prng_below(&j->prng, 100) < j->mode->write_percent;
	uint64_t block = next_block(j), offset = block * j->bs;
	struct io *io = &j->io;
	int rc;

	if (write && j->written) {
		pattern_fill(io->buffers[slot], j->bs, offset, j->bench->seed, 0);
		j->written[block / 8] |= (uint8_t)(1u << block % 8);
	}
	rc = write ? ls_write(io->connection, io->volume, io->buffers[slot], offset, j->bs, 0, slot)
		   : ls_read(io->connection, io->volume, io->buffers[slot], offset, j->bs, slot);
	if (rc < 0)
		return fail("%s", ls_error(io->connection));
	j->started[slot] = now;
	j->offsets[slot] = offset;
	j->in_flight++;
	return 0;
}

static int run_loop(struct job *j)
{
	uint64_t begin = now_ns(), now = begin;
	uint64_t end = begin + (uint64_t)(j->bench->seconds * 1e9);
	struct ls_completion done[128];
	int rc = 0;

	for (uint32_t slot = 0; !rc && slot < j->io.depth; slot++)
		rc = issue(j, slot, now);
	while (!rc && j->in_flight) {
		int count = ls_wait(j->io.connection, done, (int)ARRAY_SIZE(done), -1);

		if (count < 0)
			return fail("%s", ls_error(j->io.connection));
		now = now_ns();
		for (int i = 0; !rc && i < count; i++) {
			uint64_t slot = done[i].tag;

			j->in_flight--;
			if (done[i].status)
				rc = io_failed("request", j->offsets[slot], &done[i]);
			hist_add(&j->hist, now - j->started[slot]);
			if (!rc && now < end)
				rc = issue(j, slot, now);
		}
	}
	j->elapsed_ns = now - begin;
	return rc;
}

static int read_back(struct job *j, uint64_t block)
{
	struct ls_completion c;
	char *buf = j->io.buffers[0];
	uint64_t offset = block * j->bs;
	size_t good;
	int rc = ls_read(j->io.connection, j->io.volume, buf, offset, j->bs, 0);

	if (rc >= 0)
		rc = ls_wait(j->io.connection, &c, 1, -1);
	if (rc < 0)
		return fail("%s", ls_error(j->io.connection));
	if (c.status)
		return io_failed("read", offset, &c);
	good = pattern_match(buf, j->bs, offset, j->bench->seed, 0);
	if (good < j->bs)
		return fail("verification: wrong bytes at offset %" PRIu64, offset + good);
	return 0;
}

static int verify(struct job *j)
{
	int rc = 0;

	for (uint64_t block = 0; j->written && !rc && block < j->blocks; block++)
		if (j->written[block / 8] >> block % 8 & 1)
			rc = read_back(j, block);
	return rc;
}

static int prepare(struct job *j)
{
	j->blocks = j->io.info.size_bytes / j->bs;
	j->started = calloc(j->io.depth, sizeof(*j->started));
	j->offsets = calloc(j->io.depth, sizeof(*j->offsets));
	if (j->bench->verify && j->mode->write_percent)
		j->written = calloc(j->blocks / 8 + 1, 1);
	if (!j->started || !j->offsets)
		return fail("no memory");
	if (j->bs % j->io.info.block_bytes)
		return fail("--bs %u: the volume has blocks of %u bytes", j->bs,
			    j->io.info.block_bytes);
	if (!j->blocks)
		return fail("the volume is smaller than one block of %u bytes", j->bs);
	return 0;
}

static int run_job(struct cli *cli, const struct bench *b, struct job *j, uint32_t depth)
{
	/* Numbers that have a restart in them would mislead. */
	int rc = io_open(cli, b->volume, depth, j->bs, b->spin_us, LS_RECONNECT_NEVER, &j->io);

	if (rc)
		return rc;
	j->bench = b;
	j->prng = b->seed;
	rc = prepare(j);
	if (!rc)
		rc = run_loop(j);
	if (!rc)
		rc = verify(j);
	io_close(&j->io);
	free(j->started);
	free(j->offsets);
	free(j->written);
	return rc;
}

/* Output */

static void add_json(struct json_object *list, const struct bench *b, const struct job *j,
		     uint32_t qd)
{
	struct json_object *o = json_object_new_object();
	double seconds = (double)j->elapsed_ns / 1e9;
	double iops = (double)j->hist.count / seconds;

	json_set_text(o, "system", b->system);
	json_set_text(o, "rw", j->mode->name);
	json_set_u64(o, "bs", j->bs);
	json_set_u64(o, "qd", qd);
	json_set_double(o, "iops", iops);
	json_set_double(o, "p50_us", (double)hist_percentile(&j->hist, 50) / 1000);
	json_set_double(o, "p99_us", (double)hist_percentile(&j->hist, 99) / 1000);
	json_set_double(o, "mbps", iops * j->bs / 1e6);
	json_object_array_add(list, o);
}

static void print_jobs(struct json_object *list)
{
	static const char *const columns[] = {"SYSTEM", "RW",	   ">BS",     ">QD",
					      ">IOPS",	">P50 US", ">P99 US", ">MB/S"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));
	char bs[32];

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		table_row(t);
		table_cell(t, "%s", json_get_text(o, "system", ""));
		table_cell(t, "%s", json_get_text(o, "rw", ""));
		table_cell(t, "%s", short_bytes(json_get_u64(o, "bs", 0), bs, sizeof(bs)));
		table_cell(t, "%" PRIu64, json_get_u64(o, "qd", 0));
		table_cell(t, "%.0f", json_get_double(o, "iops"));
		table_cell(t, "%.1f", json_get_double(o, "p50_us"));
		table_cell(t, "%.1f", json_get_double(o, "p99_us"));
		table_cell(t, "%.1f", json_get_double(o, "mbps"));
	}
	table_print(t, "no job ran");
}

static void print_all(const struct cli *cli, const struct bench *b, struct json_object *list)
{
	if (!cli->json) {
		print_jobs(list);
		printf("volume %s, seed %" PRIu64 "\n", b->volume, b->seed);
		json_object_put(list);
	} else if (json_object_array_length(list) == 1) {
		puts(json_object_to_json_string(json_object_array_get_idx(list, 0)));
		json_object_put(list);
	} else {
		control_print(list);
	}
}

static int run_all(struct cli *cli, const struct bench *b, struct json_object *list)
{
	struct job *job = malloc(sizeof(*job));
	int rc = job ? 0 : fail("no memory");

	for (unsigned m = 0; m < b->mode_count; m++) {
		for (unsigned s = 0; s < b->bs_count; s++) {
			for (unsigned q = 0; !rc && q < b->qd_count; q++) {
				*job = (struct job){.mode = b->modes[m], .bs = b->bs[s]};
				rc = run_job(cli, b, job, b->qd[q]);
				if (!rc)
					add_json(list, b, job, b->qd[q]);
			}
		}
	}
	free(job);
	return rc;
}

int cmd_bench(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {
		rows, parse_bench, NULL,
		"Measures a volume through the shared-memory queue; latency is from the call to "
		"the "
		"completion in the process.  Several jobs run one after the other."};
	struct bench b = {.seconds = 5, .system = "lockstep"};
	struct json_object *list;
	char volume[128];
	int rc;

	cli_parse(cli, argc, argv, &args, &b);
	set_defaults(&b);
	if (!b.volume && writes(&b))
		return fail("a write job destroys the data: name its --volume");
	if (!b.volume) {
		rc = only_volume(cli, volume, sizeof(volume));
		if (rc)
			return rc;
		b.volume = volume;
	}
	list = json_object_new_array();
	rc = run_all(cli, &b, list);
	if (rc)
		json_object_put(list);
	else
		print_all(cli, &b, list);
	return rc;
}
