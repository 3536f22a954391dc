/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_log.h"

#include "tests/sim/sim_rng.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void sim_log_start(struct sim_log *log, uint64_t seed, bool verbose)
{
	log->verbose = verbose;
	log->seed = seed;
	log->count = 0;
	log->digest = seed;
	log->invariant = NULL;
	log->failure[0] = '\0';
	log->sentence = NULL;
}

static void print_args(FILE *out, const char *fmt, const uint64_t *args)
{
	for (const char *c = fmt; *c; c++) {
		if (*c != '%') {
			fputc(*c, out);
			continue;
		}
		c++;
		if (*c == 'x')
			fprintf(out, "%" PRIx64, *args++);
		else if (*c == 's')
			fputs((const char *)(uintptr_t)*args++, out);
		else
			fprintf(out, "%" PRIu64, *args++);
	}
}

static void print_event(const struct sim_event *event, FILE *out)
{
	fprintf(out, "%14.3f us  %s  ", (double)event->at_ns / 1000,
		event->node < 0 ? "-"
		: event->node	? "B"
				: "A");
	if (event->fmt)
		print_args(out, event->fmt, event->args);
	else
		fputs(event->text, out);
	fputc('\n', out);
}

static struct sim_event *next_event(struct sim_log *log, uint64_t at_ns, int node)
{
	struct sim_event *event = &log->ring[log->count++ % SIM_LOG_RING];

	event->at_ns = at_ns;
	event->node = node;
	log->digest = sim_mix(log->digest ^ at_ns) + (unsigned)node;
	return event;
}

void sim_log_add(struct sim_log *log, uint64_t at_ns, int node, const char *fmt,
		 const uint64_t args[SIM_LOG_ARGS])
{
	struct sim_event *event = next_event(log, at_ns, node);

	event->fmt = fmt;
	memcpy(event->args, args, sizeof(event->args));
	if (log->verbose)
		print_event(event, stdout);
}

void sim_log_text(struct sim_log *log, uint64_t at_ns, int node, const char *text)
{
	struct sim_event *event = next_event(log, at_ns, node);

	event->fmt = NULL;
	strncpy(event->text, text, sizeof(event->text) - 1);
	if (log->verbose)
		print_event(event, stdout);
}

void sim_log_print(const struct sim_log *log, unsigned count, FILE *out)
{
	uint64_t first = log->count > count ? log->count - count : 0;

	for (uint64_t i = first; i < log->count; i++)
		print_event(&log->ring[i % SIM_LOG_RING], out);
}

void sim_log_failure(struct sim_log *log, const char *invariant, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(log->failure, sizeof(log->failure), fmt, args);
	va_end(args);
	log->invariant = invariant;
}
