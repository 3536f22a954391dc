/* SPDX-License-Identifier: BSD-3-Clause */
/* lockstep: the administrator's tool.  Finds the command; the cmd_*.c do the rest. */
#include "tools/lockstep/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Found by libc by its name: it must be exported. */
__attribute__((visibility("default"))) const char *argp_program_version = "lockstep 0.1.0";

static const struct command {
	const char *group; /* first word, or NULL */
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);
	const char *help;
} commands[] = {
	{"pool", "create", cmd_pool_create, "make a pool of one or more devices"},
	{"pool", "open", cmd_pool_open, "open a pool that exists, again or from its devices"},
	{"pool", "close", cmd_pool_close, "let go of a pool; its devices keep it"},
	{"pool", "list", cmd_pool_list, "show the pools of this node"},
	{"volume", "create", cmd_volume_create, "make a volume in a pool"},
	{"volume", "list", cmd_volume_list, "show the volumes of this node"},
	{"volume", "delete", cmd_volume_delete, "remove a volume and its data"},
	{"peer", "add", cmd_peer_add, "tell this node of another one and their common key"},
	{"peer", "change", cmd_peer_change, "change where a peer is dialled, or the key"},
	{"peer", "remove", cmd_peer_remove, "forget a peer that no volume is mirrored with"},
	{"peer", "list", cmd_peer_list, "show the peers and how the sessions are"},
	{NULL, "pair", cmd_pair, "mirror a volume to a peer: initial copy, then every write"},
	{NULL, "expand", cmd_expand, "make a volume larger, on both nodes"},
	{NULL, "break", cmd_break, "end a mirror for now: the peer keeps a copy of this moment"},
	{NULL, "resume", cmd_resume, "take it up again: copies only what differs"},
	{NULL, "resolve", cmd_resolve, "end a split brain: whose writes are kept"},
	{NULL, "unpair", cmd_unpair, "forget a mirror; both volumes stay"},
	{NULL, "promote", cmd_promote, "let processes write to a volume on this node"},
	{NULL, "demote", cmd_demote, "make a volume secondary on this node"},
	{NULL, "attach", cmd_attach, "make a block device of a volume, or serve it over NBD"},
	{NULL, "detach", cmd_detach, "take the block device away"},
	{NULL, "policy", cmd_policy, "without its peer a volume goes on (fail-open) or waits"},
	{NULL, "verify", cmd_verify, "compare a volume with its mirror, and repair what differs"},
	{NULL, "status", cmd_status, "show everything, continually (--watch), or why (--explain)"},
	{NULL, "top", cmd_top, "show rates, and where the time goes, on a screen"},
	{NULL, "regions", cmd_regions,
	 "list the parts of a volume that may differ from its peer's"},
	{NULL, "events", cmd_events, "show changes of state as they happen, and why"},
	{NULL, "capture", cmd_capture, "record frames and show their fields"},
	{NULL, "bench", cmd_bench, "measure a volume through the shared-memory queue"},
	{NULL, "load", cmd_load, "mixed random load that checks what it reads"},
	{"pattern", "write", cmd_pattern_write, "fill a volume with bytes that follow from a seed"},
	{"pattern", "check", cmd_pattern_check, "compare a volume, or a raw device, with them"},
	{"config", "check", cmd_config_check, "look for mistakes in a configuration file"},
	{"config", "show", cmd_config_show, "show every option of the daemon and who set it"},
	{"key", "create", cmd_key_create, "make a file with a new random key"},
	{NULL, "shutdown", cmd_shutdown, "stop the daemon"},
};

static void list_commands(FILE *out)
{
	fputs("\nCommands (each has --help):\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%s%s", commands[i].group ? commands[i].group : "",
			 commands[i].group ? " " : "", commands[i].name);
		fprintf(out, "  %-16s %s\n", name, commands[i].help);
	}
}

static const struct command *find(int argc, char **argv, int *words)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		*words = c->group ? 2 : 1;
		if (argc < *words || (c->group && strcmp(argv[0], c->group)))
			continue;
		if (!strcmp(argv[*words - 1], c->name))
			return c;
	}
	return NULL;
}

struct top {
	struct cli *cli;
	int status;
};

static int run(struct top *top, struct argp_state *state)
{
	/* The word that was just taken, and what is behind it. */
	char **argv = state->argv + state->next - 1;
	int argc = state->argc - state->next + 1, words;
	const struct command *c = find(argc, argv, &words);
	char name[64];

	if (!c) {
		bool group = argc > 1 && argv[1][0] != '-';

		argp_error(state, "there is no command '%s%s%s'", argv[0], group ? " " : "",
			   group ? argv[1] : "");
		return EXIT_USAGE;
	}
	snprintf(name, sizeof(name), "lockstep %s%s%s", c->group ? c->group : "",
		 c->group ? " " : "", c->name);
	argv += words - 1;
	argv[0] = name;
	return c->run(top->cli, argc - words + 1, argv);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = top->cli;
		return 0;
	case ARGP_KEY_ARG:
		top->status = run(top, state);
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_state_help(state, stderr, ARGP_HELP_USAGE);
		list_commands(stderr);
		top->status = EXIT_USAGE;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *with_commands(int key, const char *text, void *input)
{
	(void)input;
	if (key == ARGP_KEY_HELP_EXTRA) {
		char *out = NULL;
		size_t bytes;
		FILE *f = open_memstream(&out, &bytes);

		if (f) {
			list_commands(f);
			fclose(f);
		}
		return out;
	}
	return (char *)text;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [ARGUMENTS]",
		.doc = "Administers the Lockstep engine of this node.",
		.children = children,
		.help_filter = with_commands,
	};
	struct cli cli;
	struct top top = {.cli = &cli};

	signal(SIGPIPE, SIG_IGN);
	argp_err_exit_status = EXIT_USAGE;
	cli_init(&cli);
	/* In order: what follows the command is the command's. */
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &top))
		return EXIT_USAGE;
	return top.status;
}
