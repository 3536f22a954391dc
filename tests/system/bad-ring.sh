#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a client that scribbles over its ring loses its own queue, and nobody else notices (I13).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
"$ops" "$(socket_of a)" vol write:0:16M:1
LS_SOCKET=$(socket_of a) LS_VOLUME=vol "$LS_BUILD/tests/system/bad_ring"
alive a
"$ops" "$(socket_of a)" vol read:0:16M:1 write:1M:4K:2 read:1M:4K:2
legs_equal vol
passed
