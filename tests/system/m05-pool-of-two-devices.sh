#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a node's storage is a set of devices: a volume larger than one of them lies on both (M5).
. "$(dirname "$0")/lib.sh"

LS_DISK_SIZE=64M
start a
start b
pool a pool-a 2
pool b pool-b 2
introduce
# More than either device has, so that it must lie on both, whatever their size.
size=$(ask a "pool list" '[.pools[0].devices[].size_bytes] | max')
largest=$(((size >> 20) + 8))M
on a volume create vol --size "$largest"
on a volume list
paths=$(extents a vol | cut -d' ' -f1 | sort -u | wc -l)
same 2 "$paths" "devices that the volume lies on"

# Across the seam, before the pair and after it.
read -r _ _ seam < <(extents a vol)
at=$(((seam >> 10) - 64))K
"$ops" "$(socket_of a)" vol "write:$at:128K:5"
LIMIT=300 on a pair vol --peer b
"$ops" "$(socket_of a)" vol "read:$at:128K:5" "write:$at:128K:6" "read:$at:128K:6" "write:0:4K:7"
same 2 "$(extents b vol | cut -d' ' -f1 | sort -u | wc -l)" "devices at b that the volume lies on"
legs_equal vol
passed
