# SPDX-License-Identifier: BSD-3-Clause
# The same tests under sanitizers, as tests of the release build: so one ctest run, and its one
# summary, has them all.  Each runs the tests of another build folder that have one of the labels;
# `tools/check` builds those folders first.  Without them: skipped, with that reason.
if(LS_SANITIZE OR LS_FUZZ)
	return()
endif()

function(ls_sanitized name preset label timeout)
	ls_script_test(${name}
		COMMAND ${CMAKE_CURRENT_LIST_DIR}/sanitized.sh ${CMAKE_SOURCE_DIR}/build/${preset} ${label} ${ARGN}
		LABELS sanitized ${preset} TIMEOUT ${timeout})
endfunction()

# The system tests have limits of their own; the one here is for a busy host.
ls_sanitized(asan-unit dev unit 300)
ls_sanitized(asan-contract dev contract 300)
ls_sanitized(asan-sim dev sim 600)
ls_sanitized(asan-system dev system 900)
ls_sanitized(tsan-unit tsan unit 300)
ls_sanitized(tsan-contract tsan contract 300)
# lockstep and its kin have one thread, of which ThreadSanitizer has nothing to say; it only makes each of a thousand starts slow.
ls_sanitized(tsan-system tsan system 900 ${CMAKE_BINARY_DIR})
