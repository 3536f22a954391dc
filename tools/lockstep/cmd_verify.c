/* SPDX-License-Identifier: BSD-3-Clause */
/* Compares both replicas of a volume: engine/doc/verify.md. */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/progress.h"

#include <stdio.h>

enum { KEY_OFFSET = 1000, KEY_LENGTH, KEY_REPAIR, KEY_NO_WAIT, KEY_STOP };

struct verify_args {
	const char *volume;
	uint64_t offset, length;
	bool repair, no_wait, stop;
};

static error_t parse_verify(int key, char *arg, struct argp_state *state)
{
	struct verify_args *a = state->input;

	switch (key) {
	case KEY_OFFSET:
		a->offset = arg_bytes(state, "--offset", arg);
		return 0;
	case KEY_LENGTH:
		a->length = arg_bytes(state, "--length", arg);
		return 0;
	case KEY_REPAIR:
		a->repair = true;
		return 0;
	case KEY_NO_WAIT:
		a->no_wait = true;
		return 0;
	case KEY_STOP:
		a->stop = true;
		return 0;
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

static void print_places(struct json_object *answer)
{
	static const char *const columns[] = {">offset", ">length", "wrong", "state"};
	struct json_object *places = json_get_array(answer, "differences");
	struct table *table;

	if (!places || !json_object_array_length(places))
		return;
	table = table_create(columns, ARRAY_SIZE(columns));
	for (size_t i = 0; i < json_object_array_length(places); i++) {
		struct json_object *place = json_object_array_get_idx(places, i);
		bool unreadable = json_get_bool(place, "unreadable", false);

		table_row(table);
		table_cell(table, "%llu", (unsigned long long)json_get_u64(place, "offset", 0));
		table_cell(table, "%llu", (unsigned long long)json_get_u64(place, "length", 0));
		table_cell(table, "%s", json_get_text(place, "blame", "?"));
		table_cell(table, "%s",
			   json_get_bool(place, "repaired", false) ? "repaired"
			   : unreadable				   ? "unreadable"
								   : "differs");
	}
	table_print(table, "");
	if (json_get_bool(answer, "more", false))
		puts("... and more: only the first ones are listed, all are counted");
}

/* What can be done about what is left. */
static void print_advice(const struct verify_args *a, struct json_object *answer)
{
	uint64_t both = json_get_u64(json_get(answer, "blamed_bytes"), "both", 0);
	uint64_t left = json_get_u64(answer, "different_bytes", 0) -
			json_get_u64(answer, "repaired_bytes", 0);

	if (!a->repair)
		printf("repair: `lockstep verify %s --repair` gives the side that is wrong the "
		       "other's bytes; where nothing is known, this node counts\n",
		       a->volume);
	else if (left > both)
		puts("a device or the peer did not take some of it; the logs of both nodes say "
		     "why");
	if (both)
		puts("where both are wrong: neither has what was written last; write it anew, from "
		     "a backup");
}

static int show_found(const struct cli *cli, const struct verify_args *a,
		      struct json_object *answer)
{
	bool running = json_get_bool(answer, "running", false);
	bool left = json_get_u64(answer, "different_bytes", 0) >
		    json_get_u64(answer, "repaired_bytes", 0);

	if (cli->json) {
		control_print(answer);
		return left ? EXIT_FAILED : 0;
	}
	if (running) {
		printf("'%s' is being compared; `lockstep status` shows how far it is\n",
		       a->volume);
	} else {
		print_places(answer);
		puts(json_get_text(answer, "text", "done"));
	}
	if (left)
		print_advice(a, answer);
	json_object_put(answer);
	return left ? EXIT_FAILED : 0;
}

static int stop(const struct cli *cli, const struct verify_args *a)
{
	struct json_object *request = control_request("verify-stop");

	json_set_text(request, "volume", a->volume);
	return short_job(cli, request);
}

int cmd_verify(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"offset", KEY_OFFSET, "BYTES", 0, "Where to begin (default: 0)", 0},
		{"length", KEY_LENGTH, "BYTES", 0, "How much (default: up to the end)", 0},
		{"repair", KEY_REPAIR, NULL, 0,
		 "Give the side that is wrong the other's bytes; where nothing is known of who "
		 "is, the peer gets this node's",
		 0},
		{"no-wait", KEY_NO_WAIT, NULL, 0,
		 "Return when it has begun; what differs is in the log", 0},
		{"stop", KEY_STOP, NULL, 0, "Stop the one that runs", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_verify, "VOLUME",
		"Compares VOLUME, which is primary on this node and in sync, with the peer's "
		"replica, while programs go on using it.  Says where they differ and, when the "
		"checksum log knows, which side is wrong.  Exit status 0: equal, or all was "
		"repaired; 1: something differs."};
	struct verify_args a = {0};
	struct json_object *request, *answer;
	int rc;

	cli_parse(cli, argc, argv, &args, &a);
	if (a.stop)
		return stop(cli, &a);
	request = control_request("verify");
	json_set_text(request, "volume", a.volume);
	json_set_u64(request, "offset", a.offset);
	json_set_u64(request, "length", a.length);
	json_set_bool(request, "repair", a.repair);
	rc = long_call(cli, request, a.no_wait, &answer);
	return rc ? rc : show_found(cli, &a, answer);
}
