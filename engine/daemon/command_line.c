/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/command_line.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Found by libc by its name: it must be exported. */
__attribute__((visibility("default"))) const char *argp_program_version = "lockstepd 0.1.0";

#define EXIT_USAGE 2
/* Keys of options that have no letter. */
#define KEY_FIRST 1000
#define HELP_BYTES 160

struct parsing {
	struct options *options;
	const char *config; /* as asked for, or NULL */
};

static void set(struct parsing *p, struct argp_state *state, enum option_id option, const char *arg)
{
	struct err err;

	if (options_set(p->options, option, arg, OPTION_COMMAND_LINE, 0, &err))
		argp_error(state, "--%s: %s", option_table[option].name, err.text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parsing *p = state->input;

	switch (key) {
	case 'c':
		if (!arg[0] || strlen(arg) > OPTION_TEXT_MAX)
			argp_error(state, "--config: a path has 1 to %d characters",
				   OPTION_TEXT_MAX);
		p->config = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not expected here", arg);
		return EINVAL;
	default:
		for (unsigned i = 0; i < OPTIONS; i++) {
			if (key == KEY_FIRST + (int)i || (key && key == option_table[i].letter)) {
				set(p, state, (enum option_id)i, arg);
				return 0;
			}
		}
		return ARGP_ERR_UNKNOWN;
	}
}

/* Rows of argp out of the table of options. */
static void make_rows(struct argp_option rows[OPTIONS + 2], char help[OPTIONS][HELP_BYTES])
{
	rows[0] = (struct argp_option){
		.name = "config",
		.key = 'c',
		.arg = "FILE",
		.doc = "Options that are not given here (default: " CONFIG_PATH_DEFAULT
		       ", when it is there)",
	};
	for (unsigned i = 0; i < OPTIONS; i++) {
		const struct option_info *info = &option_table[i];

		snprintf(help[i], HELP_BYTES, "%s (default: %s)", info->help,
			 info->standard ? info->standard : "host name");
		rows[i + 1] = (struct argp_option){
			.name = info->name,
			.key = info->letter ? info->letter : KEY_FIRST + (int)i,
			.arg = info->argument,
			.doc = help[i],
		};
	}
	rows[OPTIONS + 1] = (struct argp_option){0};
}

static void read_file(struct options *o, const char *asked, char path[OPTION_TEXT_MAX + 1])
{
	struct config_file *file = malloc(sizeof(*file));
	char text[OPTION_TEXT_MAX + 600];

	if (!file)
		exit(1);
	snprintf(path, OPTION_TEXT_MAX + 1, "%s", asked ? asked : CONFIG_PATH_DEFAULT);
	config_file_read(file, path, asked, o);
	for (unsigned i = 0; i < file->count; i++) {
		config_mistake_text(path, &file->mistakes[i], text, sizeof(text));
		fprintf(stderr, "lockstepd: %s\n", text);
	}
	if (file->count)
		exit(EXIT_USAGE);
	if (!file->present)
		path[0] = '\0';
	free(file);
}

void command_line_parse(struct options *o, int argc, char **argv, char file[OPTION_TEXT_MAX + 1])
{
	struct argp_option rows[OPTIONS + 2];
	char help[OPTIONS][HELP_BYTES];
	struct argp argp = {
		.options = rows,
		.parser = parse,
		.doc = "The Lockstep engine: keeps two copies of a volume equal, over RDMA.",
	};
	struct parsing p = {.options = o};

	make_rows(rows, help);
	options_default(o);
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &p);
	read_file(o, p.config, file);
}
