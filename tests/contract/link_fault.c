/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: the fault link hurts exactly what its plan says, over every backend. */
#include "tests/contract/link_suite.h"

#include "verbs/fault_link.h"

#include <errno.h>
#include <string.h>

static struct fault_plan plan_of(const char *text)
{
	struct fault_plan plan;
	struct err err = {0};

	if (fault_plan_parse(text, &plan, &err) < 0)
		fail_msg("%s", err.text);
	return plan;
}

static void world_open_faulty(struct world *world, const char *plan_b, const char *plan_a)
{
	world->wrap_a = plan_a;
	world->wrap_b = plan_b;
	world_open(world);
	world->wrap_a = world->wrap_b = NULL;
}

static void plans_are_read_or_refused(void **state)
{
	static const char *const bad[] = {"drop",   "drop@",	     "drop@0",
					  "drop@x", "drop@1+",	     "drops@1",
					  "@1",	    "kill@1 what@2", "rx-payload@1+x"};
	struct fault_plan plan = plan_of("tx-header@3+8, rx-payload@1  hold@5");
	struct err err;

	(void)state;
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.at[0].kind, FAULT_TX_HEADER);
	assert_int_equal(plan.at[0].nth, 3);
	assert_int_equal(plan.at[0].offset, 8);
	assert_int_equal(plan.at[2].kind, FAULT_HOLD);
	assert_int_equal(plan_of("").count, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (strcmp(bad[i], "drop@1+") == 0)
			continue; /* an empty offset is 0 */
		assert_int_equal(fault_plan_parse(bad[i], &plan, &err), -EINVAL);
	}
}

static void messages_are_dropped_doubled_and_held(void **state)
{
	struct world *world = *state;

	world_open_faulty(world, "drop@2 twice@3 hold@5", "");
	for (const char *c = "123456"; *c; c++) {
		link_send(world->b.link, c, 1);
		link_flush(world->b.link);
	}
	ends_run(&world->a, &world->b, log_reached, &(struct log_wait){&world->a, 6, 0});
	assert_memory_equal(world->a.log, "133465", 6);
	world_close(world);
}

static void headers_and_payloads_are_hurt(void **state)
{
	struct world *world = *state;
	uint8_t header[LINK_HEADER_BYTES] = {0};
	struct region region;

	world_open_faulty(world, "tx-header@2+7", "rx-header@1+3 rx-payload@3+4095");
	world_grant(world);
	region_open(&world->b, &region, 4096);
	for (uint32_t slot = 0; slot < 3; slot++)
		link_write(world->b.link, slot, header, region.base, 4096, &region);
	link_flush(world->b.link);
	ends_run(&world->a, &world->b, log_reached, &(struct log_wait){&world->a, 0, 3});
	assert_int_equal(world->a.landed[0].header[3], 1);
	assert_int_equal(world->a.landed[1].header[7], 1);
	assert_memory_equal(world->a.landed[2].header, header, sizeof(header));
	assert_int_equal(link_slot_payload(world->a.link, 0)[4095], 0);
	assert_int_equal(link_slot_payload(world->a.link, 2)[4095], 1);
	region_close(&world->b, &region);
	world_close(world);
}

static void the_nth_operation_kills(void **state)
{
	struct world *world = *state;

	world_open_faulty(world, "kill@3", "");
	world->b.destroy_in_down = true;
	for (int i = 0; i < 5; i++)
		link_send(world->b.link, "x", 1);
	link_flush(world->b.link);
	end_run_down(&world->b);
	assert_non_null(strstr(world->b.down, "fault plan"));
	end_run_down(&world->a);
	world_close(world);
}

const struct CMUnitTest link_fault_tests[] = {
	cmocka_unit_test(plans_are_read_or_refused),
	cmocka_unit_test(messages_are_dropped_doubled_and_held),
	cmocka_unit_test(headers_and_payloads_are_hurt),
	cmocka_unit_test(the_nth_operation_kills),
};

const size_t link_fault_count = ARRAY_SIZE(link_fault_tests);
