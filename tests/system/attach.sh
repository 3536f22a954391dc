#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `lockstep attach --nbd` serves a volume to programs that speak NBD and goes on when nbdkit, or what stays
# with it, is killed; asked twice it says the same; what cannot be is refused with what to do. The block device: tests/lab/attach.sh.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo python3

export LC_ALL=C
notes=$work/a/run-attach
field() { jq -r ".$2" "$notes/$1.json"; }
# One that fails leaves neither a keeper nor an nbdkit behind.
undo() {
	local rc=$? name
	set +e
	for name in vol other; do on a detach $name --force >/dev/null 2>&1; done
	(exit $rc)
	cleanup
}
trap undo EXIT
# await_words VOLUME REGEX: what its keeper says, or has said.
# In the process group of the test: bash makes `tail` a child of what becomes timeout, and when a parent in a group of its own
# ends, the kernel hangs up the group of the child (SIGHUP) if one in it stands still, as another test's node may.
await_words() {
	timeout --foreground "$LS_LIMIT" grep -qm 1 -E -- "$2" < <(exec tail -n +1 -s 0.05 -f "$notes/$1.log") || fail "the keeper of $1 does not say '$2': $(cat "$notes/$1.log")"
}
# await_gone PID: no child of ours, and who adopts it may take long to ask for its status.
await_gone() {
	timeout "$LS_LIMIT" python3 -c 'import os, select, sys
try:
    select.select([os.pidfd_open(int(sys.argv[1]))], [], [])
except ProcessLookupError:
    pass' "$1" || fail "process $1 is there still"
}

two_nodes
mirrored vol 16M
on a volume create other --size 8M >/dev/null

explain "at a unix socket"
uri="nbd+unix:///?socket=$work/vol.nbd"
same "$uri" "$(on a attach vol --nbd "unix:$work/vol.nbd")" "where it is"
same $((16 << 20)) "$(nbdinfo --size "$uri")" "its size"
keeper=$(field vol keeper)
same "$uri" "$(cd / && on a attach vol --nbd "unix:$work/vol.nbd")" "asked again"
same "true $keeper" "$(on a --json attach vol --nbd "unix:$work/vol.nbd" | jq -r '"\(.already) \(.keeper)"')" "asked again, as JSON"
refuses 1 "is attached as nbd.*lockstep detach vol" on a attach vol
refuses 1 "is just being|is attached" on a attach vol --device nbd3

explain "at a port"
other=$(on a attach other --nbd tcp:0)
matches '^nbd://127.0.0.1:[0-9]+$' "$other" "where it is"
same $((8 << 20)) "$(nbdinfo --size "$other")" "its size"
same "volume 'other' is detached" "$(on a detach other)" "detach"
same "volume 'other' is not attached" "$(on a detach other)" "detach, asked again"
! nbdinfo --size "$other" 2>/dev/null || fail "it is served still"

explain "nbdkit is killed"
kill -KILL "$(field vol nbdkit)"
await_words vol "goes on, after"
same $((16 << 20)) "$(nbdinfo --size "$uri")" "its size afterwards"
explain "what stays with it is killed"
nbdkit=$(field vol nbdkit)
kill -KILL "$keeper"
await_gone "$keeper"
same "$uri" "$(on a attach vol --nbd "unix:$work/vol.nbd")" "attached again"
await_gone "$nbdkit"
same $((16 << 20)) "$(nbdinfo --size "$uri")" "its size then"
nbdkit=$(field vol nbdkit) keeper=$(field vol keeper)
kill -KILL "$keeper"
await_gone "$keeper"
same "volume 'vol' is detached" "$(on a detach vol)" "detach without a keeper"
await_gone "$nbdkit"
[[ ! -e $notes/vol.json && ! -S $work/vol.nbd ]] || fail "something is left: $(ls "$notes")"

explain "two volumes at one socket, from a folder of one's own, and what the caller has open"
(cd "$work" && flock 9 && "$lockstep" --run a/run attach vol --nbd unix:vol.nbd) 9>"$work/lock" >/dev/null
same $((16 << 20)) "$(nbdinfo --size "$uri")" "its size"
flock -n "$work/lock" true || fail "what stays with it holds a lock of the caller's"
refuses 1 "somebody listens at $work/vol.nbd already" on a attach other --nbd "unix:$work/vol.nbd"
same $((16 << 20)) "$(nbdinfo --size "$uri")" "its size, after another volume was refused there"
same "volume 'vol' is detached" "$(cd "$work" && "$lockstep" --run a/run detach vol)" "detach"

explain "what it says when it cannot"
refuses 1 "there is no volume 'none'" on a attach none
refuses 1 "is secondary on this node: attach it on its primary" on b attach vol
refuses 2 "--nbd is unix:PATH, tcp" on a attach vol --nbd udp
refuses 2 "no device like" on a attach vol --device sda
refuses 2 "cannot be the name" on a attach ../vol
refuses 1 "nothing can listen at" on a attach vol --nbd "unix:$work/no/such/folder"
refuses 1 "nbdkit is not installed" env PATH=/nowhere "$lockstep" --run "$work/a/run" attach vol --nbd tcp
mkdir "$work/bin"
cp "$lockstep" "$work/bin/"
refuses 1 "plugin for Lockstep is not installed" "$work/bin/lockstep" --run "$work/a/run" attach vol --nbd tcp
if [[ ! -e /sys/module/nbd ]]; then
	refuses 1 "(no nbd|needs root).*lockstep attach vol --nbd" on a attach vol
	same false "$(on a --json attach vol 2>/dev/null | jq .ok)" "as JSON"
fi
stop a
refuses 1 "no lockstepd answers" on a attach vol
start a
passed
