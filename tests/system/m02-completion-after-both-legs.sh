#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the process is told once, when both nodes have done it, and not before (M2).
. "$(dirname "$0")/lib.sh"

two_nodes --peer-timeout-ms 60000
mirrored vol 16M
"$ops" "$(socket_of a)" vol write:0:4K:1

# B's leg is held back: its engine stands still.
freeze b
mkfifo "$work/told"
exec {told}<>"$work/told"
in_background "$ops" "$(socket_of a)" vol write:64K:4K:2 >"$work/told"
writer=$job

# A's leg is done without B: the bytes are on A's device ...
read -r path offset _ < <(extents a vol)
written=""
for ((i = 0; i < 400; i++)); do
	if "$ops" --raw "$path:$offset" read:64K:4K:2 >/dev/null; then
		written=yes
		break
	fi
done
[[ -n $written ]] || fail "A's device did not get the bytes while B stood still"

# ... and still the process is told nothing.
if IFS= read -rt 2 -u "$told" line && [[ $line == *ok* ]]; then
	fail "completed before B's leg was done: $line"
fi
kill -0 "$writer" || fail "the writer ended before B's leg was done"

thaw b
IFS= read -rt "$LS_LIMIT" -u "$told" rest || fail "no completion after B went on"
matches ok "${line:-}$rest" "completion"
await_exit "$writer"
same 0 "$status" "status of the writer"
legs_equal vol
passed
