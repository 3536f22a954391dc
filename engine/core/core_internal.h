/* SPDX-License-Identifier: BSD-3-Clause */
/* Between request.c, which cuts requests into pieces, and core.c, which has these done. */
#ifndef LS_CORE_CORE_INTERNAL_H
#define LS_CORE_CORE_INTERNAL_H

#include "engine/core/core.h"

/* --- request.c --- */

/* Nothing of it is under way any more: done() is called. */
void request_finish(struct core *core, struct request *request);
/* What is left of it is cut at the end of the pass; it is in no list. */
void cut_later(struct core *core, struct request *request);
/* Cuts what the free pieces allow, one piece of each request in turn: nobody waits long. */
void cut_all(struct core *core);
static inline bool nobody_cuts(const struct core *core)
{
	return list_empty(&core->cutting) && list_empty(&core->reading);
}
/*
 * A piece of @volume's is active no more: two for one, so that it can come to many again; and all
 * after the last one, because nothing else would lead here.
 */
void less_active(struct core *core, struct volume *volume);

/* --- core.c --- */

/* A piece that was just cut: what its volume's map, its mirror and its peer say decides. */
void piece_start(struct piece *piece);

#endif
