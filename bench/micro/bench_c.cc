/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/micro/bench_c.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

/* Iterations between two questions to Google Benchmark. */
#define BATCH 64
/* A counted run: so many to warm up, then so many that count. */
#define WARM_UP 256
#define COUNTED 1024

extern "C" void bench_mark(void);

/* Callgrind ends one profile and begins the next where this is called. */
__attribute__((noinline)) void bench_mark(void)
{
	__asm__ volatile("");
}

namespace
{

struct run {
	std::string name;
	bench_spec spec;
	int64_t arg;
};

std::vector<run> runs;

benchmark::State *state_of(const struct bench *bench)
{
	return static_cast<benchmark::State *>(bench->state);
}

bool more_counted(struct bench *bench)
{
	switch (bench->phase++) {
	case 0:
		bench->left = WARM_UP - 1;
		return true;
	case 1:
		bench->left = COUNTED - 1;
		bench_mark();
		return true;
	default:
		bench_mark();
		return false;
	}
}

/* One line for each benchmark: its name, its iterations; two profiles: before, counted. */
int count(const char *part)
{
	std::printf("compiler %s\n", __VERSION__);
	for (const run &r : runs) {
		struct bench bench = {r.arg, 0, 0, nullptr};

		if (!std::strstr(r.name.c_str(), part))
			continue;
		if (r.spec.uncounted) {
			std::printf("not-counted %s %s\n", r.name.c_str(), r.spec.uncounted);
			continue;
		}
		r.spec.run(&bench);
		std::printf("counted %s %d\n", r.name.c_str(), COUNTED);
	}
	return std::fflush(stdout) ? 1 : 0;
}

} // namespace

void bench_add(const struct bench_spec *spec)
{
	auto *registered = benchmark::RegisterBenchmark(
		spec->name, [run = spec->run, args = spec->args_count](benchmark::State &state) {
			struct bench bench = {args ? state.range(0) : 0, 0, 0, &state};

			run(&bench);
		});

	for (size_t i = 0; i < spec->args_count; i++) {
		registered->Arg(spec->args[i]);
		runs.push_back({std::string(spec->name) + "/" + std::to_string(spec->args[i]),
				*spec, spec->args[i]});
	}
	if (!spec->args_count)
		runs.push_back({spec->name, *spec, 0});
}

int bench_main(int argc, char **argv)
{
	if (argc > 1 && !std::strcmp(argv[1], "--count"))
		return count(argc > 2 ? argv[2] : "");
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 2;
	return benchmark::RunSpecifiedBenchmarks() ? 0 : 1;
}

bool bench_more(struct bench *bench)
{
	if (!bench->state)
		return more_counted(bench);
	bench->left = BATCH - 1;
	return state_of(bench)->KeepRunningBatch(BATCH);
}

void bench_bytes(struct bench *bench, uint64_t bytes_each)
{
	if (bench->state)
		state_of(bench)->SetBytesProcessed(
			(int64_t)(bytes_each * (uint64_t)state_of(bench)->iterations()));
}

void bench_items(struct bench *bench)
{
	if (bench->state)
		state_of(bench)->SetItemsProcessed(state_of(bench)->iterations());
}

void bench_skip(struct bench *bench, const char *why)
{
	if (bench->state)
		state_of(bench)->SkipWithError(why);
}
