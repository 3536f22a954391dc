#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a block that one node's device cannot read is read from the peer and written back; only
# when neither node has it does a read fail, and it says so.
. "$(dirname "$0")/lib.sh"
need jq
. "$here/faults.sh"

vol_through_faults
same synced "$(volume_field a vol mirror)" "the mirror at a"

# A bad block: the peer's bytes arrive, the block is written back, and is good from then on.
sent=$(peer_field b a link.requests_tx)
garbage a 64K 4K
bad a "read $(at a 65536) 4096"
mark a
"$ops" "$at_a" vol read:0:1M:1
await_log a "volume 'vol': read repaired .*byte 0 could not be read here"
same 1 "$(volume_field a vol read_errors)" "local reads that failed"
same 1 "$(volume_field a vol repairs)" "blocks written back"
same 0 "$(volume_field a vol repair_failures)" "blocks not written back"
same 0 "$(volume_field a vol errors)" "requests that failed"
same 131072 "$(volume_field a vol fetched_bytes)" "bytes from the peer"
(($(peer_field b a link.requests_tx) > sent)) || fail "the peer was not asked"
well a
"$ops" "$at_a" vol read:0:1M:1
same 1 "$(volume_field a vol read_errors)" "local reads that failed, afterwards"
legs_equal vol

# It cannot be written either: reads go on, from the peer, each time; the mirror stays.
garbage a 64K 4K
bad a "read $(at a 65536) 4096" "write $(at a 65536) 4096"
"$ops" "$at_a" vol read:64K:4K:1 read:60K:16K:1
same 2 "$(volume_field a vol repair_failures)" "blocks not written back"
same synced "$(volume_field a vol mirror)" "the mirror of a volume with a bad block"
# ... and when it can be written again, it is.
bad a "read $(at a 65536) 4096"
"$ops" "$at_a" vol read:64K:4K:1
same 2 "$(volume_field a vol repairs)" "blocks written back"
well a
legs_equal vol

# Neither can read it.
bad a "read $(at a 65536) 4096"
bad b "read $(at b 65536) 4096"
refuses any "the local and the peer's device failed" "$ops" "$at_a" vol read:64K:4K:1
"$ops" "$at_a" vol read:0:64K:1 read:68K:60K:1
# A write makes it good on both.
well b
"$ops" "$at_a" vol read:64K:4K:1
well a
legs_equal vol

# The whole device of the primary fails to read: everything comes from the peer.
bad a "read $(at a 0) 16777216"
"$ops" "$at_a" vol read:0:1M:1 iszero:1M:15M
same synced "$(volume_field a vol mirror)" "the mirror over a device that cannot read"

# Without a peer a read error is an error.
mark a
crash b
await_log a "volume 'vol': synced -> waiting"
refuses any "the local device failed" "$ops" "$at_a" vol read:64K:4K:1
well a
"$ops" "$at_a" vol read:0:1M:1
start b
await_log a "volume 'vol': .*-> synced"
legs_equal vol
passed
