# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154 # variables of lib.sh and its systems
# What of tests/system/lib.sh is otherwise when node b is another machine.  Behind it.
LIMIT=900 # a first copy of all of the span

start_there() {
	b_begins lockstep_at_b
	read -rt 60 -u "${b_side[0]:-}" work_b "node_uri[b]" || { echo "lockstepd does not start at b" && return 1; }
}

# A program of the copy that is at b, without what the system's file does.
there() {
	local program=$PEERS_THERE/build/release/$1
	shift
	SYSTEM="" at_b timeout "$LIMIT" "$program" "$@"
}
on() {
	local node=$1
	shift
	if [[ $node == b ]]; then
		there tools/lockstep/lockstep --run "$work_b/b/run" "$@"
	else
		timeout "$LIMIT" "$lockstep" --run "$work/$node/run" "$@"
	fi
}
introduce() {
	on a key create "$work/key" >/dev/null
	SYSTEM="" at_b_fed take_key "$work_b/key" <"$work/key"
	on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/key" >/dev/null
	on b peer add a --address "${node_uri[a]#*://}" --key-file "$work_b/key" >/dev/null
}
