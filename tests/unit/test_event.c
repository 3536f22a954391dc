/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: each kind of event has a name, and its text says all that it knows, in one form. */
#include "engine/core/event.h"
#include "tests/support/t.h"

#include <string.h>

static const char *text_of(struct engine_event event)
{
	static char text[EVENT_TEXT_MAX];

	memset(text, '?', sizeof(text));
	event_text(&event, text);
	return text;
}

static void every_kind_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < EVENT_KINDS; i++) {
		assert_non_null(event_kind_name(i));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(event_kind_name(i), event_kind_name(k));
	}
}

static void a_change_says_from_what_to_what_and_why(void **state)
{
	(void)state;
	assert_string_equal(text_of((struct engine_event){
				    .kind = EVENT_MIRROR,
				    .volume = "db",
				    .peer = "b",
				    .from = "synced",
				    .to = "waiting",
				    .reason = "the peer was silent",
			    }),
			    "volume 'db': synced -> waiting: the peer was silent");
	assert_string_equal(text_of((struct engine_event){
				    .kind = EVENT_ASSOCIATION,
				    .volume = "db",
				    .from = "active",
				    .to = "broken",
				    .reason = "",
			    }),
			    "volume 'db': association active -> broken");
}

static void what_is_not_there_is_left_out(void **state)
{
	(void)state;
	assert_string_equal(text_of((struct engine_event){.kind = EVENT_NODE, .to = "ready"}),
			    "node: ready");
	assert_string_equal(text_of((struct engine_event){
				    .kind = EVENT_ERROR,
				    .pool = "p",
				    .what = "pool's table",
				    .reason = "it was not written",
			    }),
			    "pool 'p': pool's table: it was not written");
	assert_string_equal(text_of((struct engine_event){
				    .kind = EVENT_SESSION,
				    .peer = "b",
				    .from = "up",
				    .to = "down",
			    }),
			    "peer 'b': session up -> down");
}

static void amounts(void **state)
{
	struct engine_event event = {
		.kind = EVENT_RESYNC,
		.volume = "db",
		.what = "to the peer",
		.to = "ended",
		.bytes = 4096,
		.duration_ns = 2000000,
	};

	(void)state;
	assert_string_equal(text_of(event),
			    "volume 'db': resync to the peer ended (4096 bytes in 2 ms)");
	event.duration_ns = 0;
	assert_string_equal(text_of(event), "volume 'db': resync to the peer ended (4096 bytes)");
	event.bytes = 0;
	assert_string_equal(text_of(event), "volume 'db': resync to the peer ended");
}

static void too_long_is_cut_off(void **state)
{
	char reason[2 * EVENT_TEXT_MAX];
	const char *text;

	(void)state;
	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	text = text_of((struct engine_event){.kind = EVENT_NODE, .to = "ready", .reason = reason});
	assert_int_equal(strlen(text), EVENT_TEXT_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(a_change_says_from_what_to_what_and_why),
		cmocka_unit_test(what_is_not_there_is_left_out),
		cmocka_unit_test(amounts),
		cmocka_unit_test(too_long_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
