/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The story of one run: a ring of the last events, and how it failed.  It lives in memory
 * shared with the parent process, so that the story survives an assert, a crash or a
 * sanitizer's verdict.  Events are kept unformatted: most are never printed.
 */
#ifndef LS_SIM_LOG_H
#define LS_SIM_LOG_H

#include "engine/base/defs.h"

#include <stdbool.h>
#include <stdio.h>

#define SIM_LOG_RING 64u
#define SIM_LOG_ARGS 8u

struct sim_event {
	uint64_t at_ns;
	int node; /* 0 = A, 1 = B, -1 = the world */
	const char *fmt;
	uint64_t args[SIM_LOG_ARGS];
	char text[200]; /* used when fmt is NULL */
};

struct sim_log {
	bool verbose; /* print each event as it happens */
	uint64_t seed;
	uint64_t count;
	uint64_t digest; /* of all events: equal when a replay was exact */
	const char *invariant; /* NULL = nothing broken */
	char failure[500];
	const char *sentence; /* the same without what it names; NULL as long as there is none */
	struct sim_event ring[SIM_LOG_RING];
};

void sim_log_start(struct sim_log *log, uint64_t seed, bool verbose);
/* @fmt knows %u (decimal), %x and %s (a string that is never freed), each one uint64_t. */
void sim_log_add(struct sim_log *log, uint64_t at_ns, int node, const char *fmt,
		 const uint64_t args[SIM_LOG_ARGS]);
void sim_log_text(struct sim_log *log, uint64_t at_ns, int node, const char *text);
/* Prints the last @count events. */
void sim_log_print(const struct sim_log *log, unsigned count, FILE *out);
/* Notes what was broken; printf-like. */
void sim_log_failure(struct sim_log *log, const char *invariant, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#define SIM_STR(s) ((uint64_t)(uintptr_t)(s))

#endif
