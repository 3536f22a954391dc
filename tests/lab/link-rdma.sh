#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The link's contract suite over RDMA, and its speed.  Runs in the lab:
#   tools/lab run -- tests/lab/link-rdma.sh BUILD_DIR [suite|bench]
# Both ends are in one machine, on one RDMA device.
set -eu

build=${1:?usage: link-rdma.sh BUILD_DIR [suite|bench]}
what=${2:-all}
address=${LAB_IP:-10.77.0.1}
test=$build/tests/test_contract-link-tcp

if [ ! -d /sys/class/infiniband ]; then
	echo "skipped: no RDMA device here; run it in the lab: tools/lab run -- $0 $*"
	exit 77
fi
ulimit -l unlimited 2>/dev/null || true
case $what in
suite | all) "$test" "rdma://$address:0" ;;
esac
case $what in
bench | all)
	"$test" "rdma://$address:0" bench
	"$test" "tcp://$address:0" bench
	;;
esac
