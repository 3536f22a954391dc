#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a write that one node's device fails ends in a clear state with its reason; the resync
# copies what it can, tries the rest again at intervals, and ends when the device is good again.
. "$(dirname "$0")/lib.sh"
need jq
. "$here/faults.sh"

vol_through_faults

# The peer's device fails a write: the primary has it, and goes on alone.
bad b "write $(at b 131072) 4096" "zeroes $(at b 131072) 4096"
mark a
"$ops" "$at_a" vol write:128K:64K:2
same alone "$(volume_field a vol mirror)" "the mirror after a write that failed at b"
matches "write at byte 131072 failed on the peer's leg: the peer's device failed; a resync begins in 5 s" \
	"$(volume_field a vol last_error)" "the reason"
"$ops" "$at_a" vol write:4M:1M:3 write:12M:128K:4
# b was told before the first write was acknowledged alone: it is no whole copy, whatever becomes of a.
same false "$(volume_field b vol consistent)" "b calls itself consistent"
on a demote vol
refuses any "node 'a' has gone on without it" on b promote vol
same secondary "$(volume_field b vol role)" "the role of a stale replica"
on a promote vol
# The resync copies all but that, and says what is left; writes go to both meanwhile.
await_log a "resync: 1 parts could not be copied, the first at byte 131072: the peer's device failed; tried again in 10 s"
same copying "$(volume_field a vol mirror)" "the mirror of a volume that cannot be copied whole"
same 1 "$(volume_field a vol dirty_regions)" "regions that are left"
"$ops" "$at_a" vol write:8M:1M:5
# An operator can ask at once, and is told why not.
refuses any "1 parts could not be copied, the first at byte 131072" on a resume vol
same copying "$(volume_field a vol mirror)" "the mirror after that"
well b
on a resume vol
same synced "$(volume_field a vol mirror)" "the mirror, when b's device is good again"
legs_equal vol
"$ops" "$at_a" vol read:128K:64K:2 read:4M:1M:3 read:8M:1M:5 read:12M:128K:4

# A source that cannot read a block: all else is copied, and a write of the block is the cure.
mark a
crash b
await_log a "volume 'vol': synced -> waiting"
"$ops" "$at_a" vol write:0:64K:6 write:5M:1M:6 flush
bad a "read $(at a 8192) 4096"
start b
await_log a "resync: 1 parts could not be copied, the first at byte 0: the local device failed"
refuses any "the local device failed" "$ops" "$at_a" vol read:8K:4K:6
"$ops" "$at_a" vol read:5M:1M:6 write:8K:4K:7
well a
on a resume vol
legs_equal vol
"$ops" "$at_a" vol read:0:8K:6 read:8K:4K:7 read:12K:52K:6

# The primary's device fails a write: the client is told; the good replica does not fall behind, and
# what is lacking here is fetched from it.
bad a "write $(at a 65536) 4096"
refuses any "write:64K:4K:8: .*the local device failed" "$ops" "$at_a" vol write:64K:4K:8
matches "failed on the local leg: the local device failed; what this node's device lacks is fetched from the peer in [0-9]* s" \
	"$(volume_field a vol last_error)" "the reason"
same synced "$(volume_field a vol mirror)" "the mirror after a write that failed here"
same 1 "$(volume_field a vol lacking_regions)" "regions that are lacking"
matches "device failed writes in 1 regions: they are fetched" "$(on a status --explain)" "what --explain says"
"$ops" "$at_a" vol write:1M:64K:8 flush
refuses any "byte 0 could not be mended: the local device failed" on a resume vol
well a
mark a
on a resume vol
await_log a "leg mended: it has what the peer has, again"
same 0 "$(volume_field a vol lacking_regions)" "regions that are lacking after that"
legs_equal vol
"$ops" "$at_a" vol read:64K:4K:8 read:1M:64K:8

# The same by itself; and who hands over meanwhile says where they differ.
bad a "write $(at a 65536) 4096"
refuses any "the local device failed" "$ops" "$at_a" vol write:64K:4K:9
well a
mark a
await_log a "leg mended: it has what the peer has, again"
legs_equal vol
bad a "write $(at a 65536) 4096"
refuses any "the local device failed" "$ops" "$at_a" vol write:64K:4K:10
well a
mark a
on a demote vol
await_log a "volume 'vol': .*-> synced"
on b promote vol
legs_equal vol vol b a
on b demote vol
on a promote vol

# A flush of nobody's, that of a clearing round, fails once, at either node: what had not settled is
# compared, or fetched, because no later flush would say that it was lost.
for node in b a; do
	mark a
	bad "$node" "flush 0 0"
	"$ops" "$at_a" vol write:2M:64K:12
	await_log a "a flush failed on the $([[ $node == a ]] && echo local || echo "peer's") leg"
	if [[ $node == b ]]; then
		refuses any "in sync" on b promote vol
		refuses any "did not take the resync: the local device failed" on a resume vol
	fi
	well "$node"
	on a resume vol
	same synced "$(volume_field a vol mirror)" "the mirror after a round's flush failed at $node"
	same 0 "$(volume_field a vol lacking_regions)" "regions that are lacking after that"
	legs_equal vol
done

# It is the device's, not the volume's: another volume of that pool hears of it with its own next flush, and what it had
# not flushed is copied, although the device still reads it well.
mirrored other 8M
mark a
bad b "flush 0 0"
"$ops" "$at_a" other write:0:1M:1
"$ops" "$at_a" vol write:2M:64K:13 flush
well b
"$ops" "$at_a" other flush
await_log a "volume 'other': .* -> copying"
on a resume other
sent=$(volume_field a other resync_sent_bytes)
((sent >= 1048576)) || fail "$sent bytes of 'other' were copied after the flush that failed"
legs_equal other
on a resume vol
on a unpair other >/dev/null

# The other way round: this device's flush fails, for another volume, while this one is copied.  Its clients hear of it with
# their next flush, and a write that fails and is mended in between does not hide that.
mirrored third 8M
bad b "write $(at b 131072) 4096" "zeroes $(at b 131072) 4096"
mark a
"$ops" "$at_a" vol write:128K:64K:14
await_log a "resync: 1 parts could not be copied, the first at byte 131072"
bad a "flush 0 0"
refuses any "the local device failed" "$ops" "$at_a" third write:0:64K:1 flush
well a
well b
on a resume vol
bad a "write $(at a 65536) 4096"
refuses any "the local device failed" "$ops" "$at_a" vol write:64K:4K:14
well a
on a resume vol
same 0 "$(volume_field a vol lacking_regions)" "regions that are lacking after both failures"
refuses any "flush: .*the local device failed" "$ops" "$at_a" vol flush
"$ops" "$at_a" vol write:64K:4K:14 flush read:128K:64K:14
legs_equal vol
on a unpair third >/dev/null

# The primary's device is gone: reads are the peer's; writes fail, and say so.
bad a "read 0 1000000000000" "write 0 1000000000000" "zeroes 0 1000000000000" "flush 0 0"
"$ops" "$at_a" vol read:5M:1M:6
refuses any "the local device failed" "$ops" "$at_a" vol write:6M:4K:9
well a
on a resume vol
same synced "$(volume_field a vol mirror)" "the mirror, when the device is back"
legs_equal vol
"$ops" "$at_a" vol read:5M:1M:6 write:6M:4K:9

# ... and when it stays away, its node is stopped and the other one takes over; it follows later.
bad a "read 0 1000000000000" "write 0 1000000000000" "zeroes 0 1000000000000" "flush 0 0"
refuses any "the local device failed" "$ops" "$at_a" vol write:6M:4K:10
mark b
crash a
await_log b "session up -> down"
on b promote vol
"$ops" "$(socket_of b)" vol read:5M:1M:6 read:0:8K:6 write:7M:64K:11 flush
well a
mark b
start a
await_log b "volume 'vol': .*-> synced"
legs_equal vol vol b a
"$ops" "$(socket_of b)" vol read:7M:64K:11
passed
