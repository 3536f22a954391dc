/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: an operation that meets trouble at any point that it passes rolls forward: by itself once
 * it is recorded, else when it is asked for again; and asking once more does no harm (I12).
 * Trouble is a kill or a power cut of either node or both, the loss of the session, a table or a
 * map that cannot be written, the loss of the session and that, a flush that fails, and in the
 * end a power cut of that node, or a restart of either node in good order.
 *
 * Each operation runs once to list its points, and once more, in a process of its own that stops
 * at each of them and there begins one process for each trouble: the same moment of the same
 * world, which only goes on otherwise.
 */
#include "tests/sim/sim_steps.h"

#include "engine/base/crc32c.h"

#include <argp.h>
#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINTS_MAX 1000u
#define STORY_EVENTS 40u

enum outcome { NONE, ITSELF, AGAIN, FAILED };

/* What a process tells the one that began it. */
struct told {
	struct sim_log log;
	struct sim_point points[POINTS_MAX];
	unsigned count;
	enum outcome outcome;
	unsigned totals[4]; /* by outcome */
	bool failed; /* a case of this operation did */
};

/* Nodes as bits. */
static const struct trouble {
	const char *name;
	unsigned victims; /* they die */
	bool power; /* by a power cut, else by a kill */
	bool cut; /* the session is lost */
	bool part; /* and there is no other one until somebody has helped; with fail-closed only */
	unsigned fails; /* their next write of the table or of a map does */
	unsigned flushes; /* their next flush fails; when all is over, their power is cut */
	unsigned stops; /* they stop in good order, and begin again */
} troubles[] = {
	{"kill A", .victims = 1},
	{"power A", .victims = 1, .power = true},
	{"kill B", .victims = 2},
	{"power B", .victims = 2, .power = true},
	{"kill AB", .victims = 3},
	{"power AB", .victims = 3, .power = true},
	{"cut", .cut = true},
	{"table A", .fails = 1},
	{"table B", .fails = 2},
	{"cut+tab A", .cut = true, .fails = 1},
	{"cut+tab B", .cut = true, .fails = 2},
	{"part", .part = true},
	{"flush A", .flushes = 1},
	{"flush B", .flushes = 2},
	{"stop A", .stops = 1},
	{"stop B", .stops = 2},
};

static struct options {
	const char *operation;
	uint64_t seed;
	int point, trouble; /* -1 = all */
	bool all, first;
} options = {.seed = 1, .point = -1, .trouble = -1};

static struct told *told;
static struct steps steps;

/* What a process is about. */
static struct {
	bool listing, branching, pending;
	unsigned passed; /* points, while branching */
	const struct trouble *trouble;
	jmp_buf out;
} at;

static bool branch(unsigned i);

static void list(struct sim_world *world, const struct sim_point *point)
{
	if (told->count == POINTS_MAX)
		sim_fail(world, "steps", "more points than there is room for");
	told->points[told->count++] = *point;
}

static void passes(struct sim_world *world, const struct sim_point *point)
{
	if (at.listing)
		list(world, point);
	if (!at.branching || !branch(at.passed++))
		return;
	/* This is a case now. */
	at.branching = false;
	at.pending = true;
	world->table_fails = at.trouble->fails;
	world->flush_fails = at.trouble->flushes;
	/* It dies here and now; another node, which does not run, dies at the end of this pass. */
	if (at.trouble->victims & 1u << point->node)
		longjmp(at.out, 1);
}

static bool completed(void)
{
	if (steps_asked(&steps))
		return false;
	steps_join(&steps);
	return steps_quiet(&steps) && steps_idle(&steps) && steps.operation->done(&steps);
}

/* Asks, and lets things happen until the operation is over or the trouble is due. */
static void operate(void)
{
	steps.world.point = passes;
	if (!setjmp(at.out)) {
		uint64_t end_ns = steps.world.now_ns + MS(300000);

		steps_ask(&steps);
		while (!at.pending && !completed()) {
			if (steps.world.now_ns > end_ns)
				sim_fail(&steps.world, "liveness", "it does not end");
			steps_pass(&steps);
		}
	}
	steps.world.point = NULL;
	for (unsigned n = 0; at.pending && n < SIM_NODES; n++)
		if (at.trouble->victims & 1u << n)
			sim_crash(&steps.world.node[n], at.trouble->power);
	for (unsigned n = 0; at.pending && n < SIM_NODES; n++)
		if (at.trouble->stops & 1u << n)
			sim_restart_begin(&steps.world.node[n]);
	if (at.pending && at.trouble->cut)
		steps_cut(&steps);
	if (at.pending && at.trouble->part)
		steps_part(&steps);
}

/* A page that will fail may still be with its device. */
static bool at_rest(struct steps *s)
{
	return steps_quiet(s) && steps_idle(s);
}

static void rest(const char *when)
{
	if (!steps_until(&steps, at_rest))
		sim_fail(&steps.world, "liveness", "no rest %s: A is %s, B is %s", when,
			 mirror_state_name(steps.now[0].mirror),
			 mirror_state_name(steps.now[1].mirror));
}

static bool answered(struct steps *s)
{
	return !steps_asked(s);
}

static bool over(struct steps *s)
{
	return steps_look(s) && !steps_asked(s);
}

/* Nothing of it is recorded: so nothing of it may be there. */
static void check_as_before(void)
{
	for (unsigned n = 0; n < SIM_NODES; n++) {
		const struct volume_status *was = &steps.before[n], *is = &steps.now[n];

		if (!(steps.operation->half & 1u << n) &&
		    (strcmp(was->name, is->name) != 0 || was->role != is->role ||
		     was->association != is->association || was->policy != is->policy ||
		     was->size_bytes != is->size_bytes))
			sim_fail(&steps.world, "I12",
				 "it is not recorded, but %c is not as before: role %d, "
				 "association %d, policy %d, %llu bytes",
				 'A' + n, is->role, is->association, is->policy,
				 (unsigned long long)is->size_bytes);
	}
}

/* Asks again; it must end well, and be done. */
static void ask_again(int allowed, const char *when)
{
	int code;

	steps_ask(&steps);
	if (!steps_until(&steps, answered))
		sim_fail(&steps.world, "liveness", "asked %s it does not end", when);
	code = steps.job->job.err.code;
	if (code && code != allowed)
		sim_fail(&steps.world, "I12", "asked %s: %s", when, steps.job->job.err.text);
	steps_join(&steps);
	rest(when);
	if (!steps.operation->done(&steps))
		sim_fail(&steps.world, "I12", "asked %s it ended well, but is not done", when);
}

/*
 * What a flush that failed has lost goes with the power; nothing is marked any more.  Those that
 * have not come yet are a clearing round's.
 */
static void lose(unsigned unflushed)
{
	steps.world.flush_fails = unflushed;
	if (!steps_until(&steps, steps_clear))
		sim_fail(&steps.world, "liveness", "no end of the clearing rounds");
	for (unsigned n = 0; n < SIM_NODES; n++)
		if (at.trouble->flushes & 1u << n)
			sim_crash(&steps.world.node[n], true);
	rest("after the power cut");
	steps_verify(&steps);
}

static void run_case(void)
{
	const struct steps_operation *o = steps.operation;
	unsigned unflushed;
	bool recorded;

	if (!steps_until(&steps, over))
		sim_fail(&steps.world, "liveness", "no end, or no restart");
	if (at.trouble->part) {
		steps_free(&steps);
		steps_join(&steps);
	}
	recorded = o->recorded(&steps);
	if (recorded || !o->apart) {
		steps_join(&steps);
		rest("after the trouble");
	}
	steps.world.table_fails = 0;
	unflushed = steps.world.flush_fails;
	steps.world.flush_fails = 0;
	told->outcome = o->done(&steps) ? ITSELF : AGAIN;
	if (told->outcome == AGAIN && recorded)
		sim_fail(&steps.world, "I12", "it is recorded, but does not go on by itself");
	if (told->outcome == AGAIN) {
		check_as_before();
		ask_again(0, "again");
	}
	ask_again(o->again, "once more");
	steps_verify(&steps);
	if (at.trouble->flushes && steps.now[0].mirror == MIRROR_SYNCED)
		lose(unflushed);
}

static void run_listing(void)
{
	at.listing = true;
	operate();
	at.listing = false;
	ask_again(steps.operation->again, "twice");
	steps_verify(&steps);
}

/* Where the others branch off from. */
static void run_trunk(void)
{
	at.branching = true;
	operate();
	if (at.pending)
		run_case();
	else if (at.passed != told->count)
		sim_fail(&steps.world, "steps", "%u points were listed, %u passed", told->count,
			 at.passed);
}

/* Waits for process @pid; false = it failed, and told->log says how. */
static bool ended_well(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status == 0)
		return status == 0;
	if (told->log.invariant)
		printf("broken  %s: %s\n", told->log.invariant, told->log.failure);
	else
		printf("broken  the process ended with status %#x\n", status);
	sim_log_print(&told->log, STORY_EVENTS, stdout);
	return false;
}

static pid_t begin(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert(pid >= 0);
	return pid;
}

/* Runs @run in a process of its own. */
static bool apart(void (*run)(void))
{
	pid_t pid = begin();

	if (pid == 0) {
		run();
		fflush(stdout);
		_exit(0);
	}
	return ended_well(pid);
}

static const char *outcome_text(enum outcome outcome)
{
	static const char *const texts[] = {"-", "itself", "again", "FAILED"};

	return texts[outcome];
}

/* --- the table --- */

static uint64_t bit(unsigned place)
{
	return 1ull << place;
}

/* What the listing has of each place, by node and moment. */
static void masks(uint64_t seen[SIM_NODES][4])
{
	memset(seen, 0, SIM_NODES * sizeof(seen[0]));
	for (unsigned i = 0; i < told->count; i++)
		seen[told->points[i].node][told->points[i].moment] |= bit(told->points[i].place);
}

static bool check_place(const struct steps_operation *o, uint64_t seen[SIM_NODES][4], unsigned n,
			unsigned place)
{
	bool frame = place < SIM_POINT_TABLE_1;
	struct sim_point point = {(uint8_t)n, (uint8_t)place, SIM_POINT_BEFORE};
	bool wanted = (frame ? o->sends[n] : o->stores[n]) & bit(place);
	bool whole = true, good;
	char text[64];

	for (unsigned moment = 0; moment < (frame ? 4u : 3u); moment++) {
		bool other = frame && (moment == SIM_POINT_MIDDLE || moment == SIM_POINT_THERE);

		if (place == SIM_POINT_FLUSH && moment == SIM_POINT_MIDDLE)
			continue;
		whole &= (seen[n ^ other][moment] & bit(place)) != 0;
	}
	good = wanted ? whole : !(seen[n][SIM_POINT_BEFORE] & bit(place));
	sim_point_name(&point, text, sizeof(text));
	if (!good)
		printf("FAILED  %s: %c, \"%s\" is %s\n", o->name, 'A' + n, text,
		       wanted ? "in the table, but was not reached with all of its moments"
			      : "not in the table");
	return good;
}

/* Each point of the table was reached, and no other. */
static bool check_table(const struct steps_operation *o)
{
	uint64_t seen[SIM_NODES][4];
	bool good = true;

	masks(seen);
	for (unsigned n = 0; n < SIM_NODES; n++)
		for (unsigned place = 1; place < SIM_POINT_PLACES; place++)
			good &= check_place(o, seen, n, place);
	return good;
}

/* What is done with each 128 KiB of a volume, again and again. */
static bool bulk(const struct sim_point *point)
{
	return bit(point->place) & (bit(FRAME_WRITE) | bit(FRAME_WRITE_ZEROES) | bit(FRAME_CHECK) |
				    bit(SIM_POINT_DATA) | bit(SIM_POINT_ZEROES));
}

/* Of the same point in the bulk the first and the last are enough. */
static bool left_out(unsigned i)
{
	const struct sim_point *point = &told->points[i];
	bool earlier = false, later = false;

	if (options.all || options.point >= 0 || !bulk(point))
		return options.point >= 0 && (unsigned)options.point != i;
	for (unsigned k = 0; k < told->count; k++) {
		if (memcmp(&told->points[k], point, sizeof(*point)) != 0)
			continue;
		earlier |= k < i;
		later |= k > i;
	}
	return earlier && later;
}

/* One process for each trouble at point @i of the listing; true = this is such a process. */
static bool branch(unsigned i)
{
	const struct sim_point *point = &told->points[i];
	static struct sim_log log;
	char text[64];

	if (i >= told->count || left_out(i) || (options.first && told->failed))
		return false;
	log = told->log;
	sim_point_name(point, text, sizeof(text));
	printf("%-20s %3u  %c %-36s", steps.operation->name, i, 'A' + point->node, text);
	for (unsigned t = 0; t < ARRAY_SIZE(troubles); t++) {
		pid_t pid;

		if (options.trouble >= 0 && (unsigned)options.trouble != t)
			continue;
		if (troubles[t].part && !steps.operation->closed) {
			printf(" %-9s", outcome_text(NONE));
			continue;
		}
		told->outcome = NONE;
		at.trouble = &troubles[t];
		pid = begin();
		if (pid == 0)
			return true;
		if (!ended_well(pid)) {
			told->outcome = FAILED;
			told->failed = true;
			printf("replay  --seed %llu --operation '%s' --point %u --trouble %u "
			       "(%s)\n",
			       (unsigned long long)options.seed, steps.operation->name, i, t,
			       troubles[t].name);
		}
		told->log = log;
		told->totals[told->outcome]++;
		printf(" %-9s", outcome_text(told->outcome));
	}
	printf("\n");
	return false;
}

static bool run_operation(const struct steps_operation *o)
{
	bool good;

	memset(&steps, 0, sizeof(steps));
	told->count = 0;
	told->failed = false;
	steps_prepare(&steps, o, &told->log, options.seed);
	if (!apart(run_listing)) {
		printf("FAILED  %s, without trouble\n", o->name);
		return false;
	}
	good = check_table(o);
	if (options.point >= 0 && (unsigned)options.point >= told->count) {
		printf("FAILED  %s has no point %d\n", o->name, options.point);
		return false;
	}
	if (good || !options.first)
		good &= apart(run_trunk) && !told->failed;
	/* The world of this operation is given up with everything in it. */
	sim_crash(&steps.world.node[0], false);
	sim_crash(&steps.world.node[1], false);
	sim_world_end(&steps.world);
	return good;
}

static const struct argp_option option_table[] = {
	{"operation", 'o', "NAME", 0, "Only this one", 0},
	{"seed", 's', "S", 0, "Delays, and what a device loses (1)", 0},
	{"point", 'p', "N", 0, "Only this point", 0},
	{"all", 'a', NULL, 0, "Also each repetition of what is done piece by piece", 0},
	{"first", 'f', NULL, 0, "Stop at the first failure", 0},
	{"trouble", 't', "N", 0, "Only this trouble", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case 'o':
		options.operation = arg;
		return 0;
	case 's':
		options.seed = strtoull(arg, NULL, 0);
		return 0;
	case 'p':
		options.point = atoi(arg);
		return 0;
	case 'a':
		options.all = true;
		return 0;
	case 'f':
		options.first = true;
		return 0;
	case 't':
		options.trouble = atoi(arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	const struct argp argp = {.options = option_table, .parser = parse};
	unsigned operations = 0;
	bool good = true;

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL))
		return 2;
	crc32c_init();
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(told != MAP_FAILED);
	printf("%-20s %3s  %-38s", "operation", "no", "trouble at");
	for (unsigned t = 0; t < ARRAY_SIZE(troubles); t++)
		printf(" %-9s", troubles[t].name);
	printf("\n");
	for (unsigned i = 0; i < steps_operation_count && (good || !options.first); i++) {
		if (options.operation && strcmp(options.operation, steps_operations[i].name) != 0)
			continue;
		operations++;
		good &= run_operation(&steps_operations[i]);
	}
	printf("%u operations: %u troubles went on by themselves, %u were asked again, %u failed\n",
	       operations, told->totals[ITSELF], told->totals[AGAIN], told->totals[FAILED]);
	return good && told->totals[ITSELF] + told->totals[AGAIN] > 0 ? 0 : 1;
}
