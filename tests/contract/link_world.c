/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/contract/link_suite.h"

#include "verbs/fault_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

bool world_is_rdma(const struct world *world)
{
	return strncmp(world->uri, "rdma:", 5) == 0;
}

static const char *uri_address(const char *uri)
{
	return strstr(uri, "://") + 3;
}

void world_address(const struct world *world, const struct fabric *fabric, char text[128])
{
	const char *address = uri_address(world->uri);
	const char *colon = strrchr(address, ':');

	snprintf(text, 128, "%.*s:%u", (int)(colon - address), address, fabric_port(fabric));
}

static void end_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct end *end = owner;

	end->after_down += end->down_count;
	if (end->log_bytes + length <= WORLD_LOG_BYTES)
		memcpy(end->log + end->log_bytes, bytes, length);
	end->log_bytes += length;
}

static void end_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct end *end = owner;
	struct landed *landed = &end->landed[end->landed_count++ % WORLD_LANDED_MAX];

	end->after_down += end->down_count;
	landed->slot = slot;
	landed->payload_bytes = payload_bytes;
	landed->after_bytes = end->log_bytes;
	memcpy(landed->header, header, LINK_HEADER_BYTES);
	if (end->answers)
		link_send(end->link, landed->header, LINK_HEADER_BYTES);
}

static void end_down(void *owner, const char *reason)
{
	struct end *end = owner;

	end->down_count++;
	snprintf(end->down, sizeof(end->down), "%s", reason);
	if (end->destroy_in_down) {
		link_destroy(end->link);
		end->link = NULL;
	}
}

static const struct link_handler end_handler = {
	.message = end_message,
	.landed = end_landed,
	.down = end_down,
};

static void end_opened(void *owner, struct link *link, void *cookie)
{
	struct end *end = owner;

	pthread_mutex_lock(&end->lock);
	if (end->opened) {
		/* One at a time is enough for the tests: the newest stays. */
		link_destroy(end->opened);
	}
	end->opened = link;
	end->opened_cookie = cookie;
	end->opened_count++;
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

static void end_failed(void *owner, void *cookie, const char *reason)
{
	struct end *end = owner;

	pthread_mutex_lock(&end->lock);
	end->opened_cookie = cookie;
	end->failed_count++;
	snprintf(end->failed, sizeof(end->failed), "%s", reason);
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

static void end_refused(void *owner, const char *reason)
{
	struct end *end = owner;

	pthread_mutex_lock(&end->lock);
	end->refused_count++;
	snprintf(end->refused, sizeof(end->refused), "%s", reason);
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

static const struct fabric_handler fabric_handler = {
	.opened = end_opened,
	.failed = end_failed,
	.refused = end_refused,
};

void end_init(struct end *end)
{
	pthread_condattr_t attr;

	*end = (struct end){0};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&end->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&end->lock, NULL);
	end->log = calloc(1, WORLD_LOG_BYTES);
	end->landed = calloc(WORLD_LANDED_MAX, sizeof(*end->landed));
	assert_non_null(end->log);
	assert_non_null(end->landed);
}

void end_fini(struct end *end)
{
	if (end->link) {
		if (end->down_count == 0) {
			link_shut(end->link, "the test is over");
			end_run_down(end);
		}
		assert_int_equal(end->down_count, 1);
		assert_int_equal(end->after_down, 0);
		if (end->link)
			link_destroy(end->link);
	}
	pthread_mutex_lock(&end->lock);
	if (end->opened)
		link_destroy(end->opened);
	pthread_mutex_unlock(&end->lock);
	fabric_destroy(end->fabric);
	pthread_cond_destroy(&end->changed);
	pthread_mutex_destroy(&end->lock);
	free(end->log);
	free(end->landed);
}

void end_listen(struct world *world, struct end *end, const char *address)
{
	char uri[256];
	struct err err = {0};

	snprintf(uri, sizeof(uri), "%.*s%s", (int)(uri_address(world->uri) - world->uri),
		 world->uri, address ? address : uri_address(world->uri));
	if (fabric_create(uri, &world->config, &fabric_handler, end, &end->fabric, &err) < 0)
		fail_msg("%s: %s", uri, err.text);
}

static void end_wait(struct end *end, const unsigned *count, unsigned wanted)
{
	struct timespec limit;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_sec += WORLD_LIMIT_MS / 1000;
	pthread_mutex_lock(&end->lock);
	while (*count < wanted && rc == 0)
		rc = pthread_cond_timedwait(&end->changed, &end->lock, &limit);
	pthread_mutex_unlock(&end->lock);
	if (rc != 0)
		fail_msg("no answer of the fabric; last failure: %s", end->failed);
}

/* The link that @from's fabric opened becomes @to's. */
static void end_take_link(struct end *from, struct end *to, const char *plan)
{
	unsigned failed_before = from->failed_count;
	struct fault_plan faults;

	end_wait(from, &from->opened_count, 1);
	assert_int_equal(from->failed_count, failed_before);
	pthread_mutex_lock(&from->lock);
	to->link = from->opened;
	from->opened = NULL;
	from->opened_count = 0;
	pthread_mutex_unlock(&from->lock);
	if (plan) {
		assert_int_equal(fault_plan_parse(plan, &faults, NULL), 0);
		assert_int_equal(fault_link_create(to->link, &faults, &to->link), 0);
	}
	link_attach(to->link, &end_handler, to);
}

void end_wait_opened(struct end *end)
{
	end_take_link(end, end, NULL);
}

void end_wait_unattached(struct end *end)
{
	end_wait(end, &end->opened_count, 1);
}

void end_wait_failed(struct end *end)
{
	end_wait(end, &end->failed_count, 1);
	assert_int_equal(end->opened_count, 0);
}

void world_dial(struct world *from, struct world *to, const char *address)
{
	struct err err = {0};

	if (fabric_dial(from->b.fabric, address, from, &err) < 0)
		fail_msg("%s", err.text);
	end_take_link(&from->b, &to->b, from->wrap_b);
	assert_ptr_equal(from->b.opened_cookie, from);
	end_take_link(&from->a, &to->a, from->wrap_a);
	assert_null(from->a.opened_cookie);
}

void world_open(struct world *world)
{
	char address[128];

	end_init(&world->a);
	end_init(&world->b);
	end_listen(world, &world->a, NULL);
	end_listen(world, &world->b, "");
	world_address(world, world->a.fabric, address);
	world_dial(world, world, address);
}

void world_close(struct world *world)
{
	end_fini(&world->b);
	end_fini(&world->a);
}

static unsigned end_step(struct end *end)
{
	unsigned handled;

	if (!end || !end->link || end->down_count)
		return 0;
	handled = link_poll(end->link, 16);
	if (end->link)
		link_flush(end->link);
	return handled;
}

static bool end_arm(struct end *end)
{
	return end && end->link && !end->down_count && link_arm(end->link);
}

static int end_fd(const struct end *end)
{
	return end && end->link && !end->down_count ? end->link->fd : -1;
}

void ends_run(struct end *x, struct end *y, bool (*done)(void *arg), void *arg)
{
	while (!done(arg)) {
		struct pollfd fds[2];
		unsigned handled = end_step(x);
		bool again;

		handled += end_step(y);
		if (handled > 0)
			continue;
		/* Both, always: an armed end must stay armed while the other one works. */
		again = end_arm(x);
		again |= end_arm(y);
		if (again)
			continue;
		fds[0] = (struct pollfd){.fd = end_fd(x), .events = POLLIN};
		fds[1] = (struct pollfd){.fd = end_fd(y), .events = POLLIN};
		if (poll(fds, 2, WORLD_LIMIT_MS) == 0)
			fail_msg("nothing came for %d ms (a lost wake?); down: '%s' '%s'",
				 WORLD_LIMIT_MS, x ? x->down : "", y ? y->down : "");
	}
}

static bool end_is_down(void *arg)
{
	struct end *end = arg;

	return end->down_count > 0;
}

void end_run_down(struct end *end)
{
	ends_run(end, NULL, end_is_down, end);
}

struct grant_wait {
	struct end *end;
	uint64_t bytes;
};

static bool grant_came(void *arg)
{
	struct grant_wait *wait = arg;

	return wait->end->log_bytes >= wait->bytes || wait->end->down_count;
}

void world_grant(struct world *world)
{
	struct end *ends[2] = {&world->a, &world->b};
	uint64_t before[2] = {world->a.log_bytes, world->b.log_bytes};
	uint8_t grant[LINK_GRANT_BYTES];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(link_grant(ends[i]->link, grant), 0);
		link_send(ends[i]->link, grant, sizeof(grant));
		link_flush(ends[i]->link);
	}
	for (int i = 0; i < 2; i++) {
		struct grant_wait wait = {ends[i], before[i] + LINK_GRANT_BYTES};

		ends_run(ends[0], ends[1], grant_came, &wait);
		assert_int_equal(ends[i]->down_count, 0);
		assert_true(link_use_grant(ends[i]->link, ends[i]->log + before[i]));
		assert_int_equal(ends[i]->link->granted_count, world->config.slot_count);
		assert_int_equal(ends[i]->link->granted_bytes, world->config.slot_bytes);
	}
}

int world_setup(void **state)
{
	world_open(*state);
	return 0;
}

int world_teardown(void **state)
{
	world_close(*state);
	return 0;
}

void region_open(struct end *end, struct region *region, size_t length_bytes)
{
	struct err err = {0};
	void *base = mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	assert_ptr_not_equal(base, MAP_FAILED);
	*region = (struct region){.base = base, .length_bytes = length_bytes};
	if (fabric_region_add(end->fabric, region, &err) < 0)
		fail_msg("%s", err.text);
}

void region_close(struct end *end, struct region *region)
{
	fabric_region_remove(end->fabric, region);
	munmap(region->base, region->length_bytes);
}

bool log_reached(void *arg)
{
	struct log_wait *wait = arg;

	return wait->end->down_count ||
	       (wait->end->log_bytes >= wait->bytes && wait->end->landed_count >= wait->landed);
}
