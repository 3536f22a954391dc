#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: without an RDMA device, an rdma:// address is refused with a sentence that says what to do.
. "$(dirname "$0")/lib.sh"

run() {
	timeout "$LS_LIMIT" "$lockstepd" --config /dev/null --node a --state "$work/a/state" --run "$work/a/run" --listen "$1"
}

if [[ -z $(ls /sys/class/infiniband 2>/dev/null) ]]; then
	refuses any "RDMA device" run rdma://127.0.0.1:0
else
	# There is one, but not on this address.
	refuses any "RDMA|address" run rdma://192.0.2.1:7610
fi
[[ ! -e $work/a/run/client.sock ]] || fail "the client socket was left behind"

# Addresses that make no sense.
refuses any "tcp://|rdma://" run udp://127.0.0.1:0
refuses any "address|host" run tcp://no-such-host.invalid:1
refuses any "HOST:PORT" run tcp://127.0.0.1:99999
# A port that is taken.
start b
[[ $LS_TRANSPORT != tcp ]] || refuses any "in use|taken" run "${node_uri[b]}"
passed
