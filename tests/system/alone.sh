#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a fail-open primary that lost its peer goes on alone, remembers that over its own restart,
# and brings the peer up to date by itself, with what the peer missed and no more.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 64M
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:64M:1 flush
mark a
crash b
await_log a "volume 'vol': synced -> waiting"
"$ops" "$at_a" vol write:1M:256K:2 flush
await_log a "volume 'vol': waiting -> alone"
same alone "$(volume_field a vol mirror)" "the mirror at a"
on a status vol --explain

# It is durable who is ahead.
crash a
start a
same alone "$(volume_field a vol mirror)" "the mirror at a, after its restart"
"$ops" "$at_a" vol read:1M:256K:2 write:33M:64K:3 discard:40M:8M flush read:0:1M:1
same alone "$(volume_field a vol mirror)" "the mirror at a, after a write"

mark a b
start b
await_log a "volume 'vol': .*-> synced"
await_log b "volume 'vol': .*-> synced"
sent=$(volume_field a vol resync_sent_bytes)
# What is zeroes by now is no payload.
((sent >= 327680 && sent <= 1048576)) || fail "$sent bytes were sent for 320 KiB that differ, and 8 MiB that were discarded"
same 0 "$(volume_field a vol dirty_regions)" "dirty regions at a"
legs_equal vol
"$ops" "$at_a" vol write:2M:4K:4
legs_equal vol
passed
