/* SPDX-License-Identifier: BSD-3-Clause */
/* Shows changes of state as they happen: engine/doc/control.md, "Events". */
#include "tools/lockstep/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_VOLUME = 1000, KEY_SINCE, KEY_LAST, KEY_NO_FOLLOW };

struct events_args {
	const char *volume;
	uint64_t since, last;
	bool has_since, no_follow;
};

static error_t parse_events(int key, char *arg, struct argp_state *state)
{
	struct events_args *a = state->input;

	switch (key) {
	case KEY_VOLUME:
		a->volume = arg;
		return 0;
	case KEY_SINCE:
		a->since = arg_number(state, "--since", arg, 0, UINT64_MAX);
		a->has_since = true;
		return 0;
	case KEY_LAST:
		a->last = arg_number(state, "--last", arg, 1, UINT64_MAX);
		return 0;
	case KEY_NO_FOLLOW:
		a->no_follow = true;
		return 0;
	case ARGP_KEY_END:
		if (a->has_since && a->last)
			argp_error(state, "--since or --last, not both");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_event(struct json_object *e)
{
	if (!strcmp(json_get_text(e, "event", ""), "lost"))
		printf("%" PRIu64 " events were lost: they came faster than they were read\n",
		       json_get_u64(e, "count", 0));
	else
		printf("%6" PRIu64 "  %s  %s\n", json_get_u64(e, "seq", 0),
		       json_get_text(e, "time", ""), json_get_text(e, "text", ""));
}

static void show_event(void *ctx, struct json_object *e)
{
	const struct cli *cli = ctx;

	if (cli->json)
		puts(json_object_to_json_string_ext(e, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_event(e);
	/* Whoever read it has gone. */
	if (fflush(stdout))
		exit(EXIT_FAILED);
}

int cmd_events(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"volume", KEY_VOLUME, "VOLUME", 0, "Only events of this volume", 0},
		{"last", KEY_LAST, "N", 0, "First the last N, as far as they are kept", 0},
		{"since", KEY_SINCE, "SEQ", 0, "First those behind number SEQ (0: since the start)",
		 0},
		{"no-follow", KEY_NO_FOLLOW, NULL, 0, "Only what has happened; do not wait", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_events, NULL,
		"Shows every change of state of this node with its reason, as it happens, until "
		"it is interrupted or the daemon stops.  With --json one object on a line.  The "
		"daemon keeps the last 256; who reads too slowly is told how many were lost."};
	struct json_object *request = control_request("events"), *answer;
	struct events_args a = {0};
	int rc;

	cli_parse(cli, argc, argv, &args, &a);
	if (a.volume)
		json_set_text(request, "volume", a.volume);
	if (a.has_since)
		json_set_u64(request, "since", a.since);
	if (a.last)
		json_set_u64(request, "last", a.last);
	json_set_bool(request, "follow", !a.no_follow);
	rc = control_call(cli, request, show_event, cli, &answer);
	if (rc)
		return rc;
	if (json_get_bool(answer, "stopped", false))
		fprintf(stderr, "lockstep: lockstepd has stopped\n");
	json_object_put(answer);
	return 0;
}
