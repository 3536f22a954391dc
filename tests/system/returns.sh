#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a primary that was lost comes back with its clients, which write at once, and its peer is
# primary meanwhile and a little late: nothing is written alone, and so nothing is split.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:1M:1 flush
mark b
crash a
await_log b "volume 'vol': .*-> waiting"
on b promote vol >/dev/null
"$ops" "$(socket_of b)" vol write:0:1M:2 flush
freeze b

start a
in_background "$ops" "$at_a" vol write:512K:4K:3
writer=$job
until (($(ask a status .shard.requests_open) > 0)); do kill -0 "$writer" || fail "the writer ended"; done
mark a
thaw b
await_log a "volume 'vol': primary -> secondary"
await_exit "$writer"
((status != 0)) || fail "a write was acknowledged at a"
await_log a "volume 'vol': .*-> synced"
legs_equal vol
"$ops" "$(socket_of b)" vol read:0:1M:2
passed
