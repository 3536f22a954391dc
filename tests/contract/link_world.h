/* SPDX-License-Identifier: BSD-3-Clause */
/* Two fabrics and the two ends of one link, in one process; the ground of the link's contract
 * suite. */
#ifndef LS_TESTS_LINK_WORLD_H
#define LS_TESTS_LINK_WORLD_H

#include "verbs/fabric.h"

#include <pthread.h>

#define WORLD_LIMIT_MS 20000
#define WORLD_LOG_BYTES (64u << 10)
#define WORLD_LANDED_MAX 4096u

struct landed {
	uint32_t slot, payload_bytes;
	uint8_t header[LINK_HEADER_BYTES];
	uint64_t after_bytes; /* how many message bytes had come before it */
};

/* One end: its fabric, the link that it got, and what the link told it. */
struct end {
	struct fabric *fabric;
	struct link *link;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct link *opened;
	void *opened_cookie;
	unsigned opened_count, failed_count;
	char failed[600];
	unsigned refused_count;
	char refused[600];

	uint8_t *log; /* the first bytes of all messages, joined */
	uint64_t log_bytes;
	struct landed *landed;
	unsigned landed_count;
	unsigned down_count, after_down;
	char down[300];
	bool answers; /* sends LINK_HEADER_BYTES back for each request */
	bool destroy_in_down;
};

struct world {
	const char *uri;
	struct fabric_config config;
	struct end a, b; /* a listens, b dials */
	const char *wrap_a, *wrap_b; /* fault plans for their links; NULL = not wrapped */
};

/* "tcp://HOST:PORT" to "HOST:fabric's port". */
void world_address(const struct world *world, const struct fabric *fabric, char text[128]);
bool world_is_rdma(const struct world *world);

void end_init(struct end *end);
/* Destroys link (shut and polled down first, if it is up) and fabric. */
void end_fini(struct end *end);
/* Creates the fabric of @end; NULL address = the world's, "" = dials only.  Fails the test. */
void end_listen(struct world *world, struct end *end, const char *address);
/* Waits for opened() and attaches the link. */
void end_wait_opened(struct end *end);
/* Waits for opened() and leaves the link to end_fini(). */
void end_wait_unattached(struct end *end);
void end_wait_failed(struct end *end);

/* A new link between the fabrics of @from, whose ends are @to's; often the same world. */
void world_dial(struct world *from, struct world *to, const char *address);
/* Both fabrics, one link between them. */
void world_open(struct world *world);
void world_close(struct world *world);
/* Both sides grant, send the grant as a message and use the other's. */
void world_grant(struct world *world);

/*
 * Polls and flushes the ends until done() says so, sleeping on the descriptors between; fails
 * the test when nothing comes for WORLD_LIMIT_MS.  Either end may be NULL.
 */
void ends_run(struct end *x, struct end *y, bool (*done)(void *arg), void *arg);
void end_run_down(struct end *end);

/* For ends_run(): @end has this many message bytes and requests, or is down. */
struct log_wait {
	struct end *end;
	uint64_t bytes;
	unsigned landed;
};
bool log_reached(void *arg);

#endif
