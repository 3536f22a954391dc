#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `late_wakes` counts the wake-ups that are lost, and none that is only late.
. "$(dirname "$0")/lib.sh"

late() { ask a status .shard.loop.late_wakes; }
client() { LS_SOCKET=$(socket_of a) LS_VOLUME=vol "$LS_BUILD/tests/system/bad_ring" "$1"; }

two_nodes
mirrored vol 16M
before=$(late)
client late >"$work/late"
slow=$(sed -n 's/^slow //p' "$work/late")
echo "late-wakes: 60 doorbells 60 ms late, $slow of them later than waited for: $(($(late) - before)) counted"
(($(late) - before <= slow)) || fail "late bells count as lost ones"

# Without a bell the alarm finds the request, unless a word of the peer ends that sleep.
before=$(late)
for ((i = 0; i < 40 && $(late) == before; i++)); do client never >"$work/never"; done
(($(late) > before)) || fail "$i requests without a bell, and none counts as a lost wake-up"
echo "late-wakes: counted after $i requests without a bell"
passed
