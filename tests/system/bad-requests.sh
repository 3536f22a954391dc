#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: each request that makes no sense ends with the status that says why, and harms nothing.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
"$ops" "$(socket_of a)" vol write:0:16M:1
refuses 1 "no volume|no such volume|nothing" "$ops" "$(socket_of a)" nothing flush
LS_SOCKET=$(socket_of a) LS_VOLUME=vol "$LS_BUILD/tests/system/bad_requests"
"$ops" "$(socket_of a)" vol read:0:16M:1
legs_equal vol
passed
