#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: qemu-img: info, convert (also out of order, many at once, from and to qcow2), compare, map, dd, measure
# Packages: qemu-utils nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit qemu-img
volume_of 64M
serve a vol
head -c 20M /dev/urandom >"$work/image"
truncate -s 64M "$work/image"
dd if=/dev/urandom of="$work/image" bs=1M seek=40 count=10 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$work/image" "$work/image.qcow2"

qemu-img info -f raw --output=json "$uri" | jq -e '.["virtual-size"] == 67108864' >/dev/null || fail "info"
qemu-img measure -f raw -O qcow2 "$uri" >/dev/null || fail "measure"
compare() { qemu-img compare -f raw -F "$1" "$uri" "$2" || fail "compare says that the volume is not $2"; }
# A folder in memory, as virtual machines have it for this, cannot be read past the cache.
direct="-t none -T none"
dd if=/dev/zero of="$work/probe" bs=4096 count=1 oflag=direct status=none 2>/dev/null || direct=""
for how in "" "-W -m 16" "-m 1" "-S 0" "-S 64k" ${direct:+"$direct"} "-t writethrough"; do
	# shellcheck disable=SC2086 # options
	qemu-img convert -n $how -f qcow2 -O raw "$work/image.qcow2" "$uri" || fail "convert $how: status $?"
	compare raw "$work/image"
	compare qcow2 "$work/image.qcow2"
	# shellcheck disable=SC2086
	qemu-img convert $how -f raw -O qcow2 "$uri" "$work/back.qcow2" || fail "convert $how back: status $?"
	qemu-img compare -f qcow2 -F raw "$work/back.qcow2" "$work/image" || fail "convert $how back: differs"
	explain "convert ${how:-plainly}, there and back"
	qemu-io -f raw -c 'write -z 0 64M' "$uri" >/dev/null
done
qemu-img convert -n -f raw -O raw "$work/image" "$uri"
qemu-img map -f raw --output=json "$uri" | jq -e 'map(.length) | add == 67108864' >/dev/null || fail "map"
# Not with count=, too: QEMU 7.2 counts that from the beginning, on files alike.
qemu-img dd -f raw -O raw bs=1M skip=40 if="$uri" of="$work/part" || fail "dd: status $?"
cmp <(tail -c 24M "$work/image") "$work/part" || fail "dd: differs"
# A qcow2 that lives in the volume, with a snapshot.
qemu-img create -q -f qcow2 "$uri" 32M || fail "create qcow2 in the volume: status $?"
qemu-io -f qcow2 -c 'write -P 1 0 4M' "$uri" >/dev/null
qemu-img snapshot -c one "$uri" || fail "snapshot: status $?"
qemu-io -f qcow2 -c 'write -P 2 2M 4M' "$uri" >/dev/null
qemu-img check -f qcow2 "$uri" || fail "check: status $?"
qemu-img snapshot -a one "$uri"
qemu-io -f qcow2 -c 'read -P 1 0 4M' -c 'read -P 0 4M 2M' "$uri" >"$work/said"
! grep -iE 'fail|error' "$work/said" || fail "the snapshot does not hold what it held"
end_nbdkit
in_order
passed
