/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The named points at which a node can be stopped exactly: what others can see of it (frames)
 * and what survives it (bytes on its devices).  sim_steps.c counts them; a seed does not.
 */
#ifndef LS_SIM_POINT_H
#define LS_SIM_POINT_H

#include "engine/core/frame.h"
#include "nvme/store.h"

#include <stdint.h>

struct sim_world;

/* What it is about: a frame's command, or one of these. */
enum sim_point_place {
	SIM_POINT_TABLE_1 = 32, /* the copies of the pool's table */
	SIM_POINT_TABLE_2,
	SIM_POINT_MAP, /* a page of a write-intent map */
	SIM_POINT_DATA,
	SIM_POINT_ZEROES,
	SIM_POINT_FLUSH,
	SIM_POINT_PLACES,
};

/* For a frame and for a device. */
enum sim_point_moment {
	SIM_POINT_BEFORE, /* nothing of it has left the node */
	SIM_POINT_MIDDLE, /* it has landed; each of its blocks may be there or not */
	SIM_POINT_THERE, /* it is to be answered; all is there and the engine does not know */
	SIM_POINT_ANSWERED, /* the answer has landed; - */
};

struct sim_point {
	uint8_t node, place, moment;
};

/* Tells the world's owner, if it wants to know; may not return. */
void sim_point_frame(struct sim_world *world, unsigned node, const uint8_t *bytes,
		     enum sim_point_moment moment);
/* The same for each completion in a message that @node sends or hears. */
void sim_point_message(struct sim_world *world, unsigned node, const uint8_t *bytes,
		       uint32_t length, enum sim_point_moment moment);
void sim_point_store(struct sim_world *world, unsigned node, unsigned device,
		     const struct store_op *op, enum sim_point_moment moment);

/* "pair: before it is sent" */
void sim_point_name(const struct sim_point *point, char *text, size_t bytes);

#endif
