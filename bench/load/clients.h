/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several client processes at once, on one volume or on one volume each: all begin each job at the
 * same time, and their requests are counted together and one by one.
 */
#ifndef LS_BENCH_LOAD_CLIENTS_H
#define LS_BENCH_LOAD_CLIENTS_H

#include "bench/load/load.h"

#define CLIENTS_MAX 64u

/*
 * @name: of the volume; a '%' in it stands for the client's number, from 0.  Without one they share
 * the volume, and each writes blocks of its own.  Prints a line for each job, load_print_all().
 * Returns the exit status: 1 when a client failed; it has said why, and the others are ended.
 */
int clients_run(const struct load_options *options, unsigned count, const char *socket,
		const char *name);

#endif
