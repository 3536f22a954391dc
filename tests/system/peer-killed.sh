#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: when the peer dies in the middle of writes, a fail-open primary goes on alone and no
# request fails; the peer comes back, and the legs are equal again without anybody's help.
. "$(dirname "$0")/lib.sh"

two_nodes --peer-timeout-ms 3000
mirrored vol 16M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:1M:1 flush
in_background "$lockstep" --run "$work/a/run" load vol --time 8 --seed 5 >"$work/load" 2>&1
load=$job
before=$(volume_field a vol writes)
until (($(volume_field a vol writes) > before + 100)); do kill -0 "$load" || fail "the load ended: $(cat "$work/load")"; done
crash b
"$ops" "$at_a" vol write:0:4K:9 read:0:4K:9
same alone "$(volume_field a vol mirror)" "the mirror at a"
on a status | tee "$work/status"
grep -qi "alone" "$work/status" || fail "status does not say that the node goes on alone"
await_exit "$load" 60
same 0 "$status" "the load's exit status: no request may fail"

# B comes back: the session and the resync come by themselves; `pair` only waits for them.
start b --peer-timeout-ms 3000
LIMIT=60 on a pair vol --peer b
same synced "$(volume_field a vol mirror)" "the mirror at a"
"$ops" "$at_a" vol write:0:1M:3 read:0:1M:3
legs_equal vol
passed
