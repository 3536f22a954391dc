/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checker: it is told of everything that the engines do and compares it with what must
 * always hold.  It knows the engines only by what they do on links and stores, and by
 * their status (where a volume lies, and how it is mirrored).
 */
#ifndef LS_SIM_CHECK_H
#define LS_SIM_CHECK_H

#include "tests/sim/sim_pattern.h"
#include "tests/sim/sim_world.h"

/* Does it change blocks, and to what? */
bool check_changes(const struct sim_request *request);
enum sim_value check_value_of(const struct sim_request *request);

/* Requests of clients. */
void check_submitted(struct sim_request *request);
void check_done(struct sim_request *request);
/* I5: what belongs to the client again is in nobody else's hands. */
void check_buffer(const struct sim_request *request);
/* Its node died: the request's outcome is told to nobody. */
void check_forgotten(struct sim_request *request);
/* What flushes that failed have doomed of a volume, on this node, becomes @doom. */
void check_told(const struct sim_volume *volume, enum sim_doom doom);
/* Acknowledged writes that were not flushed may be gone from this node's disks. */
void check_power_cut(struct sim_node *node);

/* Fails unless a read of this block, begun at @since, may return what the disk holds there. */
void check_block_value(const struct sim_volume *volume, uint64_t block, uint64_t since,
		       const char *what);

/* Stores. */
void check_store_submit(struct sim_store *store, struct sim_op *op);
void check_store_done(struct sim_store *store, const struct sim_op *op);

/* Something of the write whose bytes these are reached a store or a link. */
void check_touched(struct sim_world *world, const void *payload);
/* The same; it is on its way to the peer. */
void check_sent(struct sim_world *world, const void *payload);
void check_sent_zeroes(struct sim_world *world, const struct sim_call *call);

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
/* Are all credits back?  If not, @node is the first that lacks some. */
bool check_credits(const struct sim_world *world, unsigned *node);
void check_legs(struct sim_world *world);
void check_nothing_left(struct sim_world *world);

/* sim_check_mirror.c: what each replica must hold. */
/* Its mirror's state has changed. */
void check_goes_on(struct sim_volume *volume, const char *from, const char *to);
/* The volume of this name at the other node: its other half, if they are paired. */
struct sim_volume *check_twin(const struct sim_volume *volume);
/* The same, if it is known what it may hold. */
struct sim_volume *check_tracked_twin(const struct sim_volume *volume);
bool check_tracked(const struct sim_volume *volume);
/* The volume's status was read: role, completeness and generation must follow from the past. */
void check_seen(struct sim_volume *volume);
/* Is it on both replicas? */
bool check_mirrored(const struct sim_request *request);
/* And do both count? */
bool check_counted(const struct sim_request *request);
/* An acknowledged write: notes it if the peer lacks it. */
void check_alone(struct sim_request *request);
/* All blocks of a volume whose contents are known. */
void check_at_rest(const struct sim_volume *volume, const char *what);
/* At its receiver: a request, and the answer to it. */
void check_mirror_landed(struct sim_end *end, const struct sim_frame *frame);
void check_mirror_answered(struct sim_end *end, const struct sim_frame *heard,
			   const struct sim_frame *answer);
/* I9. */
void check_primaries(struct sim_world *world);
/* A split brain is about to be ended. */
void check_listed(struct sim_world *world, const struct sim_volume *volume);

/* sim_meta.c: what is on the disk in front of the volumes. */
/* A write of these bytes is about to begin. */
void check_intent_write(struct sim_volume *volume, uint64_t offset, uint64_t length);
/* Metadata is about to be written: a page of the map, perhaps. */
void check_intent_page(struct sim_store *store, const struct store_op *op);
/* Its pool was opened after a crash. */
void check_intent_opened(const struct sim_volume *volume);
/* Nothing of the metadata that it was opened with can be lost by a power cut. */
void check_opened_durable(const struct sim_node *node);
/* Where its page is on the node's first disk. */
uint64_t check_intent_offset(const struct sim_volume *volume);
/* Where a copy of the volume table is, and its bytes; 0 = it is not whole. */
uint32_t check_table(const struct sim_disk *disk, unsigned copy, uint64_t *offset);

/* sim_map.c: where volumes lie. */
void check_map(struct sim_node *node);
/* How an open volume is mirrored right now. */
enum mirror_state check_mirror(struct sim_volume *volume);
/* The volume at this place of a device, and the offset in it; NULL = metadata. */
struct sim_volume *check_locate(struct sim_node *node, unsigned device, uint64_t offset,
				uint64_t *volume_offset);
/* Where a volume's block is on which disk; NULL when the volume is not that long. */
const struct sim_disk *check_block(const struct sim_volume *volume, uint64_t offset,
				   uint64_t *disk_offset);
/* Do two volumes hold the same in these bytes of a unit?  Not if one of them is too short. */
bool check_same(const struct sim_volume *a, const struct sim_volume *b, uint64_t offset,
		uint64_t bytes);
/* The first block from @from on in which they differ; the end of @a if there is none. */
uint64_t check_differs(const struct sim_volume *a, const struct sim_volume *b, uint64_t from);
struct sim_volume *check_by_number(struct sim_node *node, uint32_t number);
/* The other half of a mirror, or NULL. */
struct sim_volume *check_partner(struct sim_world *world, const struct sim_volume *volume);

#endif
