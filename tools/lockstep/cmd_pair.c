/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_PEER = 1000, KEY_TARGET, KEY_TARGET_POOL, KEY_NO_WAIT };

struct pair {
	const char *volume, *peer, *target, *target_pool;
	bool no_wait;
};

static error_t parse_pair(int key, char *arg, struct argp_state *state)
{
	struct pair *p = state->input;

	switch (key) {
	case KEY_PEER:
		p->peer = arg;
		return 0;
	case KEY_TARGET:
		p->target = arg;
		return 0;
	case KEY_TARGET_POOL:
		p->target_pool = arg;
		return 0;
	case KEY_NO_WAIT:
		p->no_wait = true;
		return 0;
	case ARGP_KEY_ARG:
		if (p->volume)
			argp_error(state, "one volume at a time: '%s' is too much", arg);
		p->volume = arg;
		return 0;
	case ARGP_KEY_END:
		if (!p->volume || !p->peer)
			argp_error(state, "which volume, and to which --peer?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct progress {
	bool tty, json;
	bool shown;
};

static void show_progress(void *ctx, struct json_object *v)
{
	uint64_t done = json_get_u64(v, "copy_done_bytes", 0);
	uint64_t total = json_get_u64(v, "copy_total_bytes", 0);
	double seconds = (double)json_get_u64(v, "copy_ns", 0) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	const char *mirror = json_get_text(v, "mirror", "?");
	struct progress *p = ctx;
	char a[32], b[32];

	if (p->json)
		return;
	p->shown = true;
	if (p->tty)
		fputs("\r\033[K", stdout);
	if (strcmp(mirror, "copying") || !total)
		printf("waiting for the peer (%s)", mirror);
	else
		printf("copying: %s of %s (%.0f %%), %.1f MB/s, %.0f s left",
		       human_bytes(done, a, sizeof(a)), human_bytes(total, b, sizeof(b)),
		       100.0 * (double)done / (double)total, rate / 1e6,
		       rate > 0 ? (double)(total - done) / rate : 0);
	if (!p->tty)
		fputc('\n', stdout);
	fflush(stdout);
}

static void say_end(const struct pair *p, struct json_object *answer)
{
	if (json_get_bool(answer, "running", false))
		printf("the initial copy of '%s' runs; `lockstep status` shows how far it is\n",
		       p->volume);
	else
		printf("volume '%s' is mirrored to '%s' at node '%s' and in sync\n", p->volume,
		       p->target ? p->target : p->volume, p->peer);
}

int cmd_pair(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"peer", KEY_PEER, "NAME", 0, "The node that gets the copy", 0},
		{"target", KEY_TARGET, "VOLUME", 0,
		 "Its name there (default: the same); made if missing", 0},
		{"target-pool", KEY_TARGET_POOL, "POOL", 0,
		 "Its pool there, when there are several", 0},
		{"no-wait", KEY_NO_WAIT, NULL, 0, "Return when the copy has begun", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_pair, "VOLUME",
		"Mirrors VOLUME to a peer: initial copy, then every write goes to both nodes.  "
		"What "
		"the target holds is overwritten.  Asking again joins the copy that runs."};
	struct progress progress = {.tty = isatty(STDOUT_FILENO), .json = cli->json};
	struct json_object *request, *answer;
	struct pair p = {0};
	int rc;

	cli_parse(cli, argc, argv, &args, &p);
	progress.json = cli->json;
	request = control_request("pair");
	json_set_text(request, "volume", p.volume);
	json_set_text(request, "peer", p.peer);
	if (p.target)
		json_set_text(request, "target", p.target);
	if (p.target_pool)
		json_set_text(request, "target_pool", p.target_pool);
	json_set_bool(request, "wait", !p.no_wait);
	rc = control_call(cli, request, show_progress, &progress, &answer);
	if (progress.shown && progress.tty)
		fputs("\r\033[K", stdout);
	fflush(stdout);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	say_end(&p, answer);
	json_object_put(answer);
	return 0;
}
