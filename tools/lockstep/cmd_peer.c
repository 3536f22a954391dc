/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define KEY_BYTES 32

enum { KEY_ADDRESS = 1000, KEY_NO_ADDRESS, KEY_FILE };

struct peer {
	const char *name, *address, *key_file; /* NULL: not given */
	bool added;
};

static error_t parse_peer(int key, char *arg, struct argp_state *state)
{
	struct peer *a = state->input;

	switch (key) {
	case KEY_ADDRESS:
		a->address = arg;
		return 0;
	case KEY_NO_ADDRESS:
		a->address = "";
		return 0;
	case KEY_FILE:
		a->key_file = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (a->name)
			argp_error(state, "one peer at a time: '%s' is too much", arg);
		a->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->name)
			argp_error(state, "the peer's node name is missing");
		if (a->added && !a->key_file)
			argp_error(state, "a peer needs a --key-file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int tell(struct cli *cli, const char *command, const struct peer *a, const char *done)
{
	struct json_object *request = control_request(command);
	char path[PATH_MAX], text[200];

	json_set_text(request, "name", a->name);
	if (a->address)
		json_set_text(request, "address", a->address);
	if (a->key_file)
		json_set_text(request, "key_file", arg_path(a->key_file, path, sizeof(path)));
	snprintf(text, sizeof(text), "peer '%.60s' is %s", a->name, done);
	return control_do(cli, request, text);
}

int cmd_peer_add(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"address", KEY_ADDRESS, "ADDRESS:PORT", 0,
		 "Where to dial it; without: it dials us", 0},
		{"key-file", KEY_FILE, "FILE", 0, "The key that both nodes have (mode 0600)", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_peer, "NAME",
		"Tells this node of another one.  The name is what the other one was started with "
		"(--node); both need the same key (`lockstep key create`)."};
	struct peer a = {.added = true};

	cli_parse(cli, argc, argv, &args, &a);
	return tell(cli, "peer-add", &a, "known");
}

int cmd_peer_change(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"address", KEY_ADDRESS, "ADDRESS:PORT", 0, "Where to dial it from now on", 0},
		{"no-address", KEY_NO_ADDRESS, NULL, 0, "It dials us", 0},
		{"key-file", KEY_FILE, "FILE", 0, "The key that both nodes have (mode 0600)", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_peer, "NAME",
		"Changes where a peer is dialled, or the key; what is not given stays, and the key "
		"file is read again.  A session that is up goes on: it counts from the next one "
		"on. "
		"A new key has to come to both nodes before that."};
	struct peer a = {0};

	cli_parse(cli, argc, argv, &args, &a);
	return tell(cli, "peer-change", &a, "changed; this counts from the next session on");
}

int cmd_peer_remove(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {{0}};
	static const struct cli_args args = {
		rows, parse_peer, "NAME",
		"Forgets a peer: ends its session, and takes and makes none with it any more.  "
		"Volumes that are mirrored with it have to be unpaired first."};
	struct peer a = {0};

	cli_parse(cli, argc, argv, &args, &a);
	return tell(cli, "peer-remove", &a, "removed");
}

void show_peers(struct json_object *peers)
{
	static const char *const columns[] = {"PEER",	   "NODE ADDRESS", "SESSION", "LINK",
					      ">SESSIONS", ">CREDITS",	   "DETAIL"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; peers && i < json_object_array_length(peers); i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);
		struct json_object *link = json_get(p, "link");
		const char *error = json_get_text(p, "last_error", "");
		bool up = !strcmp(json_get_text(p, "session", ""), "up");

		table_row(t);
		table_cell(t, "%s", json_get_text(p, "name", "?"));
		table_cell(t, "%s", json_get_text(p, "node_address", ""));
		table_cell(t, "%s", json_get_text(p, "session", "?"));
		table_cell(t, "%s", json_get_text(link, "backend", ""));
		table_cell(t, "%" PRIu64, json_get_u64(p, "sessions", 0));
		table_cell(t, "%" PRIu64 "/%" PRIu64, json_get_u64(p, "credits", 0),
			   json_get_u64(p, "credits_total", 0));
		if (up)
			table_cell(t, "%s via %s, %s", json_get_text(link, "address", "?"),
				   json_get_text(link, "device", "?"),
				   json_get_text(link, "detail", ""));
		else
			table_cell(t, "%s", error[0] ? error : json_get_text(p, "address", ""));
	}
	table_print(t, "no peers: tell of one with `lockstep peer add`");
}

int cmd_peer_list(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer;
	int rc;

	cli_parse_none(cli, argc, argv, "Shows the peers of this node and their sessions.");
	rc = control_call(cli, control_request("peer-list"), NULL, NULL, &answer);
	if (rc)
		return rc;
	if (cli->json) {
		control_print(answer);
		return 0;
	}
	show_peers(json_get_array(answer, "peers"));
	json_object_put(answer);
	return 0;
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	const char **path = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*path)
			argp_error(state, "one file at a time: '%s' is too much", arg);
		*path = arg;
		return 0;
	case ARGP_KEY_END:
		if (!*path)
			argp_error(state, "the file is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int write_key(int fd)
{
	uint8_t key[KEY_BYTES];
	char text[2 * KEY_BYTES + 2];

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -1;
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(text + 2 * i, 3, "%02x", key[i]);
	text[2 * KEY_BYTES] = '\n';
	if (write(fd, text, 2 * KEY_BYTES + 1) != 2 * KEY_BYTES + 1)
		return -1;
	return fsync(fd);
}

int cmd_key_create(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {{0}};
	static const struct cli_args args = {
		rows, parse_key, "FILE",
		"Makes FILE with a new random key of 32 bytes.  Copy it to the other node by a way "
		"that nobody else can read."};
	const char *path = NULL;
	int fd;

	cli_parse(cli, argc, argv, &args, &path);
	/* An existing key is never overwritten: it may be in use. */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail("cannot make the key file %s: %s", path, strerror(errno));
	if (write_key(fd)) {
		close(fd);
		unlink(path);
		return fail("cannot write the key file %s: %s", path, strerror(errno));
	}
	close(fd);
	if (cli->json)
		printf("{\"ok\":true}\n");
	else
		printf("new key in %s; the other node needs the same file\n", path);
	return 0;
}
