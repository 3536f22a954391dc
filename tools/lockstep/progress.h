/* SPDX-License-Identifier: BSD-3-Clause */
/* Long jobs on a volume: shows how far they are, and what the daemon says at the end. */
#ifndef LS_TOOLS_PROGRESS_H
#define LS_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct cli;
struct json_object;

#define PROGRESS_BYTES 200u /* of a text that the next two write */

/* How far the copy of @volume is, at what rate, and what holds it back.  Returns @out. */
const char *copy_progress(struct json_object *volume, char *out, size_t room);
/* The same of the verify that runs on it. */
const char *verify_progress(struct json_object *volume, char *out, size_t room);

/*
 * Sends @request (consumed) and waits for its end.  With @no_wait only until it has begun;
 * then @running (a sentence) is printed.  Returns the exit status.
 */
int long_job(const struct cli *cli, struct json_object *request, bool no_wait, const char *running);

/* The same, but gives what the daemon says at the end to the caller, who has to put it. */
int long_call(const struct cli *cli, struct json_object *request, bool no_wait,
	      struct json_object **answer);

/* The same as long_job() for a command that answers once, with a sentence. */
int short_job(const struct cli *cli, struct json_object *request);

#endif
