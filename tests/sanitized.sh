#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the tests with LABEL pass in the build folder DIR, too, which was built with a sanitizer.
# usage: sanitized.sh DIR LABEL [CLIENTS]
# CLIENTS: the build folder of the programs beside the daemons, when it is another one.
# Exit status 77 when that folder was not built.  LS_REQUIRE=1 turns that into a failure.
set -euo pipefail

dir=$1 label=$2
if [[ ! -e $dir/CTestTestfile.cmake ]]; then
	echo "SKIP: $dir is not built (cmake --preset ${dir##*/} && cmake --build --preset ${dir##*/})"
	[[ -z ${LS_REQUIRE:-} ]] || exit 1
	exit 77
fi
# A report of a sanitizer is a failure, whatever the program made of it.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99
export TSAN_OPTIONS=halt_on_error=0:exitcode=99:second_deadlock_stack=1
unset LS_BUILD LS_CLIENTS
if (($# > 2)); then export LS_CLIENTS=$3; fi
exec ctest --test-dir "$dir" -L "^$label\$" --no-tests=error --output-on-failure -j "${LS_JOBS:-2}"
