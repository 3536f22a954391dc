#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a program goes on when its engine is killed or restarted under it: it sees a longer wait
# and nothing else, every write that it was told of is there, and both legs are equal.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:16M:1 flush

# The load checks all that it reads against what it wrote.  A restart takes seconds in a virtual machine.
seconds=20
[[ $LS_TRANSPORT == tcp ]] || seconds=60
in_background "$lockstep" --run "$work/a/run" --json load vol --time $seconds --seed 7 --reconnect 60 >"$work/load.json"
load=$job
# goes_on WHAT: at least 200 more writes are done by the engine that runs now.
goes_on() {
	local from
	until from=$(volume_field a vol writes 2>/dev/null) && [[ -n $from ]]; do
		kill -0 "$load" || fail "the load ended: $1"
	done
	until (($(volume_field a vol writes) > from + 200)); do kill -0 "$load" || fail "the load ended: $1"; done
}
goes_on "before anything"
for ((round = 1; round <= LS_ROUNDS; round++)); do
	crash a
	mark a
	start a
	await_log a "client 1: attached"
	goes_on "killed, round $round"
done
stop a
mark a
start a
await_log a "client 1: attached"
goes_on "stopped and started"
# Both at once.
crash a
crash b
mark a b
start b
start a
await_log a "client 1: attached"
goes_on "both killed"
await_exit "$load" 120
same 0 "$status" "the load's exit status"
jq -c . "$work/load.json"
(($(jq .reconnects "$work/load.json") >= LS_ROUNDS + 2)) || fail "the load was attached anew fewer than $((LS_ROUNDS + 2)) times"
same 0 "$(jq '.errors // 0' "$work/load.json")" "errors of the load"
on a resume vol
same synced "$(volume_field a vol mirror)" "the mirror"
legs_equal vol
same 0 "$(volume_field a vol open_count)" "clients that have the volume open"

passed
