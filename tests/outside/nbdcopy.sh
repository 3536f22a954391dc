#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: libnbd's nbdcopy: to, from and between volumes, with one and many connections, requests and sizes; compared byte by byte
# Packages: libnbd-bin nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit nbdcopy
# In requests of 4 KiB a virtual machine takes minutes for 64 MiB.
size=$((scale > 1 ? 16 : 64))
volume_of ${size}M
serve a vol
# Data, zeroes and holes.
head -c $((size * 5 / 8))M /dev/urandom >"$work/image"
truncate -s ${size}M "$work/image"
dd if=/dev/urandom of="$work/image" bs=1M seek=$((size * 7 / 8)) count=2 conv=notrunc status=none
want=$(sha256sum <"$work/image")
round() {
	local back
	nbdcopy "$@" --flush "$work/image" "$uri" || fail "nbdcopy $* to the volume: status $?"
	cmp "$work/image" <(raw a vol) || fail "nbdcopy $*: the volume is not the image"
	back=$(nbdcopy "$@" "$uri" - | sha256sum) || fail "nbdcopy $* from the volume: status $?"
	same "$want" "$back" "nbdcopy $*, read back"
	# So that the next one has something to do.
	nbdcopy "$work/blank" "$uri"
	explain "nbdcopy $*"
}
truncate -s ${size}M "$work/blank"
round
round --connections=1 --requests=1
round --connections=8 --requests=32
round --threads=1
round --request-size=4096
round --request-size=$((8 << 20))
round --allocated
round --sparse=4096
round --sparse=0
round --synchronous
nbdcopy "$work/image" "$uri"
# Onto the same volume's copy in memory, and onto itself through two sockets.
nbdcopy "$uri" null:
nbdcopy --destination-is-zero "$uri" "$work/back"
cmp "$work/image" "$work/back"
end_nbdkit
in_order
passed
