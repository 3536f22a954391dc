# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# One device, past the block layer, by one process; pgbench's file system is on its block device.
kinds+=" pgbench"
run_jobs() {
	run_load "$NG_A"
	run_pgbench "$DEV_A"
}
