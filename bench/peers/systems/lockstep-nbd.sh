# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Through the block device that `lockstep attach` makes.
. "$peers/systems/lockstep.sh"
kinds+=" pgbench"

why_not() {
	missing jq kernel:nbd
	"$LS_BUILD/tools/lockstep/lockstep" --help | grep -w attach >/dev/null || echo "this lockstep has no command attach"
}
set_up() {
	lockstep_nodes
	TARGET=$(on a --json attach vol | jq -r .device)
}
tear_down() { [[ -z $TARGET ]] || on a detach vol; }
