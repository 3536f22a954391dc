#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `break` leaves a consistent copy of that moment at the peer, in the middle of writes, and
# both sides can then be used on their own (M9).
. "$(dirname "$0")/lib.sh"

two_nodes
at_a=$(socket_of a)
on a volume create vol --size 8M >/dev/null
on a policy vol fail-open # of any volume, paired or not
refuses 1 "not paired" on a break vol
"$ops" "$at_a" vol write:0:8M:1 flush
on a pair vol --peer b

# A writer goes over the volume again and again, one request at a time, with rising seeds.
rounds=()
for ((i = 2; i <= 60; i++)); do rounds+=("write:0:8M:$i"); done
mkfifo "$work/rounds"
exec {told}<>"$work/rounds"
in_background "$ops" "$at_a" vol "${rounds[@]}" >"$work/rounds"
writer=$job
for ((i = 0; i < 3; i++)); do
	IFS= read -rt "$LS_LIMIT" -u "$told" line || fail "the writer does not get on"
done
kill -0 "$writer" || fail "the writer ended before the break"
on a break vol | tee "$work/said"
grep -q "consistent copy" "$work/said" || fail "break does not say what the peer has"
same broken "$(volume_field a vol mirror)" "the mirror at a"
same broken "$(volume_field b vol mirror)" "the mirror at b"
same broken "$(volume_field b vol association)" "the association at b"
kept=$(digest b vol)
raw b vol | python3 "$here/prefix.py" 60 >"$work/moment" || fail "b holds no copy of one moment"
echo "b has the copy of round and place $(cat "$work/moment")"

# The writer was held for a moment, and goes on at A alone.  B does not follow any more.
await_exit "$writer" 120
same 0 "$status" "the writer's exit status"
exec {told}<&-
"$ops" "$at_a" vol read:0:8M:60
same "$kept" "$(digest b vol)" "what b holds, after a went on"
on a break vol # asked twice
# While the other side can be told, it is.
refuses 1 "unpair it first" on b volume delete vol

# Both write on.
refuses 1 'target of a mirror|secondary' "$ops" "$(socket_of b)" vol write:0:4K:9
on b promote vol
on b promote vol
same primary "$(volume_field b vol role)" "role at b"
"$ops" "$(socket_of b)" vol write:1M:1M:70 flush read:1M:1M:70
"$ops" "$at_a" vol write:2M:1M:71 flush read:1M:1M:60 read:2M:1M:71
on a status vol --explain
on b status vol

# For good: both volumes stay, with what they hold, and are nobody's mirror.
on a unpair vol
same none "$(volume_field a vol mirror)" "the mirror at a"
same none "$(volume_field b vol mirror)" "the mirror at b"
"$ops" "$(socket_of b)" vol read:1M:1M:70
"$ops" "$at_a" vol read:2M:1M:71
on b volume delete vol
on a pair vol --peer b
legs_equal vol
passed
