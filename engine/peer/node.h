/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's inside: what peer/ (sessions, pairing) and control/ (administration) share.
 * Everything hangs off one struct engine; nothing is global.
 */
#ifndef LS_PEER_NODE_H
#define LS_PEER_NODE_H

#include "engine/core/core.h"
#include "engine/peer/decide.h"
#include "engine/peer/job.h"
#include "engine/peer/pace.h"
#include "engine/peer/verify.h"

/* Sessions at once: one per peer, one more per peer that replaces it, a few strangers. */
#define SESSIONS_MAX (2 * ENGINE_PEERS_MAX + 4)
#define HANDSHAKE_MAC_BYTES 32u
#define HANDSHAKE_NONCE_BYTES 32u
/* The longest body is REJECT's. */
#define HANDSHAKE_BODY_MAX 160u
/* Chunks of a resync under way at most: fills a wire of 4 GB/s when a chunk takes 0.5 ms. */
#define COPY_UNITS 16u

struct engine;
struct peer;

/* What is true in each state is in engine/doc/protocol.md. */
enum session_phase {
	PHASE_FREE,
	PHASE_SENT_HELLO, /* we dialled; waits for CHALLENGE */
	PHASE_SENT_PROVE, /* waits for ACCEPT */
	PHASE_EXPECT_HELLO, /* the peer dialled; we know nothing of it */
	PHASE_CHALLENGED, /* waits for PROVE */
	PHASE_DRAIN, /* proved; waits until the old session's requests left the devices */
	PHASE_REJECTED, /* we said REJECT: the dialler closes, so that it has read why */
	PHASE_UP,
	PHASE_CLOSING, /* link_shut() was called; waits for down() */
	PHASE_DOWN, /* waits until the devices let go of the link's slots */
};

/* From this version on STATE says that a flush has failed. */
#define WIRE_VERSION_LOST 3u

struct session {
	struct engine *engine;
	struct link *link;
	struct peer *peer; /* NULL until HELLO said who it is */
	enum session_phase phase;
	bool dialled;
	uint64_t deadline_ns; /* of the handshake */
	uint64_t peer_address;
	uint32_t epoch;
	uint8_t version; /* of the protocol, that both have */
	/* Both sides' first frames with their bodies, as the MACs cover them. */
	uint8_t transcript[2 * (FRAME_BYTES + HANDSHAKE_BODY_MAX)];
	size_t transcript_bytes;
	uint8_t grant[LINK_GRANT_BYTES]; /* the peer's, kept while PHASE_DRAIN */
};

/* A place for one: those that were removed are left empty, and are taken again. */
struct peer {
	struct engine *engine;
	char name[NODE_NAME_MAX + 1]; /* "" = none */
	char address[PEER_ADDRESS_MAX + 1]; /* "" = it dials us */
	uint8_t key[PEER_KEY_BYTES_MAX];
	size_t key_bytes;
	uint64_t node_address; /* 0 until it was met */
	struct job *removal; /* told when nothing of it is left; NULL = it stays */

	struct channel channel;
	struct session *session; /* UP or later; NULL = none */
	uint64_t sessions; /* established so far */

	bool dialling;
	uint64_t dial_at_ns;
	uint32_t backoff_ms;
	char last_error[200];

	struct call ping;
	bool pinging;
};

struct job;
struct mirror;

enum pairing_phase {
	PAIRING_QUEUED,
	PAIRING_WAIT_PEER, /* the session is not up yet */
	PAIRING_ASKED, /* FRAME_PAIR sent */
	PAIRING_RECORD, /* the pool's table is being written */
};

/* A volume on its way to being paired; from then on it is a mirror that resyncs. */
struct pairing {
	struct list node; /* in engine.pairings; the first is active */
	struct engine *engine;
	struct volume *volume;
	struct peer *peer;
	char target[VOLUME_NAME_MAX + 1];
	char target_pool[POOL_NAME_MAX + 1];
	struct list jobs;
	enum pairing_phase phase;
	uint64_t deadline_ns, generation;
	uint32_t target_number;
	struct call call;
	struct map_wait map;
};

/* Where the exchange of state stands; engine/doc/mirror.md. */
enum mirror_step {
	STEP_IDLE,
	STEP_STATE, /* STATE is out, or theirs is awaited */
	STEP_BEGIN, /* we are the source: BEGIN is out */
	STEP_EXPECT_BEGIN, /* we are the target */
	STEP_SOURCE,
	STEP_TARGET,
};

/* Of a volume that becomes larger; engine/doc/mirror.md. */
enum expand_phase {
	EXPAND_IDLE,
	EXPAND_RESERVING, /* the record with the space, or without it, is being written */
	EXPAND_ASK, /* source: the target is to be asked */
	EXPAND_ASKED,
	EXPAND_UNDO, /* the target has no room: the space is to be given back */
	EXPAND_ZERO, /* from here on a leg or the range is in use */
	EXPAND_DRAIN, /* the whole volume's range is to be taken */
	EXPAND_DRAINING,
	EXPAND_SIZE, /* it was granted: the size is to be recorded */
	EXPAND_RECORDING,
};

struct expand {
	enum expand_phase phase;
	bool served; /* as target: the source asks again until it is done */
	uint64_t from, to; /* bytes */
	uint64_t retry_at_ns;
	uint64_t zeroed_from, zeroed_to; /* target: done since the session began */
	uint64_t failed_to; /* target: what it could not do, and has not said yet; 0 = none */
	uint32_t flushes_failed; /* of the volume's, when the zeroes were begun */
	struct leg leg;
	struct range range; /* the whole volume: drains it */
	struct intent next; /* the map of the larger volume */
	struct list jobs;
};

/* One operator's comparison of both replicas; engine/doc/verify.md. */
struct verify {
	struct list node; /* in engine.verifies; the first one runs */
	struct job *job; /* NULL = none */
	struct verify_result *result; /* the asker's */
	bool repair;
	uint64_t begin, end, at; /* bytes; the next chunk begins at @at */
	uint64_t started_ns;
	uint32_t told; /* differences, one by one */
	uint32_t turn; /* chunks of another one are left over from a verify that was stopped */
	unsigned units; /* chunks under way */
	uint64_t left_bytes; /* found to differ and not repaired, until one of all has ended */
};

/* Regions whose last write this node's device failed, on their way back from the peer; mend.c. */
struct mend {
	struct fetch fetch;
	bool busy; /* the fetch is under way */
	bool again; /* a write has failed since its region was begun */
	uint32_t region;
	uint64_t at, end; /* bytes: what is left of it; equal = none is begun */
	uint64_t at_ns; /* not before */
	uint32_t flushes; /* that had failed when what they may have lost became lacking */
	bool in_sync; /* all that clients have not heard of: the peer's was never copied over */
};

/* Before the peer is asked again what it could not do, or did not take. */
#define RETRY_NS (1000 * NS_PER_MS)
/* While anything is under way, or waits for its time; otherwise see rest.c. */
#define TICK_NS (100 * NS_PER_MS)

#define CONTROL_BUFFERS 4u
#define CONTROL_BUFFER_BYTES 8192u

/* One operator's operation on a mirror; waits until nothing else is under way on it. */
struct mirror_op {
	struct list node;
	struct job *job;
	void (*run)(struct mirror *mirror, struct mirror_op *op);
	enum wish wish;
	bool force;
	uint64_t bytes;
	struct mirror *mirror;
	struct leg leg; /* of promote: a flush, before it is recorded */
	bool stopped; /* the mirror was since */
};

/* What this node does to keep one volume equal to its peer's. */
struct mirror {
	struct engine *engine;
	struct volume *volume;
	struct peer *peer; /* NULL: the volume's peer is not known to this node */
	enum mirror_step step;
	bool told, heard; /* our STATE was answered; theirs is here */
	bool known; /* the peer has said in this session that it has this mirror, too */
	uint32_t turn, reply_to; /* of the exchange: as leader, as follower */
	struct replica_state theirs;
	enum association their_association;
	uint32_t their_sequence;
	uint64_t their_size;
	uint8_t map[INTENT_REGIONS_MAX / 8]; /* of the peer */
	uint32_t map_bytes;
	uint8_t map_shift;
	struct decision decision;
	uint32_t told_dirty; /* regions that our last STATE listed */
	bool told_lost; /* and whether a flush had failed here */
	bool begin_dirty; /* BEGIN said that there is something to copy */
	enum wish wish;
	uint64_t retry_at_ns; /* of the exchange; 0 = only when something happens */
	/* Of a leg, or of what a resync copies: what is tried again waits longer each time. */
	unsigned failures;
	uint64_t failed_at_ns;
	/* Not to go alone before: it could not be recorded; after a start, the peer may be late. */
	uint64_t alone_at_ns, late_until_ns;

	/* One request to the peer at a time, and one commit. */
	struct call call;
	uint64_t told_ns; /* the peer took our STATE */
	bool calling;
	bool stale; /* the call under way belongs to an exchange that was given up */
	uint8_t command;
	uint8_t *buffer;
	uint32_t bytes;
	void (*answered)(struct mirror *mirror, const struct frame *completion);
	/* The answer is here, but a commit for the peer is under way: told when that is over. */
	bool answer_waits, answer_lost;
	struct frame answer;
	struct pool_commit commit;
	bool committing;
	bool doubtful; /* a commit has failed: the device may have it all the same */
	void (*committed)(struct mirror *mirror, enum ls_status status);
	struct volume_record before; /* what the record was, should the commit fail */
	char why[160]; /* it changes */
	struct serve *serving; /* the peer's request that the commit answers, or NULL */

	struct list ops; /* struct mirror_op */
	struct mirror_op *op; /* the one that runs */
	struct list jobs; /* wait until the volume is in sync */
	uint64_t jobs_until_ns; /* how long they wait for the peer to be there at all */

	/* As a source. */
	bool flushed; /* the target did, after the last chunk */
	bool finishing; /* everything is copied: flush and SYNCED are under way */
	bool marking; /* so is the map's page with what may be lost here */
	uint64_t flush_turn; /* the resync for whose end the round under way was begun */
	struct list resync_node; /* in engine.resyncs; the first is active */
	bool source; /* of the resync that runs or ran last */
	uint64_t copying_since_ns;
	uint64_t resync_at, resync_total, resync_done, resync_sent, resync_started_ns;
	uint32_t resync_turn;
	bool resync_blind; /* the target has nothing: no checksums first */
	enum ls_status resync_status;
	uint8_t resync_bad[INTENT_REGIONS_MAX / 8]; /* regions with a chunk that failed, as bits */
	unsigned resync_bad_chunks;
	uint64_t resync_bad_at; /* byte of the first */
	enum ls_status resync_bad_status;
	uint64_t resync_again_ns; /* nothing else is left: when these are tried again; 0 = no */

	struct expand expand;
	struct verify verify;
	struct mend mend;

	/* Clearing rounds of the map. */
	struct leg flush_leg;
	struct call flush_call;
	unsigned round_open;
	bool round_clears;
	enum ls_status round_here, round_peer; /* how the flushes ended */
	uint64_t round_at_ns;
	uint64_t round_changes; /* requests of clients that had ended when it was last looked at */
};

/* One chunk of a resync on its way: range, local read, check, remote writes. */
struct copy_unit {
	struct mirror *mirror;
	struct range range;
	struct leg leg;
	struct call call;
	uint8_t *buf, *sums;
	uint64_t offset, length;
	uint64_t cost; /* bytes that the pace counts it for */
	uint64_t mask; /* the parts of CHECK_BYTES that differ at the target */
	uint64_t run_at, run_bytes; /* what is being sent of it */
	uint64_t began_ns, read_ns; /* the local read began, ended */
	uint32_t turn; /* of the mirror's resync that it belongs to */
	bool busy, zeroes;
};

/* One chunk of a verify on its way; verify_unit.c.  Its buffers are the copy unit's. */
struct verify_unit {
	struct mirror *mirror;
	struct range range;
	struct leg leg;
	struct call call;
	struct map_wait map;
	struct fetch fetch;
	uint8_t *buf, *sums;
	uint64_t offset, length;
	/* Parts of CHECK_BYTES, as bits. */
	uint64_t differs;
	uint64_t logged; /* known to the checksum log */
	uint64_t wrong_here, wrong_there; /* of those */
	uint64_t run_at, run_bytes; /* what is told, or repaired, now */
	enum verify_blame blame; /* of it */
	uint64_t began_ns, read_ns; /* the local read began, ended */
	uint32_t turn; /* of the verify that it belongs to */
	uint8_t round;
	bool busy;
	bool unreadable; /* one side could not be read */
	bool marked; /* in the write-intent map */
};

struct engine_settings {
	uint64_t clear_ns; /* between two clearing rounds of a map */
	uint64_t map_keep_bytes; /* see struct engine_config */
	uint8_t region_shift;
	uint64_t peer_timeout_ns, request_timeout_ns;
	uint32_t slot_count;
	char node_name[NODE_NAME_MAX + 1];
};

/* Places in the volumes' table, a bit each. */
struct volume_set {
	uint64_t bits[ENGINE_VOLUMES_MAX / 64];
};

struct engine {
	struct core core;
	struct engine_settings settings;
	uint64_t next_tick_ns; /* 0: asked for; as soon as it can be, and looks at all volumes */
	uint64_t all_at_ns; /* by then a tick has looked at all volumes; see rest.c */
	uint32_t last_epoch;
	bool stopping;

	struct pool *pools[ENGINE_POOLS_MAX];
	unsigned pool_count, pools_coming; /* those are being made or opened */
	struct volume *volumes[ENGINE_VOLUMES_MAX]; /* by the low ten bits of their number */
	struct volume_set volumes_used; /* which of these places: see volume_next() */
	struct volume_set restless; /* that the next tick looks at, whatever it is: see rest.c */
	unsigned volume_count;
	struct peer peers[ENGINE_PEERS_MAX];
	unsigned peer_count; /* places that were ever used */
	struct session sessions[SESSIONS_MAX];
	/* Bits of those that are not PHASE_FREE, that are PHASE_DOWN: for every pass. */
	uint32_t sessions_used, sessions_down;

	struct region *copy_region; /* buffers: units', checksums', control requests' */
	bool control_busy[CONTROL_BUFFERS];
	struct list pairings;
	struct list resyncs; /* struct mirror that copy, the first one now */
	struct copy_unit units[COPY_UNITS];
	unsigned units_busy;
	struct list verifies; /* struct mirror that are verified, the first one now */
	struct verify_unit verify_units[COPY_UNITS]; /* each uses the buffers of its copy unit */
	struct pace pace; /* of what all units read and copy */
	unsigned admin_open; /* pool and volume operations under way */
	struct list undeletes; /* of volumes whose delete failed: see control/admin.c */
};

/* session.c */
void session_tick(struct engine *engine);
unsigned session_poll(struct engine *engine, unsigned budget);
void session_flush(struct engine *engine);
bool session_arm(struct engine *engine);
void session_opened(struct engine *engine, struct link *link, struct peer *dialled);
void session_dial_failed(struct peer *peer, const char *reason);
/* After REJECT was sent: leaves the closing to the other side, for a while. */
void session_rejected(struct session *session, const char *reason);
/* Ends a dial of ours, because the peer's own came first: that is no error. */
void session_yield(struct session *session);
/* Ends a session; @reason is a sentence that status and events show. */
void session_fail(struct session *session, const char *reason);
/* Lets go of links whose last request has left the devices. */
void session_reap(struct engine *engine);
bool session_none(const struct engine *engine);
/* Also one that is being removed. */
struct peer *peer_find(struct engine *engine, const char *name);
/* Ends all that is under way with @peer, handshakes, too; a dial, when it comes. */
void session_fail_all(struct engine *engine, const struct peer *peer, const char *reason);
/* Is there nothing of @peer that could still come back? */
bool session_none_with(const struct engine *engine, const struct peer *peer);

/* rest.c: when ticks come, and to which volumes. */
/* A tick looks at @mirror at @at_ns.  On a node without peers nothing else would lead to one. */
void tick_at(const struct mirror *mirror, uint64_t at_ns);
/* This tick looks at all volumes (and all_at_ns goes on), or at those without rest only. */
bool tick_takes_all(struct engine *engine, bool asked);
/* The next tick need not look at @volume if it is at rest now. */
void volume_ticked(struct engine *engine, const struct volume *volume);
/* The end of a tick.  When nothing is under way the next one comes later. */
void engine_rest(struct engine *engine);
/* Has all ended that was begun for the mirror?  Neither does anybody wait for it. */
bool mirror_idle(const struct mirror *mirror);

/* handshake.c: the messages of a session that is not up. */
void handshake_hello(struct session *session);
void handshake_message(struct session *session, const uint8_t *bytes, uint32_t length);
/* The old session is gone: a proved one may be accepted. */
void handshake_drained(struct session *session);
/* session.c, called by handshake.c. */
void session_established(struct session *session);

/* tell.c: events.  Nothing else sets volume->mirror, once the volume is there. */
void mirror_set(struct engine *engine, struct volume *volume, enum mirror_state state);
/* Of the record, which was @before. */
void tell_changes(struct engine *engine, const struct volume *volume,
		  const struct volume_record *before, const char *why);
/* @what: created, deleted, expanded. */
void tell_volume(struct engine *engine, const struct volume *volume, const char *what,
		 const char *why);
/* A failure of @what, which has a name of one word or two, on the volume. */
void tell_error(struct engine *engine, const struct volume *volume, const char *what,
		const char *fmt, ...) PRINTF_LIKE(4, 5);
void tell_session(struct engine *engine, const struct peer *peer, bool up, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* pair.c */
void pair_request(struct engine *engine, struct job *job, struct volume *volume, struct peer *peer,
		  const char *target, const char *target_pool);
void pair_run(struct engine *engine); /* starts the next one; checks time limits */
/* Is the volume's pair being recorded?  Then its operations wait, as it waits for them to begin. */
bool pair_records(const struct volume *volume);
/* pair_serve.c */
void pair_serve(struct channel *channel, struct serve *serve, const uint8_t *payload,
		uint32_t length);
bool peer_up(const struct peer *peer);

/* mirror.c: a volume and its peer; see mirror.md. */
struct mirror *mirror_get(struct engine *engine, struct volume *volume); /* NULL: no memory */
void mirror_free(struct volume *volume);
/* The session is up: exchanges state of all volumes that are shared with @peer. */
void mirror_connect(struct engine *engine, struct peer *peer);
/* Does this node number the exchanges?  The one with the smaller address does. */
bool mirror_leads(const struct mirror *mirror);
/* Exchanges state again. */
void mirror_restart(struct mirror *mirror);
/* Writes count on the peer no more; no effect on a volume that does not mirror. */
void mirror_stop(struct volume *volume, const char *reason);
/* The session with @channel is over. */
void mirror_disconnect(struct engine *engine, struct channel *channel, const char *reason);
/* Goes on with whatever is possible now. */
void mirror_kick(struct mirror *mirror);
void mirror_tick(struct engine *engine, bool all);
void mirror_decide(struct mirror *mirror);
/* How long to wait before what has failed is tried again. */
uint64_t mirror_backoff_ns(struct mirror *mirror);
/*
 * @what keeps the replicas from being in sync: the mirror stops, whoever waits for it is told
 * (EIO), and a resync begins after a while.  @kind: of the event.
 */
void mirror_again(struct mirror *mirror, const char *kind, const char *what);
void mirror_reason(struct volume *volume, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Does the peer, which is connected, count on this volume? */
bool mirror_known(const struct volume *volume);
/* core's hooks */
void mirror_writes_held(void *engine, struct volume *volume);
void mirror_leg_failed(void *engine, struct volume *volume, const char *reason);
bool mirror_readable(void *engine, const struct volume *volume, uint64_t offset, uint64_t length);
/*
 * Sends @command with the first @bytes of mirror->buffer (taken with mirror_buffer()).
 * answered() is called with NULL when the session ended.
 */
bool mirror_buffer(struct mirror *mirror);
void mirror_buffer_free(struct mirror *mirror);
void mirror_call(struct mirror *mirror, uint8_t command, uint32_t bytes,
		 void (*answered)(struct mirror *, const struct frame *));
/*
 * Saves the record, so that a failure can be undone; change it, then mirror_commit().  When that
 * is durable, events tell what changed and why: @fmt.
 */
void mirror_change(struct mirror *mirror, const char *fmt, ...) PRINTF_LIKE(2, 3);
void mirror_commit(struct mirror *mirror, void (*committed)(struct mirror *, enum ls_status));
bool mirror_busy(const struct mirror *mirror);
/* Are requests of the peer under way on the volume, perhaps of a session that is over? */
bool mirror_served(const struct engine *engine, const struct volume *volume);
/* Ends all jobs that wait for the volume to be in sync. */
void mirror_jobs_done(struct mirror *mirror, int code, const char *text);
/* Who waits for that is told. */
void mirror_is_synced(struct mirror *mirror);
void mirror_synced(struct mirror *mirror);

/* mirror_serve.c: what the peer asks. */
void mirror_control(struct channel *channel, struct serve *serve, const uint8_t *payload,
		    uint32_t length);
uint32_t state_encode(const struct mirror *mirror, uint8_t *bytes);
void generations_encode(const struct generations *generations, uint8_t *bytes);
#define STATE_BODY_BYTES 128u
#define BEGIN_BODY_BYTES 80u
#define GENERATIONS_BYTES 64u

/* rounds.c: clears regions of the map, when it is time. */
void round_run(struct mirror *mirror);
/* None may be under way, and a peer is needed; resync_flushed() hears of its end. */
void round_begin(struct mirror *mirror);

/* resync.c */
void resync_start(struct mirror *mirror);
void resync_stop(struct mirror *mirror);
void resync_run(struct engine *engine);
/* A round has ended: perhaps the one that @mirror's resync ends with. */
void resync_flushed(struct mirror *mirror);
/* Is it this one's turn? */
bool resync_active(const struct mirror *mirror);
/* What could not be copied is tried again now, not when its time has come. */
void resync_again(struct mirror *mirror);
/* The copy goes on if it may: at pace.wake_ns. */
void resync_more(struct engine *engine);
/* Of whoever copies or reads chunks: pace_grant(), and clients' requests are heard of. */
uint64_t copy_grant(struct engine *engine, uint64_t limit);
/* core's hook */
void resync_piece_ended(void *engine, bool mirrored, uint64_t since_ns);

/* The buffers of copy unit @i, for who has it. */
uint8_t *copy_buffer(const struct engine *engine, size_t i);
uint8_t *copy_sums(const struct engine *engine, size_t i);

/* verify.c, verify_unit.c */
void verify_request(struct engine *engine, struct job *job, struct volume *volume,
		    const struct verify_wish *wish, struct verify_result *result);
void verify_cancel(struct job *job, struct volume *volume);
/* Ends it, if one runs or waits; chunks under way end by themselves. */
void verify_stop(struct mirror *mirror, int code, const char *reason);
/* Goes on if it may; at pace.wake_ns, and when no resync runs any more. */
void verify_more(struct engine *engine);
void verify_found(struct mirror *mirror, const struct verify_place *place);
void verify_unit_start(struct mirror *mirror, struct verify_unit *unit, uint64_t offset,
		       uint64_t length);
/* Those that wait for their range; it may be as long as the peer is away. */
void verify_units_abandon(struct mirror *mirror);

/* mend.c */
void mend_run(struct mirror *mirror);
void mend_stop(struct mirror *mirror);
/* Somebody says that the device is good again. */
void mend_now(struct mirror *mirror);
/*
 * In sync, and a flush of this node had failed before: what it may have lost is lacking.  True
 * when something is; mirror_is_synced() follows when all of it is mended.
 */
bool mend_lost(struct mirror *mirror) MUST_CHECK;
/* core.write_failed_here */
void mend_write_failed(void *engine, struct volume *volume, uint64_t offset, uint64_t length,
		       const char *reason);

/* expand.c */
bool expand_pending(const struct volume *volume); /* begun, durably, and not ended */
bool expand_busy(const struct mirror *mirror);
/* Goes on with what is possible; nothing else is under way on the mirror. */
void expand_run(struct mirror *mirror);
/* The session is over. */
void expand_stop(struct mirror *mirror);
/* As the target of a larger source: LS_BUSY, or LS_OK when it has begun, or why it cannot. */
enum ls_status expand_target(struct mirror *mirror);
void expand_serve(struct mirror *mirror, struct serve *serve, const uint8_t *payload,
		  uint32_t length);

/* operations.c */
void operation_add(struct engine *engine, struct job *job, struct volume *volume,
		   const struct mirror_op *op);
void operation_expand(struct mirror *mirror, struct mirror_op *op);
void operation_break(struct mirror *mirror, struct mirror_op *op);
void operation_resume(struct mirror *mirror, struct mirror_op *op);
void operation_unpair(struct mirror *mirror, struct mirror_op *op);
void operation_promote(struct mirror *mirror, struct mirror_op *op);
void operation_demote(struct mirror *mirror, struct mirror_op *op);
void operation_policy(struct mirror *mirror, struct mirror_op *op);
void operation_resync_limit(struct mirror *mirror, struct mirror_op *op);

/* volumes.c */
struct volume *volume_find(const struct engine *engine, const char *name);
/*
 * The first volume at or behind place *@at, and *@at behind it; NULL = no more.  Volumes may come
 * and go between two calls.  Costs what there is, not what there might be.
 */
struct volume *volume_next(const struct engine *engine, unsigned *at);
/* The same, of those in @set only: one of the engine's. */
struct volume *volume_next_in(const struct engine *engine, const struct volume_set *set,
			      unsigned *at);
/* A number that no volume of this node has, nor one with the same place; false: all are taken. */
bool volume_number(struct engine *engine, uint32_t *number);
/* A store's flush_failed(), whose owner is the engine. */
void volumes_flush_failed(struct store *store);
/* A new volume with space in @pool, not committed; NULL with *status set. */
struct volume *volume_make(struct engine *engine, struct pool *pool, const char *name,
			   uint64_t size_bytes, uint8_t region_shift, enum ls_status *status);
uint64_t generation_fresh(struct engine *engine); /* random, not 0 */
void volume_set_put(struct volume_set *set, const struct volume *volume, bool in);
/* From a record that was read; NULL when it does not fit. */
struct volume *volume_adopt(struct engine *engine, struct pool *pool,
			    const struct volume_record *record);
void volume_unmake(struct engine *engine, struct volume *volume);
bool name_valid(const char *name, size_t max);
bool volume_bytes_valid(uint64_t bytes); /* a size that a volume can have */
struct pool *pool_find(struct engine *engine, const char *name); /* NULL or "" = the only one */

/* A job's outcome; see control/engine.h. */
void job_done(struct job *job, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
