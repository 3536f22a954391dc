#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: when the peer dies in the middle of writes, every request ends, with an error that says
# so; writes of the pair stop; nothing acknowledged is lost; pairing again makes the legs equal.
. "$(dirname "$0")/lib.sh"

two_nodes --peer-timeout-ms 3000
mirrored vol 16M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:1M:1 flush
in_background "$lockstep" --run "$work/a/run" load vol --time 60 --seed 5 >"$work/load" 2>&1
load=$job
before=$(volume_field a vol writes)
until (($(volume_field a vol writes) > before + 100)); do kill -0 "$load" || fail "the load ended: $(cat "$work/load")"; done
crash b
await_exit "$load" 60
((status != 0)) || fail "the load did not notice that the peer died"
matches "peer" "$(cat "$work/load")" "what the load says"

# Writes are refused with a clear status, reads go on, status says why.
refuses 1 "peer" "$ops" "$at_a" vol write:0:4K:9
same lost "$(volume_field a vol mirror)" "the mirror at a"
on a status | tee "$work/status"
grep -qi "lost" "$work/status" || fail "status does not say that the peer is lost"
"$ops" "$at_a" vol read:4K:4K:1 >/dev/null || true

# B comes back; pairing again copies all, and writes go on.
start b --peer-timeout-ms 3000
LIMIT=60 on a pair vol --peer b
same synced "$(volume_field a vol mirror)" "the mirror after pairing again"
"$ops" "$at_a" vol write:0:1M:3 read:0:1M:3
legs_equal vol
passed
