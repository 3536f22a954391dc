# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# The same engine on its TCP link.
lockstep_transport=tcp
. "$peers/systems/lockstep.sh"
