/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_RUN "/run/lockstep"

static struct {
	char *text;
	size_t bytes;
} failure;

void fail_into(char *text, size_t bytes)
{
	failure.text = text;
	failure.bytes = bytes;
}

int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (failure.text) {
		vsnprintf(failure.text, failure.bytes, fmt, ap);
		va_end(ap);
		return EXIT_FAILED;
	}
	fputs("lockstep: ", stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

static void set_run(struct cli *cli, const char *run)
{
	snprintf(cli->run, sizeof(cli->run), "%s", run);
	snprintf(cli->control, sizeof(cli->control), "%s/control.sock", run);
	snprintf(cli->client, sizeof(cli->client), "%s/client.sock", run);
}

void cli_init(struct cli *cli)
{
	const char *run = getenv("LOCKSTEP_RUN"), *client = getenv("LOCKSTEP_SOCKET");

	*cli = (struct cli){0};
	set_run(cli, run ? run : DEFAULT_RUN);
	if (client)
		snprintf(cli->client, sizeof(cli->client), "%s", client);
}

static const struct argp_option common_rows[] = {
	{"run", 'r', "DIR", 0, "The daemon's run directory ($LOCKSTEP_RUN, or /run/lockstep)", 100},
	{"socket", 's', "PATH", 0, "The daemon's control socket, instead of DIR/control.sock", 100},
	{"json", 'j', NULL, 0, "Print the daemon's answer as JSON", 100},
	{0},
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct cli *cli = state->input;

	switch (key) {
	case 'r':
		set_run(cli, arg);
		return 0;
	case 's':
		snprintf(cli->control, sizeof(cli->control), "%s", arg);
		return 0;
	case 'j':
		cli->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cli_common = {.options = common_rows, .parser = parse_common};

struct inputs {
	struct cli *cli;
	void *own;
};

static error_t parse_top(int key, char *arg, struct argp_state *state)
{
	struct inputs *inputs = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = inputs->own;
	state->child_inputs[1] = inputs->cli;
	return 0;
}

void cli_parse(struct cli *cli, int argc, char **argv, const struct cli_args *args, void *input)
{
	/* For a table without a row glibc's --help loses a byte, which LeakSanitizer sees. */
	const struct argp_option *rows = args->options;
	struct argp own = {.options = rows && rows->name ? rows : NULL, .parser = args->parser};
	struct argp_child children[] = {{&own, 0, NULL, 0}, {&cli_common, 0, NULL, 0}, {0}};
	struct argp argp = {
		.parser = parse_top,
		.args_doc = args->names,
		.doc = args->doc,
		.children = children,
	};
	struct inputs inputs = {.cli = cli, .own = input};

	argp_parse(&argp, argc, argv, 0, NULL, &inputs);
}

static error_t parse_none(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	argp_error(state, "'%s' is not expected here", arg);
	return EINVAL;
}

void cli_parse_none(struct cli *cli, int argc, char **argv, const char *doc)
{
	static const struct argp_option rows[] = {{0}};
	struct cli_args args = {.options = rows, .parser = parse_none, .doc = doc};

	cli_parse(cli, argc, argv, &args, NULL);
}

const char *arg_path(const char *path, char *out, size_t room)
{
	const char *plain = strncmp(path, "file:", 5) ? path : path + 5;
	char here[PATH_MAX];

	if (plain[0] == '/' || !getcwd(here, sizeof(here)))
		snprintf(out, room, "%s", path);
	else
		snprintf(out, room, "%.*s%s/%s", (int)(plain - path), path, here, plain);
	return out;
}

static unsigned suffix_shift(const char *suffix)
{
	static const char *const letters = "kmgt";
	const char *at;

	if (!suffix[0])
		return 0;
	at = strchr(letters, suffix[0] | 0x20);
	if (!at || (suffix[1] && strcmp(suffix + 1, "iB") && strcmp(suffix + 1, "B")))
		return 64;
	return 10 * (unsigned)(at - letters + 1);
}

uint64_t arg_bytes(struct argp_state *state, const char *what, const char *arg)
{
	unsigned long long value;
	unsigned shift;
	char *end;

	errno = 0;
	value = strtoull(arg, &end, 10);
	shift = suffix_shift(end);
	if (errno || end == arg || arg[0] == '-' || shift == 64 || value > UINT64_MAX >> shift)
		argp_error(state, "%s: '%s' is no size like 4096, 4k, 256M or 1G", what, arg);
	return (uint64_t)value << shift;
}

uint64_t arg_number(struct argp_state *state, const char *what, const char *arg, uint64_t min,
		    uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || arg[0] == '-' || value < min || value > max)
		argp_error(state, "%s: '%s' is not a number from %llu to %llu", what, arg,
			   (unsigned long long)min, (unsigned long long)max);
	return value;
}

void arg_volume(struct argp_state *state, const char **volume, const char *arg)
{
	if (*volume)
		argp_error(state, "one volume at a time: '%s' is too much", arg);
	*volume = arg;
}
