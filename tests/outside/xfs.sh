#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: a file system of the kernel (xfs): made, a tree unpacked, trimmed, checked, and found the same on the other node
# Packages: xfsprogs nbdkit
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need tar mkfs.xfs xfs_repair
attached 320M mkfs.xfs -q -f
# What every machine that builds this has; more would take emulation too long.
tar -C / -cf - usr/include/linux usr/include/c++ 2>/dev/null | tar -C "$mnt" -xf - || fail "tar: status $?"
sync -f "$mnt"
want=$(tree_of "$mnt")
echo 3 >/proc/sys/vm/drop_caches
same "$want" "$(tree_of "$mnt")" "the tree, read again"
rm -rf "${mnt:?}/usr/include/linux"
fstrim -v "$mnt" || explain "no trim"
want=$(tree_of "$mnt")
unmount
in_order
move_to_b
xfs_repair -n "$device" >"$work/check" 2>&1 || fail "xfs_repair -n at b: $(tail -n 3 "$work/check" | xargs)"
mnt=$work/mnt
mount "$device" "$mnt"
same "$want" "$(tree_of "$mnt")" "the tree at b"
umount "$mnt"
mnt=""
on b detach vol >/dev/null
on b demote vol >/dev/null
on a promote vol >/dev/null
in_order
passed
