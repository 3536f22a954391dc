#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: qemu-img bench: reads and writes at several depths and sizes, with flushes; it must end without an error
# Packages: qemu-utils nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit qemu-img
volume_of 64M
serve a vol
for how in "-w -c $((20000 / scale)) -d 1 -s 4096" "-w -c $((40000 / scale)) -d 32 -s 4096" "-c $((40000 / scale)) -d 32 -s 4096" \
	"-w -c $((2000 / scale)) -d 8 -s 262144" "-w -c $((10000 / scale)) -d 16 -s 4096 --flush-interval=64" \
	"-w -c $((10000 / scale)) -d 16 -s 4096 --pattern=165 -S 8192" "-c $((10000 / scale)) -d 64 -s 65536 -S 1048576"; do
	# shellcheck disable=SC2086 # options
	said=$(qemu-img bench -f raw -t none $how "$uri" 2>&1) || fail "qemu-img bench $how: status $?: $said"
	explain "$how: $(tail -n 1 <<<"$said")"
done
end_nbdkit
in_order
passed
