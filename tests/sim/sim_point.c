/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_point.h"

#include "tests/sim/sim_world.h"

#include "engine/meta/record.h"

#include <stdio.h>

static void tell(struct sim_world *world, unsigned node, unsigned place,
		 enum sim_point_moment moment)
{
	const struct sim_point point = {(uint8_t)node, (uint8_t)place, (uint8_t)moment};

	world->point(world, &point);
}

void sim_point_frame(struct sim_world *world, unsigned node, const uint8_t *bytes,
		     enum sim_point_moment moment)
{
	struct sim_frame frame;

	/* Pings come by the clock: they belong to no operation. */
	if (world->point && sim_frame_read(bytes, &frame) && !sim_frame_handshake(&frame) &&
	    frame.command != FRAME_PING)
		tell(world, node, frame.command, moment);
}

void sim_point_message(struct sim_world *world, unsigned node, const uint8_t *bytes,
		       uint32_t length, enum sim_point_moment moment)
{
	for (uint32_t at = 0; world->point && at + FRAME_BYTES <= length; at += FRAME_BYTES)
		sim_point_frame(world, node, bytes + at, moment);
}

static unsigned place_of(unsigned device, const struct store_op *op)
{
	if (op->code == STORE_FLUSH)
		return SIM_POINT_FLUSH;
	if (op->code == STORE_WRITE && device == 0 && op->offset == TABLE_COPY_OFFSET(0))
		return SIM_POINT_TABLE_1;
	if (op->code == STORE_WRITE && device == 0 && op->offset == TABLE_COPY_OFFSET(1))
		return SIM_POINT_TABLE_2;
	if (op->code == STORE_WRITE && device == 0 && op->offset >= MAP_PAGE_OFFSET(0) &&
	    op->offset < MAP_PAGE_OFFSET(0) + (uint64_t)ENGINE_VOLUMES_MAX * MAP_PAGE_BYTES)
		return SIM_POINT_MAP;
	return op->code == STORE_WRITE ? SIM_POINT_DATA : SIM_POINT_ZEROES;
}

void sim_point_store(struct sim_world *world, unsigned node, unsigned device,
		     const struct store_op *op, enum sim_point_moment moment)
{
	if (world->point && op->code != STORE_READ &&
	    (op->code != STORE_FLUSH || moment != SIM_POINT_MIDDLE))
		tell(world, node, place_of(device, op), moment);
}

void sim_point_name(const struct sim_point *point, char *text, size_t bytes)
{
	static const char *const places[] = {"table copy 1", "table copy 2", "map page",
					     "data",	     "zeroes",	     "flush of the device"};
	static const char *const frames[] = {"before it is sent", "has landed",
					     "before its answer is sent", "the answer has landed"};
	static const char *const stores[] = {"before it is written", "is half written",
					     "is written"};
	bool frame = point->place < SIM_POINT_TABLE_1;

	if (frame)
		snprintf(text, bytes, "%s: %s", frame_command_name(point->place),
			 frames[point->moment]);
	else
		snprintf(text, bytes, "%s: %s", places[point->place - SIM_POINT_TABLE_1],
			 stores[point->moment]);
}
