/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: nobody without the key begins, joins or ends a session: what is replayed, reflected,
 * downgraded or changed by a single bit is refused, and until both sides have proved the key no
 * slot is granted (engine/doc/protocol.md, "Handshake").
 *
 * Two engines, A dials B, and a hand on the wire between them.
 */
#include "tests/fuzz/flink.h"
#include "tests/fuzz/world.h"

#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "engine/core/frame.h"
#include "tests/support/t.h"

#define PASSES 60u
#define MESSAGE_MAX (FRAME_BYTES + 160u)
#define COMMANDS 5u
#define KEY "sixteen bytes or more"
/* In a frame and behind it. */
#define AT_INITIATOR 16u
#define AT_PAYLOAD_CRC 56u
#define AT_HEADER_CRC 60u
#define AT_NAME (FRAME_BYTES + 16u)
#define AT_PROOF_MAC (FRAME_BYTES + 48u)

struct message {
	uint8_t bytes[MESSAGE_MAX];
	uint32_t length;
};

static struct {
	struct node node[2];
	struct flink *end[2]; /* of the wire that A dialled */
	struct flink *stranger; /* a link to B (or to A) that only the hand holds */
	struct message said[2][COMMANDS]; /* the last of each command, and how many */
	unsigned count[2][COMMANDS];
	struct message heard; /* by the hand, on the stranger's link */
	/* What the hand does to a message of @from. */
	void (*hand)(unsigned from, struct message *message);
	uint64_t now_ns;
} w;

static unsigned index_of(uint8_t command)
{
	return command - FRAME_HELLO;
}

static uint8_t command_of(const struct message *m)
{
	return m->bytes[5];
}

/* Right checksums on changed bytes. */
static void seal(struct message *m)
{
	put_u32(m->bytes + AT_PAYLOAD_CRC, crc32c(m->bytes + FRAME_BYTES, m->length - FRAME_BYTES));
	put_u32(m->bytes + AT_HEADER_CRC, crc32c(m->bytes, AT_HEADER_CRC));
}

static void on_sent(void *owner, struct flink *link, const uint8_t *bytes, uint32_t length)
{
	unsigned from = owner == &w.node[1];
	struct message m = {.length = length};

	if (length > sizeof(m.bytes))
		return;
	memcpy(m.bytes, bytes, length);
	if (link == w.stranger) {
		w.heard = m;
		return;
	}
	if (command_of(&m) >= FRAME_HELLO && index_of(command_of(&m)) < COMMANDS) {
		w.said[from][index_of(command_of(&m))] = m;
		w.count[from][index_of(command_of(&m))]++;
		if (w.hand)
			w.hand(from, &m);
	}
	if (w.end[!from] && m.length)
		flink_message(w.end[!from], m.bytes, m.length);
}

static void on_written(void *owner, struct flink *link, uint32_t slot, const uint8_t *header,
		       const void *payload, uint32_t bytes)
{
	unsigned from = owner == &w.node[1];

	if (link != w.stranger && w.end[!from])
		flink_request(w.end[!from], slot, header, payload, bytes, bytes);
}

static void on_ended(void *owner, struct flink *link)
{
	unsigned from = owner == &w.node[1];

	if (link == w.end[from] && w.end[!from])
		flink_down(w.end[!from], "the other end was closed");
}

static void on_destroyed(void *owner, struct flink *link)
{
	(void)owner;
	for (unsigned i = 0; i < 2; i++)
		if (w.end[i] == link)
			w.end[i] = NULL;
	if (w.stranger == link)
		w.stranger = NULL;
}

static const struct flink_hooks hooks = {on_sent, on_written, on_ended, on_destroyed};

static void answer_dial(void)
{
	if (!w.node[0].dialling || w.end[0] || w.end[1])
		return;
	w.node[0].dialling = false;
	w.end[0] = flink_create(&hooks, &w.node[0]);
	w.end[1] = flink_create(&hooks, &w.node[1]);
	engine_link_opened(w.node[1].engine, &w.end[1]->link, NULL);
	engine_link_opened(w.node[0].engine, &w.end[0]->link, w.node[0].dial_cookie);
}

static void pass(unsigned count)
{
	while (count--) {
		w.now_ns += NS_PER_MS;
		answer_dial();
		node_pass(&w.node[0], w.now_ns);
		node_pass(&w.node[1], w.now_ns);
	}
}

static void begin(const char *key_of_b)
{
	static const char *const names[] = {"a", "b"};
	struct err err;

	memset(&w, 0, sizeof(w));
	w.now_ns = NS_PER_MS;
	for (unsigned i = 0; i < 2; i++) {
		const char *key = i ? key_of_b : KEY;

		node_create(&w.node[i], names[i], 0xa1 + i);
		assert_int_equal(engine_peer_add(w.node[i].engine, names[!i], i ? "" : "b:1", key,
						 strlen(key), &err),
				 0);
	}
}

static void end(void)
{
	w.hand = NULL;
	for (unsigned i = 0; i < 2; i++)
		engine_stop(w.node[i].engine);
	for (unsigned i = 0; i < 400; i++) {
		w.now_ns += 50 * NS_PER_MS;
		pass(1);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_true(engine_stopped(w.node[i].engine));
		node_destroy(&w.node[i]);
	}
}

static bool up(unsigned node)
{
	static struct engine_status status;

	engine_status(w.node[node].engine, &status);
	return status.peer_count && status.peers[0].state == SESSION_UP;
}

static uint64_t sessions(unsigned node)
{
	static struct engine_status status;

	engine_status(w.node[node].engine, &status);
	return status.peers[0].sessions;
}

static unsigned proofs(void)
{
	return w.count[0][index_of(FRAME_PROVE)];
}

static unsigned acceptances(void)
{
	return w.count[1][index_of(FRAME_ACCEPT)];
}

static void begin_up(void)
{
	begin(KEY);
	pass(PASSES);
	assert_true(up(0) && up(1));
	assert_int_equal(proofs(), 1);
	assert_int_equal(acceptances(), 1);
}

static void both_prove_and_are_up(void **state)
{
	(void)state;
	begin_up();
	end();
}

static void a_wrong_key_gets_no_slot(void **state)
{
	(void)state;
	begin("sixteen bytes, but others");
	pass(PASSES);
	assert_false(up(0) || up(1));
	/* B could not prove it, so A has neither proved nor granted anything. */
	assert_true(w.count[1][index_of(FRAME_CHALLENGE)] > 0);
	assert_int_equal(proofs(), 0);
	assert_int_equal(acceptances(), 0);
	end();
}

static const char *error_of_b(void)
{
	static struct engine_status status;

	engine_status(w.node[0].engine, &status);
	return status.peers[0].last_error;
}

static void stranger_dials(unsigned node);
static void stranger_says(const struct message *m);

/* Two nodes with different keys go on dialling, and now and then both at once. */
static void a_dial_taken_back_hides_no_reason(void **state)
{
	struct message hello;

	(void)state;
	begin("sixteen bytes, but others");
	pass(PASSES);
	assert_non_null(strstr(error_of_b(), "same key"));
	hello = w.said[0][index_of(FRAME_HELLO)];
	hello.bytes[AT_NAME] = 'b';
	put_u64(hello.bytes + AT_INITIATOR, 0xa2);
	seal(&hello);
	stranger_dials(0);
	stranger_says(&hello);
	assert_int_equal(command_of(&w.heard), FRAME_CHALLENGE);
	flink_down(w.stranger, "the peer closed the connection");
	pass(3);
	assert_non_null(strstr(error_of_b(), "same key"));
	end();
}

/* --- one bit --- */

static struct {
	uint8_t command;
	unsigned at;
	uint8_t by;
} change;

static void changes(unsigned from, struct message *m)
{
	(void)from;
	if (command_of(m) != change.command)
		return;
	m->bytes[change.at] ^= change.by;
	seal(m);
}

/* Changed so, the first handshake must come to nothing. */
static void no_session_with(uint8_t command, unsigned at, uint8_t by)
{
	begin(KEY);
	change.command = command;
	change.at = at;
	change.by = by;
	w.hand = changes;
	pass(PASSES);
	assert_false(up(0) || up(1));
	assert_int_equal(sessions(0), 0);
	/* The identity in CHALLENGE's frame is under the next MAC only. */
	if (command < FRAME_PROVE && (command == FRAME_HELLO || at >= FRAME_BYTES))
		assert_int_equal(proofs(), 0);
	if (command < FRAME_ACCEPT)
		assert_int_equal(acceptances(), 0);
	end();
}

static void a_changed_bit_anywhere_is_refused(void **state)
{
	static const struct {
		uint8_t command;
		unsigned bytes;
	} bodies[] = {
		{FRAME_HELLO, 80}, {FRAME_CHALLENGE, 112}, {FRAME_PROVE, 80}, {FRAME_ACCEPT, 80}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bodies); i++)
		for (unsigned at = 0; at < bodies[i].bytes; at++)
			no_session_with(bodies[i].command, FRAME_BYTES + at,
					(uint8_t)(1u << at % 8));
	/* The identities in front of the first two. */
	for (unsigned at = 0; at < 8; at++) {
		no_session_with(FRAME_HELLO, AT_INITIATOR + at, 4);
		no_session_with(FRAME_CHALLENGE, AT_INITIATOR + at, 4);
	}
}

static void a_downgrade_is_noticed(void **state)
{
	(void)state;
	/* Lowest 2 -> 0, highest 3 -> 2, the chosen one 3 -> 2: all of them would do. */
	no_session_with(FRAME_HELLO, FRAME_BYTES, 2);
	no_session_with(FRAME_HELLO, FRAME_BYTES + 1, 1);
	no_session_with(FRAME_CHALLENGE, FRAME_BYTES, 1);
}

/* --- replay --- */

static void stranger_dials(unsigned node)
{
	w.stranger = flink_create(&hooks, &w.node[node]);
	engine_link_opened(w.node[node].engine, &w.stranger->link, NULL);
}

static void stranger_says(const struct message *m)
{
	assert_non_null(w.stranger);
	flink_message(w.stranger, m->bytes, m->length);
	pass(3);
}

static void a_replayed_proof_neither_joins_nor_ends_a_session(void **state)
{
	(void)state;
	begin_up();
	stranger_dials(1);
	stranger_says(&w.said[0][index_of(FRAME_HELLO)]);
	assert_int_equal(command_of(&w.heard), FRAME_CHALLENGE);
	stranger_says(&w.said[0][index_of(FRAME_PROVE)]);
	assert_int_equal(command_of(&w.heard), FRAME_REJECT);
	pass(PASSES);
	assert_true(up(0) && up(1));
	assert_int_equal(sessions(0), 1);
	assert_int_equal(sessions(1), 1);
	end();
}

/* The place that a peer had has no name and no key: nobody may come by that. */
static void a_peer_that_was_removed_left_no_way_in(void **state)
{
	struct message hello, old;
	struct job *job;

	(void)state;
	begin_up();
	old = hello = w.said[0][index_of(FRAME_HELLO)];
	memset(hello.bytes + AT_NAME, 0, NODE_NAME_MAX + 1);
	seal(&hello);
	stranger_dials(1);
	stranger_says(&hello);
	assert_int_equal(command_of(&w.heard), FRAME_REJECT);
	pass(2 * PASSES * 20);
	job = node_job(&w.node[1]);
	engine_peer_remove(w.node[1].engine, job, "a");
	pass(PASSES * 20);
	assert_false(node_jobs_open(&w.node[1]));
	assert_int_equal(job->err.code, 0);
	assert_false(up(1));
	for (unsigned i = 0; i < 2; i++) {
		memset(&w.heard, 0, sizeof(w.heard));
		stranger_dials(1);
		stranger_says(i ? &old : &hello);
		assert_int_equal(command_of(&w.heard), FRAME_REJECT);
		pass(2 * PASSES * 20);
	}
	end();
}

static struct message replayed;

static void replays(unsigned from, struct message *m)
{
	if (from == 1 && command_of(m) == command_of(&replayed))
		*m = replayed;
}

/* The message of the first session in the place of the second's. */
static void replay_to_dialler(uint8_t command)
{
	begin_up();
	replayed = w.said[1][index_of(command)];
	w.hand = replays;
	flink_down(w.end[0], "the cable was pulled");
	flink_down(w.end[1], "the cable was pulled");
	for (unsigned i = 0; i < 40; i++) {
		w.now_ns += 100 * NS_PER_MS;
		pass(3);
		assert_false(up(0));
	}
	/* It did dial again, and was answered. */
	assert_true(w.count[0][index_of(FRAME_HELLO)] > 1);
	assert_true(w.count[1][index_of(command)] > 1);
	assert_int_equal(sessions(0), 1);
	end();
}

static void a_replayed_challenge_is_refused(void **state)
{
	(void)state;
	replay_to_dialler(FRAME_CHALLENGE);
	assert_int_equal(proofs(), 1);
}

static void a_replayed_acceptance_is_refused(void **state)
{
	(void)state;
	replay_to_dialler(FRAME_ACCEPT);
}

/* --- reflection --- */

static void keeps(unsigned from, struct message *m)
{
	(void)from;
	m->length = 0;
}

/* A's HELLO comes back to A as a dial; what A answers goes to its own dial. */
static void reflect(char name, uint64_t address)
{
	struct message hello, challenge;

	begin(KEY);
	w.hand = keeps;
	pass(3);
	hello = w.said[0][index_of(FRAME_HELLO)];
	hello.bytes[AT_NAME] = (uint8_t)name; /* both names are one letter */
	put_u64(hello.bytes + AT_INITIATOR, address);
	seal(&hello);
	stranger_dials(0);
	stranger_says(&hello);
	if (command_of(&w.heard) == FRAME_CHALLENGE && w.end[0]) {
		challenge = w.heard;
		challenge.bytes[AT_NAME] = 'b';
		put_u64(challenge.bytes + AT_INITIATOR, 0xa2);
		seal(&challenge);
		flink_message(w.end[0], challenge.bytes, challenge.length);
	}
	pass(PASSES);
	assert_false(up(0));
	assert_int_equal(proofs(), 0);
	end();
}

static void what_a_node_says_itself_proves_nothing(void **state)
{
	(void)state;
	reflect('a', 0xa1);
	reflect('b', 0xa1);
	reflect('b', 0xa2);
	reflect('b', 0x11);
}

/* The MAC of one message does not serve for another: PROVE's in the place of ACCEPT's. */
static void labels(unsigned from, struct message *m)
{
	if (from != 1 || command_of(m) != FRAME_ACCEPT)
		return;
	*m = w.said[0][index_of(FRAME_PROVE)];
	m->bytes[5] = FRAME_ACCEPT;
	seal(m);
}

static void a_proof_is_no_acceptance(void **state)
{
	(void)state;
	begin(KEY);
	w.hand = labels;
	pass(PASSES);
	assert_false(up(0) || up(1));
	assert_true(acceptances() > 0);
	assert_int_equal(sessions(0), 0);
	end();
}

/* --- bounds --- */

static int shorter;

static void resizes(unsigned from, struct message *m)
{
	(void)from;
	if (command_of(m) != change.command)
		return;
	m->length = (uint32_t)((int)m->length - shorter);
	put_u32(m->bytes + 36, m->length - FRAME_BYTES);
	seal(m);
}

static void a_message_of_another_length_is_refused(void **state)
{
	static const uint8_t commands[] = {FRAME_HELLO, FRAME_CHALLENGE, FRAME_PROVE, FRAME_ACCEPT};
	static const int lengths[] = {1, 8, -1, -8};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(commands) * ARRAY_SIZE(lengths); i++) {
		begin(KEY);
		change.command = commands[i / ARRAY_SIZE(lengths)];
		shorter = lengths[i % ARRAY_SIZE(lengths)];
		w.hand = resizes;
		pass(PASSES);
		assert_false(up(0) || up(1));
		assert_int_equal(sessions(0), 0);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_prove_and_are_up),
		cmocka_unit_test(a_wrong_key_gets_no_slot),
		cmocka_unit_test(a_dial_taken_back_hides_no_reason),
		cmocka_unit_test(a_changed_bit_anywhere_is_refused),
		cmocka_unit_test(a_downgrade_is_noticed),
		cmocka_unit_test(a_replayed_proof_neither_joins_nor_ends_a_session),
		cmocka_unit_test(a_peer_that_was_removed_left_no_way_in),
		cmocka_unit_test(a_replayed_challenge_is_refused),
		cmocka_unit_test(a_replayed_acceptance_is_refused),
		cmocka_unit_test(what_a_node_says_itself_proves_nothing),
		cmocka_unit_test(a_proof_is_no_acceptance),
		cmocka_unit_test(a_message_of_another_length_is_refused),
	};

	crc32c_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
