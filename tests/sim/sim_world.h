/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The world: two engines, A and B, with disks, a network, clients and administrators, on a
 * virtual clock.  One seed decides everything.
 *
 * A step is one pass of one node's loop.  The clock jumps from one thing that is due to the
 * next; nothing here knows the real time.
 *
 * The course of a run:
 *   LOAD  - clients, administrators and faults, until the steps are used up
 *   CALM  - the faults stop, nothing new comes; everything open must end in bounded time
 *   HEAL  - lost mirrors are paired again, a last load must succeed without an error
 *   STOP  - both engines stop and are destroyed; nothing may be left
 * Some seeds stop an engine in the middle of LOAD instead.
 */
#ifndef LS_SIM_WORLD_H
#define LS_SIM_WORLD_H

#include "engine/control/engine.h"
#include "tests/sim/sim_history.h"
#include "tests/sim/sim_link.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/sim_point.h"
#include "tests/sim/sim_rng.h"
#include "tests/sim/sim_store.h"

#define SIM_NODES 2u
#define SIM_DISKS_MAX 3u
#define SIM_REQUESTS_MAX 32u
#define SIM_VOLUMES_MAX 24u
#define SIM_JOBS_MAX 16u
#define SIM_DIALS_MAX 8u
/* Links that a kernel keeps while nobody accepts them; a node's own dials have places beside. */
#define SIM_ACCEPTS_MAX 16u
#define SIM_OPENS_MAX (SIM_ACCEPTS_MAX + SIM_DIALS_MAX)
#define SIM_VOLUME_BYTES_MAX MIB(3)
#define SIM_BLOCKS_MAX (SIM_VOLUME_BYTES_MAX / 512)
#define SIM_ARENA_BYTES MIB(8)
#define SIM_ECHOES 32u
#define SIM_NEVER UINT64_MAX
#define SIM_EXIT_BROKEN 3

#define MS(n) ((uint64_t)(n)*1000000u)
#define US(n) ((uint64_t)(n)*1000u)

/* What goes wrong, in parts of 10000 of each occasion; drawn from the seed. */
struct sim_faults {
	uint32_t disk_error;
	uint32_t flush_error; /* of flushes, which may lose what was cached */
	uint32_t read_error; /* of clients' reads at bad_node: its leg is a bad one */
	unsigned bad_node;
	uint32_t disk_stall; /* an operation that takes seconds */
	uint32_t table_error; /* of writes of metadata */
	uint32_t echo; /* a completion message comes again in the same session */
	uint32_t stale; /* a message of any session comes again */
	uint32_t message_damage; /* bits of a message change */
	uint32_t header_damage;
	uint32_t payload_damage;
	uint32_t truncation; /* less arrives than the header says */
	uint32_t forgery; /* a header with a valid checksum that makes no sense */
	uint32_t dial_failure;
	uint32_t link_loss; /* these three: of each time that a fault is due */
	uint32_t control_loss; /* the link is lost with the answer to a control request */
	uint32_t link_stall;
	uint32_t pause; /* a node does not run for a while */
	/* Of each time that a fault is due, too; sim_spell.c. */
	uint32_t partition, one_way, slow_link, slow_disk, storm;
	uint32_t kill, power_cut; /* of a node, or of both */
	uint32_t restart; /* in good order, under load */
	uint32_t rot; /* of each death: metadata of which there is a second copy, or a safe side */
	bool wrong_key; /* the nodes do not share the key */
};

struct sim_profile {
	struct sim_faults faults;
	uint32_t block_bytes[SIM_NODES];
	uint32_t slot_count[SIM_NODES], slot_bytes[SIM_NODES], pieces[SIM_NODES];
	unsigned disk_count[SIM_NODES], depth[SIM_NODES];
	bool dials[SIM_NODES];
	bool crc;
	uint8_t region_shift;
	uint32_t clear_ms;
	uint64_t map_keep_bytes;
	bool faultless;
	bool abrupt; /* an engine stops in the middle */
	uint32_t peer_timeout_ms, request_timeout_ms;
	uint64_t client_gap_ns, store_ns_max;
	/* In 10000: without the peer, clients wait up to @rest_ns_max before they go on. */
	uint32_t rests;
	uint64_t rest_ns_max;
	unsigned fault_gap, admin_gap; /* in steps */
	uint32_t clients[SIM_NODES]; /* in 10000: a client's visit is one */
	uint32_t volumes; /* of its own that a node has at most */
	uint32_t operators; /* in 10000: an administrator's visit is an operator's, too */
	uint32_t habit; /* what operators do most of the time, + 1; 0 = they have none */
	unsigned hot_blocks; /* most requests hit these: overlaps */
	uint32_t wire_late; /* in 10000: the NIC reads a payload only when it arrives */
	uint32_t batch; /* in 10000: a pass waits for more to do */
};

/* One volume at one node, as far as the simulator knows it. */
struct sim_volume {
	bool used, alive;
	struct sim_node *owner;
	unsigned node;
	char name[16];
	uint64_t uid; /* of this incarnation */
	struct volume *handle; /* clients have it open */
	unsigned requests_open;
	unsigned jobs_open;
	bool zeroed; /* at creation, and nobody else has been its primary since */
	bool promoted; /* its engine says so, and that is not looked at yet */
	uint64_t replaced_seq; /* when its history was last replaced by another */
	bool wild; /* in the middle of a resync, or after one of unknown end: not predicted */
	uint64_t lost_seq; /* when clients were last refused for want of the peer */
	struct history history;
	/* sim_check_mirror.c: what its status said last. */
	bool seen;
	enum volume_role seen_role;
	uint32_t seen_number;
	unsigned seen_start; /* of its engine */
	bool partial; /* it is durable that a resync into it has begun */
	bool arrived; /* and SYNCED has come since */
	uint64_t begun_seq; /* what was submitted before is copied by it */
	bool forced; /* and somebody has said promote --force */
	bool yields; /* an operator has given up what was acknowledged alone here */
	/* When a write was last acknowledged that the peer lacks, in which generation; 0 = none. */
	uint64_t alone_seq, alone_generation;
	/* The generation that a resync into it gave it, and when; @taken_start: to which engine. */
	uint64_t taken_seq, taken_generation;
	unsigned taken_start;
	bool taken_whole; /* that generation was its source's */
	bool ahead; /* and the peer's replica was a complete one */
	uint64_t shared_generation; /* of both, when they were last known to be equal */
	uint64_t unsynced_seq; /* when its mirror last ceased to be in sync */
	/* The wire beside which it waits as a primary; on which it was called stale; 0 = none. */
	unsigned waits_wire, stale_wire;
	uint64_t operated_seq; /* when an operator's command last began or ended */
	uint64_t unpaired_seq; /* when its mirror last ended; another one may be there since */
	uint64_t freed_seq; /* the same, of those after which an active mirror may go on alone */
	/* From the engine; see check_map(). */
	bool mapped;
	struct volume_status status;
};

struct sim_request {
	struct request request;
	struct sim_world *world;
	struct sim_volume *volume; /* NULL when it named none */
	bool open;
	bool hostile; /* must be refused */
	bool primary, mirrored; /* at submission */
	bool closed; /* fail-closed, and so by the operator's last word */
	bool waited; /* the peer was not there, and the volume had not gone on without it */
	bool synced; /* the replicas counted as equal by then */
	uint64_t generation; /* the volume's current one at submission */
	bool must_succeed; /* nothing is wrong any more */
	bool parked, again; /* until after a restart; it was asked for before one */
	bool touched; /* something of it reached a store or a link */
	bool sent; /* to the peer */
	unsigned node, index;
	uint64_t id, seq;
	uint64_t first_block, block_count;
	unsigned page_first, page_count; /* of its buffer */
	uint64_t at_ns;
	uint8_t leg[SIM_NODES][SIM_BLOCKS_MAX / 8]; /* blocks that are on that node's disk */
};

enum sim_job_kind {
	SIM_POOL_CREATE,
	SIM_POOL_OPEN,
	SIM_VOLUME_CREATE,
	SIM_VOLUME_DELETE,
	SIM_PAIR,
	SIM_BREAK,
	SIM_RESUME,
	SIM_UNPAIR,
	SIM_PROMOTE,
	SIM_DEMOTE,
	SIM_POLICY,
	SIM_EXPAND,
	SIM_VERIFY,
};

struct sim_job {
	struct job job;
	struct sim_world *world;
	bool open;
	enum sim_job_kind kind;
	unsigned node;
	struct sim_volume *volume;
	char name[16];
	bool zero;
	enum engine_keep keep; /* resume */
	uint64_t at_ns;
};

struct sim_dial {
	bool used;
	void *cookie;
	uint64_t due_ns;
	char address[32];
};

/* A link on its way to an engine. */
struct sim_opening {
	bool used;
	struct link *link;
	void *cookie;
	uint64_t due_ns;
};

struct sim_node {
	struct engine *engine;
	unsigned starts; /* of an engine */
	struct sim_world *world;
	uint64_t address;
	unsigned number;
	bool has_pool, stopping, stopped;
	bool restarting; /* its engine is stopping, to be followed by another */
	bool opened; /* its volumes are there: false between a crash and the pool's opening */
	struct list heap; /* what its engine has allocated */
	bool open_again;
	uint64_t back_at_ns; /* after a crash: when its engine starts */
	struct sim_disk *disks;
	struct sim_store *stores[SIM_DISKS_MAX];
	struct region arena, copy;
	uint8_t pages[SIM_ARENA_BYTES / SIM_PAGE_BYTES];
	struct sim_request requests[SIM_REQUESTS_MAX];
	struct sim_volume volumes[SIM_VOLUMES_MAX];
	unsigned volume_count; /* the places from here on have never been used */
	/* Those that its engine had when it was asked last, in its order; sim_map.c. */
	struct sim_volume *mapped[SIM_VOLUMES_MAX];
	unsigned mapped_count;
	struct sim_job jobs[SIM_JOBS_MAX];
	struct sim_dial dials[SIM_DIALS_MAX];
	struct sim_opening openings[SIM_OPENS_MAX];
	uint64_t wake_ns, client_ns, paused_until_ns;
	unsigned requests_open, jobs_open, stores_open, names, pool_tries;
	bool admin_due, map_stale;
};

struct sim_echo {
	unsigned side; /* who sent it */
	uint32_t length;
	uint8_t bytes[256];
};

/* What lasts until when; sim_spell.c. */
struct sim_spells {
	uint64_t silent_until_ns[SIM_NODES]; /* what this node says does not arrive */
	uint64_t slow_link_until_ns, slow_disk_until_ns[SIM_NODES], storm_until_ns;
};

enum sim_phase { SIM_LOAD, SIM_CALM, SIM_HEAL, SIM_STOP };

struct sim_totals {
	uint64_t requests, acked_writes, mirrored_writes, reads_checked, pairs, sessions;
	uint64_t legs_compared, faults, crashes;
	uint64_t operations, promotions, splits, alone; /* alone: writes */
	uint64_t fetched; /* reads that the peer has done */
	uint64_t verifies, rots, blamed; /* blamed: rotten places of which somebody was */
};

struct sim_world {
	struct sim_log *log;
	struct sim_rng rng;
	struct sim_profile profile;
	uint64_t now_ns, seq, uids;
	uint64_t steps, steps_max;
	uint64_t fault_step, admin_step; /* when the next is due */
	unsigned table_fails; /* nodes whose next write of the table or of a map will, as bits */
	unsigned flush_fails; /* nodes whose next flush will */
	unsigned heal_budget;
	enum sim_phase phase;
	struct sim_spells spells;
	struct sim_node node[SIM_NODES];
	struct list wires;
	unsigned wire_count;
	struct history_pool *history;
	struct sim_echo echoes[SIM_ECHOES]; /* messages of the past */
	unsigned echo_count;
	/* Which kinds of failure somebody may blame on a fault. */
	bool disk_failed, payload_damaged, session_disturbed;
	struct sim_totals totals;
	/* Told of each point that a node passes; NULL = nobody wants to know. */
	void (*point)(struct sim_world *world, const struct sim_point *point);
};

#define SIM_NOTE(world, node, fmt, ...)                                                            \
	sim_log_add((world)->log, (world)->now_ns, (int)(node), fmt,                               \
		    (const uint64_t[SIM_LOG_ARGS]){__VA_ARGS__})

/* An invariant is broken: notes it and ends this process. */
_Noreturn void sim_fail(struct sim_world *world, const char *invariant, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* What to run: the seed decides the rest. */
struct sim_plan {
	uint64_t seed, steps;
	uint64_t course; /* not 0: another course of events in the seed's world */
	uint32_t without; /* parts that are switched off, bits; see sim_part_name() */
	bool verbose;
};

/* Runs it in this process; returns when nothing was broken. */
void sim_run(struct sim_log *log, const struct sim_plan *plan, struct sim_totals *totals);

/*
 * sim_shrink.c: looks for the shortest story in the seed's world in which the same breaks: fewer
 * steps, parts switched off, another course.  False: nothing is broken.
 */
bool sim_shrink(struct sim_plan *plan);

/*
 * The parts of a run, for who wants another course than sim_run()'s: a new world without
 * engines, whose profile is then chosen; its engines; one pass of the node that is due next
 * (false: nothing will ever happen again); the end, which leaves the engines alone.
 */
void sim_world_begin(struct sim_world *world, struct sim_log *log, uint64_t seed);
void sim_world_start(struct sim_world *world);
bool sim_world_pass(struct sim_world *world);
void sim_world_end(struct sim_world *world);

/* The node has something to do at @at_ns. */
void sim_wake(struct sim_world *world, unsigned node, uint64_t at_ns);
/* The oldest request that is still open; what died before it is history. */
uint64_t sim_oldest_seq(const struct sim_world *world);

/* sim_net.c: dials and links on their way. */
void sim_net_dial(void *ctx, const char *address, void *cookie);
void sim_net_release(void *ctx, struct link *link);
void sim_net_run(struct sim_node *node);
uint64_t sim_net_due_ns(const struct sim_node *node);
/* Is there a wire that is not broken? */
bool sim_net_linked(const struct sim_world *world);
void sim_net_fault(struct sim_world *world);

/* sim_spell.c: faults that last for a while. */
void sim_spell_fault(struct sim_world *world); /* perhaps one begins */
void sim_spell_step(struct sim_world *world); /* what they do at each step */
void sim_spells_end(struct sim_world *world);
/* How much longer a disk's operation takes, and a message on any wire. */
uint64_t sim_spell_disk_ns(struct sim_world *world, unsigned node);
uint64_t sim_spell_wire_ns(struct sim_world *world);
/* Nothing that @side says arrives before. */
uint64_t sim_spell_silent_until_ns(const struct sim_world *world, unsigned side);
bool sim_spell_dial_fails(const struct sim_world *world);

/* sim_client.c: the load. */
void sim_client_run(struct sim_node *node);
/* One well-formed request on @volume, which is open; false when there is no room. */
bool sim_client_one(struct sim_node *node, struct sim_volume *volume);
/* May fail, whatever the phase. */
bool sim_client_flush(struct sim_node *node, struct sim_volume *volume);
/* A write of just these blocks. */
bool sim_client_write(struct sim_node *node, struct sim_volume *volume, uint64_t first_block,
		      uint64_t block_count);
void sim_client_open(struct sim_node *node, struct sim_volume *volume);
void sim_client_close(struct sim_volume *volume);

/* sim_admin.c: the jobs. */
void sim_admin_start(struct sim_node *node);
void sim_admin_run(struct sim_node *node);
/* Fails, naming it, if a job is still open. */
void sim_job_ended(struct sim_world *world);
bool sim_admin_pair(struct sim_node *node, struct sim_volume *volume);
void sim_admin_delete(struct sim_node *node, struct sim_volume *volume);
/* A job that has begun, or NULL when there are too many. */
struct sim_job *sim_job_new(struct sim_node *node, enum sim_job_kind kind,
			    struct sim_volume *volume, const char *name);
struct sim_volume *sim_volume_find(struct sim_node *node, const char *name);
/* NULL when there is no room. */
struct sim_volume *sim_volume_new(struct sim_node *node, const char *name);
/* One half of a pair that the other node does not know (any more). */
bool sim_orphan(const struct sim_world *world, unsigned node, const struct volume_status *status);
/* Frees what is dead and unused. */
void sim_volume_sweep(struct sim_node *node);

/* sim_verify.c: comparisons of both replicas. */
void sim_verify_run(struct sim_node *node, struct sim_volume *volume);
void sim_verify_done(struct sim_job *job, bool ok);
/* All is well: lets bits of a mirror rot and starts a verify; false: there is no mirror. */
bool sim_verify_rot(struct sim_world *world);
/* It has ended: was all found, and nothing else?  Takes the rot away. */
void sim_verify_found(struct sim_world *world);

/* sim_operator.c: the operations on mirrors. */
void sim_operator_run(struct sim_node *node);
/* An operation on @volume has begun, or ended in some way. */
void sim_operated(struct sim_volume *volume, enum sim_job_kind kind, uint64_t seq);
/* The job of an operation that the caller begins now, or NULL when there are too many. */
struct sim_job *sim_operator_begin(struct sim_node *node, enum sim_job_kind kind,
				   struct sim_volume *volume);
void sim_operator_done(struct sim_job *job, bool ok);
/* After the faults: does what only an operator can, so that everything can end. */
void sim_operator_mend(struct sim_world *world);

/* sim_crash.c: a node dies; pass() starts it again at node->back_at_ns. */
void sim_crash(struct sim_node *node, bool power);
void sim_crash_fault(struct sim_world *world);
/* Nobody will open its links, or answer its dials, any more. */
void sim_crash_links(struct sim_node *node);

/* sim_restart.c: one begins, if it can; perhaps one does; what is due at the end of a pass. */
void sim_restart_begin(struct sim_node *node);
void sim_restart_fault(struct sim_world *world);
void sim_restart_run(struct sim_node *node);
/* sim_client.c: what was not answered before the restart is asked for again. */
void sim_client_again(struct sim_node *node);

/* After the restart. */
void sim_admin_open(struct sim_node *node);

/* sim_profile.c: what kind of world the seed is, without some parts. */
void sim_profile_draw(struct sim_world *world, uint32_t without);
/* The parts that can be switched off; NULL behind the last. */
const char *sim_part_name(unsigned part);

#endif
