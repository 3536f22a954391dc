/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/config_file.h"
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"

#include <stdio.h>
#include <stdlib.h>

static error_t parse_check(int key, char *arg, struct argp_state *state)
{
	const char **path = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (*path)
		argp_error(state, "one file at a time: '%s' is too much", arg);
	*path = arg;
	return 0;
}

static struct json_object *mistakes_json(const struct config_file *file)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < file->count; i++) {
		struct json_object *one = json_object_new_object();

		if (file->mistakes[i].line)
			json_set_u64(one, "line", file->mistakes[i].line);
		json_set_text(one, "error", file->mistakes[i].text);
		json_object_array_add(list, one);
	}
	return list;
}

/* Those that the file sets. */
static struct json_object *options_json(const struct options *options)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < OPTIONS; i++) {
		const struct option_given *given = &options->given[i];
		struct json_object *one;

		if (given->source != OPTION_FILE)
			continue;
		one = json_object_new_object();
		json_set_text(one, "option", option_table[i].name);
		json_set_text(one, "value", given->text);
		json_set_u64(one, "line", given->line);
		json_object_array_add(list, one);
	}
	return list;
}

static void print_check(const char *path, const struct config_file *file,
			const struct options *options)
{
	struct json_object *answer = json_object_new_object();

	json_set_bool(answer, "ok", !file->count);
	json_set_text(answer, "file", path);
	json_set_bool(answer, "present", file->present);
	json_object_object_add(answer, "mistakes", mistakes_json(file));
	json_object_object_add(answer, "options", options_json(options));
	control_print(answer);
}

static void show_check(const char *path, const struct config_file *file,
		       const struct options *options)
{
	char text[1024];
	unsigned set = 0;

	for (unsigned i = 0; i < OPTIONS; i++)
		set += options->given[i].source == OPTION_FILE;
	for (unsigned i = 0; i < file->count; i++) {
		config_mistake_text(path, &file->mistakes[i], text, sizeof(text));
		fail("%s", text);
	}
	if (file->count == CONFIG_MISTAKES_MAX)
		fail("%s: there may be more: these are the first %d mistakes", path,
		     CONFIG_MISTAKES_MAX);
	else if (!file->count && !file->present)
		printf("there is no %s: every option has its default\n", path);
	else if (!file->count)
		printf("%s has no mistake, and sets %u of %d options\n", path, set, OPTIONS);
}

int cmd_config_check(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {{0}};
	static const struct cli_args args = {
		rows, parse_check, "[FILE]",
		"Looks for mistakes in a configuration file of lockstepd "
		"(default: " CONFIG_PATH_DEFAULT "); needs no daemon."};
	struct config_file *file;
	struct options options;
	const char *path = NULL;
	int rc;

	cli_parse(cli, argc, argv, &args, &path);
	file = malloc(sizeof(*file));
	if (!file)
		return fail("no memory");
	options_default(&options);
	config_file_read(file, path ? path : CONFIG_PATH_DEFAULT, path, &options);
	if (!path)
		path = CONFIG_PATH_DEFAULT;
	if (cli->json)
		print_check(path, file, &options);
	else
		show_check(path, file, &options);
	rc = file->count ? EXIT_FAILED : 0;
	free(file);
	return rc;
}

static void show_options(struct json_object *answer)
{
	static const char *const columns[] = {"OPTION", "VALUE", "FROM", "DEFAULT"};
	struct json_object *options = json_get_array(answer, "options");
	const char *file = json_get_text(answer, "file", NULL);
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; options && i < json_object_array_length(options); i++) {
		struct json_object *o = json_object_array_get_idx(options, i);
		uint64_t line = json_get_u64(o, "line", 0);

		table_row(t);
		table_cell(t, "%s", json_get_text(o, "option", "?"));
		table_cell(t, "%s", json_get_text(o, "value", "?"));
		if (line)
			table_cell(t, "line %u", (unsigned)line);
		else
			table_cell(t, "%s", json_get_text(o, "source", "?"));
		table_cell(t, "%s", json_get_text(o, "default", "host name"));
	}
	if (file)
		printf("file     %s\n\n", file);
	else
		puts("file     none: command line and defaults\n");
	table_print(t, "the daemon tells no options");
}

int cmd_config_show(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer;
	int rc;

	cli_parse_none(cli, argc, argv,
		       "Shows every option that the running daemon has, and where it came from.");
	rc = control_call(cli, control_request("config"), NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	show_options(answer);
	json_object_put(answer);
	return 0;
}
