#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a peer with the wrong key gets no session, both sides say why, and the right key heals it.
. "$(dirname "$0")/lib.sh"

two_strangers
on a key create "$work/key" >/dev/null
on a key create "$work/other" >/dev/null
same 600 "$(stat -c %a "$work/key")" "mode of a key file"
printf short >"$work/short"
chmod 600 "$work/short"
refuses 1 "short: 5 bytes; a key has at least [0-9]+" on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/short"
# A key that others can read is none.
for mode in 644 640 604 660; do
	cp "$work/key" "$work/open"
	chmod "$mode" "$work/open"
	refuses 1 "can be read by others .mode 0$mode.*chmod 600" on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/open"
done
same 0 "$(ask a "peer list" '.peers | length')" "peers at a"

on a volume create vol --size 8M >/dev/null
"$ops" "$(socket_of a)" vol write:0:1M:1
on b peer add a --address "${node_uri[a]#*://}" --key-file "$work/key" >/dev/null
on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/other" >/dev/null
LIMIT=40 refuses any "key" on a pair vol --peer b
same 0 "$(ask b "volume list" '.volumes | length')" "volumes at b"
matches "key" "$(peer_field a b last_error)" "what a says of b"
# Nothing is lost, and the volume works on.
"$ops" "$(socket_of a)" vol read:0:1M:1 write:1M:4K:2

# The right key in the file that a was told of, which it reads when it starts.
stop a
cat "$work/key" >"$work/other"
start a
on a pair vol --peer b
legs_equal vol
passed
