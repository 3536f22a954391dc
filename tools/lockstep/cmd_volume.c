/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY_SIZE = 1000, KEY_POOL, KEY_NO_ZERO };

struct create {
	const char *name, *pool;
	uint64_t size;
	bool no_zero;
};

static error_t parse_create(int key, char *arg, struct argp_state *state)
{
	struct create *c = state->input;

	switch (key) {
	case KEY_SIZE:
		c->size = arg_bytes(state, "--size", arg);
		return 0;
	case KEY_POOL:
		c->pool = arg;
		return 0;
	case KEY_NO_ZERO:
		c->no_zero = true;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &c->name, arg);
		return 0;
	case ARGP_KEY_END:
		if (!c->name || !c->size)
			argp_error(state, "a volume needs a name and a --size");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_volume_create(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"size", KEY_SIZE, "BYTES", 0, "256M, 10G, ...; rounded up to 1 MiB", 0},
		{"pool", KEY_POOL, "NAME", 0, "Where; not needed when there is one pool", 0},
		{"no-zero", KEY_NO_ZERO, NULL, 0, "Leave on it what the devices hold", 0},
		{0},
	};
	static const struct cli_args args = {rows, parse_create, "NAME", "Makes a volume."};
	struct create c = {0};
	struct json_object *request;
	char done[200];

	cli_parse(cli, argc, argv, &args, &c);
	request = control_request("volume-create");
	json_set_text(request, "name", c.name);
	if (c.pool)
		json_set_text(request, "pool", c.pool);
	json_set_u64(request, "size", c.size);
	json_set_bool(request, "zero", !c.no_zero);
	snprintf(done, sizeof(done), "volume '%.90s' is ready", c.name);
	return control_do(cli, request, done);
}

static error_t parse_name(int key, char *arg, struct argp_state *state)
{
	const char **name = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*name)
			argp_error(state, "one volume at a time: '%s' is too much", arg);
		*name = arg;
		return 0;
	case ARGP_KEY_END:
		if (!*name)
			argp_error(state, "the name of the volume is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_volume_delete(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {{0}};
	static const struct cli_args args = {rows, parse_name, "NAME",
					     "Removes a volume of this node and its data."};
	struct json_object *request;
	const char *name = NULL;
	char done[200];

	cli_parse(cli, argc, argv, &args, &name);
	request = control_request("volume-delete");
	json_set_text(request, "name", name);
	snprintf(done, sizeof(done), "volume '%.90s' is deleted", name);
	return control_do(cli, request, done);
}

/* "synced", or how far the copy is. */
static void mirror_text(struct json_object *v, char *out, size_t room)
{
	const char *mirror = json_get_text(v, "mirror", "?");
	uint64_t done = json_get_u64(v, "copy_done_bytes", 0);
	uint64_t total = json_get_u64(v, "copy_total_bytes", 0);

	if (!strcmp(mirror, "copying") && total)
		snprintf(out, room, "%s %.1f %%", mirror, 100.0 * (double)done / (double)total);
	else
		snprintf(out, room, "%s", mirror);
}

void show_volumes(struct json_object *volumes)
{
	static const char *const columns[] = {"VOLUME", "POOL",	   ">SIZE",  "ROLE",	"MIRROR",
					      "PEER",	">WRITES", ">READS", ">ERRORS", "REASON"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; volumes && i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);
		const char *peer = json_get_text(v, "peer", "");
		char size[32], mirror[64];

		mirror_text(v, mirror, sizeof(mirror));
		table_row(t);
		table_cell(t, "%s", json_get_text(v, "name", "?"));
		table_cell(t, "%s", json_get_text(v, "pool", "?"));
		table_cell(t, "%s",
			   human_bytes(json_get_u64(v, "size_bytes", 0), size, sizeof(size)));
		table_cell(t, "%s", json_get_text(v, "role", "?"));
		table_cell(t, "%s", mirror);
		table_cell(t, "%s%s%s", peer, peer[0] ? ":" : "",
			   peer[0] ? json_get_text(v, "peer_volume", "") : "");
		table_cell(t, "%" PRIu64, json_get_u64(v, "writes", 0));
		table_cell(t, "%" PRIu64, json_get_u64(v, "reads", 0));
		table_cell(t, "%" PRIu64, json_get_u64(v, "errors", 0));
		table_cell(t, "%s", json_get_text(v, "last_error", ""));
	}
	table_print(t, "no volumes: make one with `lockstep volume create`");
}

int cmd_volume_list(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer;
	int rc;

	cli_parse_none(cli, argc, argv,
		       "Shows the volumes of this node; with --json also where their extents are.");
	rc = control_call(cli, control_request("volume-list"), NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	show_volumes(json_get_array(answer, "volumes"));
	json_object_put(answer);
	return 0;
}
