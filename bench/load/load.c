/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/load/load.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOUCH_EVERY (1u << 20)

static const char *const kind_names[] = {
	[JOB_READ] = "randread", [JOB_WRITE] = "randwrite", [JOB_MIX] = "randrw",
	[JOB_FSYNC] = "fsync",	 [JOB_TOUCH] = "touch",	    [JOB_FILL] = "fill",
};

void die(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return clock_precise();
#endif
}

/* Ticks in a microsecond, found out once. */
static double tick_rate(void)
{
	static double rate;
	uint64_t ns = clock_precise(), begin = ticks(), now = ns;

	while (rate == 0 && now - ns < 20000000)
		now = clock_precise();
	if (rate == 0)
		rate = (double)(ticks() - begin) * 1000 / (double)(now - ns);
	return rate;
}

uint64_t ticks_of_us(uint64_t us)
{
	return (uint64_t)((double)us * tick_rate());
}

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void fill_random(void *memory, size_t bytes, uint64_t seed)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = random_next(&seed);
}

void pin_to(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d: %s", cpu, strerror(errno));
}

/*
 * Idle time of all CPUs.  The kernel keeps that exactly; what it calls user and system time it
 * only samples, and short bursts of work fall through.
 */
static uint64_t idle_us(void)
{
	unsigned long long user, nice, system, idle, iowait;
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
			    &iowait) != 5)
		die("cannot read /proc/stat");
	fclose(file);
	return (idle + iowait) * 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

void load_parse_jobs(struct load_options *o, const char *list)
{
	char *copy = strdup(list), *save, *part;

	for (part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		struct job *job = &o->jobs[o->job_count];
		char name[16];
		unsigned kind = 0;

		if (o->job_count == JOBS_MAX ||
		    sscanf(part, "%15[a-z]:%u:%u", name, &job->bs, &job->qd) != 3)
			die("job '%s': write KIND:BYTES:DEPTH, at most %u of them", part, JOBS_MAX);
		while (kind < ARRAY_SIZE(kind_names) && strcmp(name, kind_names[kind]) != 0)
			kind++;
		if (kind == ARRAY_SIZE(kind_names) || job->qd < 1 || job->qd > DEPTH_MAX ||
		    job->bs < 4096 || job->bs > BLOCK_MAX || job->bs % 4096)
			die("job '%s': randread, randwrite, randrw, fsync, touch or fill, of 4096 "
			    "to %u "
			    "bytes, "
			    "1 to %u deep",
			    part, BLOCK_MAX, DEPTH_MAX);
		job->kind = (enum job_kind)kind;
		o->job_count++;
	}
	free(copy);
}

bool load_parse_option(struct load_options *o, int option, const char *value)
{
	switch (option) {
	case 'j':
		load_parse_jobs(o, value);
		return true;
	case 'p':
		o->span_bytes = strtoull(value, NULL, 0);
		return true;
	case 's':
		o->seconds = strtod(value, NULL);
		return true;
	case 'w':
		o->warm_seconds = strtod(value, NULL);
		return true;
	case 't':
		o->stride_bytes = strtoull(value, NULL, 0);
		return true;
	case 'n':
		o->system = value;
		return true;
	case 'r':
		o->round = (unsigned)strtoul(value, NULL, 0);
		return true;
	default:
		return false;
	}
}

static unsigned sharers_of(const struct load_options *o)
{
	return o->sharers ? o->sharers : 1;
}

void load_begin(struct load *l, const struct load_options *o, unsigned job)
{
	uint64_t now;

	memset(l, 0, sizeof(*l));
	l->options = o;
	l->job = o->jobs[job];
	l->random = clock_precise();
	/* Whole stripes of one block for each slot. */
	l->lanes = l->job.qd * sharers_of(o);
	l->lane = l->job.qd * o->sharer;
	l->stride_bytes = o->stride_bytes ? o->stride_bytes : l->job.bs;
	if (l->stride_bytes < l->job.bs || l->stride_bytes % 4096)
		die("--stride: whole blocks of 4096 bytes, and no less than a request");
	l->blocks = o->span_bytes / l->stride_bytes / l->lanes;
	if (!l->blocks)
		die("--span is too small for %u blocks, %llu bytes apart", l->lanes,
		    (unsigned long long)l->stride_bytes);
	now = ticks();
	l->warm_end = now + ticks_of_us((uint64_t)(o->warm_seconds * 1e6));
	l->end = l->warm_end + ticks_of_us((uint64_t)(o->seconds * 1e6));
}

static bool reads(struct load *l)
{
	return l->job.kind == JOB_READ ||
	       (l->job.kind == JOB_MIX && random_next(&l->random) % 100 < 70);
}

/* The counted time begins and ends with a request that is issued. */
static void look_at_clock(struct load *l, uint64_t now)
{
	if (!l->counting && now >= l->warm_end) {
		hist_reset(&l->hist);
		l->idle_begin_us = idle_us();
		l->begin_ns = clock_precise();
		l->counting = true;
	} else if (!l->over && now >= l->end) {
		l->end_ns = clock_precise();
		l->idle_end_us = idle_us();
		l->over = true;
	}
}

/* TOUCH and FILL: no figures. */
static bool prepares(const struct load *l)
{
	return l->job.kind == JOB_TOUCH || l->job.kind == JOB_FILL;
}

static bool prepare_next(struct load *l, void *buffer, struct io *io)
{
	const struct load_options *o = l->options;
	uint64_t every = l->job.kind == JOB_TOUCH ? TOUCH_EVERY : l->stride_bytes;
	uint64_t at = (l->sequence * sharers_of(o) + o->sharer) * every;

	l->over = at >= o->span_bytes;
	if (l->over)
		return false;
	*io = (struct io){IO_WRITE, l->job.bs, at};
	*(uint64_t *)buffer = ++l->sequence;
	l->in_flight++;
	return true;
}

bool load_issue(struct load *l, unsigned slot, void *buffer, struct io *io)
{
	uint64_t now = ticks();

	if (prepares(l))
		return prepare_next(l, buffer, io);

	if (l->flush_next[slot]) {
		io->op = IO_FLUSH;
		io->offset = io->bytes = 0;
		l->in_flight++;
		return true;
	}
	look_at_clock(l, now);
	if (l->over)
		return false;
	io->op = reads(l) ? IO_READ : IO_WRITE;
	io->bytes = l->job.bs;
	io->offset =
		(random_next(&l->random) % l->blocks * l->lanes + l->lane + slot) * l->stride_bytes;
	if (io->op == IO_WRITE)
		*(uint64_t *)buffer = ++l->sequence;
	l->started[slot] = now;
	l->in_flight++;
	return true;
}

void load_complete(struct load *l, unsigned slot)
{
	l->in_flight--;
	if (l->job.kind == JOB_FSYNC) {
		l->flush_next[slot] = !l->flush_next[slot];
		if (l->flush_next[slot])
			return;
	}
	if (!l->over)
		hist_add(&l->hist, ticks() - l->started[slot]);
}

bool load_ended(const struct load *l)
{
	return l->over && !l->in_flight;
}

static double seconds_of(const struct load *l)
{
	return (double)(l->end_ns - l->begin_ns) / 1e9;
}

static double iops_of(const struct load *l)
{
	/* One of several may have got nothing at all. */
	return l->hist.count ? (double)l->hist.count / seconds_of(l) : 0;
}

static double percentile_us(const struct hist *hist, double percent)
{
	return (double)hist_percentile(hist, percent) / tick_rate();
}

/* Ends without the bracket, so that more may follow. */
static void print_figures(const struct load *l, const struct hist *hist, double iops)
{
	const struct load_options *o = l->options;
	double busy_us = seconds_of(l) * 1e6 * (double)sysconf(_SC_NPROCESSORS_ONLN) -
			 (double)(l->idle_end_us - l->idle_begin_us);

	printf("{\"system\":\"%s\",\"rw\":\"%s\",\"bs\":%u,\"qd\":%u,\"round\":%u,\"iops\":%.1f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"mbps\":%.2f,"
	       "\"cpu_us_per_io\":%.1f",
	       o->system, kind_names[l->job.kind], l->job.bs, l->job.qd, o->round, iops,
	       percentile_us(hist, 50), percentile_us(hist, 99), percentile_us(hist, 99.9),
	       iops * l->job.bs / 1e6, busy_us / (iops * seconds_of(l)));
}

void load_print(struct load *l)
{
	if (prepares(l))
		return;
	if (!l->hist.count)
		die("no request was completed in %.1f s", seconds_of(l));
	print_figures(l, &l->hist, iops_of(l));
	puts("}");
	fflush(stdout);
}

void load_print_all(struct load *loads, unsigned count)
{
	static struct hist all;
	const struct load *some = NULL;
	double iops = 0;

	if (prepares(loads))
		return;
	hist_reset(&all);
	for (unsigned i = 0; i < count; i++) {
		hist_merge(&all, &loads[i].hist);
		iops += iops_of(&loads[i]);
		if (loads[i].hist.count)
			some = &loads[i];
	}
	if (!some)
		die("no request of any client was completed");
	print_figures(some, &all, iops);
	printf(",\"max_us\":%.1f,\"clients\":[", (double)all.max / tick_rate());
	for (unsigned i = 0; i < count; i++) {
		const struct hist *own = &loads[i].hist;

		printf("%s{\"iops\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
		       "\"max_us\":%.1f}",
		       i ? "," : "", iops_of(&loads[i]), percentile_us(own, 50),
		       percentile_us(own, 99), percentile_us(own, 99.9),
		       (double)own->max / tick_rate());
	}
	puts("]}");
	fflush(stdout);
}
