#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: a guest of QEMU with its disk on the volume, over NBD: it mounts ext4, writes, syncs; then the same disk at the other node
# Packages: qemu-system-x86 qemu-utils nbdkit busybox-static cpio kmod e2fsprogs
. "$(dirname "$0")/lib.sh"
# In a virtual machine that is emulated itself, QEMU's guest does not get through its kernel in a quarter of an hour.
[[ $LS_TRANSPORT == tcp ]] || skip "an emulator in an emulated machine: run it without --lab"
need nbdkit qemu-system-x86_64 qemu-img busybox cpio modprobe mkfs.ext4
# Debian's kernel, as the lab has it.
(cd "$top" && tools/lab build-cache) >"$work/said" 2>&1 || skip "the lab has no kernel: $(tail -n 1 "$work/said")"
kernels=("${XDG_CACHE_HOME:-$HOME/.cache}"/lockstep-lab/kernel/*/ready)
kernel=$(dirname "${kernels[-1]}")
image=$kernel/vmlinuz
[[ ! -e $kernel/vmlinux ]] || image=$kernel/vmlinux

# The guest: busybox, the modules in the order in which they are loaded, and what it does.
mkdir -p "$work/guest"/{bin,modules,mnt,proc,sys,dev}
cp "$(type -P busybox)" "$work/guest/bin/busybox"
modprobe -d "$kernel" -S "${kernel##*/}" --show-depends -a virtio_pci virtio_blk ext4 crc32c_generic | while read -r line file _; do
	[[ $line == insmod && ! -e $work/guest/modules/${file##*/} ]] || continue
	cp "$file" "$work/guest/modules/"
	echo "${file##*/}"
done >"$work/guest/order"
cat >"$work/guest/init" <<'GUEST'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
end() {
	echo "guest: $*" >/dev/console
	poweroff -f
}
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </order
mount -t ext4 /dev/vda /mnt || end "cannot mount the disk"
cd /mnt && md5sum -c sums >/dev/null || end "what was on the disk is not right"
number=$(ls | grep -c '^file')
for i in 1 2 3 4 5 6 7 8; do
	dd if=/dev/urandom of="file$number-$i" bs=64k count=16 conv=fsync 2>/dev/null || end "cannot write"
done
md5sum file* >sums.new && mv sums.new sums
cd / && sync && umount /mnt || end "cannot unmount"
mount -t ext4 /dev/vda /mnt && cd /mnt && md5sum -c sums >/dev/null || end "what was written is not right"
cd / && umount /mnt
end "all right, $(cat /sys/block/vda/size) sectors"
GUEST
chmod +x "$work/guest/init"
(cd "$work/guest" && find . | cpio -o -H newc --quiet) >"$work/initrd"

volume_of 64M
# What is on the disk before.
truncate -s 64M "$work/disk.img"
mkdir "$work/tree"
head -c 4M /dev/urandom >"$work/tree/file0"
(cd "$work/tree" && md5sum file0 >sums)
mkfs.ext4 -q -F -d "$work/tree" "$work/disk.img"

boot() {
	rm -f "$work/console"
	timeout 300 qemu-system-x86_64 -accel tcg,thread=multi -cpu qemu64 -m 256 -smp 1 -nodefaults -no-reboot -display none \
		-kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 no_timer_check" -serial "file:$work/console" \
		-drive "file=$uri,format=raw,if=none,id=disk,cache=none,discard=unmap" -device virtio-blk-pci,drive=disk || fail "QEMU: status $?"
	matches "^guest: all right" "$(tr -d '\r' <"$work/console")" "the guest"
	explain "$1: $(tr -d '\r' <"$work/console" | grep '^guest:')"
}
serve a vol
qemu-img convert -n -f raw -O raw "$work/disk.img" "$uri"
boot "at a"
boot "at a, again"
end_nbdkit
in_order
on a demote vol >/dev/null
on b promote vol >/dev/null
serve b vol
boot "at b"
end_nbdkit
legs_equal vol
passed
