#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One step at one node of two, in the guest; two-nodes.sh says which.
#   one-node.sh start                  lockstepd, which goes on when this ends
#   one-node.sh lockstep ARGS...       the admin tool
#   one-node.sh ops VOLUME OP...       tests/system/ops
#   one-node.sh digest VOLUME          of the bytes on the device
#   one-node.sh where VOLUME           "PATH OFFSET LENGTH" on the device
#   one-node.sh log | stop
set -euo pipefail

run=/run/lockstep-test
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
verb=$1
shift
lockstep=("$LS_BUILD/tools/lockstep/lockstep" --run "$run")

where() { "${lockstep[@]}" --json volume list | "$LS_BUILD/tests/system/answer" extents "$1"; }

case $verb in
start)
	mkdir -p $run
	setsid "$LS_BUILD/engine/daemon/lockstepd" --config /dev/null --node "$LAB_NODE" --state $run/state --run $run \
		--listen "rdma://$LAB_IP:7610" >$run/out 2>$run/log </dev/null &
	echo $! >$run/pid
	# tail ends with the daemon, so that a daemon that fails ends this at once.
	timeout 60 grep -m 1 '^ready' <(exec tail -n +1 -f --pid=$! $run/out) || {
		cat $run/log
		exit 1
	}
	;;
lockstep) exec "${lockstep[@]}" "$@" ;;
ops) exec "$LS_BUILD/tests/system/ops" $run/client.sock "$@" ;;
where) where "$1" ;;
digest)
	where "$1" | while read -r path offset length; do
		dd if="$path" iflag=direct,skip_bytes,count_bytes,fullblock bs=1M skip="$offset" count="$length" status=none
	done | sha256sum | cut -d' ' -f1
	;;
log) cat $run/log ;;
stop)
	kill -TERM "$(<$run/pid)"
	timeout 30 tail --pid="$(<$run/pid)" -f /dev/null
	;;
*) exit 2 ;;
esac
