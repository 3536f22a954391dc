#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: what happens to a mirror while one node has grown and the other has not yet leaves nobody waiting, and no write is
# overwritten by the zeroes of a growth that was begun before.
. "$(dirname "$0")/lib.sh"
need jq
. "$here/faults.sh"
everywhere="0 1000000000000"
# sizes MIB_AT_A MIB_AT_B
sizes() { same "$1 $2" "$(($(volume_field a vol size_bytes) >> 20)) $(($(volume_field b vol size_bytes) >> 20))" "MiB at a and at b"; }
# on_device NODE FROM TO: "OFFSET LENGTH" lines, where these MiB of the volume are.
on_device() {
	local at=0 offset length from to
	extents "$1" vol | while read -r _ offset length; do
		from=$((at > $2 << 20 ? at : $2 << 20)) to=$((at + length < $3 << 20 ? at + length : $3 << 20))
		((from >= to)) || echo "$((offset + from - at)) $((to - from))"
		at=$((at + length))
	done
}

vol_through_faults
at_b=$(socket_of b)

explain "the old primary, which has not grown and holds writes, meets a larger new one"
on a policy vol fail-closed >/dev/null
bad a "zeroes $everywhere"
refuses any "writing zeroes to the new area failed" on a expand vol 20M
sizes 16 20
mark b
crash a
await_log b "volume 'vol': synced -> waiting"
on b promote vol
"$ops" "$at_b" vol write:18M:1M:2 flush
freeze b
well a
start a
exec {words}< <(exec python3 "$here/served.py" "$at_a" vol 1 revoked)
for word in answered revoked; do
	[[ $word != revoked ]] || {
		mark a
		thaw b
	}
	read -rt "$LS_LIMIT" -u "$words" said || said="nothing"
	same "$word" "$said" "what who had writes held by a hears"
done
exec {words}<&-
await_log a "volume 'vol': .*-> synced"
same secondary "$(volume_field a vol role)" "role of the old primary"
sizes 20 20
"$ops" "$at_b" vol read:18M:1M:2
legs_equal vol

explain "the target is to grow once more, is left, and paired again before it has done that"
bad b "zeroes $everywhere"
refuses any "writing zeroes to the new area failed" on b expand vol 24M
sizes 24 20
# The end of the session makes the source ask for all of it again.
bad a "$(on_device a 20 24 | sed 's/^/hold-zeroes /')" # not the zeroes that a resync brings
stop b
well b
mark a
start b --peer-timeout-ms 1000
await_log a "fault: holds zeroes"
mark b
freeze a
await_log b "volume 'vol': synced -> "
on b unpair vol >/dev/null
await_log b "volume 'vol': expanded"
"$ops" "$at_b" vol write:20M:4M:3 flush
mark b
thaw a
await_log b "session down -> up"
in_background on b pair vol --peer a
# It would be in sync by then, and those zeroes would come behind it.
! timeout 3 tail --pid="$job" -s 0.1 -f /dev/null || fail "it is in sync while what makes its end zeroes is under way"
well a
await_exit "$job" 60
same 0 "$status" "the pair's exit status"
"$ops" "$at_b" vol read:20M:4M:3
legs_equal vol

explain "the session ends while the target zeroes what is behind its end: they are in sync again beside that"
bad a "hold-zeroes $everywhere"
mark a b
in_background on b expand vol 28M
await_log a "fault: holds zeroes"
freeze a
await_log b "volume 'vol': synced -> "
thaw a
await_log b "volume 'vol': copying -> synced"
"$ops" "$at_b" vol write:1M:1M:4 flush
sizes 24 24
well a
await_log b "volume 'vol': expanded"
sizes 28 28
"$ops" "$at_b" vol write:26M:2M:5 flush
legs_equal vol
passed
