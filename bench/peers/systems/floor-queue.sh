# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# The same with a third process that asks through a bare ring in shared memory.
mirrored=yes kinds="randwrite randread"
run_jobs() { run_floor --queue "$NG_A" "$NG_B"; }
