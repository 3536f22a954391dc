#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a fail-closed primary that lost its peer holds its writers until the peer is back; no
# write fails, and none is acknowledged meanwhile.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
at_a=$(socket_of a)
refuses 2 "fail-open or fail-closed" on a policy vol fail-sometimes
on a policy vol fail-closed
same fail-closed "$(volume_field a vol policy)" "the policy at a"
"$ops" "$at_a" vol write:0:16M:1 flush

mark a
crash b
await_log a "volume 'vol': synced -> waiting"
mkfifo "$work/told"
exec {told}<>"$work/told"
in_background "$ops" "$at_a" vol write:64K:4K:2 write:8M:256K:2 flush >"$work/told"
writer=$job
line=""
if IFS= read -rt 3 -u "$told" line && [[ $line == *ok* ]]; then
	fail "acknowledged without the peer: $line"
fi
kill -0 "$writer" || fail "the writer ended while the peer was away"
same waiting "$(volume_field a vol mirror)" "the mirror at a"
# Reads are not held.
"$ops" "$at_a" vol read:1M:1M:1

start b
IFS= read -rt "$LS_LIMIT" -u "$told" rest || fail "no completion when the peer was back"
matches ok "$line$rest" "completion"
await_exit "$writer"
same 0 "$status" "the writer's exit status"
await_log a "volume 'vol': .*-> synced"
legs_equal vol
"$ops" "$at_a" vol read:64K:4K:2 read:8M:256K:2

# The policy is the volume's, and stays; another one lets the writer go on.
stop a
mark a
start a
same fail-closed "$(volume_field a vol policy)" "the policy at a, after a restart"
await_log a "volume 'vol': .*-> synced"
"$ops" "$at_a" vol write:0:4K:3
mark a
crash b
await_log a "volume 'vol': synced -> waiting"
in_background "$ops" "$at_a" vol write:1M:4K:3
writer=$job
on a policy vol fail-open
await_exit "$writer"
same 0 "$status" "the writer's exit status, under the new policy"
same alone "$(volume_field a vol mirror)" "the mirror at a"

# However many writes of however many volumes wait, another one's I/O finds a way, and so do reads.
start b
await_log a "volume 'vol': .*-> synced"
on a policy vol fail-closed
on a volume create other --size 16M >/dev/null
for i in 1 2 3 4; do
	mirrored "vol$i" 2M
	on a policy "vol$i" fail-closed
done
mark a
crash b
await_log a "volume 'vol4': synced -> waiting"
hogs=()
for i in 1 2 3 4; do
	in_background on a bench --volume "vol$i" --rw randwrite --bs 4k --qd 512 --time 1 >/dev/null
	hogs+=("$job")
done
in_background on a bench --volume vol --rw randwrite --bs 4k --qd 2048 --time 1 >/dev/null
hogs+=("$job")
end=$((SECONDS + LS_LIMIT))
until (($(ask a status .shard.requests_open) >= 4096)); do
	((SECONDS < end)) || fail "not all of the writes are there: $(ask a status .shard.requests_open)"
done
"$ops" "$at_a" other write:0:1M:3 read:0:1M:3 flush
"$ops" "$at_a" vol read:0:4K:3
same 0 "$(ask a status .shard.pieces_in_use)" "pieces in use by what waits"
start b
for job in "${hogs[@]}"; do
	await_exit "$job"
	same 0 "$status" "the exit status of who wrote so much"
done
legs_equal vol
passed
