# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154 # what lib.sh sets
# Words for suites that need a block device, which the kernel's nbd makes of the volume: in the lab.  Behind lib.sh.

# attached SIZE [MKFS...]: volume "vol" as a block device of node a, $device; MKFS makes a file system that is mounted at $mnt.
mnt=""
attached() {
	local size=$1
	shift
	need root
	[[ -d /sys/module/nbd ]] || modprobe nbd 2>/dev/null || skip "the kernel has no nbd"
	volume_of "$size"
	device=$(on a attach vol) || fail "lockstep attach: status $?"
	trap undo EXIT
	if (($# > 0)); then
		"$@" "$device" >"$work/mkfs" 2>&1 || fail "$*: $(tail -n 1 "$work/mkfs")"
		mnt=$work/mnt
		mkdir "$mnt"
		mount "$device" "$mnt"
	fi
}
# The machine is there for the next suite.
undo() {
	local rc=$? node
	set +e
	[[ -z $mnt ]] || umount -l "$mnt" 2>/dev/null
	for node in a b; do on $node detach vol --force >/dev/null 2>&1; done
	(exit $rc)
	cleanup
}
# unmount: and detach, as an operator does.
unmount() {
	[[ -z $mnt ]] || umount "$mnt"
	mnt=""
	on a detach vol >/dev/null
}
# move_to_b: node b is primary, and has the device.
move_to_b() {
	on a demote vol >/dev/null
	on b promote vol >/dev/null
	device=$(on b attach vol) || fail "lockstep attach at b: status $?"
}
# tree_of FOLDER: names, modes, sizes and contents, as one sum.
tree_of() {
	(cd "$1" && {
		find . -not -name lost+found -printf '%y %m %s %l %p\n' | sed 's/^d \([0-7]*\) [0-9]* /d \1 /' | sort
		find . -type f -print0 | sort -z | xargs -0 sha256sum
	}) | sha256sum
}
# a_tree_survives CHECKER...: on the file system of `attached`: unpacked, read again, trimmed, checked at b, and the same there.
a_tree_survives() {
	local want
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
	"$@" "$device" >"$work/check" 2>&1 || fail "$* at b: $(tail -n 3 "$work/check" | xargs)"
	mnt=$work/mnt
	mount "$device" "$mnt"
	same "$want" "$(tree_of "$mnt")" "the tree at b"
	umount "$mnt"
	mnt=""
	on b detach vol >/dev/null
	on b demote vol >/dev/null
	on a promote vol >/dev/null
	in_order
}
