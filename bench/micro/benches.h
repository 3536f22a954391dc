/* SPDX-License-Identifier: BSD-3-Clause */
/* The benchmarks by subject; each function registers its own. */
#ifndef LS_BENCH_MICRO_BENCHES_H
#define LS_BENCH_MICRO_BENCHES_H

void add_core_benches(void); /* parts of the core */
void add_checksum_benches(void); /* the checksums */
void add_ring_benches(void); /* a client's queue in shared memory */
void add_mirror_benches(void); /* whole writes, with two engines */

#endif
