#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the engine takes no lock and allocates nothing for an I/O, and over RDMA and NVMe it
# copies no byte of payload between the client's arena and the devices.
. "$(dirname "$0")/lib.sh"

declare -A allocations locks
two_nodes
mirrored vol 16M
shard() { ask "$1" status ".shard.$2"; }
for node in a b; do
	allocations[$node]=$(shard $node data_path_allocations)
	locks[$node]=$(shard $node data_path_locks)
done
on a load vol --time 2 --seed 3
"$ops" "$(socket_of a)" vol write:0:4M:1 flush read:0:4M:1 zeroes:4M:1M discard:6M:1M
legs_equal vol
for node in a b; do
	served=$(ask $node status .shard.per_io.ios)
	((served > 100)) || fail "node $node served $served requests only"
	# One acknowledgement, or less where several are joined, and one request, for each write; not nothing.
	[[ $(ask $node status '.shard.per_io | .link_messages > 0 and .link_messages < 2 and .wakes <= .passes') == true ]] ||
		fail "node $node: $(ask $node status .shard.per_io)"
	# Sessions begin with a few, of the handshake; no I/O adds one.
	same "${allocations[$node]}" "$(shard $node data_path_allocations)" "allocations on the data path of $node"
	same "${locks[$node]}" "$(shard $node data_path_locks)" "locks on the data path of $node"
	if [[ $LS_TRANSPORT == rdma && -n $LS_DEVS_A ]]; then
		same 0 "$(shard $node copied_payload_bytes)" "payload bytes that node $node copied"
	fi
	# The receiver was always ready: credits keep the sender from overrunning it.
	same 0 "$(ask $node "peer list" '.peers[0].link.rnr')" "receiver-not-ready events at $node"
	explain "node $node: $served requests, no lock, no allocation, $(shard $node copied_payload_bytes) bytes copied"
done
passed
