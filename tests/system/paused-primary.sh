#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a primary that is stopped with writes in flight, and goes on when the other node has been
# promoted, writes nothing on the new primary's leg and learns that it is none any more (I9).
. "$(dirname "$0")/lib.sh"

two_nodes --peer-timeout-ms 5000
mirrored vol 8M
at_a=$(socket_of a)
at_b=$(socket_of b)

# pause SEED: a's daemon is stopped while requests of it wait at b, more wait for credits behind
# them and more in its client's queue; b misses it, is promoted, and is written to from end to end.
pause() {
	"$ops" "$at_a" vol write:0:8M:"$1" flush
	in_background "$lockstep" --run "$work/a/run" load vol --qd 64 --time 600 --seed "$1" >/dev/null 2>&1
	load=$job
	before=$(volume_field a vol writes)
	until (($(volume_field a vol writes) > before + 200)); do kill -0 "$load" || fail "the load ended"; done
	mark a b
	freeze b
	until (($(peer_field a b credits) < $(peer_field a b credits_total))); do kill -0 "$load" || fail "the load ended"; done
	freeze a
	thaw b
	await_log b "volume 'vol': synced -> waiting"
	on b promote vol
	"$ops" "$at_b" vol write:0:8M:"$1"9 flush
	digest b vol >"$work/leg"
	mark a b
	thaw a
}
# Not one byte of b's leg is another one than b's clients have written.
untouched() {
	same "$(cat "$work/leg")" "$(digest b vol)" "$1: the bytes on b's device"
	"$ops" "$at_b" vol read:0:8M:"$2"
}

# fail-closed: nothing is acknowledged at a, so b is ahead; a is revoked by itself.
on a policy vol fail-closed
pause 1
await_log a "no longer primary: node 'b' is ahead"
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"
untouched "fail-closed" 19
same secondary "$(volume_field a vol role)" "role of the old primary"
await_exit "$load"
((status != 0)) || fail "a client of the old primary was told that all is well"
legs_equal vol
refuses 1 'target of a mirror|secondary' "$ops" "$at_a" vol write:0:4K:9
"$ops" "$at_b" vol write:0:1M:2 flush
legs_equal vol

# fail-open: a goes on alone until it hears of b; then it is for the operator to choose.
on b demote vol
on a promote vol
on a policy vol fail-open
pause 3
await_log a "volume 'vol': .*-> (split|synced)"
untouched "fail-open" 39
if [[ $(volume_field a vol mirror) == split ]]; then
	on b status vol --explain
	on b resolve vol --keep local
else
	explain "a had acknowledged nothing alone: revoked by itself"
fi
await_log a "volume 'vol': .*-> synced"
same secondary "$(volume_field a vol role)" "role of the old primary"
await_exit "$load"
((status != 0)) || fail "a client of the old primary was told that all is well"
untouched "resolved" 39
legs_equal vol
passed
