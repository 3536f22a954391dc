#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: the kernel's source on xfs: unpacked (80,000 files), unmounted, and found the same on the other node after promote
# Packages: xfsprogs xz-utils
# Fetch: package:linux-source-6.1@linux-source-6.1
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need tar xz mkfs.xfs xfs_repair
archive=$(compgen -G "${LS_OUTSIDE_CACHE:-}/package/linux-source-6.1/root/usr/src/linux-source-*.tar.xz") || skip "the kernel's source was not fetched"
attached 2G mkfs.xfs -q -f
begin=$SECONDS
tar -C "$mnt" -xf "$archive" || fail "tar: status $?"
unmount
explain "$(basename "$archive"): unpacked and unmounted in $((SECONDS - begin)) s"
move_to_b
xfs_repair -n "$device" >"$work/check" 2>&1 || fail "xfs_repair -n at b: $(tail -n 3 "$work/check" | xargs)"
mnt=$work/mnt
mount "$device" "$mnt"
explain "at b: $(find "$mnt" -type f | wc -l) files, $(df -h --output=used "$mnt" | tail -n 1 | xargs)"
# With the archive itself: contents, modes, owners, times, links.
tar -C "$mnt" -df "$archive" >"$work/differs" 2>&1 || fail "at b: $(head -n 3 "$work/differs" | xargs)"
umount "$mnt"
mnt=""
on b detach vol >/dev/null
legs_equal vol
passed
