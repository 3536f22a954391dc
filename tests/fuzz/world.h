/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets put an engine into: disks in memory, and a node, which is an engine
 * with one disk, some clients' requests and some administrators' jobs.  Nothing here knows
 * more of the engine than engine.h, store.h and link.h.  One thread; the same input does the
 * same, always.
 */
#ifndef LS_FUZZ_WORLD_H
#define LS_FUZZ_WORLD_H

#include "engine/control/engine.h"

#define DISK_BYTES MIB(16)
#define NODE_JOBS 16u
#define NODE_REQUESTS 16u

/* Says what must never happen, and ends the run. */
_Noreturn void fuzz_fail(const char *what);

struct disk {
	struct store store;
	uint8_t *bytes;
	struct store_op *first, **last;
	unsigned fail; /* so many of the next operations fail */
	bool hold; /* nothing is completed */
	unsigned round; /* of disks_step(): the last one that it had a turn in */
	/* What nobody but the harness may change: another volume's blocks. */
	uint64_t guard_offset, guard_length;
	struct disk **holder; /* is NULL afterwards, when it was closed */
	struct disk *next; /* of all that are open */
};

/* @size_bytes at most DISK_BYTES. */
struct disk *disk_open(uint64_t size_bytes, uint32_t block_bytes);
/* Completes what was submitted before the call. */
void disk_step(struct disk *disk);
void disks_step(void); /* all that are open */
void disks_let_go(void); /* no more holding and failing */

struct node {
	struct engine *engine;
	struct disk *disk;
	struct region copy; /* made by copy_buffers() */
	uint64_t random;
	/* A dial that was not answered yet; a node of ours has one peer with an address. */
	bool dialling;
	void *dial_cookie;
	struct work {
		struct job job;
		bool busy;
	} works[NODE_JOBS];
	struct io {
		struct request request;
		bool busy;
	} ios[NODE_REQUESTS];
};

/* Makes an engine; stops the program when it cannot. */
void node_create(struct node *node, const char *name, uint64_t address);
/* A pool on one new disk. */
void node_make_pool(struct node *node, uint64_t *now_ns);
void node_make_volume(struct node *node, uint64_t *now_ns, const char *name, uint64_t bytes);
/* One pass of the loop, at @now_ns. */
void node_pass(struct node *node, uint64_t now_ns);
/* A job to give to the engine, or NULL when too many are under way. */
struct job *node_job(struct node *node);
bool node_jobs_open(const struct node *node);
/* A client's request to @volume; false: no such volume, or too many under way. */
bool node_submit(struct node *node, const char *volume, uint16_t op, uint16_t flags,
		 uint64_t offset, uint64_t length);
/* Makes the blocks of @volume something that nobody may change any more. */
void node_guard(struct node *node, const char *volume);
/* Number of the @index-th volume, as frames carry it; 0 = none. */
uint32_t node_volume_number(const struct node *node, unsigned index);
/* After engine_stopped(). */
void node_destroy(struct node *node);

#endif
