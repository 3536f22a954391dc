/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/micro/bench_c.h"
#include "bench/micro/benches.h"
#include "engine/base/crc32c.h"

#include <string.h>

int main(int argc, char **argv)
{
	add_core_benches();
	add_checksum_benches();
	add_ring_benches();
	add_mirror_benches();
	/* What init chooses depends on the machine: not where instructions are compared. */
	if (argc < 2 || strcmp(argv[1], "--count") != 0)
		crc32c_init();
	else if (crc32c_instruction_there())
		crc32c_use(crc32c_instruction, crc32c_isal);
	return bench_main(argc, argv);
}
