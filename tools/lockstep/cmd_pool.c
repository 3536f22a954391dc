/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/show.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_MAX 16

enum { KEY_SIZE = 1000, KEY_FORCE };

struct create {
	const char *name;
	const char *devices[DEVICES_MAX];
	size_t device_count;
	uint64_t size;
	bool force;
	bool made; /* it needs devices */
};

static error_t parse_create(int key, char *arg, struct argp_state *state)
{
	struct create *c = state->input;

	switch (key) {
	case KEY_SIZE:
		c->size = arg_bytes(state, "--size", arg);
		return 0;
	case KEY_FORCE:
		c->force = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!c->name)
			c->name = arg;
		else if (c->device_count < DEVICES_MAX)
			c->devices[c->device_count++] = arg;
		else
			argp_error(state, "a pool has at most %d devices", DEVICES_MAX);
		return 0;
	case ARGP_KEY_END:
		if (!c->name)
			argp_error(state, "the pool's name is missing");
		if (c->made && !c->device_count)
			argp_error(state, "a pool needs a name and at least one device");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* A request about the pool, and its devices if any were named. */
static struct json_object *about(const char *command, const struct create *c)
{
	struct json_object *request = control_request(command);
	struct json_object *devices = json_object_new_array();
	char path[PATH_MAX];

	json_set_text(request, "name", c->name);
	for (size_t i = 0; i < c->device_count; i++)
		json_object_array_add(devices, json_object_new_string(arg_path(c->devices[i], path,
									       sizeof(path))));
	if (c->device_count)
		json_object_object_add(request, "devices", devices);
	else
		json_object_put(devices);
	return request;
}

static int tell(struct cli *cli, struct json_object *request, const struct create *c,
		const char *done)
{
	char text[200];

	snprintf(text, sizeof(text), "pool '%.60s' is %s", c->name, done);
	return control_do(cli, request, text);
}

int cmd_pool_create(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"size", KEY_SIZE, "BYTES", 0, "Make a missing file of this size (1G, 256M)", 0},
		{"force", KEY_FORCE, NULL, 0, "Overwrite whatever the devices hold now", 0},
		{0},
	};
	static const struct cli_args args = {rows, parse_create, "NAME DEVICE...",
					     "Makes a pool: /dev/nvmeXnY or /dev/ngXnY (NVMe "
					     "passthrough), another block device, or "
					     "a file.  What the devices hold is destroyed."};
	struct create c = {.made = true};
	struct json_object *request;

	cli_parse(cli, argc, argv, &args, &c);
	request = about("pool-create", &c);
	if (c.size)
		json_set_u64(request, "size", c.size);
	json_set_bool(request, "force", c.force);
	return tell(cli, request, &c, "ready");
}

int cmd_pool_open(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {
		NULL, parse_create, "NAME [DEVICE...]",
		"Opens a pool that exists, with the volumes in it: one that could not be opened "
		"when the daemon started, or, when its devices are named, one that another node or "
		"this one has closed.  All of its devices are needed, in any order."};
	struct create c = {0};

	cli_parse(cli, argc, argv, &args, &c);
	return tell(cli, about("pool-open", &c), &c, "open");
}

int cmd_pool_close(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {
		NULL, parse_create, "NAME",
		"Lets go of a pool: its volumes are not on this node any more, and its devices are "
		"free and keep all of it; see pool open.  No volume may be in use, or mirrored "
		"with a node that is connected."};
	struct create c = {0};

	cli_parse(cli, argc, argv, &args, &c);
	if (c.device_count)
		return fail("one pool at a time: '%s' is too much", c.devices[0]);
	return tell(cli, about("pool-close", &c), &c, "closed; its devices keep it");
}

static void print_pool(struct table *t, struct json_object *pool)
{
	struct json_object *devices = json_get_array(pool, "devices");
	size_t count = devices ? json_object_array_length(devices) : 0;
	char size[32], left[32];

	if (!json_get_bool(pool, "available", true)) {
		table_row(t);
		table_cell(t, "%s", json_get_text(pool, "name", "?"));
		table_cell(t, "-");
		table_cell(t, "-");
		table_cell(t, "NOT AVAILABLE: %s", json_get_text(pool, "error", ""));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *d = json_object_array_get_idx(devices, i);

		table_row(t);
		table_cell(t, "%s", i ? " " : json_get_text(pool, "name", "?"));
		table_cell(
			t, "%s",
			i ? " "
			  : human_bytes(json_get_u64(pool, "size_bytes", 0), size, sizeof(size)));
		table_cell(
			t, "%s",
			i ? " "
			  : human_bytes(json_get_u64(pool, "free_bytes", 0), left, sizeof(left)));
		table_cell(t, "%s", json_get_text(d, "path", "?"));
		table_cell(t, "%s", json_get_text(d, "backend", "?"));
		table_cell(t, "%" PRIu64, json_get_u64(d, "block_bytes", 0));
		table_cell(t, "%s", json_get_bool(d, "volatile_cache", true) ? "volatile" : "none");
	}
}

void show_pools(struct json_object *pools)
{
	static const char *const columns[] = {"POOL",	 ">SIZE",  ">FREE", "DEVICE",
					      "BACKEND", ">BLOCK", "CACHE"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; pools && i < json_object_array_length(pools); i++)
		print_pool(t, json_object_array_get_idx(pools, i));
	table_print(t, "no pools: make one with `lockstep pool create`");
}

int cmd_pool_list(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer;
	int rc;

	cli_parse_none(cli, argc, argv, "Shows the pools of this node and their devices.");
	rc = control_call(cli, control_request("pool-list"), NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	show_pools(json_get_array(answer, "pools"));
	json_object_put(answer);
	return 0;
}
