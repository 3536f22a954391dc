/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's inside: what peer/ (sessions, pairing) and control/ (administration) share.
 * Everything hangs off one struct engine; nothing is global.
 */
#ifndef LS_PEER_NODE_H
#define LS_PEER_NODE_H

#include "engine/core/core.h"

/* Sessions at once: one per peer, one more per peer that replaces it, a few strangers. */
#define SESSIONS_MAX (2 * ENGINE_PEERS_MAX + 4)
#define HANDSHAKE_MAC_BYTES 32u
#define HANDSHAKE_NONCE_BYTES 32u
/* The longest body is REJECT's. */
#define HANDSHAKE_BODY_MAX 160u
#define COPY_UNITS 4u

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

struct session {
	struct engine *engine;
	struct link *link;
	struct peer *peer; /* NULL until HELLO said who it is */
	enum session_phase phase;
	bool dialled;
	uint64_t deadline_ns; /* of the handshake */
	uint64_t peer_address;
	uint32_t epoch;
	uint8_t version;
	/* Both sides' first frames with their bodies, as the MACs cover them. */
	uint8_t transcript[2 * (FRAME_BYTES + HANDSHAKE_BODY_MAX)];
	size_t transcript_bytes;
	uint8_t grant[LINK_GRANT_BYTES]; /* the peer's, kept while PHASE_DRAIN */
};

struct peer {
	struct engine *engine;
	char name[NODE_NAME_MAX + 1];
	char address[PEER_ADDRESS_MAX + 1]; /* "" = it dials us */
	uint8_t key[PEER_KEY_BYTES_MAX];
	size_t key_bytes;
	uint64_t node_address; /* 0 until it was met */

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

enum pairing_phase {
	PAIRING_QUEUED,
	PAIRING_WAIT_PEER, /* the session is not up yet */
	PAIRING_ASKED, /* FRAME_PAIR sent */
	PAIRING_RECORD, /* the pool's table is being written */
	PAIRING_COPY,
	PAIRING_FLUSH,
	PAIRING_SYNCED, /* FRAME_SYNCED sent */
};

/* One chunk of the initial copy on its way: range, local read, remote write. */
struct copy_unit {
	struct pairing *pairing;
	struct range range;
	struct leg leg;
	struct call call;
	uint8_t *buf;
	uint64_t offset, length;
	bool busy, zeroes;
};

struct job;

struct pairing {
	struct list node; /* in engine.pairings; the first is active */
	struct engine *engine;
	struct volume *volume;
	struct peer *peer;
	char target[VOLUME_NAME_MAX + 1];
	char target_pool[POOL_NAME_MAX + 1];
	struct list jobs;
	enum pairing_phase phase;
	uint64_t deadline_ns;
	struct call call;
	struct pool_commit commit;
	struct copy_unit units[COPY_UNITS];
	unsigned units_busy;
	uint64_t next_offset, done_bytes, started_ns;
	enum ls_status status;
};

struct engine_settings {
	uint64_t peer_timeout_ns, request_timeout_ns;
	char node_name[NODE_NAME_MAX + 1];
};

struct engine {
	struct core core;
	struct engine_settings settings;
	uint64_t next_tick_ns;
	uint32_t last_epoch;
	bool stopping;

	struct pool *pools[ENGINE_POOLS_MAX];
	unsigned pool_count;
	struct volume *volumes[ENGINE_VOLUMES_MAX]; /* by the low ten bits of their number */
	unsigned volume_count;
	struct peer peers[ENGINE_PEERS_MAX];
	unsigned peer_count;
	struct session sessions[SESSIONS_MAX];

	struct region *copy_region; /* COPY_UNITS buffers, then a page for request bodies */
	struct list pairings;
	unsigned admin_open; /* pool and volume operations under way */
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
/* Ends a session; @reason is a sentence that status and events show. */
void session_fail(struct session *session, const char *reason);
/* Lets go of links whose last request has left the devices. */
void session_reap(struct engine *engine);
bool session_none(const struct engine *engine);
struct peer *peer_find(struct engine *engine, const char *name);

/* handshake.c: the messages of a session that is not up. */
void handshake_hello(struct session *session);
void handshake_message(struct session *session, const uint8_t *bytes, uint32_t length);
/* The old session is gone: a proved one may be accepted. */
void handshake_drained(struct session *session);
/* session.c, called by handshake.c. */
void session_established(struct session *session);

/* pair.c */
void pair_request(struct engine *engine, struct job *job, struct volume *volume, struct peer *peer,
		  const char *target, const char *target_pool);
void pair_run(struct engine *engine); /* starts the next one; checks time limits */
/* pair_serve.c */
void pair_control(struct channel *channel, struct serve *serve, const uint8_t *payload,
		  uint32_t length);

/* volumes.c */
struct volume *volume_find(struct engine *engine, const char *name);
struct volume *volume_by_number(void *engine, uint32_t number);
/* A new volume with space in @pool, not committed; NULL with *status set. */
struct volume *volume_make(struct engine *engine, struct pool *pool, const char *name,
			   uint64_t size_bytes, enum ls_status *status);
/* From a record that was read; NULL when it does not fit. */
struct volume *volume_adopt(struct engine *engine, struct pool *pool,
			    const struct volume_record *record);
void volume_unmake(struct engine *engine, struct volume *volume);
bool name_valid(const char *name, size_t max);
struct pool *pool_find(struct engine *engine, const char *name); /* NULL or "" = the only one */

/* A job's outcome; see control/engine.h. */
void job_done(struct job *job, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
