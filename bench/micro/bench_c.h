/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Google Benchmark seen from C.  A benchmark is a function that runs its body while
 * bench_next() is true; everything outside that loop is not timed.
 *
 *     static void get_put(struct bench *b)
 *     {
 *             ... set up for bench_arg(b) ...
 *             while (bench_next(b))
 *                     bench_sink(work());
 *     }
 *     bench_add("msgid/get_put", get_put, (const int64_t[]){1, 64}, 2);
 */
#ifndef LS_BENCH_MICRO_BENCH_C_H
#define LS_BENCH_MICRO_BENCH_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench;
typedef void bench_fn(struct bench *bench);

/* Registers @fn, once for each of @args (none: @count 0).  @name is copied. */
void bench_add(const char *name, bench_fn *fn, const int64_t *args, size_t count);
/* Runs what was registered, as Google Benchmark's command line says; the exit status. */
int bench_main(int argc, char **argv);

bool bench_next(struct bench *bench);
int64_t bench_arg(const struct bench *bench);
void bench_bytes(struct bench *bench, uint64_t bytes_each); /* for MB/s */

/* Keeps the compiler from dropping a result. */
static inline void bench_sink(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

#ifdef __cplusplus
}
#endif
#endif
