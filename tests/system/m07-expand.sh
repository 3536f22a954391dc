#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `expand` makes a volume larger on both nodes, the target first, under writes; the new
# area is zeroes; a crash in the middle rolls forward; what cannot be is refused, with nothing changed (M7).
. "$(dirname "$0")/lib.sh"

two_nodes
at_a=$(socket_of a)
MiB=1048576

# Alone: no peer is needed.
on a volume create solo --size 4M >/dev/null
"$ops" "$at_a" solo write:0:4M:1 flush
on a expand solo 6M
same $((6 * MiB)) "$(volume_field a solo size_bytes)" "size of solo"
"$ops" "$at_a" solo read:0:4M:1 iszero:4M:2M write:5M:64K:2 read:5M:64K:2
on a volume delete solo

# What deleted volumes leave on both devices must not show up.
for node in a b; do
	on "$node" volume create old --size 24M >/dev/null
	"$ops" "$(socket_of "$node")" old write:0:24M:7 flush
	on "$node" volume delete old
done
mirrored vol 8M
"$ops" "$at_a" vol write:0:8M:3 flush
refuses 1 "expand it at node 'a'" on b expand vol 12M
refuses 1 "cannot become smaller" on a expand vol 7M
refuses 1 "has no room for" on a expand vol 900G
refuses 1 "no volume" on a expand nothing 12M
refuses 2 "missing" on a expand vol
on a expand vol 8M # as it is

# Under a load that checks what it reads; other volumes' writes go on, too.
in_background "$lockstep" --run "$work/a/run" load vol --time 4
load=$job
until (($(volume_field a vol open_count) > 0)); do kill -0 "$load" || fail "the load ended"; done
on a expand vol 16M
await_exit "$load"
same 0 "$status" "the load's exit status"
for node in a b; do
	same $((16 * MiB)) "$(volume_field "$node" vol size_bytes)" "size at $node"
	same null "$(volume_field "$node" vol growing_bytes)" "growing at $node"
done
same synced "$(volume_field a vol mirror)" "the mirror"
"$ops" "$at_a" vol iszero:8M:8M write:12M:1M:4 write:15M:1M:5 flush read:12M:1M:4
legs_equal vol

# The peer is away: refused, and nothing changed.
mark a
crash b
"$ops" "$at_a" vol write:0:4K:6
refuses 1 "not in sync" on a expand vol 20M
same $((16 * MiB)) "$(volume_field a vol size_bytes)" "size at a"
mark a b
start b
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"

# Either node is killed right after it was asked for: it is larger afterwards, on both.
for victim in a b; do
	mark a b
	size=$(($(volume_field a vol size_bytes) / MiB + 3))
	in_background "$lockstep" --run "$work/a/run" --json expand vol "${size}M" >/dev/null 2>&1
	asked=$job
	await_log a "volume 'vol': grows to $size MiB"
	crash "$victim"
	await_exit "$asked"
	start "$victim"
	# On both; b may have been killed between having done it and saying so.
	await_log a "volume 'vol': expanded .$((size << 20)) bytes"
	for node in a b; do
		same $((size * MiB)) "$(volume_field "$node" vol size_bytes)" "size at $node after $victim's crash"
	done
	"$ops" "$at_a" vol "iszero:$((size - 3))M:3M" "write:$((size - 1))M:1M:8" flush
	legs_equal vol
done

# And at the other node, after a change of sides.
on a demote vol
on b promote vol
size=$((size + 2))
on b expand vol "${size}M"
same $((size * MiB)) "$(volume_field a vol size_bytes)" "size at a"
"$ops" "$(socket_of b)" vol "write:$((size - 1))M:1M:9" flush
legs_equal vol

# No room at the target: nothing is changed on either node.
free=$(ask b "pool list" .pools[0].free_bytes)
on b volume create filler --size "$((free - 2 * MiB))"
free_before=$(ask a "pool list" .pools[0].free_bytes)
on b demote vol
on a promote vol
refuses 1 "node 'b' has no room" on a expand vol $((size + 5))M
same $((size * MiB)) "$(volume_field a vol size_bytes)" "size at a"
same null "$(volume_field a vol growing_bytes)" "growing at a"
same "$free_before" "$(ask a "pool list" .pools[0].free_bytes)" "free space at a"
same synced "$(volume_field a vol mirror)" "the mirror"
passed
