# SPDX-License-Identifier: BSD-3-Clause
# Tests of engine/shm and engine/client.
find_package(Threads REQUIRED)

ls_test(shm_ring SOURCES ${CMAKE_CURRENT_LIST_DIR}/shm_ring.c USES shm LABELS unit)
ls_test(shm_attach SOURCES ${CMAKE_CURRENT_LIST_DIR}/shm_attach.c USES shm LABELS unit)
# Two threads that sleep 400000 times: seconds, but minutes on a loaded machine under a sanitizer.
ls_test(shm_wake SOURCES ${CMAKE_CURRENT_LIST_DIR}/shm_wake.c USES shm LIBS Threads::Threads
	LABELS unit TIMEOUT 300)
ls_test(nbd_server SOURCES ${CMAKE_CURRENT_LIST_DIR}/nbd_server.c
	USES daemon config control shm verbs nvme base LIBS PkgConfig::systemd LABELS unit)

ls_test(client_arena SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_arena.c USES client LABELS unit)
ls_test(client_library
	SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_library.c ${CMAKE_CURRENT_LIST_DIR}/client_engine.c
	USES client LIBS Threads::Threads LABELS unit TIMEOUT 300
	ARGS $<TARGET_FILE:lockstep-example>)
ls_test(client_reattach
	SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_reattach.c ${CMAKE_CURRENT_LIST_DIR}/client_engine.c
	USES client LIBS Threads::Threads LABELS unit TIMEOUT 120)
ls_test(nbd_shared
	SOURCES ${CMAKE_CURRENT_LIST_DIR}/nbd_shared.c ${CMAKE_CURRENT_LIST_DIR}/client_engine.c
		${CMAKE_SOURCE_DIR}/tools/nbdkit/shared.c
	USES client LIBS Threads::Threads LABELS unit TIMEOUT 120)
ls_test(client_race SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_race.c USES client
	LIBS Threads::Threads LABELS unit TIMEOUT 300)

# The public header alone, as strict C99 and as C++.
foreach(lang c cpp)
	add_library(test_client_header_${lang} OBJECT
		${CMAKE_CURRENT_LIST_DIR}/client_header.${lang})
	target_include_directories(test_client_header_${lang} PRIVATE
		${CMAKE_SOURCE_DIR}/engine/include)
	target_compile_options(test_client_header_${lang} PRIVATE
		-Wall -Wextra -Wpedantic -Wundef -Werror -pedantic-errors
		$<$<COMPILE_LANGUAGE:C>:-std=c99> $<$<COMPILE_LANGUAGE:CXX>:-std=c++17>)
endforeach()

ls_script_test(client_exports LABELS unit
	COMMAND ${CMAKE_CURRENT_LIST_DIR}/client_exports.sh $<TARGET_FILE:liblockstep>)
ls_script_test(client_install LABELS unit
	COMMAND ${CMAKE_CURRENT_LIST_DIR}/client_install.sh ${CMAKE_BINARY_DIR}
		${CMAKE_C_COMPILER})
