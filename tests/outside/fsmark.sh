#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: fs_mark: many small files, written and synced in each of its ways, on ext4
# Packages: fsmark e2fsprogs
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need fs_mark mkfs.ext4
attached 128M mkfs.ext4 -q -F
for sync in 0 1 2 3 4 5 6; do
	mkdir "$mnt/$sync"
	(cd "$work" && timeout 300 fs_mark -d "$mnt/$sync" -S $sync -n $((300 / scale)) -s 16384 -t 2 -L 2 -k) >"$work/fsmark" 2>&1 ||
		fail "fs_mark -S $sync: status $?: $(tail -n 1 "$work/fsmark")"
	explain "-S $sync: $(tail -n 1 "$work/fsmark" | xargs)"
done
want=$(tree_of "$mnt")
echo 3 >/proc/sys/vm/drop_caches
same "$want" "$(tree_of "$mnt")" "what fs_mark left, read again"
unmount
in_order
passed
