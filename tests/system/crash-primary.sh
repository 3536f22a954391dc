#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a primary that is killed in the middle of writes comes back by itself: what its map says
# may differ is compared, and nothing else.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 64M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:64M:1 flush
for ((round = 1; round <= LS_ROUNDS; round++)); do
	before=$(volume_field a vol writes)
	in_background "$lockstep" --run "$work/a/run" load vol --bytes 4M --time 60 --seed "$round" \
		>/dev/null 2>&1
	load=$job
	until (($(volume_field a vol writes) > before + 200)); do
		kill -0 "$load" || fail "the load ended"
	done
	mark a b
	crash a
	kill -KILL "$load" 2>/dev/null || true
	await_exit "$load"
	start a
	await_log a "volume 'vol': .*-> synced"
	await_log b "volume 'vol': .*-> synced"
	sent=$(volume_field a vol resync_sent_bytes)
	echo "round $round: $sent bytes were sent, of 64 MiB"
	# Every region of the load's 4 MiB may be set, and those that were not cleared yet.
	((sent <= 4194304)) || fail "$sent bytes were sent; 4 MiB were written to"
	same primary "$(volume_field a vol role)" "role at a"
	legs_equal vol
done
"$ops" "$at_a" vol read:4M:60M:1 write:0:64M:2 flush read:0:64M:2
legs_equal vol
passed
