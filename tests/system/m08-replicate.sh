#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the data gets there: initial copy, then every write, flush, discard and zeroing (M8).
. "$(dirname "$0")/lib.sh"

two_nodes
on a volume create vol --size 16M >/dev/null
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:8M:1 write:15M:1M:2 flush

# What was there before the pair.
on a pair vol --peer b
read -r path_b offset_b _ < <(extents b vol)
"$ops" --raw "$path_b:$offset_b" read:0:8M:1 iszero:8M:7M read:15M:1M:2
legs_equal vol

# Then each operation.
"$ops" "$at_a" vol write:1M:256K:3 write:2M:4K:4:fua flush
"$ops" --raw "$path_b:$offset_b" read:0:1M:1 read:1M:256K:3 read:2M:4K:4
"$ops" "$at_a" vol zeroes:3M:1M zeroes:4100K:4K:0:fua flush
"$ops" --raw "$path_b:$offset_b" iszero:3M:1M iszero:4100K:4K read:4104K:4K:1
legs_equal vol
"$ops" "$at_a" vol discard:5M:1M flush write:5M:512K:5 read:5M:512K:5
"$ops" --raw "$path_b:$offset_b" read:5M:512K:5
same 0 "$(volume_field a vol errors)" "errors at a"

# All together, many at a time; overlapping ones, too.
on a load vol --time 3 --seed 11
"$ops" "$at_a" vol write:0:16M:6 flush
legs_equal vol
"$ops" --raw "$path_b:$offset_b" read:0:16M:6
passed
