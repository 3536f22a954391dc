# SPDX-License-Identifier: BSD-3-Clause
# The build vocabulary: ls_layer(), ls_program(), ls_test().  A folder's CMakeLists.txt is a list.
include(CMakeParseArguments)
find_package(PkgConfig REQUIRED)

foreach(dep
	ibverbs=libibverbs rdmacm=librdmacm nvme=libnvme uring=liburing hwloc=hwloc blkid=blkid
	isal=libisal crypto=libcrypto jsonc=json-c smartcols=smartcols ncursesw=ncursesw systemd=libsystemd ck=ck
	genl=libnl-genl-3.0 cmocka=cmocka)
	string(REPLACE "=" ";" pair ${dep})
	list(GET pair 0 name)
	list(GET pair 1 module)
	pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
endforeach()

# Flags live on a target, never in CMAKE_C_FLAGS.  The presets leave NDEBUG unset: asserts ship.
add_library(ls_flags INTERFACE)
target_compile_features(ls_flags INTERFACE c_std_17)
target_compile_options(ls_flags INTERFACE
	$<$<COMPILE_LANGUAGE:C>:-std=gnu17>
	-Wall -Wextra -Werror -Wshadow -Wundef -Wwrite-strings -Wformat=2 -Wcast-align
	-Wno-missing-field-initializers
	# A sentence that does not fit its buffer is cut; that is what snprintf is used for.
	$<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
	$<$<COMPILE_LANGUAGE:C>:-Wvla -Wstrict-prototypes -Wmissing-prototypes>
	# gcc 12 breaks intrusive lists without it: tests/unit/test_list.c shows how.
	-fno-strict-aliasing
	-fno-common -fno-omit-frame-pointer -fvisibility=hidden
	# -iquote, not -I: our folder nvme/ must not shadow libnvme's <nvme/...>.
	"SHELL:-iquote ${CMAKE_SOURCE_DIR}")
target_compile_definitions(ls_flags INTERFACE _GNU_SOURCE)
if(LS_SANITIZE)
	target_compile_options(ls_flags INTERFACE -fsanitize=${LS_SANITIZE} -fno-sanitize-recover=all)
	target_link_options(ls_flags INTERFACE -fsanitize=${LS_SANITIZE})
endif()
if(LS_FUZZ)
	target_compile_options(ls_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# What ships and what measures it are optimised as one, across files: ls_whole_program().  A layer of
# the data path has both kinds of code in its objects, so that all other programs link as fast as ever.
set(LS_WHOLE OFF)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT LS_SANITIZE AND NOT LS_FUZZ)
	set(LS_WHOLE ON)
	target_link_options(ls_flags INTERFACE
		$<IF:$<BOOL:$<TARGET_PROPERTY:LS_WHOLE_PROGRAM>>,-flto=auto,-fno-lto>)
endif()

# ls_layer(NAME [DATA_PATH | HOT] SOURCES ... USES <layers> LIBS <private third-party targets>)
# HOT: of the data path, and its functions are joined however long they become.
function(ls_layer name)
	cmake_parse_arguments(A "DATA_PATH;HOT" "" "SOURCES;USES;LIBS" ${ARGN})
	add_library(ls_${name} STATIC ${A_SOURCES})
	set_target_properties(ls_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
	list(TRANSFORM A_USES PREPEND ls_)
	target_link_libraries(ls_${name} PUBLIC ls_flags ${A_USES} PRIVATE ${A_LIBS})
	if(LS_WHOLE AND (A_DATA_PATH OR A_HOT))
		target_compile_options(ls_${name} PRIVATE -flto -ffat-lto-objects $<$<BOOL:${A_HOT}>:-O3>)
	endif()
endfunction()

# ls_program(NAME SOURCES ... USES <layers> LIBS ...)
function(ls_program name)
	cmake_parse_arguments(A "" "" "SOURCES;USES;LIBS" ${ARGN})
	add_executable(${name} ${A_SOURCES})
	list(TRANSFORM A_USES PREPEND ls_)
	target_link_libraries(${name} PRIVATE ls_flags ${A_USES} ${A_LIBS})
endfunction()

# ls_whole_program(NAME): one that is optimised as a whole; behind its ls_program().
function(ls_whole_program name)
	set_target_properties(${name} PROPERTIES LS_WHOLE_PROGRAM ON)
endfunction()

# ls_test(NAME SOURCES ... USES <layers> LIBS ... LABELS ... ARGS ... TIMEOUT s): a cmocka program.
# Exit status 77 = skipped, with its reason on standard output.
function(ls_test name)
	cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;USES;LIBS;LABELS;ARGS" ${ARGN})
	if(NOT A_TIMEOUT)
		set(A_TIMEOUT 60)
	endif()
	add_executable(test_${name} ${A_SOURCES})
	list(TRANSFORM A_USES PREPEND ls_)
	target_link_libraries(test_${name} PRIVATE ls_flags ${A_USES} ${A_LIBS} PkgConfig::cmocka)
	add_test(NAME ${name} COMMAND test_${name} ${A_ARGS})
	set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
		SKIP_RETURN_CODE 77)
endfunction()

# ls_script_test(NAME COMMAND ... LABELS ... TIMEOUT s): a script with the same exit codes.
function(ls_script_test name)
	cmake_parse_arguments(A "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
	if(NOT A_TIMEOUT)
		set(A_TIMEOUT 120)
	endif()
	add_test(NAME ${name} COMMAND ${A_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
	set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
		SKIP_RETURN_CODE 77
		ENVIRONMENT "LS_BUILD=${CMAKE_BINARY_DIR}")
endfunction()
