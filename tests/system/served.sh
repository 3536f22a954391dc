#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the engine serves a volume at a socket as the kernel's nbd expects it, whatever comes through it and however it ends.
# Without the kernel's nbd, which tests/lab/attach.sh has.
. "$(dirname "$0")/lib.sh"

need python3
seed=${LS_SEED:-$RANDOM}
kernel() { python3 "$here/served.py" "$(socket_of "$1")" "$2" "$seed" "$3"; }
# hears WORD: the next that comes from the connection of stays().
hears() {
	local word=""
	read -rt "$LS_LIMIT" -u "$words" word || true
	same "$1" "$word" "the connection"
}
# stays [HOW]: a connection to the engine's end, which has been answered.
stays() {
	exec {words}< <(kernel a vol "${1:-until-end}")
	hears answered
}

two_nodes
mirrored vol 16M
explain "every request"
kernel a vol requests
legs_equal vol
explain "connections that go away, and nonsense"
kernel a vol gone
legs_equal vol
kernel a vol wrong
legs_equal vol

explain "who is not served"
refuses 1 "there is no volume 'none'" kernel a none refused
refuses 1 "secondary on this node: attach it on its primary" kernel b vol refused
if ((EUID == 0)) && type setpriv >/dev/null 2>&1; then
	chmod a+rx "$work" "$work/a" "$work/a/run"
	chmod a+rw "$(socket_of a)"
	install -m 644 "$here/served.py" "$work/served.py"
	refuses 1 "served to root only" setpriv --reuid 65534 --clear-groups \
		python3 "$work/served.py" "$(socket_of a)" vol "$seed" refused
fi

explain "not another volume of the same name"
on a volume create other --size 16M >/dev/null
uuid=$(volume_field a other uuid)
kernel a "other=$uuid" requests
on a volume delete other >/dev/null
on a volume create other --size 16M >/dev/null
refuses 1 "is another one than the one that was attached, which was deleted" kernel a "other=$uuid" refused
kernel a "other=$(volume_field a other uuid)" requests
kernel a other requests # as an earlier release asks
on a volume delete other >/dev/null

explain "shown, and in the way of a demotion"
stays
matches "block device" "$(on a status)" "status"
same "block device" "$(ask a status '.clients[0].kind')" "the client's kind"
refuses 1 "in use|open" on a demote vol
explain "the engine ends, and the other side hears of it"
stop a
hears ended
start a
stays
crash a
hears ended
start a
kernel a vol requests
on a resume vol >/dev/null
legs_equal vol
explain "an engine that never sleeps"
stop a
start a --polling busy
kernel a vol requests
stop a
mark a
start a
await_log a "volume 'vol': .*-> synced"
explain "an engine that ends while writes wait for its peer"
on a policy vol fail-closed
mark a
crash b
await_log a "volume 'vol': .*-> waiting"
stays held
stop a
hears ended
start b
start a
await_log a "volume 'vol': .*-> synced"
legs_equal vol
explain "connections that die while their writes wait for the peer"
mark a
crash b
await_log a "volume 'vol': .*-> waiting"
refuses 1 "16 connections of a block device of volume 'vol' have died" kernel a vol owing
mark a
start b
await_log a "volume 'vol': .*-> synced"
kernel a vol requests
legs_equal vol
same 0 "$(volume_field a vol open_count)" "clients that have the volume open"
passed
