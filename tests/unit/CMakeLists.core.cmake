# SPDX-License-Identifier: BSD-3-Clause
# Unit tests of the pure core, one per module.
foreach(module frame msgid range record crc32c intent decide event pace sumlog)
	ls_test(unit-${module} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/test_${module}.c
		USES peer core meta base LABELS unit)
endforeach()
