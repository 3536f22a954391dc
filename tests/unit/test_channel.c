/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what the peer found damaged is sent again, a few times, by the channel alone; its owner
 * hears one end, and whoever waits for a credit meanwhile is not overtaken.
 */
#include "engine/core/channel.h"
#include "engine/core/core.h"
#include "tests/fuzz/flink.h"
#include "tests/support/t.h"

#include <string.h>

#define OWN 1u
#define PEER 2u
#define EPOCH 7u
/* Of the peer: all but those for control. */
#define DATA_CREDITS 2u

struct asked {
	struct call call;
	unsigned sent, answered, lost;
	enum ls_status status;
};

static struct {
	struct core core;
	struct channel channel;
	struct flink *link;
	struct volume volume;
	struct volume *volumes[ENGINE_VOLUMES_MAX];
	enum ls_status told; /* by the last completion that was sent */
	struct asked *order[16]; /* who sent, one after the other */
	unsigned orders;
} w;

static void on_sent(void *owner, struct flink *link, const uint8_t *bytes, uint32_t length)
{
	struct frame f;

	(void)owner, (void)link;
	assert_int_equal(length, FRAME_BYTES);
	assert_int_equal(frame_decode(bytes, &f), FRAME_OK);
	w.told = (enum ls_status)f.status;
}

static void on_written(void *owner, struct flink *link, uint32_t slot, const uint8_t *header,
		       const void *payload, uint32_t payload_bytes)
{
	struct frame f;

	(void)owner, (void)link, (void)slot, (void)payload, (void)payload_bytes;
	assert_int_equal(frame_decode(header, &f), FRAME_OK);
}

static void on_over(void *owner, struct flink *link)
{
	(void)owner, (void)link;
}

static void on_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	(void)owner, (void)bytes, (void)length;
}

static void on_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	(void)owner, (void)slot, (void)header, (void)payload_bytes;
}

static void on_down(void *owner, const char *reason)
{
	(void)owner, (void)reason;
}

static void call_send(struct call *call)
{
	struct asked *a = CONTAINER_OF(call, struct asked, call);
	struct frame f = {.command = FRAME_FLUSH};

	a->sent++;
	w.order[w.orders++] = a;
	channel_send(call->channel, call, &f, NULL, 0, NULL);
}

static void call_answered(struct call *call, const struct frame *f)
{
	struct asked *a = CONTAINER_OF(call, struct asked, call);

	a->answered++;
	a->status = (enum ls_status)f->status;
}

static void call_lost(struct call *call, bool sent)
{
	(void)sent;
	CONTAINER_OF(call, struct asked, call)->lost++;
}

static void ask(struct asked *a)
{
	a->call.credit = call_send;
	a->call.answered = call_answered;
	a->call.lost = call_lost;
	if (channel_credit(&w.channel, &a->call, false))
		call_send(&a->call);
}

static void answer(const struct asked *a, enum ls_status status)
{
	uint8_t bytes[FRAME_BYTES];
	struct frame f = {
		.version = FRAME_VERSION,
		.command = FRAME_FLUSH,
		.flags = FRAME_COMPLETION,
		.target = OWN,
		.initiator = PEER,
		.message = a->call.message,
		.status = status,
		.epoch = EPOCH,
	};

	frame_encode(&f, bytes);
	channel_message(&w.channel, bytes, sizeof(bytes));
}

static int setup(void **state)
{
	static const struct flink_hooks hooks = {on_sent, on_written, on_over, on_over};
	static const struct link_handler handler = {on_message, on_landed, on_down};
	uint8_t grant[LINK_GRANT_BYTES];

	(void)state;
	memset(&w, 0, sizeof(w));
	w.core.own_address = OWN;
	w.core.now_ns = 1;
	w.link = flink_create(&hooks, NULL);
	assert_int_equal(channel_init(&w.channel, &w.core, FLINK_SLOTS), 0);
	link_attach(&w.link->link, &handler, NULL);
	link_grant(&w.link->link, grant);
	flink_grant_encode(grant, DATA_CREDITS + CHANNEL_RESERVE, FLINK_SLOT_BYTES);
	assert_true(link_use_grant(&w.link->link, grant));
	channel_open(&w.channel, &w.link->link, PEER, EPOCH);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (w.channel.link)
		channel_lost(&w.channel);
	channel_fini(&w.channel);
	link_shut(&w.link->link, "the test is over");
	link_poll(&w.link->link, 1);
	link_destroy(&w.link->link);
	return 0;
}

static void what_was_damaged_is_sent_again(void **state)
{
	struct asked a = {0};
	uint64_t first;

	(void)state;
	ask(&a);
	first = a.call.message;
	answer(&a, LS_CHECKSUM);
	assert_int_equal(a.sent, 2);
	assert_int_equal(a.answered, 0);
	/* The old identification is over: what still comes for it misses. */
	assert_int_not_equal(a.call.message, first);
	answer(&a, LS_OK);
	assert_int_equal(a.answered, 1);
	assert_int_equal(a.status, LS_OK);
}

static void a_peer_that_finds_everything_damaged_ends_the_call(void **state)
{
	struct asked a = {0};

	(void)state;
	for (unsigned turn = 1; turn <= 2; turn++) {
		ask(&a);
		for (unsigned i = 0; i <= CHANNEL_RESENDS; i++) {
			assert_int_equal(a.answered, turn - 1);
			answer(&a, LS_CHECKSUM);
		}
		/* The next call of the same owner has all of its attempts. */
		assert_int_equal(a.sent, turn * (1 + CHANNEL_RESENDS));
		assert_int_equal(a.answered, turn);
		assert_int_equal(a.status, LS_CHECKSUM);
	}
}

static void who_waits_goes_first(void **state)
{
	struct asked a = {0}, b = {0}, c = {0};

	(void)state;
	ask(&a);
	ask(&b);
	ask(&c);
	assert_int_equal(c.sent, 0);
	answer(&a, LS_CHECKSUM);
	assert_int_equal(c.sent, 1);
	assert_int_equal(a.sent, 1);
	answer(&b, LS_OK);
	assert_int_equal(a.sent, 2);
	assert_ptr_equal(w.order[2], &c);
	assert_ptr_equal(w.order[3], &a);
	answer(&c, LS_OK);
	answer(&a, LS_OK);
	assert_int_equal(a.answered, 1);
}

static void a_resend_that_waits_is_lost_once_with_the_session(void **state)
{
	struct asked a = {0}, b = {0}, c = {0};

	(void)state;
	ask(&a);
	ask(&b);
	ask(&c);
	answer(&a, LS_CHECKSUM);
	channel_lost(&w.channel);
	assert_int_equal(a.lost, 1);
	assert_int_equal(b.lost, 1);
	assert_int_equal(c.lost, 1);
	assert_int_equal(a.answered, 0);
	assert_int_equal(a.call.resends, 0);
}

/* A device is asked for no FUA but of what changes it: the store would stop the engine. */
static void what_changes_nothing_has_no_fua(void **state)
{
	static const uint8_t commands[] = {FRAME_FLUSH, FRAME_READ, FRAME_CHECK};

	(void)state;
	w.volume.ready = true;
	w.volume.record.number = 3;
	w.volume.record.role = VOLUME_SECONDARY;
	w.volume.record.block_bytes = 4096;
	w.volume.record.replica_count = 1;
	w.volume.record.replicas[0].node_address = PEER;
	w.volume.channels[0] = &w.channel;
	w.volume.size_bytes = MIB(1);
	w.volumes[3] = &w.volume;
	w.core.volumes = w.volumes;
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		uint8_t header[FRAME_BYTES];
		struct frame f = {
			.version = FRAME_VERSION,
			.command = commands[i],
			.flags = FRAME_FUA,
			.target = OWN,
			.initiator = PEER,
			.message = (uint64_t)EPOCH << 32 | MSGID_TAG_ONE | i,
			.volume = 3,
			.length = commands[i] == FRAME_FLUSH ? 0 : 4096,
			.epoch = EPOCH,
		};

		frame_encode(&f, header);
		w.told = LS_OK;
		channel_landed(&w.channel, i, header, commands[i] == FRAME_CHECK ? 8 : 0);
		assert_int_equal(w.told, LS_INVALID);
		assert_true(channel_idle(&w.channel));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_damaged_is_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_finds_everything_damaged_ends_the_call,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(what_changes_nothing_has_no_fua, setup, teardown),
		cmocka_unit_test_setup_teardown(a_resend_that_waits_is_lost_once_with_the_session,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
