# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Two bare processes, no checks: bench/floor.
mirrored=yes kinds="randwrite randread"
run_jobs() { run_floor "$NG_A" "$NG_B"; }
