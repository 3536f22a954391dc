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
		if (!c->device_count)
			argp_error(state, "a pool needs a name and at least one device");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
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
	struct create c = {0};
	struct json_object *request, *devices;
	char done[200], path[PATH_MAX];

	cli_parse(cli, argc, argv, &args, &c);
	request = control_request("pool-create");
	devices = json_object_new_array();
	json_set_text(request, "name", c.name);
	for (size_t i = 0; i < c.device_count; i++)
		json_object_array_add(devices, json_object_new_string(
						       arg_path(c.devices[i], path, sizeof(path))));
	json_object_object_add(request, "devices", devices);
	if (c.size)
		json_set_u64(request, "size", c.size);
	json_set_bool(request, "force", c.force);
	snprintf(done, sizeof(done), "pool '%.60s' is ready", c.name);
	return control_do(cli, request, done);
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
