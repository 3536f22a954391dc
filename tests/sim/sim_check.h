/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checker: it is told of everything that the engines do and compares it with what must
 * always hold.  It knows the engines only by what they do on links and stores, and by
 * their status (where a volume lies, and how it is mirrored).
 */
#ifndef LS_SIM_CHECK_H
#define LS_SIM_CHECK_H

#include "tests/sim/sim_world.h"

/* Requests of clients. */
void check_submitted(struct sim_request *request);
void check_done(struct sim_request *request);
/* Its node died: the request's outcome is told to nobody. */
void check_forgotten(struct sim_request *request);
/* Acknowledged writes that were not flushed may be gone from this node's disks. */
void check_power_cut(struct sim_node *node);

/* Stores. */
void check_store_submit(struct sim_store *store, struct sim_op *op);
void check_store_done(struct sim_store *store, const struct sim_op *op);

/* Something of the write whose bytes these are reached a store or a link. */
void check_touched(struct sim_world *world, const void *payload);

/* Links.  @end is the end that does it. */
void check_request_sent(struct sim_end *end, uint32_t slot, const uint8_t *header,
			const void *payload, uint32_t bytes);
void check_message_sent(struct sim_end *end, const uint8_t *bytes, uint32_t length);
void check_landed(struct sim_end *end, const struct sim_item *item, uint32_t bytes);
/* A genuine message is about to be delivered to @end: it gives credits back. */
void check_delivered(struct sim_end *end, const uint8_t *bytes, uint32_t length);
void check_granted(struct sim_end *end);
void check_released(struct sim_end *end);

/* At the end of LOAD and CALM, of HEAL, and of everything. */
void check_ended(struct sim_world *world);
void check_idle(struct sim_world *world);
void check_legs(struct sim_world *world);
void check_nothing_left(struct sim_world *world);

/* sim_map.c: where volumes lie. */
void check_map(struct sim_node *node);
/* How an open volume is mirrored right now. */
enum mirror_state check_mirror(struct sim_volume *volume);
/* The volume at this place of a device, and the offset in it; NULL = metadata. */
struct sim_volume *check_locate(struct sim_node *node, unsigned device, uint64_t offset,
				uint64_t *volume_offset);
/* The bytes of a volume's block on its disk. */
const uint8_t *check_block(const struct sim_volume *volume, uint64_t offset,
			   const struct sim_disk **disk, uint64_t *disk_offset);
struct sim_volume *check_by_number(struct sim_node *node, uint32_t number);
/* The other half of a mirror, or NULL. */
struct sim_volume *check_partner(struct sim_world *world, const struct sim_volume *volume);

/* sim_pattern.c: the bytes that a write puts in a block; they name the write and the block. */
void pattern_fill(uint8_t *bytes, uint32_t block_bytes, uint64_t id, uint64_t block);
/* What a block holds; false when it is neither zeroes nor the pattern of @block. */
bool pattern_read(const uint8_t *bytes, uint32_t block_bytes, uint64_t block, enum sim_value *value,
		  uint64_t *id);

#endif
