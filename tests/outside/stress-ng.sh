#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: stress-ng's stressors of I/O and file systems, each verifying what it reads (--verify), on ext4
# Packages: stress-ng e2fsprogs
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need stress-ng mkfs.ext4
attached 256M mkfs.ext4 -q -F
failed=() done=0
for stressor in hdd iomix aio aiol fallocate dentry dir dirdeep fiemap file-ioctl filename flock fpunch io link lockf mknod readahead \
	rename revio seek sync-file symlink touch utime xattr; do
	rc=0
	(cd "$mnt" && timeout 120 stress-ng --temp-path "$mnt" "--$stressor" 1 --timeout 4s --verify --hdd-bytes 32M --iomix-bytes 32M \
		--fallocate-bytes 32M --revio-bytes 32M --seek-size 32M --readahead-bytes 32M --sync-file-bytes 32M \
		--fiemap-bytes 32M) >"$work/stress" 2>&1 || rc=$?
	case $rc in
	0) done=$((done + 1)) ;;
	# stress-ng: 3 no resource, 4 not implemented, 5 killed by a signal; a stressor that this kernel or stress-ng does not have.
	3 | 4) explain "$stressor: not here: $(tail -n 1 "$work/stress")" ;;
	*)
		explain "$stressor: status $rc: $(grep -E 'fail|error' "$work/stress" | tail -n 2 | xargs)"
		failed+=("$stressor")
		;;
	esac
	rm -rf "${mnt:?}"/tmp-stress-ng-* "${mnt:?}"/stress-ng-*
done
explain "$done stressors passed"
unmount
in_order
((${#failed[@]} == 0)) || fail "stressors: ${failed[*]}"
passed
