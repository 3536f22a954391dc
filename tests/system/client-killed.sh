#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a client that is killed with requests in flight takes nothing with it.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
"$ops" "$(socket_of a)" vol write:0:8M:1 flush
# The other half is under load when its client dies.
for ((round = 1; round <= LS_ROUNDS; round++)); do
	before=$(volume_field a vol writes)
	in_background "$lockstep" --run "$work/a/run" load vol --time 60 --seed "$round" >/dev/null 2>&1
	victim=$job
	until (($(volume_field a vol writes) > before + 50)); do kill -0 "$victim" || fail "the load ended"; done
	kill -KILL "$victim"
	await_exit "$victim"
done
alive a
alive b
"$ops" "$(socket_of a)" vol write:0:16M:2 flush read:0:16M:2
legs_equal vol
# Its memory and its volume are given back.
same 0 "$(volume_field a vol open_count)" "clients that have the volume open"
on a status >/dev/null
passed
