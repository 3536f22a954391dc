#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: request and completion travel as frames with target, initiator, command and message
# identification, and both carry the identical message identification (M3).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
# `capture` says on its first line that it records, and ends after so many frames.
in_background on a --json capture --count 8 >"$work/frames"
capture=$job
for ((i = 0; i < 64; i++)); do
	"$ops" "$(socket_of a)" vol "write:$((i * 4))K:4K:3" >/dev/null
	kill -0 "$capture" 2>/dev/null || break
done
await_exit "$capture"
same 0 "$status" "status of lockstep capture"
python3 "$here/frames.py" "$work/frames" \
	"$(node_address a)" "$(node_address b)" || fail "the frames do not match"
passed
