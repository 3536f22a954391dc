/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/micro/pair.h"

#include "bench/micro/quick.h"
#include "engine/control/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOLUME "volume"
#define VOLUME_BYTES MIB(16)
#define DEVICE_BYTES MIB(32)
#define BLOCKS (VOLUME_BYTES / PAIR_WRITE_BYTES)
/* No divisor in common with BLOCKS: every block in turn, neighbours far from each other. */
#define BLOCK_STEP 2531u
#define POLL_BUDGET 64u
#define US UINT64_C(1000)
#define MS (1000 * US)
#define SETUP_PASSES_MAX 100000u

struct node {
	struct engine *engine;
	struct quick_store store;
	struct region copy;
	void *dial_cookie;
	bool dials;
	uint64_t random;
};

struct write {
	struct request request;
	struct pair *pair;
	struct write *next;
};

struct pair {
	struct node primary, secondary;
	uint64_t now_ns;
	struct quick_link *link;
	struct volume *volume;
	struct region arena;
	struct write writes[PAIR_IN_FLIGHT_MAX];
	struct write *idle;
	uint64_t block;
	unsigned ended;
};

_Noreturn static void give_up(const char *what)
{
	fprintf(stderr, "bench-micro: the pair of engines: %s\n", what);
	exit(1);
}

/* --- surroundings of an engine --- */

static void env_random(void *ctx, void *buf, size_t bytes)
{
	struct node *n = ctx;
	uint8_t *p = buf;

	for (size_t i = 0; i < bytes; i++) {
		n->random = n->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		p[i] = (uint8_t)(n->random >> 56);
	}
}

static void env_dial(void *ctx, const char *address, void *cookie)
{
	struct node *n = ctx;

	(void)address;
	n->dial_cookie = cookie;
	n->dials = true;
}

static void env_release_link(void *ctx, struct link *link)
{
	(void)ctx;
	(void)link;
	give_up("the session has ended");
}

static void env_log(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= 4)
		fprintf(stderr, "<%d> %s\n", level, text);
}

static void *zeroes(size_t bytes)
{
	void *p = aligned_alloc(4096, round_up_u64(bytes, 4096));

	if (!p)
		give_up("no memory");
	return memset(p, 0, bytes);
}

static struct region *env_copy_buffers(void *ctx, size_t bytes)
{
	struct node *n = ctx;

	n->copy = (struct region){
		.base = zeroes(bytes),
		.length_bytes = bytes,
		.buffer_first = REGION_NO_BUFFERS,
	};
	return &n->copy;
}

/* --- passes --- */

static void job_ended(struct job *job)
{
	if (job->err.code)
		give_up(job->err.text);
}

static void write_next(struct pair *p)
{
	struct write *w = p->idle;

	p->idle = w->next;
	w->request.offset = p->block * PAIR_WRITE_BYTES;
	p->block = (p->block + BLOCK_STEP) % BLOCKS;
	engine_submit(p->primary.engine, &w->request);
}

static void write_done(struct request *request)
{
	struct write *w = CONTAINER_OF(request, struct write, request);

	if (request->status != LS_OK)
		give_up(ls_status_text(request->status));
	w->next = w->pair->idle;
	w->pair->idle = w;
	w->pair->ended++;
}

static void pass_end(struct node *n)
{
	engine_poll(n->engine, POLL_BUDGET);
	quick_store_poll(&n->store);
	engine_flush(n->engine);
}

/*
 * Neither is inlined: ./instructions counts what happens inside of each by its name.  The order
 * within a pass is that of the daemon's loop.
 */
__attribute__((noinline)) static void primary_pass(struct pair *p)
{
	engine_tick(p->primary.engine, p->now_ns);
	while (p->idle)
		write_next(p);
	pass_end(&p->primary);
}

__attribute__((noinline)) static void secondary_pass(struct pair *p)
{
	engine_tick(p->secondary.engine, p->now_ns);
	pass_end(&p->secondary);
}

static void round_of(struct pair *p, uint64_t ns)
{
	p->ended = 0;
	p->now_ns += ns;
	primary_pass(p);
	secondary_pass(p);
}

unsigned pair_round(struct pair *p)
{
	round_of(p, US);
	return p->ended;
}

/* --- set-up --- */

static void connect_nodes(struct pair *p)
{
	p->primary.dials = false;
	p->link = quick_link_create();
	if (!p->link)
		give_up("no memory");
	engine_link_opened(p->primary.engine, &p->link->link, p->primary.dial_cookie);
	engine_link_opened(p->secondary.engine, &p->link->other->link, NULL);
}

static void setup_job(struct pair *p, const struct job *job)
{
	for (unsigned i = 0; i < SETUP_PASSES_MAX && job->err.code > 0; i++) {
		round_of(p, MS);
		if (p->primary.dials)
			connect_nodes(p);
	}
	if (job->err.code > 0)
		give_up("it does not come to be in sync");
}

/* Not begun: positive, which is no outcome. */
#define NEW_JOB ((struct job){.done = job_ended, .err.code = 1})

static void node_create(struct pair *p, struct node *n, const char *name, uint64_t address,
			bool payload_crc)
{
	struct engine_config config = {
		.node_address = address,
		.payload_crc = payload_crc,
		.slot_count = QUICK_SLOTS,
	};
	struct engine_env env = {
		.ctx = n,
		.random = env_random,
		.dial = env_dial,
		.release_link = env_release_link,
		.log = env_log,
		.copy_buffers = env_copy_buffers,
	};
	struct store *store = &n->store.store;
	struct job job = NEW_JOB;
	struct err err;

	n->random = address;
	snprintf(config.node_name, sizeof(config.node_name), "%s", name);
	if (engine_create(&config, &env, &n->engine, &err))
		give_up(err.text);
	quick_store_init(&n->store, DEVICE_BYTES);
	engine_pool_create(n->engine, &job, "pool", &store, 1, true);
	while (job.err.code > 0) {
		p->now_ns += MS;
		engine_tick(n->engine, p->now_ns);
		pass_end(n);
	}
}

static void make_peers(struct pair *p)
{
	static const char key[32] = "a key that both of them know";
	struct err err;

	if (engine_peer_add(p->primary.engine, "beta", "there", key, sizeof(key), &err) ||
	    engine_peer_add(p->secondary.engine, "alpha", "", key, sizeof(key), &err))
		give_up(err.text);
}

static void make_writes(struct pair *p, unsigned in_flight)
{
	p->arena = (struct region){
		.base = zeroes(PAIR_IN_FLIGHT_MAX * PAIR_WRITE_BYTES),
		.length_bytes = PAIR_IN_FLIGHT_MAX * PAIR_WRITE_BYTES,
		.buffer_first = REGION_NO_BUFFERS,
	};
	for (unsigned i = 0; i < in_flight; i++) {
		struct write *w = &p->writes[i];

		w->pair = p;
		w->request = (struct request){
			.volume = p->volume,
			.op = REQUEST_WRITE,
			.length = PAIR_WRITE_BYTES,
			.buf = (char *)p->arena.base + (size_t)i * PAIR_WRITE_BYTES,
			.region = &p->arena,
			.done = write_done,
		};
		w->next = p->idle;
		p->idle = w;
	}
}

static void check_in_sync(const struct pair *p)
{
	struct volume_status status;

	if (!engine_volume_status_of(p->primary.engine, VOLUME, &status) ||
	    status.mirror != MIRROR_SYNCED)
		give_up("the volume is not in sync");
}

struct pair *pair_create(bool payload_crc, unsigned in_flight)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct job job = NEW_JOB;

	if (!p || in_flight > PAIR_IN_FLIGHT_MAX)
		give_up("no memory");
	node_create(p, &p->primary, "alpha", 1, payload_crc);
	node_create(p, &p->secondary, "beta", 2, payload_crc);
	make_peers(p);
	engine_volume_create(p->primary.engine, &job, NULL, VOLUME, VOLUME_BYTES, false);
	setup_job(p, &job);
	job = NEW_JOB;
	engine_pair(p->primary.engine, &job, VOLUME, "beta", NULL, NULL);
	setup_job(p, &job);
	p->volume = engine_volume_get(p->primary.engine, VOLUME);
	if (!p->volume)
		give_up("the volume is not there");
	check_in_sync(p);
	/* Until what the copy measured of its clients is forgotten. */
	for (unsigned i = 0; i < 2000; i++)
		round_of(p, MS);
	quick_link_settle(p->link);
	make_writes(p, in_flight);
	/* Each block once, so that the write-intent map and all memory is warm. */
	for (unsigned n = 0; n < BLOCKS;)
		n += pair_round(p);
	check_in_sync(p);
	return p;
}
