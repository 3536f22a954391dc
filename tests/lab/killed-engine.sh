#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: an engine that is killed while a device holds its write keeps the device until that write has
# ended: the next engine waits for that, says so, and its own writes are the last. On an NVMe namespace
# (passthrough) and on a block device. The device that holds writes is a device-mapper one that is
# suspended; the NVMe namespace is one over TCP, which this machine serves from it to itself.
. "$(dirname "$0")/../system/lib.sh"

need root dmsetup
[[ -n $LS_DEVS_A ]] || skip "is about block devices"
# There is no udev in the lab: devtmpfs makes /dev/dm-N, and that is enough.
export DM_DISABLE_UDEV=1
config=/sys/kernel/config/nvmet
nqn=lockstep-slow

# In a machine that other tests use, too: everything goes, what hangs first.
undo() {
	local rc=$?
	set +e
	dmsetup resume ls-slow
	kill -KILL "${background[@]}" "${node_pid[@]}" 2>/dev/null
	wait
	remove
	(exit $rc)
	cleanup
}
remove() {
	local controller
	for controller in $(slow_controllers); do echo 1 >"/sys/class/nvme/$controller/delete_controller"; done
	rm -f "$config/ports/1/subsystems/$nqn"
	rmdir "$config/ports/1" "$config/subsystems/$nqn/namespaces/1" "$config/subsystems/$nqn"
	dmsetup remove --retry ls-slow
}
trap undo EXIT

slow_controllers() { grep -lx "$nqn" /sys/class/nvme/*/subsysnqn | cut -d/ -f5; }
# slow_nvme: serves the device over NVMe/TCP and connects to it; says /dev/nvmeXn1.
slow_nvme() {
	local controller end=$((SECONDS + LS_LIMIT))
	modprobe -a nvmet nvmet-tcp nvme-tcp
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	ip link set lo up
	mkdir "$config/subsystems/$nqn" "$config/ports/1"
	echo 1 >"$config/subsystems/$nqn/attr_allow_any_host"
	mkdir "$config/subsystems/$nqn/namespaces/1"
	echo "$slow" >"$config/subsystems/$nqn/namespaces/1/device_path"
	echo 1 >"$config/subsystems/$nqn/namespaces/1/enable"
	echo tcp >"$config/ports/1/addr_trtype"
	echo ipv4 >"$config/ports/1/addr_adrfam"
	echo 127.0.0.1 >"$config/ports/1/addr_traddr"
	echo 4420 >"$config/ports/1/addr_trsvcid"
	ln -s "$config/subsystems/$nqn" "$config/ports/1/subsystems/$nqn"
	echo "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$nqn" >/dev/nvme-fabrics
	controller=$(slow_controllers)
	[[ -n $controller ]] || fail "the namespace over TCP did not come"
	# Its first scan runs in the background; the kernel says when it is there.
	until [[ -b /dev/${controller}n1 ]]; do
		((SECONDS < end)) || fail "/dev/${controller}n1 did not come"
		echo 1 >"/sys/class/nvme/$controller/rescan_controller" # returns when the scan is done
	done
	echo "/dev/${controller}n1"
}

# killed BACKEND DEVICE
killed() {
	local backend=$1 dev=$2 writer waker at_a
	start a
	at_a=$(socket_of a)
	on a pool create "$backend" "$dev" --force >/dev/null
	matches "$backend" "$(ask a "pool list" ".pools[] | select(.name == \"$backend\") | .devices[0].backend")" "the backend"
	on a volume create "$backend" --size 16M >/dev/null
	"$ops" "$at_a" "$backend" write:0:64K:1 flush
	dmsetup suspend ls-slow
	in_background "$ops" "$at_a" "$backend" write:0:64K:2
	writer=$job
	until (($(ask a status '.shard.store_queue | .submitted - .completed') > 0)); do alive a; done
	mark a
	crash a
	kill -KILL "$writer"
	# Woken by what the next engine says, and before that it does not become ready.
	in_background resume_when_waited_for
	waker=$job
	start a
	await_exit "$waker"
	same 0 "$status" "the next engine waited for the device"
	"$ops" "$at_a" "$backend" write:0:64K:3 read:0:64K:3 flush read:0:64K:3
	crash a
	start a # nothing is under way: no long wait
	"$ops" "$at_a" "$backend" read:0:64K:3
	on a volume delete "$backend"
	stop a
}
resume_when_waited_for() {
	await_log a "in use: .*I wait up to [0-9]+ s"
	dmsetup resume ls-slow
}

dd if=/dev/zero of="$(device a)" bs=1M count=8 oflag=direct status=none
dmsetup create ls-slow --table "0 $(blockdev --getsz "$(device a)") linear $(device a) 0"
slow=/dev/dm-$(dmsetup info -c --noheadings -o minor ls-slow)
killed file "file:$slow"
rm -rf "$work/a/state"
slow_nvme >"$work/namespace"
killed nvme "$(<"$work/namespace")"
passed
