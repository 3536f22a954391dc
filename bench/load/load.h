/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load that every system of bench/peers gets, and how it is measured: a closed loop of
 * random, aligned requests at a fixed depth.  One slot for each request in flight; a slot's
 * blocks belong to it alone, so that no two requests in flight overlap and both legs of a
 * mirror must be equal afterwards, also where nobody orders them.
 *
 * Latency is from load_issue() to load_complete(), that is everything the program waits for.
 * CPU is what the whole machine was not idle.  One thread.
 */
#ifndef LS_BENCH_LOAD_LOAD_H
#define LS_BENCH_LOAD_LOAD_H

#include "engine/base/hist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEPTH_MAX 64u
#define BLOCK_MAX (128u << 10)
#define JOBS_MAX 32u

enum io_op { IO_READ, IO_WRITE, IO_FLUSH };

/* One request of a slot. */
struct io {
	enum io_op op;
	uint32_t bytes;
	uint64_t offset;
};

/*
 * MIX: 70 % reads.  Two without figures, from the first block to the last one.  TOUCH: one write in
 * each MiB of the span, so that maps and logs of what was written are in the state in which they
 * stay.  FILL: every block that the other jobs may use, so that none is new to what is below.
 */
enum job_kind { JOB_READ, JOB_WRITE, JOB_MIX, JOB_FSYNC, JOB_TOUCH, JOB_FILL };

struct job {
	enum job_kind kind;
	uint32_t bs, qd;
};

struct load_options {
	struct job jobs[JOBS_MAX];
	unsigned job_count;
	uint64_t span_bytes; /* from the start of the device or volume */
	uint64_t stride_bytes; /* from one block to the next; 0: they lie side by side */
	/* Programs that load the same target (0: only this one), and which of them this is. */
	unsigned sharers, sharer;
	double seconds, warm_seconds; /* counted, and before that */
	const char *system; /* name in the output */
	unsigned round;
};

struct load {
	const struct load_options *options;
	struct job job;
	uint64_t random, blocks, stride_bytes, sequence;
	unsigned lanes, lane; /* slots of all sharers, and the first one of this program */
	uint64_t warm_end, end; /* ticks */
	uint64_t begin_ns, end_ns, idle_begin_us, idle_end_us;
	bool counting, over;
	unsigned in_flight;
	uint64_t started[DEPTH_MAX]; /* ticks */
	bool flush_next[DEPTH_MAX];
	struct hist hist; /* ticks */
};

/* "randwrite:4096:32,randread:4096:1": adds to @o, or ends the program with a sentence. */
void load_parse_jobs(struct load_options *o, const char *list);
/* Takes what LOAD_LONG_OPTIONS has; false: not one of them. */
bool load_parse_option(struct load_options *o, int option, const char *value);
#define LOAD_LONG_OPTIONS                                                                          \
	{"jobs", required_argument, NULL, 'j'}, {"span", required_argument, NULL, 'p'},            \
		{"seconds", required_argument, NULL, 's'}, {"warm", required_argument, NULL, 'w'}, \
		{"system", required_argument, NULL, 'n'},                                          \
		{"stride", required_argument, NULL, 't'},                                          \
	{                                                                                          \
		"round", required_argument, NULL, 'r'                                              \
	}

void load_begin(struct load *l, const struct load_options *o, unsigned job);
/* What @slot does next; false when the time is over.  Stamps @buffer with a new number. */
bool load_issue(struct load *l, unsigned slot, void *buffer, struct io *io);
void load_complete(struct load *l, unsigned slot);
/* All is over and nothing is in flight. */
bool load_ended(const struct load *l);
/* One JSON object on standard output; nothing after TOUCH and FILL. */
void load_print(struct load *l);
/*
 * The same of @count programs that ran the same job at the same time: all their requests as one,
 * and each of them.
 */
void load_print_all(struct load *loads, unsigned count);

/* The time stamp counter where there is one: in a virtual machine the clock may be dear to read. */
uint64_t ticks(void);
uint64_t ticks_of_us(uint64_t us);

void fill_random(void *memory, size_t bytes, uint64_t seed);
void pin_to(int cpu); /* -1: stays where the scheduler puts it */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
