/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine: everything that one node decides, as a pure state machine.  It makes no
 * system call, takes no lock and knows no thread; it sees the world through links
 * (verbs/link.h), stores (nvme/store.h) and the environment below.  lockstepd runs it over
 * RDMA and NVMe, the simulator over faults.
 *
 * Threads: all calls on one engine come from one thread (the shard).  Callbacks come on
 * that thread, from within an engine call or a store's done().
 *
 * One pass of the owner's loop:
 *   engine_tick(now) - new requests, link and store completions - engine_flush().
 */
#ifndef LS_CONTROL_ENGINE_H
#define LS_CONTROL_ENGINE_H

#include "engine/base/err.h"
#include "engine/base/limits.h"
#include "engine/core/env.h"
#include "engine/core/request.h"
#include "engine/core/volume.h"
#include "engine/peer/job.h"
#include "engine/peer/verify.h"
#include "nvme/store.h"
#include "verbs/link.h"

struct engine;

struct engine_config {
	uint64_t node_address; /* not 0; the identity of this node, for ever */
	char node_name[NODE_NAME_MAX + 1];
	uint32_t peer_timeout_ms; /* silence after which a peer is lost; 0 = 10000 */
	uint32_t request_timeout_ms; /* age of an unanswered frame after which a peer is lost; 0 =
					30000 */
	/* log2 of the smallest region of a new volume's write-intent map, 16..40; 0 = 20 (1 MiB) */
	uint8_t region_shift;
	uint32_t clear_ms; /* pause between clearing rounds of the write-intent map; 0 = 1000 */
	/*
	 * Bytes of a volume that its map may name while clients write; beyond that whatever is
	 * quiet is cleared, and all of it when they rest.  After a crash as much has to be
	 * compared.  0 = 64 GiB
	 */
	uint64_t map_keep_bytes;
	bool payload_crc; /* check CRC32C of payloads on the wire; true by default */
	uint32_t pieces; /* room for parts of requests that are under way; 0 = CORE_PIECES */
	uint32_t slot_count; /* the most own slots that a link will have; 0 = LINK_SLOTS_MAX */
};

int engine_create(const struct engine_config *config, const struct engine_env *env,
		  struct engine **engine, struct err *err) MUST_CHECK;
/*
 * Begins to stop: refuses new requests (LS_SHUTDOWN), lets those in flight end, shuts the
 * sessions.  engine_stopped() tells when engine_destroy() may be called.
 */
void engine_stop(struct engine *engine);
bool engine_stopped(const struct engine *engine);
void engine_destroy(struct engine *engine); /* closes the stores */

/* Sets the engine's clock (monotonic) and runs what is due.  First in every pass; cheap. */
void engine_tick(struct engine *engine, uint64_t now_ns);
/* When engine_tick() must be called at the latest; UINT64_MAX = no timer runs. */
uint64_t engine_deadline_ns(const struct engine *engine);
/* Takes what has arrived on all links, up to @budget events for each.  Returns how many. */
unsigned engine_poll(struct engine *engine, unsigned budget);
/* Posts what was queued on the links.  Before the store queue is flushed: wire first. */
void engine_flush(struct engine *engine);
/* Before the owner sleeps on the links' descriptors: true = there is something to poll. */
bool engine_arm(struct engine *engine);

/* Data path.  See request.h. */
void engine_submit(struct engine *engine, struct request *request);

/* Links.  @cookie is dial()'s, or NULL for one that a peer dialled. */
void engine_link_opened(struct engine *engine, struct link *link, void *cookie);
void engine_dial_failed(struct engine *engine, void *cookie, const char *reason);

/* Administration; see job.h. */

/* For a caller that does something else first: what engine_pool_create() would say of @name. */
int engine_pool_name_check(const char *name, struct err *err);
/*
 * Takes over @stores in every case (closes them on failure).  Writes new superblocks;
 * what the caller knows to be foreign must have been refused before.
 */
void engine_pool_create(struct engine *engine, struct job *job, const char *name,
			struct store *const *stores, unsigned store_count, bool force);
/* Opens the existing pool @name from its devices, given in any order; takes over @stores, too. */
void engine_pool_open(struct engine *engine, struct job *job, const char *name,
		      struct store *const *stores, unsigned store_count);
/* The opposite: nothing of it may be in use, or mirrored with a peer that is connected. */
void engine_pool_close(struct engine *engine, struct job *job, const char *name);
/*
 * @pool may be NULL when there is one pool.  @size_bytes is rounded up to 1 MiB.  @zero:
 * write zeroes first.
 */
void engine_volume_create(struct engine *engine, struct job *job, const char *pool,
			  const char *name, uint64_t size_bytes, bool zero);
void engine_volume_delete(struct engine *engine, struct job *job, const char *name);
/*
 * Mirrors @volume to @peer, to the volume @target there (NULL = same name; made when it does
 * not exist) in @target_pool (NULL = the only one).  Done when the initial copy is.
 * Asked twice: joins the copy that runs, or says at once that the pair is in sync.
 */
void engine_pair(struct engine *engine, struct job *job, const char *volume, const char *peer,
		 const char *target, const char *target_pool);

/*
 * Operations on a mirror (engine/doc/mirror.md).  Each may be asked twice, and may wait for
 * what is under way on the volume.
 */
/* Ends the association; the peer keeps a consistent copy of this moment. */
void engine_break(struct engine *engine, struct job *job, const char *volume);
/* Which side's writes count where both have some that the other lacks. */
enum engine_keep {
	ENGINE_KEEP_AHEAD /* none: that is refused */,
	ENGINE_KEEP_LOCAL,
	ENGINE_KEEP_PEER
};
/* Takes up a broken association, or ends a split brain; done when the volume is in sync. */
void engine_resume(struct engine *engine, struct job *job, const char *volume,
		   enum engine_keep keep);
void engine_unpair(struct engine *engine, struct job *job, const char *volume);
/* @force: also a replica in the middle of a resync. */
void engine_promote(struct engine *engine, struct job *job, const char *volume, bool force);
void engine_demote(struct engine *engine, struct job *job, const char *volume);
void engine_set_policy(struct engine *engine, struct job *job, const char *volume,
		       bool fail_closed);
/*
 * A resync of @volume from this node copies at most so many bytes a second (rounded down to 1 KiB,
 * 64 KiB at least); 0 = as fast as clients, devices and the wire let it.
 */
void engine_set_resync_limit(struct engine *engine, struct job *job, const char *volume,
			     uint64_t bytes_per_second);
/*
 * Makes @volume larger (rounded up to 1 MiB), on both nodes, the target first; the new area reads
 * as zeroes.  Goes on by itself after a crash.  -ENOSPC, -EBUSY: nothing was changed.
 */
void engine_expand(struct engine *engine, struct job *job, const char *volume, uint64_t size_bytes);

/*
 * Compares @volume, which is primary here and in sync, with its peer's replica, beside I/O; see
 * verify.h and engine/doc/verify.md.  The job's error says why it could not, or not to the end;
 * @result, which is the caller's until the job is done, what it found so far.
 */
void engine_verify(struct engine *engine, struct job *job, const char *volume,
		   const struct verify_wish *wish, struct verify_result *result);
void engine_verify_stop(struct engine *engine, struct job *job, const char *volume);

/*
 * A peer: its node name, the key that both share, and where to dial it ("" = it dials us).  Of one
 * that is known already address and key are changed, from its next session on.
 */
int engine_peer_add(struct engine *engine, const char *name, const char *address, const void *key,
		    size_t key_bytes, struct err *err) MUST_CHECK;
/* -EBUSY while a volume is mirrored with it.  Ends the session, and is done when that is gone. */
void engine_peer_remove(struct engine *engine, struct job *job, const char *name);

/* Volumes of clients.  A volume that is in use can't be deleted. */
struct volume *engine_volume_get(struct engine *engine, const char *name);
void engine_volume_put(struct volume *volume);
void engine_volume_info(const struct volume *volume, struct ls_volume_info *info);

/* Status: plain copies, taken on the engine's thread. */
struct extent_status {
	uint16_t device; /* index in the pool */
	uint64_t offset; /* bytes on the device */
	uint64_t length;
};

struct volume_status {
	char name[VOLUME_NAME_MAX + 1];
	char pool[POOL_NAME_MAX + 1];
	uint8_t uuid[16]; /* never another volume's, not even of the same name */
	uint32_t number;
	uint64_t size_bytes;
	uint64_t growing_bytes; /* the size that it is growing to; 0 = it is not */
	uint32_t block_bytes;
	enum volume_role role;
	enum mirror_state mirror;
	bool consistent; /* false: a resync into it has begun and not ended */
	enum association association;
	enum volume_policy policy;
	struct generations generations;
	struct generations peer_generations; /* as last heard; current 0 = never */
	uint32_t dirty_regions; /* to be resynced */
	uint32_t lacking_regions; /* to be fetched from the peer: the local device failed writes */
	uint32_t peer_dirty_regions; /* of the peer's map, as last heard */
	uint64_t map_writes, map_marks; /* page writes; client writes that waited for one */
	uint64_t resync_sent_bytes; /* payload of the resync that runs, or ran last */
	char peer[NODE_NAME_MAX + 1]; /* "" when not paired */
	char peer_volume[VOLUME_NAME_MAX + 1];
	uint32_t open_count;
	/* Of the verify that runs or waits for its turn; total 0 = none. */
	uint64_t verify_done_bytes, verify_total_bytes, verify_different_bytes, verify_started_ns;
	/* Found to differ and not repaired, by one that ended; until one of all ends without. */
	uint64_t verify_left_bytes;
	uint64_t copy_done_bytes, copy_total_bytes, copy_started_ns;
	uint64_t copy_rate_bytes; /* a second, now */
	/* What holds it back: "clients", "limit", "device", "peer", "turn"; "" = no copy */
	const char *copy_bound;
	uint64_t resync_limit_bytes; /* a second; 0 = none */
	uint64_t reads, writes, flushes, discards, read_bytes, written_bytes, errors;
	/* Local legs of reads that failed; what the peer gave instead; write-backs of that. */
	uint64_t read_errors, fetched_bytes, repairs, repair_failures;
	uint64_t regions_touched; /* set in the durable write-intent map */
	uint32_t region_bytes;
	char last_error[240]; /* why the mirror is in its state */
	unsigned extent_count;
	struct extent_status extents[VOLUME_EXTENTS_MAX];
};

struct pool_status {
	char name[POOL_NAME_MAX + 1];
	uint8_t uuid[16];
	uint64_t size_bytes, free_bytes;
	unsigned device_count;
	struct store_geometry devices[POOL_DEVICES_MAX];
};

enum session_state {
	SESSION_DOWN,
	SESSION_DIALLING,
	SESSION_HANDSHAKE,
	SESSION_UP,
	SESSION_DRAINING
};
const char *session_state_name(enum session_state state);

struct peer_status {
	char name[NODE_NAME_MAX + 1];
	char address[PEER_ADDRESS_MAX + 1];
	uint64_t node_address; /* 0 until it was met */
	enum session_state state;
	uint32_t epoch, version;
	uint32_t credits, credits_total; /* free slots at the peer */
	uint64_t sessions; /* established so far */
	char link_backend[16], link_device[64], link_detail[160], link_address[96];
	struct link_stats link;
	char last_error[200];
};

struct engine_status {
	uint64_t node_address;
	char node_name[NODE_NAME_MAX + 1];
	uint64_t now_ns;
	const char *crc32c; /* implementation in use, or "off" */
	uint32_t requests_open, pieces_in_use, pieces_total;
	uint64_t write_ns_sum, write_local_ns_sum, write_remote_ns_sum, write_peer_device_ns_sum,
		write_count;
	unsigned pool_count, volume_count, peer_count;
	/* As many as there are; the others are left as they were. */
	struct pool_status pools[ENGINE_POOLS_MAX];
	struct peer_status peers[ENGINE_PEERS_MAX];
	/* Volumes one by one: engine_volume_status(). */
};
void engine_status(const struct engine *engine, struct engine_status *status);
/*
 * Of the first volume at or behind place *@at, which is 0 at first; *@at is behind it then.  False:
 * there are no more.  Volumes may come and go between two calls.
 */
bool engine_volume_status(const struct engine *engine, unsigned *at, struct volume_status *status);
/* Of the volume called @name; false: there is none. */
bool engine_volume_status_of(const struct engine *engine, const char *name,
			     struct volume_status *status);

/* Where a volume and its peer's may differ: region i is bit i % 8 of byte i / 8. */
struct region_map {
	uint64_t region_bytes; /* 0: not known */
	uint8_t dirty[INTENT_REGIONS_MAX / 8];
};
struct volume_regions {
	uint64_t size_bytes;
	struct region_map local, peer; /* the peer's: as last heard */
	bool everything; /* a split brain that the maps do not reach back to */
};
/* False: no such volume. */
bool engine_volume_regions(struct engine *engine, const char *volume,
			   struct volume_regions *regions);

/* Records the next @count frames that this node sends or receives, decoded. */
struct captured_frame {
	uint64_t at_ns;
	bool sent;
	uint8_t bytes[LINK_HEADER_BYTES];
};
#define ENGINE_CAPTURE_MAX 64
void engine_capture_start(struct engine *engine, unsigned count);
unsigned engine_capture_read(const struct engine *engine, struct captured_frame *frames,
			     unsigned max);

#endif
