#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: one virtual machine with four NVMe devices, two for each of the nodes a and b, for many tests.
# usage: in-vm.sh up | exec SCRIPT [ARGS...] | down
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${LS_BUILD:=$PWD/build/release}"
lab=(tools/lab)
# A lab for each build folder, so that two may be tested at the same time.
name=ctest-$(cksum <<<"$LS_BUILD" | cut -d' ' -f1)
verb=$1
shift
case $verb in
# One processor: another test runs beside, and emulated ones wait for one another when they are more than the real ones.
# lab-fua's machine has two.
up) exec "${lab[@]}" up --name "$name" --fresh --cpus "${LS_LAB_CPUS:-1}" --disks 4 --disk-size 128M ;;
down) exec "${lab[@]}" down --name "$name" ;;
exec)
	# shellcheck disable=SC2016 # for the guest's shell
	exec "${lab[@]}" exec --name "$name" --quiet --timeout 600 --env LS_BUILD --env LS_REQUIRE=1 \
		--env LS_TRANSPORT=rdma --env LS_LIMIT=40 --env LS_ROUNDS=1 --env "LS_DEVS_A=/dev/nvme0n1 /dev/nvme1n1" \
		--env "LS_DEVS_B=/dev/nvme2n1 /dev/nvme3n1" -- bash -c 'LS_HOST=$LAB_IP exec "$@"' in-vm "$@"
	;;
*)
	echo "in-vm.sh: up, exec or down, not '$verb'" >&2
	exit 2
	;;
esac
