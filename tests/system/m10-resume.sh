#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `resume` copies only what differs, from the side that is ahead; where both are, it says
# so, merges nothing, and the operator chooses (M10).
. "$(dirname "$0")/lib.sh"

two_nodes
at_a=$(socket_of a)
at_b=$(socket_of b)
mirrored vol 64M
"$ops" "$at_a" vol write:0:64M:1 flush

# moved NODE BYTES WHAT: that many bytes differ; the last resync sent little more than them.
moved() {
	local sent
	sent=$(volume_field "$1" vol resync_sent_bytes)
	echo "$3: $sent bytes were sent for $2 that differ, of 64 MiB"
	((sent >= $2 && sent <= $2 + 65536)) || fail "$3: $sent bytes were sent for $2 that differ"
}

# Changes at A only.
on a break vol
"$ops" "$at_a" vol write:3M:64K:2 write:40M:4K:2 flush
[[ $(digest a vol) != $(digest b vol) ]] || fail "b follows a broken mirror"
on a resume vol
same synced "$(volume_field a vol mirror)" "the mirror at a"
same active "$(volume_field b vol association)" "the association at b"
moved a 69632 "changes at a"
legs_equal vol
on a resume vol # asked twice

# Changes at B only: the direction is the other one, and A becomes the secondary.
on a break vol
on b promote vol
"$ops" "$at_b" vol write:10M:128K:3 write:50M:8K:3 flush
on a demote vol
on a resume vol
same secondary "$(volume_field a vol role)" "role at a"
same primary "$(volume_field b vol role)" "role at b"
moved b 139264 "changes at b"
legs_equal vol
"$ops" "$at_b" vol read:10M:128K:3 read:3M:64K:2 write:20M:4K:4
legs_equal vol

# both_write SEED: broken, and both go on.
both_write() {
	on b break vol
	on a promote vol
	on b promote vol
	"$ops" "$at_a" vol write:5M:64K:"$1" flush
	"$ops" "$at_b" vol write:9M:128K:"$1" write:30M:4K:"$1" flush
	mark a b
	refuses 1 "split brain" on a resume vol
	await_log a "-> split"
	await_log b "-> split"
	same split "$(volume_field a vol mirror)" "the mirror at a"
	same split "$(volume_field b vol mirror)" "the mirror at b"
	# More than these: regions that the lazy clearing of the map had not come to when it broke.
	here_regions=$(volume_field a vol dirty_regions)
	there_regions=$(volume_field a vol peer_dirty_regions)
	((here_regions >= 1 && here_regions <= 8)) || fail "$here_regions regions are dirty at a"
	((there_regions >= 2 && there_regions <= 8)) || fail "$there_regions regions are dirty at b"
	on a status | tee "$work/status"
	grep -q split "$work/status" || fail "status does not show the split brain"
	on a status --explain | tee "$work/why"
	grep -qE "keep local.* $there_regions region" "$work/why" || fail "explain does not say what local loses"
	grep -qE "keep peer.* $here_regions region" "$work/why" || fail "explain does not say what peer loses"
	refuses 2 "keep" on a resolve vol
}

both_write 5
on a resolve vol --keep local
legs_equal vol
same primary "$(volume_field a vol role)" "role of the side that was kept"
same secondary "$(volume_field b vol role)" "role of the side that was given up"
"$ops" "$at_a" vol read:5M:64K:5 read:9M:128K:1 read:30M:4K:1 write:0:4K:5

both_write 6
on a resolve vol --keep peer
legs_equal vol
same secondary "$(volume_field a vol role)" "role of the side that was given up"
"$ops" "$at_b" vol read:5M:64K:5 read:9M:128K:6 read:30M:4K:6 write:0:4K:6
legs_equal vol
passed
