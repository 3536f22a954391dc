/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/progress.h"

#include <errno.h>
#include <stdio.h>

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
		arg_volume(state, &p->volume, arg);
		return 0;
	case ARGP_KEY_END:
		if (!p->volume || !p->peer)
			argp_error(state, "which volume, and to which --peer?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
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
	struct json_object *request;
	struct pair p = {0};
	char running[200];

	cli_parse(cli, argc, argv, &args, &p);
	request = control_request("pair");
	json_set_text(request, "volume", p.volume);
	json_set_text(request, "peer", p.peer);
	if (p.target)
		json_set_text(request, "target", p.target);
	if (p.target_pool)
		json_set_text(request, "target_pool", p.target_pool);
	snprintf(running, sizeof(running),
		 "the initial copy of '%.90s' runs; `lockstep status` shows how far it is",
		 p.volume);
	return long_job(cli, request, p.no_wait, running);
}
