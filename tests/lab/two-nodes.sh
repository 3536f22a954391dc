#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: two machines with a wire between them keep a volume equal: the demo's main job, then 60
# seconds of mixed load, over soft-RoCE and NVMe.
# usage: two-nodes.sh [SECONDS OF LOAD]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${LS_BUILD:=$PWD/build/release}"
export LS_BUILD
seconds=${1:-60}
name=two-$(cksum <<<"$LS_BUILD" | cut -d' ' -f1)
node() { # NODE VERB...
	local where=$1
	shift
	tools/lab exec --quiet --name "$name" --node "$where" --timeout 240 --env LS_BUILD -- tests/lab/one-node.sh "$@"
}
fail() {
	echo "two-nodes: FAILED: $*"
	exit 1
}
cleanup() {
	local rc=$?
	trap - EXIT
	if ((rc != 0)); then
		for n in a b; do
			echo "--- log of node $n"
			node $n log 2>/dev/null | tail -n 40 || true
		done
	fi
	tools/lab down --quiet --name "$name" || true
	exit $rc
}
legs_equal() {
	local a b
	a=$(node a digest vol)
	b=$(node b digest vol)
	[[ -n $a && $a == "$b" ]] || fail "$1: the legs differ ($a at a, $b at b)"
	echo "two-nodes: $1: both devices are equal ($a)"
}

tools/lab up --name "$name" --nodes 2 --fresh --disk-size 256M --lba 4096
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

share=$(tools/lab exec --quiet --name "$name" -- bash -c 'echo $LAB_SHARE')
node a start
node b start
node a lockstep pool create pool /dev/nvme0n1
node b lockstep pool create pool /dev/nvme0n1
rm -f "$share/key"
node a lockstep key create "$share/key"
node a lockstep peer add b --address 10.77.0.2:7610 --key-file "$share/key"
node b lockstep peer add a --address 10.77.0.1:7610 --key-file "$share/key"
node a lockstep volume create vol --size 64M
node a ops vol write:0:16M:1 flush
node a lockstep pair vol --peer b
legs_equal "after the initial copy"

node a ops vol write:0:8M:2 write:32M:1M:3:fua zeroes:40M:1M discard:48M:1M flush read:0:8M:2
read -r path offset _ < <(node b where vol)
tools/lab exec --quiet --name "$name" --node b -- "$LS_BUILD/tests/system/ops" --raw "$path:$offset" \
	read:0:8M:2 read:8M:8M:1 read:32M:1M:3 iszero:40M:1M
legs_equal "after writes, zeroes, discard and flush"

node a lockstep load vol --time "$seconds" --seed 7
legs_equal "after $seconds s of mixed load"
node a lockstep status
node a stop
node b stop
echo "two-nodes: passed"
