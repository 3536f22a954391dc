/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shrinking: the world of the same seed, with fewer steps and with parts of it switched off one at
 * a time, as long as the same invariant breaks in the same way.  What changes a story from some
 * point on rarely breaks the same after it, so other courses of events are tried, too.  Each try
 * is a process of its own, which may die.
 */
#include "tests/sim/sim_world.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fewer steps may let a part go that was needed before, and the other way round. */
#define ROUNDS_MAX 4u
#define COURSES_STEPS 48u
#define COURSES_PART 6u

struct attempt {
	struct sim_log log;
	struct sim_totals totals;
};

/* How a run ended, as far as two runs are alike in it. */
struct outcome {
	int status; /* of the process; 0 = nothing is broken */
	const char *invariant, *sentence; /* NULL = an assert, or a crash */
	uint64_t events;
	char text[160];
};

static struct outcome try(struct attempt *attempt, const struct sim_plan *plan)
{
	struct outcome outcome = {0};
	pid_t pid = fork();

	assert(pid >= 0);
	if (pid == 0) {
		/* Of a failed assert only the verdict is wanted. */
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		memset(attempt, 0, sizeof(*attempt));
		sim_run(&attempt->log, plan, &attempt->totals);
		_exit(0);
	}
	waitpid(pid, &outcome.status, 0);
	outcome.invariant = attempt->log.invariant;
	outcome.sentence = attempt->log.sentence;
	outcome.events = attempt->log.count;
	if (outcome.invariant)
		snprintf(outcome.text, sizeof(outcome.text), "%s: %s", outcome.invariant,
			 attempt->log.failure);
	else
		snprintf(outcome.text, sizeof(outcome.text), "the engine died");
	return outcome;
}

/* Strings of one program: equal when they are the same. */
static bool alike(const struct outcome *a, const struct outcome *b)
{
	return a->status == b->status && a->invariant == b->invariant && a->sentence == b->sentence;
}

/* Takes @smaller for @plan if that breaks the same, in its own course or one of @courses more. */
static bool take(struct attempt *attempt, struct sim_plan *plan, struct sim_plan smaller,
		 unsigned courses, struct outcome *outcome)
{
	for (unsigned i = 0; i <= courses; i++) {
		struct outcome now = try(attempt, &smaller);

		if (alike(&now, outcome)) {
			*outcome = now;
			*plan = smaller;
			return true;
		}
		smaller.course++;
	}
	return false;
}

/* Not each number below one that breaks does so, too: it cuts what it can, ever less. */
static bool shrink_steps(struct attempt *attempt, struct sim_plan *plan, struct outcome *outcome)
{
	uint64_t before = plan->steps, courses = COURSES_STEPS;

	for (uint64_t cut = plan->steps / 2; cut > 0;) {
		struct sim_plan smaller = *plan;

		smaller.steps -= cut;
		/* Many other courses for a large cut, none for the last few steps. */
		if (!take(attempt, plan, smaller, (unsigned)courses, outcome)) {
			cut /= 2;
			courses /= 2;
		}
		cut = min_u64(cut, plan->steps / 2);
	}
	return plan->steps < before;
}

static bool shrink_parts(struct attempt *attempt, struct sim_plan *plan, struct outcome *outcome)
{
	bool any = false;

	for (unsigned i = 0; sim_part_name(i); i++) {
		struct sim_plan smaller = *plan;

		smaller.without |= 1u << i;
		if (smaller.without != plan->without)
			any |= take(attempt, plan, smaller, COURSES_PART, outcome);
	}
	return any;
}

bool sim_shrink(struct sim_plan *plan)
{
	struct attempt *attempt = mmap(NULL, sizeof(*attempt), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t steps = plan->steps, events;
	struct outcome outcome;
	bool broken;

	assert(attempt != MAP_FAILED);
	outcome = try(attempt, plan);
	broken = outcome.status != 0;
	events = outcome.events;
	for (unsigned i = 0; broken && i < ROUNDS_MAX; i++) {
		bool fewer = shrink_parts(attempt, plan, &outcome);

		if (!shrink_steps(attempt, plan, &outcome) && !fewer)
			break;
	}
	if (broken)
		printf("seed %" PRIu64 ": %" PRIu64 " steps and %" PRIu64 " events became %" PRIu64
		       " and %" PRIu64 "\nbroken  %s\n",
		       plan->seed, steps, events, plan->steps, outcome.events, outcome.text);
	else
		printf("seed %" PRIu64 ": nothing broken\n", plan->seed);
	munmap(attempt, sizeof(*attempt));
	return broken;
}
