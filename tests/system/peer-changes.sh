#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a wrong address or key of a peer is corrected, a key replaced and a peer forgotten, on nodes that run, and
# mirrors that are in use notice nothing of it.
. "$(dirname "$0")/lib.sh"

two_strangers
for key in key other; do on a key create "$work/$key" >/dev/null; done
address_a=${node_uri[a]#*://} address_b=${node_uri[b]#*://}
peers() { ask "$1" "peer list" '[.peers[].name] | join(" ")'; }
# in_file NODE: the same, by what the next start reads.
in_file() { jq -r '[.peers[].name] | join(" ")' "$work/$1/state/node.json"; }

# Nobody listens at the address, and the key is another one: the peer is there, with the reason.
on b peer add a --key-file "$work/key" >/dev/null
on a peer add b --address "${LS_HOST}:1" --key-file "$work/other" >/dev/null
refuses 1 "there is a peer 'b' already: .lockstep peer change" on a peer add b --key-file "$work/key"
refuses 1 "there is no peer 'c': add it" on a peer change c --address "$address_b"
refuses 1 "there is no peer 'c'" on a peer remove c
refuses 2 "the peer's node name is missing" on a peer change --address "$address_b"
mark a
on a peer change b --address "$address_b"
await_log a "does not have the same key"
on a peer change b --key-file "$work/key"
mirrored vol 8M
legs_equal vol

# A mirror in use: what is changed waits for the next session.
session=$(peer_field a b epoch)
on a peer change b --address "${LS_HOST}:1" --key-file "$work/other" >/dev/null
"$ops" "$(socket_of a)" vol write:0:1M:1 flush
same "$session" "$(peer_field a b epoch)" "the session, after a change"
refuses 1 "volume 'vol' is mirrored with 'b': .*lockstep unpair vol" on a peer remove b
refuses 1 "volume 'vol' is mirrored with 'a'" on b peer remove a

# A new key at both, b dials, and a restart on either side brings the new session.
on a peer change b --no-address >/dev/null
on b peer change a --address "$address_a" --key-file "$work/other" >/dev/null
mark a
stop b
start b
await_log a "volume 'vol': .*-> synced"
[[ $(peer_field a b epoch) != "$session" ]] || fail "the session is the one before"
on a resume vol >/dev/null
"$ops" "$(socket_of a)" vol write:1M:1M:2 read:0:1M:1
legs_equal vol

# A file that others can read is no key: what the node has of the peer is its name, until that is mended.
stop a
chmod 644 "$work/other"
start a
same b "$(peers a)" "the peers of a"
matches "can be read by others" "$(peer_field a b last_error)" "what a says of b"
refuses 1 "can be read by others" on a peer change b
chmod 600 "$work/other"
on a peer change b >/dev/null
on a resume vol >/dev/null
same synced "$(volume_field a vol mirror)" "the mirror at a"

# Forgotten by a, which says so to b; also across a restart.
on a unpair vol >/dev/null
mark b
on a peer remove b
same "" "$(peers a)$(in_file a)" "the peers of a"
await_log b "node 'a' has no peer named 'b'"
refuses 1 "there is no peer 'b': add it" on a pair vol --peer b
stop a
start a
same "" "$(peers a)" "the peers of a, after a restart"

# Another comes in its place, and is forgotten while it hangs.
on a peer add c --address "$address_b" --key-file "$work/key" >/dev/null
on a peer add b --key-file "$work/other" >/dev/null
on a pair vol --peer b --target again >/dev/null
legs_equal vol again
on a unpair vol >/dev/null
freeze b
on a peer remove b >/dev/null
on a peer remove c >/dev/null
thaw b
same "" "$(peers a)$(in_file a)" "the peers of a"
# One that only node.json has.
stop a
jq '.peers = [{"name": "c", "address": "", "key_file": "/nowhere"}]' "$work/a/state/node.json" >"$work/json"
cat "$work/json" >"$work/a/state/node.json"
start a
matches "/nowhere" "$(peer_field a c last_error)" "what a says of c"
on a peer remove c
same "" "$(peers a)$(in_file a)" "the peers of a"
passed
