#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: when the limit of locked memory is too low for RDMA, the sentence names the limit and the cure.
. "$(dirname "$0")/lib.sh"

need rdma root setpriv
# Root may lock what it likes, so without the capabilities to lock more, and to raise the limit.
limited() {
	(
		ulimit -l 64
		exec timeout "$LS_LIMIT" setpriv --bounding-set=-ipc_lock,-sys_resource --inh-caps=-ipc_lock,-sys_resource \
			"$lockstepd" --config /dev/null --node a --state "$work/a/state" --run "$work/a/run" --listen "rdma://$LS_HOST:7610"
	)
}
refuses any "memlock|locked memory|ulimit -l" limited
start a
passed
