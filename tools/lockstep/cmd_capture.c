/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CAPTURE_MAX 64

enum { KEY_COUNT = 1000, KEY_TIME, KEY_START, KEY_READ };

struct capture {
	unsigned count;
	unsigned seconds;
	bool start_only, read_only;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

static error_t parse_capture(int key, char *arg, struct argp_state *state)
{
	struct capture *c = state->input;

	switch (key) {
	case KEY_COUNT:
		c->count = (unsigned)arg_number(state, "--count", arg, 1, CAPTURE_MAX);
		return 0;
	case KEY_TIME:
		c->seconds = (unsigned)arg_number(state, "--time", arg, 1, 86400);
		return 0;
	case KEY_START:
		c->start_only = true;
		return 0;
	case KEY_READ:
		c->read_only = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_frame(struct table *t, struct json_object *f, uint64_t start_ns)
{
	const char *verdict = json_get_text(f, "verdict", "?");

	table_row(t);
	table_cell(t, "%.1f", (double)(json_get_u64(f, "at_ns", 0) - start_ns) / 1000);
	table_cell(t, "%s", json_get_bool(f, "sent", false) ? "sent" : "received");
	if (!json_get_text(f, "command", NULL)) {
		table_cell(t, "%s", verdict);
		return;
	}
	table_cell(t, "%s", json_get_bool(f, "completion", false) ? "completion" : "request");
	table_cell(t, "%s", json_get_text(f, "target", ""));
	table_cell(t, "%s", json_get_text(f, "initiator", ""));
	table_cell(t, "%s", json_get_text(f, "command", ""));
	table_cell(t, "%s", json_get_text(f, "message", ""));
	if (json_get_bool(f, "completion", false)) {
		table_cell(t, "%s", "");
		table_cell(t, "%s", "");
	} else {
		table_cell(t, "%" PRIu64, json_get_u64(f, "offset", 0));
		table_cell(t, "%" PRIu64, json_get_u64(f, "length", 0));
	}
	table_cell(t, "%" PRIu64, json_get_u64(f, "status", 0));
}

static void print_frames(struct json_object *frames)
{
	static const char *const columns[] = {">US",
					      "WAY",
					      "KIND",
					      "TARGET NODE ADDRESS",
					      "INITIATING NODE ADDRESS",
					      "COMMAND",
					      "MESSAGE IDENTIFICATION",
					      ">OFFSET",
					      ">LENGTH",
					      ">STATUS"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));
	uint64_t start = 0;

	for (size_t i = 0; i < json_object_array_length(frames); i++) {
		struct json_object *f = json_object_array_get_idx(frames, i);

		if (!i)
			start = json_get_u64(f, "at_ns", 0);
		print_frame(t, f, start);
	}
	table_print(t, "no frame was sent or received");
}

static int start_capture(struct cli *cli, unsigned count)
{
	struct json_object *request = control_request("capture"), *answer;
	int rc;

	json_set_u64(request, "count", count);
	rc = control_call(cli, request, NULL, NULL, &answer);
	if (!rc)
		json_object_put(answer);
	return rc;
}

/* Looks every 100 ms until all frames are there, the time is over, or ^C. */
static int wait_frames(struct cli *cli, const struct capture *c, struct json_object **answer)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	unsigned looks = c->read_only ? 0 : c->seconds * 10;

	for (;;) {
		struct json_object *frames;
		int rc = control_call(cli, control_request("capture-read"), NULL, NULL, answer);

		if (rc)
			return rc;
		frames = json_get_array(*answer, "frames");
		if (!frames)
			return fail("lockstepd's answer has no frames");
		if (!looks || interrupted || json_object_array_length(frames) >= c->count)
			return 0;
		json_object_put(*answer);
		looks--;
		nanosleep(&pause, NULL);
	}
}

int cmd_capture(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"count", KEY_COUNT, "N", 0, "So many frames (default 16, at most 64)", 0},
		{"time", KEY_TIME, "SECONDS", 0, "Wait so long for them (default 10)", 0},
		{"start", KEY_START, NULL, 0, "Begin to record, and return", 0},
		{"read", KEY_READ, NULL, 0, "Show what was recorded since --start", 0},
		{0},
	};
	static const struct cli_args args = {rows, parse_capture, NULL,
					     "Records the next frames that this node sends or "
					     "receives, and shows their fields."};
	struct capture c = {.count = 16, .seconds = 10};
	struct json_object *answer;
	int rc;

	cli_parse(cli, argc, argv, &args, &c);
	if (!c.read_only) {
		rc = start_capture(cli, c.count);
		if (rc || c.start_only)
			return rc;
	}
	signal(SIGINT, on_interrupt);
	rc = wait_frames(cli, &c, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	print_frames(json_get_array(answer, "frames"));
	json_object_put(answer);
	return 0;
}
