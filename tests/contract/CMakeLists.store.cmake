# SPDX-License-Identifier: BSD-3-Clause
# The store's contract, over its backends.  RUNG: how much of io_uring is used, see nvme/queue_internal.h.
ls_test(contract-store-file
	SOURCES contract/store_contract.c contract/store_refusals.c contract/store_faults.c
		contract/store_nvme.c contract/store_support.c
	USES nvme
	LIBS PkgConfig::uring
	LABELS contract TIMEOUT 180
	ARGS file ${CMAKE_CURRENT_BINARY_DIR} default 0)
# The suite counts the allocations of the data path.
target_link_options(test_contract-store-file PRIVATE
	LINKER:--wrap=malloc LINKER:--wrap=calloc LINKER:--wrap=realloc)

# contract_store(NAME ARGS...): the same program, over another store.
function(contract_store name)
	add_test(NAME contract-store-${name} COMMAND test_contract-store-file ${ARGN})
	set_tests_properties(contract-store-${name} PROPERTIES LABELS contract TIMEOUT 180
		SKIP_RETURN_CODE 77)
endfunction()
contract_store(file-512 file ${CMAKE_CURRENT_BINARY_DIR} block=512 0)
contract_store(file-buffered file ${CMAKE_CURRENT_BINARY_DIR} direct=no 0)
contract_store(file-cooperative file ${CMAKE_CURRENT_BINARY_DIR} default 1)
contract_store(file-plain file ${CMAKE_CURRENT_BINARY_DIR} block=512 2)
contract_store(tmpfs file /dev/shm default 0)
contract_store(tmpfs-512-buffered file /dev/shm "block=512&direct=no" 0)
# A device whose content may be destroyed is named by $LS_TEST_NVME; tests/lab/store-nvme.sh does that.
contract_store(nvme device env 0)
