/* SPDX-License-Identifier: BSD-3-Clause */
/* What all commands of `lockstep` share. */
#ifndef LS_TOOLS_CLI_H
#define LS_TOOLS_CLI_H

#include "engine/base/defs.h"

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#define EXIT_FAILED 1
#define EXIT_USAGE 2

struct cli {
	char run[480]; /* the daemon's directory, and its sockets */
	char control[512];
	char client[512];
	bool json;
};

/* Each returns the exit status; argv[0] is the whole name of the command. */
int cmd_pool_create(struct cli *cli, int argc, char **argv);
int cmd_pool_open(struct cli *cli, int argc, char **argv);
int cmd_pool_close(struct cli *cli, int argc, char **argv);
int cmd_pool_list(struct cli *cli, int argc, char **argv);
int cmd_volume_create(struct cli *cli, int argc, char **argv);
int cmd_volume_list(struct cli *cli, int argc, char **argv);
int cmd_volume_delete(struct cli *cli, int argc, char **argv);
int cmd_peer_add(struct cli *cli, int argc, char **argv);
int cmd_peer_change(struct cli *cli, int argc, char **argv);
int cmd_peer_list(struct cli *cli, int argc, char **argv);
int cmd_peer_remove(struct cli *cli, int argc, char **argv);
int cmd_pair(struct cli *cli, int argc, char **argv);
int cmd_break(struct cli *cli, int argc, char **argv);
int cmd_resume(struct cli *cli, int argc, char **argv);
int cmd_resolve(struct cli *cli, int argc, char **argv);
int cmd_unpair(struct cli *cli, int argc, char **argv);
int cmd_promote(struct cli *cli, int argc, char **argv);
int cmd_demote(struct cli *cli, int argc, char **argv);
int cmd_expand(struct cli *cli, int argc, char **argv);
int cmd_verify(struct cli *cli, int argc, char **argv);
int cmd_policy(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_top(struct cli *cli, int argc, char **argv);
int cmd_regions(struct cli *cli, int argc, char **argv);
int cmd_events(struct cli *cli, int argc, char **argv);
int cmd_shutdown(struct cli *cli, int argc, char **argv);
int cmd_capture(struct cli *cli, int argc, char **argv);
int cmd_config_check(struct cli *cli, int argc, char **argv);
int cmd_config_show(struct cli *cli, int argc, char **argv);
int cmd_key_create(struct cli *cli, int argc, char **argv);
int cmd_bench(struct cli *cli, int argc, char **argv);
int cmd_pattern_write(struct cli *cli, int argc, char **argv);
int cmd_pattern_check(struct cli *cli, int argc, char **argv);
int cmd_load(struct cli *cli, int argc, char **argv);
int cmd_attach(struct cli *cli, int argc, char **argv);
int cmd_detach(struct cli *cli, int argc, char **argv);

/*
 * args.c: parses a command's own arguments together with the options that all have
 * (--run, --socket, --json).  @parser and @input are the command's.  Exits on usage errors.
 */
struct cli_args {
	const struct argp_option *options; /* may be NULL */
	argp_parser_t parser;
	const char *names; /* "NAME DEVICE…" */
	const char *doc;
};
void cli_parse(struct cli *cli, int argc, char **argv, const struct cli_args *args, void *input);
/* For commands that have nothing of their own. */
void cli_parse_none(struct cli *cli, int argc, char **argv, const char *doc);
extern const struct argp cli_common;
void cli_init(struct cli *cli);

/* "4096", "4k", "256M", "1G" (powers of 1024); exits with a usage error. */
uint64_t arg_bytes(struct argp_state *state, const char *what, const char *arg);
uint64_t arg_number(struct argp_state *state, const char *what, const char *arg, uint64_t min,
		    uint64_t max);

/* The one volume that a command is about; a second one is a usage error. */
void arg_volume(struct argp_state *state, const char **volume, const char *arg);

/*
 * The daemon has another working directory: @path made absolute in @out.  The file may be
 * missing; a leading "file:" stays.
 */
const char *arg_path(const char *path, char *out, size_t room);

/* A sentence on standard error; returns EXIT_FAILED. */
int fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* From now on the sentence goes to @text instead, for who has the screen; NULL: as before. */
void fail_into(char *text, size_t bytes);

#endif
