#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the commands on a mirror say clearly what they did, or why not: a wrong name, a wrong
# word, a peer that is away, a volume in use, asked twice; also as JSON.
. "$(dirname "$0")/lib.sh"

two_nodes --peer-timeout-ms 2000
mirrored vol 16M
at_a=$(socket_of a)
for command in break resume unpair promote demote; do
	refuses 1 "no volume 'nothing'" on a "$command" nothing
	refuses 2 "missing" on a "$command"
	refuses 2 "too much" on a "$command" vol other
done
for name in a/b "a b" $'a\tb' .. é "$(printf 'a%.0s' {1..64})"; do
	refuses 1 "is not a volume name|at most 63 characters" on a volume create "$name" --size 1M
	refuses 1 "not a name|at most 63 characters" on a pair vol --peer b --target "$name"
done
refuses 2 "local or peer" on a resolve vol --keep both
refuses 2 "keep" on a resolve vol
refuses 2 "fail-open or fail-closed" on a policy vol
same true "$(ask a "break vol" .ok)" "break as JSON"
refuses 1 "target of a mirror|secondary" "$ops" "$(socket_of b)" vol write:0:4K:9
mark a
same true "$(ask a "resume vol --no-wait" .ok)" "resume as JSON"
await_log a "volume 'vol': .*-> synced"

# The peer is away: break is recorded here, resume says what it waits for.
mark a
crash b
"$ops" "$at_a" vol write:0:4K:2
on a break vol
on a resume vol --no-wait
refuses 1 "node 'b' is not connected" on a resume vol
on a status vol --explain >"$work/why"
grep -q "recorded that the peer is stale" "$work/why" || fail "explain says: $(cat "$work/why")"

# In use: not demoted.
in_background "$lockstep" --run "$work/a/run" load vol --time 60 >/dev/null 2>&1
load=$job
until (($(volume_field a vol open_count) > 0)); do kill -0 "$load" || fail "the load ended"; done
refuses 1 "in use" on a demote vol
kill -KILL "$load"
await_exit "$load"

# What was recorded here rolls forward when the peer is back.
mark a
start b
await_log a "volume 'vol': .*-> synced"
legs_equal vol
on b unpair vol
same none "$(volume_field a vol mirror)" "the mirror at a"
on a unpair vol # asked twice
on a status --explain | grep -q "no volume is mirrored" || fail "explain, when nothing is mirrored"
passed
