/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Google Benchmark seen from C.  A benchmark is a function that runs its body while
 * bench_next() is true; everything outside that loop is not timed.
 *
 *     static void get_put(struct bench *b)
 *     {
 *             ... set up for b->arg ...
 *             while (bench_next(b))
 *                     bench_sink(work());
 *     }
 *     bench_add(&(struct bench_spec){.name = "msgid/get_put", .run = get_put, ...});
 *
 * The same function also runs without Google Benchmark, a fixed number of times, so that a
 * simulator can count its instructions: see bench_main() and ./instructions.
 */
#ifndef LS_BENCH_MICRO_BENCH_C_H
#define LS_BENCH_MICRO_BENCH_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench {
	int64_t arg; /* the one of bench_spec.args that this run is for */
	/* The wrapper's own. */
	uint32_t left; /* iterations until bench_more() is asked again */
	uint32_t phase; /* of a counted run */
	void *state; /* Google Benchmark's; NULL = a counted run */
};

struct bench_spec {
	const char *name;
	void (*run)(struct bench *bench);
	/* Runs once for each of these; none: once. */
	const int64_t *args;
	size_t args_count;
	/* A few words why its instructions are not compared; NULL = they are. */
	const char *uncounted;
};

/* Registers @spec, which is copied with its name. */
void bench_add(const struct bench_spec *spec);
/*
 * Runs what was registered, as Google Benchmark's command line says; or, when the first argument
 * is --count, without it, those whose name contains the second.  Returns the exit status.
 */
int bench_main(int argc, char **argv);

bool bench_more(struct bench *bench);
static inline bool bench_next(struct bench *bench)
{
	if (bench->left == 0)
		return bench_more(bench);
	bench->left--;
	return true;
}

void bench_bytes(struct bench *bench, uint64_t bytes_each); /* for MB/s */
void bench_items(struct bench *bench); /* for operations a second */
/* It cannot run here; the function then returns without having asked bench_next(). */
void bench_skip(struct bench *bench, const char *why);

/* Keeps the compiler from dropping a result. */
static inline void bench_sink(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

#ifdef __cplusplus
}
#endif
#endif
