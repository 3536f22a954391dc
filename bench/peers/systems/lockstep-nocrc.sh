# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Without checksums of payloads, which the other systems do not have.
. "$peers/systems/lockstep.sh"
lockstep_options=(--payload-crc off)
