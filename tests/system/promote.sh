#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the primary is killed, the peer takes over, and the old primary comes back as its
# secondary by itself, with nothing left of what it alone had in flight.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 32M
at_a=$(socket_of a)
at_b=$(socket_of b)
"$ops" "$at_a" vol write:0:32M:1 flush
refuses 1 "primary at node 'a'" on b promote vol

in_background "$lockstep" --run "$work/a/run" load vol --bytes 8M --time 60 --seed 4 >/dev/null 2>&1
load=$job
before=$(volume_field a vol writes)
until (($(volume_field a vol writes) > before + 200)); do kill -0 "$load" || fail "the load ended"; done
mark a b
crash a
kill -KILL "$load" 2>/dev/null || true
await_log b "volume 'vol': synced -> waiting"
on b promote vol
same primary "$(volume_field b vol role)" "role at b"
"$ops" "$at_b" vol write:16M:1M:2 flush read:16M:1M:2 read:20M:1M:1

mark a b
start a
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"
same secondary "$(volume_field a vol role)" "role of the old primary"
grep -q "no longer primary" "$work/a/log" || fail "a does not say that it is no longer primary"
sent=$(volume_field b vol resync_sent_bytes)
echo "$sent bytes were sent, of 32 MiB"
((sent >= 1048576 && sent <= 9437184)) || fail "$sent bytes were sent; at most 9 MiB may differ"
legs_equal vol
refuses 1 'target of a mirror|secondary' "$ops" "$at_a" vol write:0:4K:9
"$ops" "$at_b" vol write:0:1M:3
legs_equal vol

# And back, in peace.  What b's map still has of its own writes is cleared, although it is no
# primary any more.
before=$(volume_field b vol map_writes)
"$ops" "$at_b" vol write:0:8M:5
# Noted there before; or for it, and cleared already by now.
(($(volume_field b vol regions_touched) > 0 || $(volume_field b vol map_writes) > before)) ||
	fail "the write was not noted in the map of b"
on b demote vol
on a promote vol
same primary "$(volume_field a vol role)" "role at a"
"$ops" "$at_a" vol write:1M:1M:4 flush
end=$((SECONDS + LS_LIMIT))
until (($(volume_field b vol regions_touched) == 0)); do
	((SECONDS < end)) || fail "still in the map of b: $(volume_field b vol regions_touched) regions"
done
legs_equal vol

# Asked while nobody has missed the peer yet: one command waits until it counts as lost, then goes on without it.
mark a b
freeze a
on b promote vol
same primary "$(volume_field b vol role)" "role at b"
"$ops" "$at_b" vol write:0:1M:6 flush read:0:1M:6
thaw a
await_log a "no longer primary"
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"
legs_equal vol
passed
