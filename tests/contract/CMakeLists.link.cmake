# SPDX-License-Identifier: BSD-3-Clause
# One suite, one run for each backend; a backend that cannot run here says why and is skipped.
ls_test(contract-link-tcp
	SOURCES contract/link_contract.c contract/link_world.c contract/link_basic.c
		contract/link_queued.c contract/link_ping.c contract/link_fault.c contract/link_tcp.c
		contract/link_rdma.c
	USES verbs base
	LIBS PkgConfig::ibverbs
	LABELS contract
	ARGS tcp://127.0.0.1:0
	TIMEOUT 120)
# The suite counts the allocations of the data path.
target_link_options(test_contract-link-tcp PRIVATE
	LINKER:--wrap=malloc LINKER:--wrap=calloc LINKER:--wrap=realloc)
