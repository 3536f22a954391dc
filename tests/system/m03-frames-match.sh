#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: request and completion travel as frames with target, initiator, command and message
# identification, and both carry the identical message identification (M3).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
on a capture --start --count 16
"$ops" "$(socket_of a)" vol write:0:4K:3 write:4K:128K:3:fua write:1M:4K:3 zeroes:2M:1M flush
on a --json capture --read >"$work/frames"
python3 "$here/frames.py" "$work/frames" \
	"$(node_address a)" "$(node_address b)" || fail "the frames do not match"
passed
