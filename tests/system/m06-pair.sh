#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: one request at A designates the volume at B that A's volume is replicated to (M6).
. "$(dirname "$0")/lib.sh"

two_nodes
on a volume create vol --size 16M >/dev/null

# Refusals first: nothing is left behind by them.
refuses 1 "no volume.*nothing" on a pair nothing --peer b
refuses 1 "no peer.*nobody|nobody" on a pair vol --peer nobody
same 0 "$(ask b "volume list" '.volumes | length')" "volumes at b after refusals"

# sent: requests that a has sent to b in this session.
sent() { ask a "peer list" '.peers[0].link.requests_tx'; }

# The target is made when it is not there, under the name that was asked for.
before=$(sent)
on a pair vol --peer b --target copy-of-vol
# Nobody has written to it: 16 frames that ask for a region of zeroes each, and those around them.
frames=$(($(sent) - before))
explain "pairing 16 MiB that were never written took $frames requests"
((frames >= 16 && frames < 40)) || fail "pairing a blank volume took $frames requests"
same copy-of-vol "$(volume_field a vol peer_volume)" "the target's name at a"
same b "$(volume_field a vol peer)" "the peer at a"
same primary "$(volume_field a vol role)" "role at a"
same secondary "$(volume_field b copy-of-vol role)" "role at b"
same synced "$(volume_field a vol mirror)" "the mirror at a"
legs_equal vol copy-of-vol

# Asked twice, and for something else.
on a pair vol --peer b --target copy-of-vol
same synced "$(volume_field a vol mirror)" "the mirror after asking twice"
refuses 1 "copy-of-vol" on a pair vol --peer b --target other
same 1 "$(ask b "volume list" '.volumes | length')" "volumes at b"

# A volume that is there already is somebody's: it is not taken as a target, and not touched.
on b volume create theirs --size 16M >/dev/null
"$ops" "$(socket_of b)" theirs write:0:1M:8 flush
on a volume create second --size 16M >/dev/null
refuses 1 "theirs" on a pair second --peer b --target theirs
"$ops" "$(socket_of b)" theirs read:0:1M:8 write:1M:4K:9
# One that was written in part is read, and copied where it is not zeroes.
"$ops" "$(socket_of a)" second write:3M:1M:2 flush
on a pair second --peer b
same 1048576 "$(volume_field a second resync_sent_bytes)" "bytes that were copied"
legs_equal second

# A target that was left behind while its node was down is nobody's: its former source has another one.
mark a
crash b
await_log a "peer 'b': session up -> down"
on a unpair second
start b
on a pair second --peer b --target anew
LIMIT=15 refuses 1 "node 'a' does not know this mirror" on b resume second
same synced "$(volume_field a second mirror)" "the mirror at a"
"$ops" "$(socket_of a)" second write:0:1M:4 flush
legs_equal second anew
on b volume delete second

# A volume in a pair cannot be deleted by accident.
refuses 1 "pair|mirror" on a volume delete vol
passed
