/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct status {
	const char *volume;
	bool watch, explain;
};

static error_t parse_status(int key, char *arg, struct argp_state *state)
{
	struct status *s = state->input;

	switch (key) {
	case 'w':
		s->watch = true;
		return 0;
	case 'e':
		s->explain = true;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &s->volume, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void show_node(struct json_object *s)
{
	struct json_object *fabric = json_get(s, "fabric"), *shard = json_get(s, "shard");
	struct json_object *machine = json_get(s, "machine"),
			   *queue = json_get(shard, "store_queue");
	int64_t core = json_object_get_int64(json_get(shard, "core"));
	char pinned[32] = "not pinned";

	if (core >= 0)
		snprintf(pinned, sizeof(pinned), "core %" PRId64, core);
	printf("node     %s, address %s, lockstepd %s, pid %" PRIu64 "\n",
	       json_get_text(s, "node", "?"), json_get_text(s, "address", "?"),
	       json_get_text(s, "version", "?"), json_get_u64(s, "pid", 0));
	printf("fabric   %s: %s\n", json_get_text(fabric, "backend", "?"),
	       json_get_text(fabric, "detail", "?"));
	printf("shard    %s: %s\n", pinned, json_get_text(shard, "core_why", "?"));
	printf("polling  %s: %s\n", json_get_text(shard, "polling", "?"),
	       json_get_text(shard, "polling_why", "?"));
	printf("store    %s\n", json_get_text(queue, "detail", "?"));
	printf("machine  %s, %" PRIu64 " hardware threads, memory %s, crc32c %s\n",
	       json_get_text(machine, "kernel", "?"), json_get_u64(machine, "hardware_threads", 0),
	       json_get_text(machine, "memory", "?"), json_get_text(s, "crc32c", "?"));
}

static void show_path(struct json_object *s)
{
	struct json_object *shard = json_get(s, "shard"), *per_io = json_get(shard, "per_io");
	struct json_object *writes = json_get(s, "writes");
	uint64_t count = json_get_u64(writes, "count", 0);

	printf("path     %" PRIu64
	       " I/Os; each: %.2f passes, %.2f wake-ups, %.2f store calls, %.2f link "
	       "posts, %.2f completions, %.2f messages\n",
	       json_get_u64(per_io, "ios", 0), json_get_double(per_io, "passes"),
	       json_get_double(per_io, "wakes"), json_get_double(per_io, "store_syscalls"),
	       json_get_double(per_io, "link_posts"), json_get_double(per_io, "link_completions"),
	       json_get_double(per_io, "link_messages"));
	printf("proof    payload bytes copied %" PRIu64 ", allocations %" PRIu64 ", locks %" PRIu64
	       " on the data path\n",
	       json_get_u64(shard, "copied_payload_bytes", 0),
	       json_get_u64(shard, "data_path_allocations", 0),
	       json_get_u64(shard, "data_path_locks", 0));
	if (count)
		printf("writes   %" PRIu64
		       " mirrored; mean %.0f us: local leg %.0f, remote leg %.0f "
		       "(the peer's device %.0f)\n",
		       count, json_get_double(writes, "total_ns_sum") / (double)count / 1000,
		       json_get_double(writes, "local_ns_sum") / (double)count / 1000,
		       json_get_double(writes, "remote_ns_sum") / (double)count / 1000,
		       json_get_double(writes, "peer_device_ns_sum") / (double)count / 1000);
}

static void show_clients(struct json_object *clients)
{
	static const char *const columns[] = {"PROCESS", "KIND",	">PID",	     ">UID",
					      ">DEPTH",	 ">IN FLIGHT", ">REQUESTS", ">VOLUMES"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; clients && i < json_object_array_length(clients); i++) {
		struct json_object *c = json_object_array_get_idx(clients, i);

		table_row(t);
		table_cell(t, "%s", json_get_text(c, "process", "?"));
		table_cell(t, "%s", json_get_text(c, "kind", "?"));
		table_cell(t, "%" PRIu64, json_get_u64(c, "pid", 0));
		table_cell(t, "%" PRIu64, json_get_u64(c, "uid", 0));
		table_cell(t, "%" PRIu64, json_get_u64(c, "depth", 0));
		table_cell(t, "%" PRIu64, json_get_u64(c, "in_flight", 0));
		table_cell(t, "%" PRIu64, json_get_u64(c, "requests", 0));
		table_cell(t, "%" PRIu64, json_get_u64(c, "volumes", 0));
	}
	table_print(t, "no process is attached");
}

static void show_status(struct json_object *s)
{
	show_node(s);
	show_path(s);
	putchar('\n');
	show_pools(json_get_array(s, "pools"));
	putchar('\n');
	show_volumes(json_get_array(s, "volumes"));
	show_mirrors(json_get_array(s, "volumes"));
	putchar('\n');
	show_peers(json_get_array(s, "peers"));
	putchar('\n');
	show_clients(json_get_array(s, "clients"));
}

static int status_once(const struct cli *cli, const struct status *s, bool clear)
{
	struct json_object *request = control_request("status"), *answer;
	int rc;

	if (s->volume)
		json_set_text(request, "volume", s->volume);
	rc = control_call(cli, request, NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	if (clear)
		fputs("\033[H\033[2J", stdout);
	if (s->explain)
		explain_mirrors(json_get_array(answer, "volumes"));
	else
		show_status(answer);
	fflush(stdout);
	json_object_put(answer);
	return 0;
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"watch", 'w', NULL, 0, "Again every second, until interrupted", 0},
		{"explain", 'e', NULL, 0,
		 "Each mirror in words: what both sides hold, how much differs, what to do", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_status, "[VOLUME]",
		"Shows the node, its pools, volumes, peers and clients."};
	struct status s = {0};
	int rc;

	cli_parse(cli, argc, argv, &args, &s);
	rc = status_once(cli, &s, s.watch && isatty(STDOUT_FILENO));
	while (s.watch && !rc) {
		sleep(1);
		rc = status_once(cli, &s, isatty(STDOUT_FILENO));
	}
	return rc;
}

int cmd_shutdown(struct cli *cli, int argc, char **argv)
{
	cli_parse_none(cli, argc, argv,
		       "Stops the daemon: requests in flight end, new ones are refused.");
	return control_do(cli, control_request("shutdown"), "lockstepd is stopping");
}
