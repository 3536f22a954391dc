# SPDX-License-Identifier: BSD-3-Clause
# Unit tests of the pure core, one per module.
foreach(module list frame msgid range record clock crc32c intent decide event pace sumlog)
	ls_test(unit-${module} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_${module}.c
		USES peer core meta base LABELS unit)
endforeach()
ls_test(unit-core SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_core.c
	USES peer core meta verbs nvme base LABELS unit)
foreach(module leg space commit)
	ls_test(unit-${module} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_${module}.c
		USES meta nvme base LABELS unit)
endforeach()
ls_test(unit-sample SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_sample.c
	USES control peer core meta base LABELS unit)
ls_test(unit-config SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_config.c USES config base LABELS unit)
target_compile_definitions(test_unit-config PRIVATE
	LS_SAMPLE="${CMAKE_SOURCE_DIR}/engine/config/lockstepd.conf")
ls_test(unit-log SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_log.c
	USES daemon config control shm verbs nvme base LIBS PkgConfig::systemd LABELS unit)
target_link_options(test_unit-log PRIVATE -Wl,--wrap=sd_journal_sendv)
target_compile_definitions(test_unit-log PRIVATE
	LS_CATALOG="${CMAKE_SOURCE_DIR}/engine/daemon/lockstep.catalog")
# The link of these is that of the fuzz targets.
ls_test(unit-channel
	SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_channel.c
		${CMAKE_CURRENT_SOURCE_DIR}/fuzz/world.c ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/flink.c
	USES control verbs nvme base LABELS unit)
# The handshake, with a hand on the wire; the engine is that of the fuzz targets, too.
ls_test(session-security
	SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/session_security.c
		${CMAKE_CURRENT_SOURCE_DIR}/fuzz/world.c ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/flink.c
	USES control verbs nvme base LABELS unit)
