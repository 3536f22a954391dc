/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `lockstep top`: what a node does now, out of two answers of `status`.
 *
 * top_rates() makes one object of them, which --json prints; top_text() makes a text of that,
 * which the screen and --once show.  So all three show the same.
 */
#ifndef LS_TOOLS_TOP_H
#define LS_TOOLS_TOP_H

#include "engine/json/json.h"

#include <stdio.h>

/*
 * @before and @now: rates are of the time between them.  @oldest: percentiles are of the time
 * since, because only a sample is measured.  NULL when another engine answered meanwhile.
 */
struct json_object *top_rates(struct json_object *oldest, struct json_object *before,
			      struct json_object *now);

void top_text(FILE *out, struct json_object *rates);

#endif
