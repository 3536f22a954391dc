/* SPDX-License-Identifier: BSD-3-Clause */
/* The peers of this node come, change and go; engine.h has what the edge calls. */
#ifndef LS_CONTROL_PEERS_H
#define LS_CONTROL_PEERS_H

struct engine;

/* Goes on with removals. */
void peers_tick(struct engine *engine);

#endif
