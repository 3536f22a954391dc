#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: an operator's limit holds a resync back, is shown with the rate, the time that is left and the
# reason, survives a restart, and lifting it sets the resync going; one that is interrupted in the
# middle goes on with the regions that are left.
. "$(dirname "$0")/lib.sh"

two_nodes
on a volume create vol --size 64M --no-zero >/dev/null
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:64M:1 flush
refuses 2 "never end" on a policy vol --resync-rate 0
refuses 1 "64 KiB" on a policy vol --resync-rate 1k
on a policy vol --resync-rate 4M | tee "$work/said"
grep -q "4096 KiB a second" "$work/said" || fail "policy says: $(cat "$work/said")"

# 4 MiB a second, and 16 s for all of it: it is not done before anybody looks.
in_background "$lockstep" --run "$work/a/run" --json pair vol --peer b >"$work/pair" 2>&1
pair=$job
on a pair vol --peer b --no-wait >/dev/null
until (($(volume_field a vol copy_done_bytes) >= 16777216)); do kill -0 "$pair" || fail "pair ended: $(cat "$work/pair")"; done
on a status vol | tee "$work/status"
grep -qE "vol: copying: .* MB/s, [0-9]+ s left; as fast as --resync-rate" "$work/status" || fail "status does not say why"
grep -q "limited to 4 MiB a second" "$work/status" || fail "status does not show the limit"
same limit "$(volume_field a vol copy_bound)" "what holds the copy back"
ns=$(volume_field a vol copy_ns)
# The first chunk of 128 KiB (31 ms) is not waited for, and one that is late makes up for 100 ms.
((ns >= 3868750000)) || fail "16 MiB at 4 MiB a second took $ns ns"

# Interrupted: what was copied is not copied again.
mark a
crash b
await_log a "volume 'vol': copying -> "
left=$(volume_field a vol dirty_regions)
((left > 0 && left <= 56)) || fail "$left of 64 regions are left after a quarter was copied"
crash a
start a
same 4194304 "$(volume_field a vol resync_limit_bytes)" "the limit after a restart"
same "$left" "$(volume_field a vol dirty_regions)" "dirty regions after a restart"
mark a
start b
await_log a "volume 'vol': .*-> copying"
total=$(volume_field a vol copy_total_bytes)
((total <= left * 1048576)) || fail "$total bytes are to be copied, of $left regions"
on a policy vol --resync-rate unlimited
await_log a "volume 'vol': copying -> synced"
((total < 67108864)) || fail "all is copied again"
legs_equal vol
passed
