/* SPDX-License-Identifier: BSD-3-Clause */
/* What is done to the mirror of a volume that is paired: engine/doc/mirror.md. */
#include "tools/lockstep/control.h"
#include "tools/lockstep/progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEY_KEEP = 1000, KEY_NO_WAIT, KEY_FORCE, KEY_RATE };

struct mirror_args {
	const char *volume, *keep, *policy;
	bool policy_wanted; /* the command takes one */
	bool no_wait, force;
	bool limit_wanted;
	uint64_t limit; /* of a resync, bytes a second; 0 = none */
};

static error_t take_word(struct argp_state *state, struct mirror_args *a, char *arg)
{
	if (!a->volume)
		a->volume = arg;
	else if (a->policy_wanted && !a->policy)
		a->policy = arg;
	else
		argp_error(state, "one volume at a time: '%s' is too much", arg);
	return 0;
}

static error_t parse_mirror(int key, char *arg, struct argp_state *state)
{
	struct mirror_args *a = state->input;

	switch (key) {
	case KEY_KEEP:
		if (strcmp(arg, "local") && strcmp(arg, "peer"))
			argp_error(state, "--keep is local or peer, not '%s'", arg);
		a->keep = arg;
		return 0;
	case KEY_NO_WAIT:
		a->no_wait = true;
		return 0;
	case KEY_FORCE:
		a->force = true;
		return 0;
	case ARGP_KEY_ARG:
		return take_word(state, a, arg);
	case ARGP_KEY_END:
		if (!a->volume)
			argp_error(state, "the name of the volume is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_resolve(int key, char *arg, struct argp_state *state)
{
	const struct mirror_args *a = state->input;

	if (key == ARGP_KEY_END && a->volume && !a->keep)
		argp_error(state, "whose writes are kept? --keep local or --keep peer; "
				  "`lockstep status --explain` says what each would lose");
	return parse_mirror(key, arg, state);
}

static error_t parse_policy(int key, char *arg, struct argp_state *state)
{
	struct mirror_args *a = state->input;

	if (key == ARGP_KEY_INIT)
		a->policy_wanted = true;
	if (key == KEY_RATE) {
		a->limit_wanted = true;
		a->limit = strcmp(arg, "unlimited") ? arg_bytes(state, "--resync-rate", arg) : 0;
		if (!a->limit && strcmp(arg, "unlimited"))
			argp_error(state, "--resync-rate 0 would never end; unlimited lifts it");
		return 0;
	}
	if (key == ARGP_KEY_END && a->volume && (a->policy || !a->limit_wanted) &&
	    (!a->policy || (strcmp(a->policy, "fail-open") && strcmp(a->policy, "fail-closed"))))
		argp_error(state, "the policy is fail-open or fail-closed");
	return parse_mirror(key, arg, state);
}

static const struct argp_option no_rows[] = {{0}};

static struct json_object *request_for(const char *command, const struct mirror_args *a)
{
	struct json_object *request = control_request(command);

	json_set_text(request, "volume", a->volume);
	return request;
}

static int plain(struct cli *cli, int argc, char **argv, const char *command, const char *doc)
{
	struct cli_args args = {no_rows, parse_mirror, "VOLUME", doc};
	struct mirror_args a = {0};

	cli_parse(cli, argc, argv, &args, &a);
	return short_job(cli, request_for(command, &a));
}

int cmd_break(struct cli *cli, int argc, char **argv)
{
	return plain(cli, argc, argv, "break",
		     "Ends the mirroring of VOLUME for now.  The peer keeps a consistent copy of "
		     "this moment; both sides may be used on their own (see promote).  `resume` "
		     "copies only what differs.");
}

int cmd_unpair(struct cli *cli, int argc, char **argv)
{
	return plain(cli, argc, argv, "unpair",
		     "Forgets the mirror of VOLUME.  Both volumes stay, with what they hold; "
		     "pairing them again copies everything.");
}

int cmd_demote(struct cli *cli, int argc, char **argv)
{
	return plain(cli, argc, argv, "demote",
		     "Makes VOLUME secondary on this node: no process may write to it here.");
}

static int resync(struct cli *cli, const char *command, const struct mirror_args *a)
{
	struct json_object *request = request_for(command, a);
	char running[200];

	if (a->keep)
		json_set_text(request, "keep", a->keep);
	snprintf(running, sizeof(running),
		 "the resync of '%.90s' is asked for; `lockstep status` shows how far it is",
		 a->volume);
	return long_job(cli, request, a->no_wait, running);
}

int cmd_resume(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"keep", KEY_KEEP, "SIDE", 0,
		 "When both sides have writes that the other lacks: keep those of \"local\" or of "
		 "\"peer\", and lose the others",
		 0},
		{"no-wait", KEY_NO_WAIT, NULL, 0, "Return when it has begun", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_mirror, "VOLUME",
		"Takes up the mirror of VOLUME after `break`: copies what differs from the side "
		"that is ahead, and returns when both are equal."};
	struct mirror_args a = {0};

	cli_parse(cli, argc, argv, &args, &a);
	return resync(cli, "resume", &a);
}

int cmd_resolve(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"keep", KEY_KEEP, "SIDE", 0,
		 "\"local\" or \"peer\": whose writes are kept; the other side's are lost", 0},
		{"no-wait", KEY_NO_WAIT, NULL, 0, "Return when it has begun", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_resolve, "VOLUME --keep SIDE",
		"Ends a split brain of VOLUME: the side that is kept is copied over the other "
		"one.  `lockstep status --explain` says what each choice would lose."};
	struct mirror_args a = {0};

	cli_parse(cli, argc, argv, &args, &a);
	return resync(cli, "resolve", &a);
}

int cmd_promote(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"force", KEY_FORCE, NULL, 0,
		 "Also a replica in the middle of a resync, which is no consistent copy", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_mirror, "VOLUME",
		"Makes VOLUME primary on this node, so that processes may write to it here.  When "
		"the peer is connected it must be secondary there; when not, this node goes on "
		"alone."};
	struct mirror_args a = {0};
	struct json_object *request;

	cli_parse(cli, argc, argv, &args, &a);
	request = request_for("promote", &a);
	json_set_bool(request, "force", a.force);
	return short_job(cli, request);
}

struct expand_args {
	const char *volume;
	uint64_t size;
};

static error_t parse_expand(int key, char *arg, struct argp_state *state)
{
	struct expand_args *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!a->volume)
			a->volume = arg;
		else if (!a->size)
			a->size = arg_bytes(state, "SIZE", arg);
		else
			argp_error(state, "one volume at a time: '%s' is too much", arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->volume || !a->size)
			argp_error(state, "the name of the volume or its new size is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_expand(struct cli *cli, int argc, char **argv)
{
	static const struct cli_args args = {
		no_rows, parse_expand, "VOLUME SIZE",
		"Makes VOLUME larger, on both nodes: SIZE is that of the whole volume (256M, 10G, "
		"...; rounded up to 1 MiB).  The new area reads as zeroes; programs that use the "
		"volume go on meanwhile.  A mirrored volume must be in sync."};
	struct expand_args a = {0};
	struct json_object *request;

	cli_parse(cli, argc, argv, &args, &a);
	request = control_request("expand");
	json_set_text(request, "volume", a.volume);
	json_set_u64(request, "size", a.size);
	return long_job(cli, request, false, "");
}

int cmd_policy(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"resync-rate", KEY_RATE, "BYTES|unlimited", 0,
		 "A resync of VOLUME from this node copies at most so many bytes a second (50M, "
		 "...; "
		 "default unlimited: what clients, devices and the wire leave it).  Say it at "
		 "each node that may be the source",
		 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_policy, "VOLUME [fail-open|fail-closed]",
		"Says what VOLUME's primary does when its peer is lost: fail-open goes on alone, "
		"fail-closed holds writes until the peer is back."};
	struct mirror_args a = {0};
	struct json_object *request;
	int rc = 0;

	cli_parse(cli, argc, argv, &args, &a);
	if (a.policy) {
		request = request_for("policy", &a);
		json_set_text(request, "policy", a.policy);
		rc = short_job(cli, request);
	}
	if (!rc && a.limit_wanted) {
		request = request_for("resync-limit", &a);
		json_set_u64(request, "bytes_per_second", a.limit);
		rc = short_job(cli, request);
	}
	return rc;
}
