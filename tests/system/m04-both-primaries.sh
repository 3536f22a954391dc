#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: each engine initiates for its own processes and serves its peer at the same time,
# over one session (M4).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored from-a 16M a b
mirrored from-b 16M b a
in_background on a load from-a --time 3 --seed 1 >"$work/load-a"
load_a=$job
in_background on b load from-b --time 3 --seed 2 >"$work/load-b"
load_b=$job
await_exit "$load_a" 60
same 0 "$status" "status of the load at a: $(cat "$work/load-a")"
await_exit "$load_b" 60
same 0 "$status" "status of the load at b: $(cat "$work/load-b")"

legs_equal from-a from-a a b
legs_equal from-b from-b b a
[[ $(digest a from-a) != $(digest a from-b) ]] || fail "both volumes have the same content"
same 1 "$(peer_field a b sessions)" "sessions at a"
same 1 "$(peer_field b a sessions)" "sessions at b"

# The target of a mirror takes no write of a process.
refuses 1 'target of a mirror' "$ops" "$(socket_of b)" from-a write:0:4K:9
passed
