/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables that both a list command and `status` print. */
#ifndef LS_TOOLS_SHOW_H
#define LS_TOOLS_SHOW_H

struct json_object;

void show_pools(struct json_object *pools);
void show_volumes(struct json_object *volumes);
/* Those that are paired: who is ahead, and what differs.  Begins with an empty line. */
void show_mirrors(struct json_object *volumes);
/* The same in sentences. */
void explain_mirrors(struct json_object *volumes);
void show_peers(struct json_object *peers);

#endif
