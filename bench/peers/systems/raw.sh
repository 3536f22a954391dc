# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# One device, past the block layer, by one process.
set_up() { TARGET=$NG_A; }
