#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: an expand that the target's device cannot do ends, with the reason, holds up no other operation, and goes on by
# itself when the device is good again.  And: who waits for a peer that his node does not know is told so.
. "$(dirname "$0")/lib.sh"
need jq
. "$here/faults.sh"
MiB=1048576

vol_through_faults
# A flush that fails also takes the target out of the mirror: it may have lost something of the volume.  Which the node
# hears first, that or the answer, is open.  Only the flush of what was zeroed fails: not one that clears the map before.
for what in zeroes flush; do
	reason="node 'b' could not make it larger: the peer's device failed; it is tried again by itself"
	[[ $what == zeroes ]] ||
		reason+="|node 'b' is lost, or not in sync any more; the volume grows by itself when both are in sync again"
	size=$(($(volume_field a vol size_bytes) / MiB + 4))
	bad b "$what 0 1000000000000"
	refuses any "$reason" on a expand vol "${size}M"
	# It grows still, and is no obstacle.
	same $((size * MiB)) "$(volume_field a vol growing_bytes)" "growing at a, after $what failed at b"
	on a policy vol fail-closed
	on a policy vol fail-open
	mark a b
	well b
	[[ $what == zeroes ]] || on a resume vol
	await_log a "volume 'vol': expanded"
	for node in a b; do
		same $((size * MiB)) "$(volume_field "$node" vol size_bytes)" "size at $node, after $what had failed at b"
		same null "$(volume_field "$node" vol growing_bytes)" "growing at $node"
	done
	"$ops" "$at_a" vol "iszero:$((size - 4))M:4M" "write:$((size - 1))M:1M:4" flush
	legs_equal vol
done

# The configuration is lost, or the devices are in another machine now.
"$ops" "$at_a" vol write:0:64K:5 flush
stop b
stop a
jq '.peers = []' "$work/a/state/node.json" >"$work/without"
cp "$work/without" "$work/a/state/node.json"
start a --peer-timeout-ms 1000
refuses any "node 'b' is not connected: this node has no such peer" on a resume vol
"$ops" "$at_a" vol read:0:64K:5
passed
