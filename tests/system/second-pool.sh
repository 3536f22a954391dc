#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a pool that is made beside a mirror in use does not disturb it.
. "$(dirname "$0")/lib.sh"

made=0
two_nodes
mirrored vol 16M
in_background on a bench --volume vol --rw randwrite --bs 4k --qd 8 --time 2 >/dev/null
bench=$job
for node in a b a; do
	on "$node" pool create "second-$((++made))" "$work/$node/second-$made" --size 64M >/dev/null
done
await_exit "$bench"
same 0 "$status" "the writer's exit status"
! grep "volume 'vol': synced ->" "$work/a/log" || fail "the mirror stopped"
same synced "$(volume_field a vol mirror)" "the mirror at a"
legs_equal vol
passed
