#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the loser of a split brain gives way at once, however busy its clients keep it: its writes
# are held, the resync begins, and then they are refused.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 64M
at_a=$(socket_of a)
at_b=$(socket_of b)
for round in 1 2 3; do
	on a break vol >/dev/null
	on b promote vol >/dev/null
	"$ops" "$at_a" vol "write:0:4M:$round" flush
	# Never a moment with nothing on its way to b's device.
	in_background "$lockstep" --run "$work/b/run" load vol --qd 128 --time 120 --seed "$round" >"$work/load" 2>&1
	load=$job
	until (($(volume_field b vol writes) > round * 1000)); do kill -0 "$load" || fail "the load ended: $(cat "$work/load")"; done
	begin=$EPOCHREALTIME
	LIMIT=$LS_LIMIT on a resume vol --keep local >/dev/null || fail "round $round: no resync within $LS_LIMIT s"
	echo "round $round: in sync after $begin to $EPOCHREALTIME"
	same secondary "$(volume_field b vol role)" "role of the loser"
	await_exit "$load"
	same 1 "$status" "exit status of the load on the loser"
	# One that crosses a border may have been written in part, and says so.
	grep -qE "target of a mirror|may or may not have the write" "$work/load" || fail "the loads say: $(cat "$work/load")"
	tries=$(tail -n "+$((${log_mark[b]:-0} + 1))" "$work/b/log" | grep -c "vol.*resync from the peer: the operator chose") || true
	mark b
	((tries <= 3)) || fail "round $round: the resync was tried $tries times"
	"$ops" "$at_a" vol "read:0:4M:$round"
	legs_equal vol
done
passed
