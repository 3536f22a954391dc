/* SPDX-License-Identifier: BSD-3-Clause */
/* The CLI's side of control.sock (engine/doc/control.md). */
#ifndef LS_TOOLS_CONTROL_H
#define LS_TOOLS_CONTROL_H

#include "engine/json/json.h"
#include "tools/lockstep/cli.h"

/* A new request. */
struct json_object *control_request(const char *command);

/*
 * Sends @request (consumed) and waits for its end.  @progress (may be NULL) sees each
 * progress object, or event.  Returns 0 and *@answer, or EXIT_FAILED when the daemon is not
 * there or refused: then that was told, on standard error, and as JSON when that is wanted.
 */
int control_call(const struct cli *cli, struct json_object *request,
		 void (*progress)(void *ctx, struct json_object *progress), void *ctx,
		 struct json_object **answer);

/* The same for commands that only say that it is done: @done is printed, or the JSON. */
int control_do(const struct cli *cli, struct json_object *request, const char *done);

/*
 * The same without a word on standard error and within @limit_s, for who goes on without an answer:
 * NULL when there is none, or it is no.
 */
struct json_object *control_ask(const struct cli *cli, struct json_object *request,
				unsigned limit_s);

/* A connection to the daemon, or a negative errno. */
int control_dial(const struct cli *cli);

/* Prints @answer (consumed) as JSON. */
void control_print(struct json_object *answer);

#endif
