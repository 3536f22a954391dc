/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the two replicas of a mirror may differ: what `resolve` would give up, place by place. */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"

#include <inttypes.h>
#include <stdio.h>

struct regions_args {
	const char *volume;
};

static error_t parse_regions(int key, char *arg, struct argp_state *state)
{
	struct regions_args *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		arg_volume(state, &a->volume, arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->volume)
			argp_error(state, "the name of the volume is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add_rows(struct table *t, const char *where, struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *run = json_object_array_get_idx(list, i);

		table_row(t);
		table_cell(t, "%s", where);
		table_cell(t, "%" PRIu64, json_get_u64(run, "offset", 0));
		table_cell(t, "%" PRIu64, json_get_u64(run, "length", 0));
	}
}

static void print_regions(struct json_object *answer)
{
	static const char *const columns[] = {"CHANGED", ">OFFSET", ">LENGTH"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	add_rows(t, "here", json_get_array(answer, "local"));
	add_rows(t, "at the peer", json_get_array(answer, "peer"));
	table_print(t, "nothing is known to differ");
	if (!json_get_bool(answer, "peer_known", false))
		puts("what the peer has changed is not known: it has not been heard");
	if (json_get_bool(answer, "everything", false))
		puts("the maps do not reach back to what both had: everything may differ");
}

int cmd_regions(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {{0}};
	static const struct cli_args args = {
		rows, parse_regions, "VOLUME",
		"Lists the parts of VOLUME, in bytes, that may differ from its peer's: changed "
		"here, and changed there as the peer told when they last compared.  `resolve "
		"--keep "
		"local` gives up the second, `--keep peer` the first."};
	struct regions_args a = {0};
	struct json_object *request, *answer;
	int rc;

	cli_parse(cli, argc, argv, &args, &a);
	request = control_request("regions");
	json_set_text(request, "volume", a.volume);
	rc = control_call(cli, request, NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	print_regions(answer);
	json_object_put(answer);
	return 0;
}
