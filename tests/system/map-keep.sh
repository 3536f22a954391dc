#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: of a volume that clients write to all the time, no more stays marked in the write-intent map than
# map-keep-mib says, but for what is written just now; so after a crash no more is compared.
. "$(dirname "$0")/lib.sh"

two_nodes --map-keep-mib 1
same "1 command line" "$(ask a "config show" '.options[] | select(.option == "map-keep-mib") | "\(.value) \(.source)"')" "the option"
mirrored vol 64M
at_a=$(socket_of a)
writing() { while "$ops" "$at_a" vol write:0:4K:1 >/dev/null 2>&1; do :; done; }
in_background writing
load=$job
"$ops" "$at_a" vol write:8M:4K:2 write:16M:4K:3 write:24M:4K:4
end=$((SECONDS + LS_LIMIT))
until (($(volume_field a vol regions_touched) <= 1)); do
	kill -0 "$load" || fail "the writes ended"
	((SECONDS < end)) || fail "$(volume_field a vol regions_touched) regions stay marked"
done
# One that was unmarked is marked again before it changes.
marks=$(volume_field a vol map_marks)
"$ops" "$at_a" vol write:16M:4K:5
(($(volume_field a vol map_marks) > marks)) || fail "a write to a region that was unmarked did not wait for the map"
kill "$load"
crash a
crash b
start a
left=$(volume_field a vol dirty_regions)
((left <= 2)) || fail "$left regions are to be compared after a crash"
refuses 2 "'0' is not a number from 1 to" timeout "$LS_LIMIT" "$lockstepd" --config /dev/null --map-keep-mib 0
passed
