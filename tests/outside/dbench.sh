#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: dbench: a file server's load of several clients, synchronous and not, on ext4
# Packages: dbench e2fsprogs
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need dbench mkfs.ext4
attached 256M mkfs.ext4 -q -F
for how in "" "-s" "-F"; do
	# shellcheck disable=SC2086 # an option
	timeout 300 dbench -D "$mnt" -t 20 $how 2 >"$work/dbench" 2>&1 || fail "dbench $how: status $?: $(tail -n 1 "$work/dbench")"
	! grep -iE '\b(failed|error)\b' "$work/dbench" | grep -v 'barrier semaphore' | head -n 2 | grep . || fail "dbench $how: see above"
	explain "dbench $how: $(grep Throughput "$work/dbench")"
done
unmount
in_order
passed
