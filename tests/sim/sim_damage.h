/* SPDX-License-Identifier: BSD-3-Clause */
/* What a wire does to the things on it, besides losing and delaying them. */
#ifndef LS_SIM_DAMAGE_H
#define LS_SIM_DAMAGE_H

#include "tests/sim/sim_link.h"

/* Does the link go down with this message of @end, which is about to be posted? */
bool sim_damage_cuts(struct sim_end *end, const uint8_t *bytes, uint32_t length);
void sim_damage_message(struct sim_end *end, struct sim_item *item);
void sim_damage_header(struct sim_end *end, struct sim_item *item);
/* The payload is in its slot of @end, the receiver: bits change, or less of it has arrived. */
void sim_damage_payload(struct sim_end *end, struct sim_item *item, uint32_t *length);
/* Perhaps posts a message of the past behind what @end has just posted. */
void sim_damage_replay(struct sim_end *end);

#endif
