#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `verify` finds exactly what differs between the replicas, beside I/O, never anything else, and
# blames the right one when its checksum log can tell; --repair mends it; it ends when its mirror does.
. "$(dirname "$0")/lib.sh"

two_nodes
at_a=$(socket_of a)
K=1024 MiB=1048576

# scribble NODE VOLUME OFFSET LENGTH: damage on the node's device, past the engine.
scribble() {
	local path offset length at=$3
	while read -r path offset length; do
		((at >= length)) || break
		((at -= length))
	done < <(extents "$1" "$2")
	dd if=/dev/urandom of="$path" oflag=direct,seek_bytes conv=notrunc iflag=fullblock,count_bytes bs=4K \
		seek=$((offset + at)) count="$4" status=none
}

# verify NODE VOLUME [OPTION...]: its status in $status, its answer in $answer.
verify() {
	status=0
	answer=$(on "$1" --json verify "${@:2}") || status=$?
}
# found EXIT-STATUS PLACES WHAT: places as [offset, length, who is wrong, repaired]
found() {
	same "$1" "$status" "exit status of verify, $3"
	same "$2" "$(jq -c '[.differences[] | [.offset, .length, .blame, .repaired]]' <<<"$answer")" "$3"
}

mirrored vol 16M
"$ops" "$at_a" vol write:0:16M:1 flush
verify a vol
found 0 "[]" "right after the writes"
same $((16 * MiB)) "$(jq .compared_bytes <<<"$answer")" "compared"
on a verify vol # in words

# What cannot be.
on a volume create solo --size 4M >/dev/null
refuses 1 "is not paired" on a verify solo
refuses 1 "verify it at node 'a'" on b verify vol
refuses 1 "there is no volume" on a verify nothing
refuses 1 "nothing is there to compare" on a verify vol --offset 16M
refuses 1 "is not being verified" on a verify vol --stop
refuses 2 "missing" on a verify

# Damage at the peer: one block, across the border of a chunk, and the last block; found under a load elsewhere.
scribble b vol $((9 * MiB + 12 * K)) $((4 * K))
scribble b vol $((10 * MiB + 124 * K)) $((8 * K))
scribble b vol $((16 * MiB - 4 * K)) $((4 * K))
at_peer="[$((9 * MiB + 12 * K)),4096,\"peer\",REPAIRED],[$((10 * MiB + 124 * K)),8192,\"peer\",REPAIRED]"
last="[$((16 * MiB - 4 * K)),4096,\"peer\",REPAIRED]"
in_background "$lockstep" --run "$work/a/run" load vol --bytes 8M --time 4
load=$job
until (($(volume_field a vol open_count) > 0)); do kill -0 "$load" || fail "the load ended"; done
verify a vol
found 1 "[${at_peer//REPAIRED/false},${last//REPAIRED/false}]" "damage at the peer"
verify a vol --offset 9M --length 2M
found 1 "[${at_peer//REPAIRED/false}]" "a part of it"
verify a vol --offset 15M --length 512K --repair
found 0 "[]" "a part without damage"
refuses 1 "verify vol --repair" on a verify vol
verify a vol --repair
found 0 "[${at_peer//REPAIRED/true},${last//REPAIRED/true}]" "its repair"
verify a vol
found 0 "[]" "after the repair"
await_exit "$load"
same 0 "$status" "the load's exit status"
legs_equal vol
"$ops" "$at_a" vol read:8M:8M:1

# Beside writes everywhere there is never a difference.
in_background "$lockstep" --run "$work/a/run" load vol --time 4 --seed 5
load=$job
until (($(volume_field a vol open_count) > 0)); do kill -0 "$load" || fail "the load ended"; done
while kill -0 "$load" 2>/dev/null; do
	verify a vol
	found 0 "[]" "beside writes"
done
await_exit "$load"
same 0 "$status" "the load's exit status"
legs_equal vol

# Damage here is mended from the peer; where both are wrong nobody has what was written.
"$ops" "$at_a" vol write:0:16M:2 flush
scribble a vol $((3 * MiB)) $((4 * K))
scribble a vol $((5 * MiB)) $((4 * K))
scribble b vol $((5 * MiB)) $((4 * K))
wrong="[$((3 * MiB)),4096,\"local\",REPAIRED]"
both="[$((5 * MiB)),4096,\"both\",false]"
verify a vol
found 1 "[${wrong//REPAIRED/false},$both]" "damage here, and on both sides"
verify a vol --repair
found 1 "[${wrong//REPAIRED/true},$both]" "their repair"
refuses 1 "from a backup" on a verify vol
"$ops" "$at_a" vol write:5M:4K:2 flush
verify a vol
found 0 "[]" "after both were mended"
legs_equal vol
"$ops" "$at_a" vol read:0:16M:2

# After a change of sides the log of the other one knows what it was sent.
scribble a vol $((3 * MiB)) $((4 * K))
on a demote vol
on b promote vol
verify b vol --repair
found 0 "[[$((3 * MiB)),4096,\"peer\",true]]" "from the other side"
on b demote vol
on a promote vol
legs_equal vol
"$ops" "$at_a" vol read:0:16M:2

# After a restart nothing is known, and the primary counts.
mark a
stop a
start a
await_log a "volume 'vol': .*-> synced"
scribble b vol $((7 * MiB)) $((4 * K))
verify a vol
found 1 "[[$((7 * MiB)),4096,\"unknown\",false]]" "after a restart"
verify a vol --repair
found 0 "[[$((7 * MiB)),4096,\"unknown\",true]]" "its repair"
legs_equal vol
"$ops" "$at_a" vol read:0:16M:2

# A peer that hangs: the second is refused, the first can be stopped; a demotion ends it, too.
mark a
freeze b
in_background on a verify vol >"$work/said" 2>&1
await_log a "volume 'vol': verify begun \\("
refuses 1 "is being verified already" on a verify vol
matches "vol: comparing: 0 of 16 MiB" "$(on a status)" "status of a volume that is being verified"
matches "comparing: 0 of 16 MiB" "$(on a status --explain)" "what --explain says of it"
on a verify vol --stop
await_exit "$job"
same 1 "$status" "exit status of a verify that was stopped"
matches "by the operator" "$(cat "$work/said")" "what it says"
mark a
in_background on a verify vol >"$work/said" 2>&1
verifies=$job
await_log a "volume 'vol': verify begun \\("
in_background on a demote vol
await_exit "$verifies"
matches "being demoted" "$(cat "$work/said")" "what it says"
thaw b
await_exit "$job"
same 0 "$status" "exit status of demote"
on a promote vol

# The session is lost.
mark a
freeze b
in_background on a verify vol >"$work/said" 2>&1
await_log a "volume 'vol': verify begun \\("
crash b
await_exit "$job"
same 1 "$status" "exit status of a verify whose peer was lost"
matches "verify stopped after" "$(cat "$work/said")" "what it says"
refuses 1 "is not in sync" on a verify vol
start b
await_log a "volume 'vol': .*-> synced"
verify a vol
found 0 "[]" "after the session was lost"

# A side that cannot read is wrong for all of the chunk; what is there is written anew from the other.
for node in a b; do
	path=$(device "$node")
	stop "$node"
	: >"$work/$node/bad"
	sed "s|\"$path\"|\"fail:$work/$node/bad:$path\"|" -i "$work/$node/state/node.json"
done
mark a
start a
start b
await_log a "volume 'vol': .*-> synced"
for side in "a local" "b peer"; do
	read -r node blame <<<"$side"
	read -r _ first _ < <(extents "$node" vol)
	scribble "$node" vol $((256 * K)) $((4 * K))
	echo "read $((first + 256 * K)) 4096" >"$work/$node/bad"
	verify a vol --repair
	found 0 "[[$((256 * K)),131072,\"$blame\",true]]" "a bad block at $node"
	same true "$(jq ".differences[0].unreadable" <<<"$answer")" "unreadable at $node"
	: >"$work/$node/bad"
	verify a vol
	found 0 "[]" "after the repair at $node"
	legs_equal vol
done
"$ops" "$at_a" vol read:0:16M:2
passed
