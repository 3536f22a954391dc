/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs seeds in several processes.  What a process has done so far is in memory that it
 * shares with this one, so an assert or a crash tells as much as a broken invariant.
 */
#include "tests/sim/sim_world.h"

#include "engine/base/crc32c.h"

#include <argp.h>
#include <assert.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64u
#define STORY_EVENTS 40u

struct options {
	uint64_t seeds, base;
	struct sim_plan plan; /* the seed: of --replay and --shrink */
	unsigned jobs;
	bool replaying, shrinking, twice;
	const char *command; /* what the replay line names */
};

/* One process's part of the work; shared. */
struct lane {
	struct sim_log log;
	struct sim_totals totals;
	uint64_t done;
	bool finished;
	pid_t pid;
};

static const struct argp_option option_table[] = {
	{"seeds", 'n', "N", 0, "How many seeds to run (100)", 0},
	{"seed-base", 'b', "S", 0, "The first seed (1)", 0},
	{"steps", 'k', "K", 0, "Passes under load for each seed (1200)", 0},
	{"jobs", 'j', "J", 0, "Processes (as many as processors)", 0},
	{"replay", 'r', "SEED", 0, "Run one seed and print the whole story", 0},
	{"shrink", 's', "SEED", 0, "Look for the shortest story that breaks the same", 0},
	{"without", 'w', "PARTS", 0, "Switch these parts of each world off, as --shrink says", 0},
	{"course", 'o', "C", 0, "Another course of events in each world, as --shrink says", 0},
	{"twice", 't', NULL, 0, "Run each seed twice and compare the stories", 0},
	{"command", 'c', "TEXT", 0, "How to call this program in the replay line", 0},
	{0},
};

/* Names with commas between them. */
static bool parse_parts(char *names, uint32_t *parts)
{
	char *state;

	for (char *name = strtok_r(names, ",", &state); name; name = strtok_r(NULL, ",", &state)) {
		unsigned i = 0;

		while (sim_part_name(i) && strcmp(sim_part_name(i), name) != 0)
			i++;
		if (!sim_part_name(i))
			return false;
		*parts |= 1u << i;
	}
	return true;
}

static void print_replay(const struct options *o, const struct sim_plan *plan)
{
	const char *between = " --without ";

	printf("replay  %s --steps %" PRIu64, o->command, plan->steps);
	if (plan->course)
		printf(" --course %" PRIu64, plan->course);
	for (unsigned i = 0; sim_part_name(i); i++) {
		if (!(plan->without & 1u << i))
			continue;
		printf("%s%s", between, sim_part_name(i));
		between = ",";
	}
	printf(" --replay %" PRIu64 "\n", plan->seed);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t number = arg ? strtoull(arg, NULL, 0) : 0;

	switch (key) {
	case 'n':
		o->seeds = number;
		return 0;
	case 'b':
		o->base = number;
		return 0;
	case 'k':
		o->plan.steps = number;
		return 0;
	case 'j':
		o->jobs = (unsigned)min_u64(max_u64(number, 1), JOBS_MAX);
		return 0;
	case 'r':
		o->plan.seed = number;
		o->replaying = true;
		return 0;
	case 's':
		o->plan.seed = number;
		o->shrinking = true;
		return 0;
	case 'o':
		o->plan.course = number;
		return 0;
	case 'w':
		if (!parse_parts(arg, &o->plan.without))
			argp_error(state, "%s: no part of a world", arg);
		return 0;
	case 't':
		o->twice = true;
		return 0;
	case 'c':
		o->command = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_seed(const struct options *o, struct lane *lane, uint64_t seed)
{
	struct sim_plan plan = o->plan;
	uint64_t digest;

	plan.seed = seed;
	plan.verbose = o->replaying;
	sim_run(&lane->log, &plan, &lane->totals);
	if (!o->twice)
		return;
	digest = lane->log.digest;
	sim_run(&lane->log, &plan, &lane->totals);
	if (digest == lane->log.digest)
		return;
	sim_log_failure(&lane->log, "sim", "the same seed told two different stories");
	_exit(SIM_EXIT_BROKEN);
}

/* In the child.  exit() and not _exit(), so that the leak checker has its say. */
static void run_lane(const struct options *o, struct lane *lane, unsigned number)
{
	if (o->replaying) {
		run_seed(o, lane, o->plan.seed);
	} else {
		for (uint64_t i = number; i < o->seeds; i += o->jobs) {
			run_seed(o, lane, o->base + i);
			lane->done++;
		}
	}
	lane->finished = true;
	exit(0);
}

static void report(const struct options *o, const struct lane *lane, int status)
{
	struct sim_plan plan = o->plan;

	printf("\nFAILED  seed %" PRIu64 " after %" PRIu64 " seeds\n", lane->log.seed, lane->done);
	if (lane->log.invariant)
		printf("broken  %s: %s\n", lane->log.invariant, lane->log.failure);
	else if (lane->finished)
		printf("broken  memory: see the sanitizer's report\n");
	else if (WIFSIGNALED(status))
		printf("broken  the engine died of signal %d (%s)\n", WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	else
		printf("broken  the engine ended the process with status %d\n",
		       WEXITSTATUS(status));
	if (!o->replaying) {
		printf("The last events:\n");
		sim_log_print(&lane->log, STORY_EVENTS, stdout);
	}
	plan.seed = lane->log.seed;
	print_replay(o, &plan);
}

static uint64_t sum_up(const struct lane *lanes, unsigned jobs, struct sim_totals *totals)
{
	uint64_t done = 0;

	memset(totals, 0, sizeof(*totals));
	for (unsigned i = 0; i < jobs; i++) {
		const struct sim_totals *t = &lanes[i].totals;

		done += lanes[i].done;
		totals->requests += t->requests;
		totals->acked_writes += t->acked_writes;
		totals->mirrored_writes += t->mirrored_writes;
		totals->reads_checked += t->reads_checked;
		totals->pairs += t->pairs;
		totals->sessions += t->sessions;
		totals->legs_compared += t->legs_compared;
		totals->faults += t->faults;
		totals->crashes += t->crashes;
		totals->operations += t->operations;
		totals->promotions += t->promotions;
		totals->splits += t->splits;
		totals->alone += t->alone;
		totals->fetched += t->fetched;
		totals->verifies += t->verifies;
		totals->rots += t->rots;
		totals->blamed += t->blamed;
	}
	return done;
}

static void print_totals(const struct lane *lanes, unsigned jobs, double seconds)
{
	struct sim_totals t;
	uint64_t done = sum_up(lanes, jobs, &t);

	printf("%" PRIu64 " seeds in %.1f s: %.0f seeds/s on %u processes\n", done, seconds,
	       (double)done / seconds, jobs);
	printf("%" PRIu64 " requests, %" PRIu64 " acknowledged changes and flushes (%" PRIu64
	       " mirrored), %" PRIu64 " reads checked, %" PRIu64 " pairs, %" PRIu64
	       " half sessions, %" PRIu64 " mirrors compared, %" PRIu64 " faults, %" PRIu64
	       " crashes\n%" PRIu64 " operations on mirrors, %" PRIu64 " promotions, %" PRIu64
	       " split brains resolved, %" PRIu64 " writes acknowledged alone, %" PRIu64
	       " bad blocks read from the peer, %" PRIu64 " verifies, %" PRIu64
	       " rotten blocks found (of %" PRIu64 " places it was known which side)\n",
	       t.requests, t.acked_writes, t.mirrored_writes, t.reads_checked, t.pairs, t.sessions,
	       t.legs_compared, t.faults, t.crashes, t.operations, t.promotions, t.splits, t.alone,
	       t.fetched, t.verifies, t.rots, t.blamed);
}

/* Waits for all lanes; stops the others as soon as one has failed.  Returns the failed one. */
static struct lane *wait_for(struct lane *lanes, unsigned jobs, int *failed_status)
{
	struct lane *failed = NULL;

	for (unsigned left = jobs; left; left--) {
		int status;
		pid_t pid = wait(&status);

		for (unsigned i = 0; i < jobs; i++) {
			if (lanes[i].pid != pid || failed || status == 0)
				continue;
			failed = &lanes[i];
			*failed_status = status;
		}
		for (unsigned i = 0; failed && i < jobs; i++) {
			if (lanes[i].pid != pid)
				kill(lanes[i].pid, SIGKILL);
		}
	}
	return failed;
}

static int run_all(const struct options *o)
{
	size_t bytes = o->jobs * sizeof(struct lane);
	struct lane *lanes =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start = now_s();
	struct lane *failed;
	int status = 0;

	assert(lanes != MAP_FAILED);
	for (unsigned i = 0; i < o->jobs; i++) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		assert(pid >= 0);
		if (pid == 0)
			run_lane(o, &lanes[i], i);
		lanes[i].pid = pid;
	}
	failed = wait_for(lanes, o->jobs, &status);
	if (failed)
		report(o, failed, status);
	else if (o->replaying)
		printf("seed %" PRIu64 ": nothing broken\n", o->plan.seed);
	print_totals(lanes, o->jobs, now_s() - start);
	munmap(lanes, bytes);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.seeds = 100,
		.base = 1,
		.plan = {.steps = 1200},
		.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
		.command = argv[0],
	};
	const struct argp argp = {
		option_table,
		parse,
		NULL,
		"Two engines in a simulated world with faults; one seed decides everything.",
		NULL,
		NULL,
		NULL};

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return 2;
	if (o.replaying)
		o.jobs = 1;
	o.jobs = (unsigned)min_u64(o.jobs, JOBS_MAX);
	/* The worlds come and go: keep their memory. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	crc32c_init();
	if (!o.shrinking)
		return run_all(&o);
	if (!sim_shrink(&o.plan))
		return 0;
	print_replay(&o, &o.plan);
	return 1;
}
