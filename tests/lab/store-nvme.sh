#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The store's contract over a real NVMe driver.  Inside a lab VM, as root, for example:
#     tools/lab run --fresh --lba 4096 -- tests/lab/store-nvme.sh build/release
# DESTROYS what is on the device.  usage: store-nvme.sh BUILD_DIR [DEVICE]
set -euo pipefail

build=${1:?usage: store-nvme.sh BUILD_DIR [DEVICE]}
device=${2:-/dev/nvme0n1}
suite=$build/tests/test_contract-store-file
failed=0

fail() {
	echo "  FAILED  $*"
	failed=1
}
# says WORDS PATH: opening PATH must be refused with WORDS.
says() {
	local words=$1 path=$2 got
	if got=$("$suite" open "$path"); then
		fail "$path was opened: $got"
	elif [[ $got != *"$words"* ]]; then
		fail "$path: '$got', without '$words'"
	else
		echo "  ok      $got"
	fi
}
# run_suite ARGS...: its failures and the line that describes the store.
run_suite() {
	echo "suite $*"
	"$suite" "$@" 2>&1 | grep -v '^\[ RUN\|^\[       OK' || true
	[[ ${PIPESTATUS[0]} == 0 ]] || fail "suite $*"
}

says_opened() { # WORDS PATH
	local got
	got=$("$suite" open "$2") || fail "$2: $got"
	[[ $got == *"$1"* ]] || fail "$2: '$got', without '$1'"
}
# set_cache 0|1: Set Features 06h, the volatile write cache, by the admin command's ioctl.
set_cache() {
	python3 - "$device" "$1" <<-'PYTHON'
		import fcntl, os, struct, sys
		command = struct.pack("<BBH IIIQQ II IIIIII II", 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, int(sys.argv[2]), 0, 0, 0, 0, 0, 0)
		fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), 0xC0484E41, command)
	PYTHON
}

[[ -b $device ]] || { echo "skipped: no $device"; exit 77; }
[[ -z ${LAB_NODE:-} && -z ${LS_DESTROY:-} ]] && { echo "not in the lab: set LS_DESTROY=1 to destroy $device"; exit 77; }

echo "kernel $(uname -r), $(cat /sys/block/"${device#/dev/}"/queue/logical_block_size) byte blocks"
run_suite device "$device" 0
run_suite device "$device" 1
run_suite file /tmp default 0
# The same device by its other name: one suite is enough for both.
says_opened "" "${device/nvme/ng}"
set_cache 0
run_suite device "$device" 0
says_opened "write cache off" "$device"
set_cache 1
says_opened "write cache on" "$device"
# The same device through the block layer: the file backend's O_DIRECT on a block device.
run_suite device "file:$device" 0

echo "refusals"
mkfs.ext4 -q -F "$device"
got=$("$suite" open "$device")
[[ $got == *"foreign: ext4 file system"* ]] || fail "ext4 not seen: $got"
mount "$device" /mnt
says "$device is mounted at /mnt" "$device"
says "$device is mounted at /mnt" "file:$device"
umount /mnt
# An MBR by hand, for want of sfdisk: two partitions of 16384 blocks, at 2048 and 20480.
wipefs -qa "$device"
printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0\0\0\0\0\203\0\0\0\0\120\0\0\0\100\0\0' |
	dd of="$device" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$device" bs=1 seek=510 conv=notrunc,fsync status=none
blockdev --rereadpt "$device"
got=$("$suite" open "$device")
[[ $got == *"foreign: MBR partition table"* ]] || fail "MBR not seen: $got"
says "is a partition" "${device}p1"
mkfs.ext4 -q -F "${device}p2"
mount "${device}p2" /mnt
says "${device}p2 is mounted at /mnt" "$device"
umount /mnt
mkswap -q "${device}p1" >/dev/null
swapon "${device}p1"
says "${device}p1 is swap space" "$device"
swapoff "${device}p1"
if modprobe md_mod 2>/dev/null && command -v mdadm >/dev/null; then
	mdadm --create /dev/md9 --run --force --level=1 --raid-devices=1 "$device" >/dev/null 2>&1
	says "belongs to /dev/md9" "$device"
	mdadm --stop /dev/md9 >/dev/null 2>&1
	got=$("$suite" open "$device")
	[[ $got == *"md member"* ]] || fail "md not seen: $got"
fi
wipefs -qa "$device"
[[ $failed == 0 ]] && echo "all ok"
exit $failed
