#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: an NVMe namespace with a file system, or mounted, is refused, and untouched.
. "$(dirname "$0")/lib.sh"

need root mkfs.ext4
[[ -n $LS_DEVS_A ]] || skip "is about NVMe devices"
start a
dev=$(device a)
mkfs.ext4 -q -F "$dev" 64M
refuses any "ext4" on a pool create p "$dev"
matches "--force" "$said" "the refusal"
mkdir "$work/mnt"
mount "$dev" "$work/mnt"
echo theirs >"$work/mnt/file"
refuses any "in use|mounted|busy" on a pool create p "$dev" --force
same theirs "$(cat "$work/mnt/file")" "content after the refusals"
umount "$work/mnt"
on a pool create p "$dev" --force
passed
