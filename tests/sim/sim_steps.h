/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations that meet trouble at every point that they pass (invariant I12): a crash, the loss
 * of the session, a table that cannot be written, or two of them.  Each operation is one entry in
 * steps_operations[]: how the world is before it, how it is asked for, how one sees that it is
 * done, and all that it does which can be seen or survives.
 */
#ifndef LS_SIM_STEPS_H
#define LS_SIM_STEPS_H

#include "tests/sim/sim_world.h"

#define STEPS_NAME "v"
#define STEPS_HALF_A 1u
#define STEPS_HALF_B 2u

struct steps;

struct steps_operation {
	const char *name;
	unsigned node; /* who is asked */
	enum sim_job_kind kind;
	enum engine_keep keep; /* resume */
	bool apart; /* the nodes cannot reach each other until the job has ended */
	bool closed; /* the volume is fail-closed: an operator must be able to free its writes */
	unsigned writer; /* the node whose client writes all the while; SIM_NODES = nobody */
	/*
	 * What it does, as bits 1 << place, by node: the requests that it sends, and what it puts
	 * on its devices.  All of it must happen, and nothing else.
	 */
	uint64_t sends[SIM_NODES], stores[SIM_NODES];
	void (*prepare)(struct steps *steps); /* from a paired volume; NULL = nothing */
	bool (*done)(const struct steps *steps);
	/* It is durable somewhere that it was asked for: so it must end by itself. */
	bool (*recorded)(const struct steps *steps);
	unsigned half; /* nodes at which half of it may be left when it is not recorded */
	int again; /* what asking for what is done may say, too: a negative errno */
};

extern const struct steps_operation steps_operations[];
extern const unsigned steps_operation_count;

/* One world, its operation, and the volume "v" at both nodes as last read. */
struct steps {
	struct sim_world world;
	const struct steps_operation *operation;
	struct sim_job *job; /* the last one that was asked for */
	unsigned job_start; /* of the engine that was asked */
	struct volume_status now[SIM_NODES], before[SIM_NODES]; /* name "" = it has none */
	unsigned written; /* by the writer */
};

/* The session is lost; the next one may begin. */
void steps_cut(struct steps *steps);
/* The nodes cannot reach each other any more; they can again. */
void steps_part(struct steps *steps);
void steps_join(struct steps *steps);
/* @count writes at @node of @length blocks, 20 apart; all must succeed. */
void steps_write(struct steps *steps, unsigned node, unsigned first, unsigned count,
		 unsigned length);
/*
 * The peer is away for good, as far as anybody knows: A's volume is made fail-open; then nothing
 * of it may wait.
 */
void steps_free(struct steps *steps);
/* Reads steps->now; false when an engine is down. */
bool steps_look(struct steps *steps);
/* Makes the world up to where the operation is to be asked for. */
void steps_prepare(struct steps *steps, const struct steps_operation *operation,
		   struct sim_log *log, uint64_t seed);
/* The writer has begun by then. */
void steps_ask(struct steps *steps);
void steps_load(struct steps *steps);
/* One pass; the writer goes on. */
void steps_pass(struct steps *steps);
bool steps_asked(const struct steps *steps); /* the job has not ended, nor its engine */
/* Nothing is in a device's hands. */
bool steps_idle(const struct steps *steps);
/* Everything that can go on by itself has. */
bool steps_quiet(struct steps *steps);
/* And nothing is marked any more. */
bool steps_clear(struct steps *steps);
/* Lets things happen until @over, but not for ever; false = it did not come. */
bool steps_until(struct steps *steps, bool (*over)(struct steps *steps));
/* A last load and a look at every byte; does not return if anything is wrong. */
void steps_verify(struct steps *steps);

#endif
