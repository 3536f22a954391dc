#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `lockstep events` tells every change of state with its reason, on both nodes and in order:
# pair, loss of the peer, alone, its return, resync, break, resume, roles; a reader that is too slow
# is told how many it lost, and one that follows is told that the daemon has stopped.
. "$(dirname "$0")/lib.sh"

# told NODE: its events on the volume and on sessions from the beginning, a line each, as they come.
told() {
	LIMIT=$LS_LIMIT on "$1" --json events --since 0 |
		jq --unbuffered -r 'select(.volume == "vol" or .event == "session") |
			[.event, .what, .from, .to, .reason] | map(select(.)) | join(" ")' 2>/dev/null
}
# in_order NODE REGEX...: such events are told, in this order, perhaps with others in between.
in_order() {
	local node=$1 line regex fd
	shift
	exec {fd}< <(told "$node" 2>/dev/null)
	for regex; do
		while true; do
			read -ru "$fd" line || fail "node $node did not tell '$regex', or too early"
			[[ ! $line =~ $regex ]] || break
		done
	done
	exec {fd}<&-
}

two_nodes --peer-timeout-ms 2000
in_background "$lockstep" --run "$work/a/run" --json events --since 0 >"$work/a/seen" 2>"$work/a/said"
follower_a=$job
in_background "$lockstep" --run "$work/b/run" --json events --since 0 >"$work/b/seen" 2>"$work/b/said"
follower_b=$job
mirrored vol 16M
at_a=$(socket_of a)
in_order b "^session down up session" "^volume created" "^mirror none waiting" "^mirror waiting copying resync from node 'a'" \
	"^resync from the peer begun" "^copy incomplete complete equal to node 'a'" "^resync from the peer ended" \
	"^mirror copying synced"

mark a
crash b
await_exit "$follower_b"
same 1 "$status" "exit status of a reader whose daemon was killed"
matches "ended before it answered" "$(cat "$work/b/said")" "what that reader says"
await_log a "volume 'vol': synced -> waiting"
"$ops" "$at_a" vol write:1M:256K:2 flush
await_log a "volume 'vol': waiting -> alone"
start b --peer-timeout-ms 2000
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"
on a break vol
on a resume vol
on a demote vol
on b promote vol
on b demote vol
on a promote vol
refuses 1 "no volume 'nothing'" on a promote nothing

in_order a "^session down up session" "^association none active paired"
in_order a "^operation volume-create begun by uid" "^volume created" "^operation volume-create done" \
	"^operation pair begun" "^association none active paired" "^mirror none waiting" \
	"^mirror waiting copying resync to node 'b': " "^resync to the peer begun" "^resync to the peer ended" \
	"^mirror copying synced" "^operation pair done" \
	"^session up down ." "^mirror synced waiting ." "^generation [0-9a-f]{16} [0-9a-f]{16} goes on without node 'b'" \
	"^mirror waiting alone ." "^session down up session" "^mirror alone copying" "^resync to the peer begun" \
	"^resync to the peer ended" "^mirror copying synced" \
	"^operation break begun" "^mirror synced waiting being broken" "^association active broken" "^mirror waiting broken" \
	"^operation break done" "^operation resume begun" "^association broken active resumed" "^mirror broken waiting" \
	"^mirror waiting copying" "^mirror copying synced" "^operation resume done" \
	"^operation demote begun" "^role primary secondary demoted" "^operation demote done" \
	"^operation promote begun" "^role secondary primary promoted" "^operation promote done"
in_order b "^session down up session" "^mirror waiting copying resync from node 'a'" "^resync from the peer begun" \
	"^generation [0-9a-f]{16} [0-9a-f]{16} equal to node 'a'" "^resync from the peer ended" "^mirror copying synced" \
	"^association active broken broken by the operator of node 'a'" "^mirror synced broken" \
	"^association broken active by the operator of node 'a'" "^mirror copying synced" \
	"^role secondary primary promoted" "^role primary secondary demoted"
ask a "events --since 0 --no-follow" 'select(.event == "operation") | [.what, .to, .reason] | join(" ")' |
	grep -q "^promote failed ENOENT: there is no volume 'nothing'" || fail "the failed promote was not told"
ask a "events --since 0 --no-follow" 'select(.event == "client") | [.to, .reason] | join(" ")' |
	grep -q "^attached ops, pid" || fail "the client was not told"
# How much was moved, and how long it took.
bytes=$(ask a "events --since 0 --no-follow" 'select(.event == "resync" and .to == "ended" and .bytes) | .bytes' | head -n 1)
same 262144 "$bytes" "bytes that the resync after the loss sent"

# One volume's only; the last ones; a number that does not exist yet.
same vol "$(ask a "events --volume vol --since 0 --no-follow" .volume | sort -u)" "the volumes in the events of one"
same 3 "$(on a events --last 3 --no-follow | wc -l)" "the last three"
last=$(ask a "events --volume vol --since 0 --no-follow" .seq | tail -n 1)
same "" "$(on a events --volume vol --since "$last" --no-follow)" "what came behind the last one"
refuses 1 "there was no event" on a events --since 1000000
refuses 2 "not both" on a events --since 1 --last 1

# 800 events, while a reader does not read.  At b, where nobody follows: on a busy machine that many can
# be too fast for any reader, and the follower at a is to lose none.
python3 "$here/slow_reader.py" "$work/b/run/control.sock" 400 || fail "the slow reader"

# The reader that followed all along has lost nothing, and is told of the end.
stop a
await_exit "$follower_a"
same 0 "$status" "exit status of a reader whose daemon has stopped"
matches "has stopped" "$(cat "$work/a/said")" "what that reader says"
same "node stopped" "$(tail -n 1 "$work/a/seen" | jq -r '[.event, .to] | join(" ")')" "the last event"
jq -se 'map(.seq // 0) == [range(1; length + 1)]' "$work/a/seen" >/dev/null || fail "the numbers of the events have gaps"
# No change was left out: each begins where the last one of its kind ended.
for kind in mirror role association generation; do
	jq -se --arg kind $kind 'map(select(.event == $kind and .volume == "vol")) as $e |
		($e | length) > 0 and all(range(1; $e | length); $e[.].from == $e[. - 1].to)' "$work/a/seen" >/dev/null ||
		fail "the events of kind '$kind' have gaps"
done
passed
