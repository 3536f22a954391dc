/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/micro/bench_c.h"

#include <benchmark/benchmark.h>

struct bench {
	benchmark::State &state;
};

void bench_add(const char *name, bench_fn *fn, const int64_t *args, size_t count)
{
	auto *registered = benchmark::RegisterBenchmark(name, [fn](benchmark::State &state) {
		struct bench bench = {state};

		fn(&bench);
	});

	for (size_t i = 0; i < count; i++)
		registered->Arg(args[i]);
}

int bench_main(int argc, char **argv)
{
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 2;
	return benchmark::RunSpecifiedBenchmarks() ? 0 : 1;
}

bool bench_next(struct bench *bench)
{
	return bench->state.KeepRunning();
}

int64_t bench_arg(const struct bench *bench)
{
	return bench->state.range(0);
}

void bench_bytes(struct bench *bench, uint64_t bytes_each)
{
	bench->state.SetBytesProcessed((int64_t)(bytes_each * bench->state.iterations()));
}
