# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154
# Words of the tests about devices that fail, beside lib.sh.
#
# The nodes' pools are made as always; then their devices are opened through the store that fails
# what $work/NODE/bad says ("CODE OFFSET LENGTH" lines, in bytes on the device).
bad() { printf '%s\n' "${@:2}" >"$work/$1/bad"; }
well() { : >"$work/$1/bad"; }
# at NODE OFFSET: where byte OFFSET of the volume (below 1 MiB) lies on the node's device.
at() { extents "$1" vol | { read -r _ first _ && echo $((first + $2)); }; }
# garbage NODE OFFSET LENGTH: rots these bytes of the volume under the engine.
garbage() {
	dd if=/dev/urandom of="$(device "$1")" bs=4096 seek=$(($(at "$1" "$2") / 4096)) \
		count=$(($3 / 4096)) oflag=direct conv=notrunc status=none
}
through_faults() {
	local node path
	for node in a b; do
		path=$(device "$node")
		stop "$node"
		well "$node"
		sed "s|\"$path\"|\"fail:$work/$node/bad:$path\"|" -i "$work/$node/state/node.json"
		grep -q "fail:$work" "$work/$node/state/node.json" || fail "no such device in node.json of $node"
	done
	mark a
	start a
	start b
	await_log a "volume 'vol': .*-> synced"
}
# vol_through_faults: two nodes with "vol" mirrored and something in it, $at_a, and devices that can fail.
vol_through_faults() {
	two_nodes
	mirrored vol 16M
	at_a=$(socket_of a)
	"$ops" "$at_a" vol write:0:1M:1 flush
	through_faults
}
