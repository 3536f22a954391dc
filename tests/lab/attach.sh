#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a mirrored volume as a block device with a file system on it: what was synced is there and right
# though the engine and what stays with the device are killed in mid-I/O; the mounted device grows, and its mirror is
# broken, resumed and verified under load; a fail-closed one waits for its peer; without an engine I/O fails within the stated time;
# after detach nothing hangs.
. "$(dirname "$0")/../system/lib.sh"

need root mkfs.ext4 resize2fs python3
[[ -n $LS_DEVS_A ]] || skip "is about the kernel's block devices"
notes=$work/a/run-attach mnt=$work/mnt link=/dev/lockstep/vol

# In a machine that other tests use, too.
undo() {
	local rc=$? name
	set +e
	kill -CONT "${node_pid[@]}" "${keeper:-}" 2>/dev/null
	kill -KILL "${background[@]}" 2>/dev/null
	((rc == 0)) || cat "$notes/"*.log
	umount -l "$mnt" 2>/dev/null
	[[ -z ${watches_max:-} ]] || echo "$watches_max" >$watches
	for name in vol vol.new late; do on a detach $name --force >/dev/null 2>&1; done
	(exit $rc)
	cleanup
}
trap undo EXIT
field() { jq -r ".$1" "$notes/${2:-vol}.json"; }
# await_words REGEX: what the keeper of $words says, or has said since mark_words.
words=vol words_mark=0
mark_words() { words_mark=$(wc -l <"$notes/$words.log"); }
await_words() {
	timeout --foreground "$LS_LIMIT" grep -qm 1 -E -- "$1" < <(exec tail -n "+$((words_mark + 1))" -s 0.05 -f "$notes/$words.log") || fail "the keeper does not say '$1'"
}

await_gone() { timeout "$LS_LIMIT" tail --pid="$1" -s 0.05 -f /dev/null || fail "process $1 is there still"; }

# writer.py FOLDER: files that say what they hold, each synced, and a line for each that is; 64 names in turn.
# writer.py FOLDER check N: after N lines each name has what came last, or what came after.
cat >"$work/writer.py" <<'PY'
import os
import random
import sys

folder = sys.argv[1]


def content(n):
    return b"%016d" % n + random.Random(n).randbytes(48 * 1024)


if sys.argv[2:3] == ["check"]:
    synced = int(sys.argv[3])
    for name in range(min(64, synced)):
        last = (synced - 1 - name) // 64 * 64 + name
        with open("%s/%d" % (folder, name), "rb") as f:
            found = f.read()
        if found not in (content(last), content(last + 64)):
            sys.exit("file %d is not what was synced: it says %r" % (name, found[:16]))
    print("all of", synced, "are right")
else:
    n = 0
    while True:
        name = "%s/%d" % (folder, n % 64)
        fd = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, content(n))
        os.fsync(fd)
        os.close(fd)
        os.rename(name + ".new", name)
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        n += 1
        print(n, flush=True)
PY
synced=0
start_writer() {
	exec {synced_fd}< <(exec python3 "$work/writer.py" "$mnt")
	writer=$!
	background+=("$writer")
}
# await_synced N: so many more.
await_synced() {
	local i
	for ((i = 0; i < $1; i++)); do
		read -rt 60 -u "$synced_fd" synced || fail "the writer does not go on behind $synced"
	done
}
end_writer() {
	local line
	kill -TERM "$writer"
	while read -rt 60 -u "$synced_fd" line; do synced=$line; done # to its end
	exec {synced_fd}<&-
}
check() {
	echo 3 >/proc/sys/vm/drop_caches
	python3 "$work/writer.py" "$mnt" check "$synced" || fail "$1"
}

two_nodes
mirrored vol 16M
on a volume create vol.new --size 1M >/dev/null
another=$(on a attach vol.new --connections 1)
device=$(on a attach vol --connections 2 --timeout 40)
matches '^/dev/nbd[0-9]+$' "$device" "the device"
name=${device#/dev/}
same "$device" "$(readlink $link)" "the stable name"
same "$another" "$(readlink $link.new)" "the stable name of a volume with a name like that"
on a detach vol.new >/dev/null
same $((16 << 20)) "$(blockdev --getsize64 $link)" "its size"
same "lockstep/vol" "$(cat "/sys/block/$name/backend")" "what udev looks for"
same "$device" "$(on a attach vol)" "attached again"
refuses 1 "attached already: unmount it and .lockstep detach vol." on a attach vol --foreground
refuses 1 "is secondary on this node: attach it on its primary" on b attach vol
refuses 1 "is attached as $device: .lockstep detach vol. first" on a attach vol --nbd tcp
mkfs.ext4 -q $link
mkdir "$mnt"
mount $link "$mnt"
refuses 1 "$device is in use: unmount" on a detach vol

explain "the engine is killed under it"
start_writer
await_synced 5
crash a
start a
await_synced 5
on a resume vol >/dev/null

explain "the engine is restarted under it: nobody is told of an error"
stop a
start a
await_synced 5
await_log b "volume 'vol': .*-> synced"

explain "what stays with it is killed: nobody needs it"
keeper=$(field keeper)
kill -KILL "$keeper"
await_gone "$keeper"
await_synced 5
same "$device" "$(on a attach vol --connections 2 --timeout 40)" "taken over"
await_synced 5

explain "what stays with it is told to end, by whoever ends processes: the device is not taken away"
keeper=$(field keeper)
kill -TERM "$keeper"
await_gone "$keeper"
await_synced 5
refuses 1 "$device is in use: unmount" on a detach vol
same "$device" "$(on a attach vol --connections 2 --timeout 40)" "taken over"
await_synced 5

keeper=$(field keeper)
kill -TERM "$keeper"
await_gone "$keeper"
refuses 1 "is there as $device, without a process" on a attach vol --nbd "unix:$work/vol.nbd"
same "$device $device" "$(readlink $link) $(on a attach vol --connections 2 --timeout 40)" "its name, and taken over"

explain "a volume of that name of another lockstepd"
on b volume create twin --size 8M >/dev/null
on a volume create twin --size 8M >/dev/null
twin=$(on b attach twin)
refuses 1 "$twin is the block device of a volume 'twin' that this lockstepd knows nothing of" on a attach twin
same "volume 'twin' is not attached" "$(on a detach twin)" "detach of what another one attached"
same "$twin $((8 << 20))" "$(readlink "${link%/*}/twin") $(blockdev --getsize64 "$twin")" "the other one's name and size"
on b detach twin >/dev/null

explain "grows while it is mounted"
mark_words
on a expand vol 24M >/dev/null
await_words "$device has $((24 << 20)) bytes now"
same $((24 << 20)) "$(blockdev --getsize64 "$device")" "its new size"
resize2fs $link 2>/dev/null
(($(df -B 1 --output=size "$mnt" | tail -n 1) > 20 << 20)) || fail "the file system did not grow"
dd if=/dev/urandom of="$mnt/large" bs=1M count=6 conv=fsync status=none
sum=$(sha256sum <"$mnt/large")

explain "broken, resumed and verified under load"
on a break vol >/dev/null
await_synced 5
on a resume vol >/dev/null
on a verify vol
await_synced 5

explain "what stays with it is killed, and the engine with it"
keeper=$(field keeper)
kill -KILL "$keeper"
await_gone "$keeper"
crash a
start a
same "$device" "$(on a attach vol --connections 2 --timeout 40)" "taken over"
await_synced 5
on a resume vol >/dev/null
end_writer
umount "$mnt"
legs_equal vol
mount $link "$mnt"
check "before detach"
same "$sum" "$(sha256sum <"$mnt/large")" "the large file"
umount "$mnt"
keeper=$(field keeper)
same "volume 'vol' is detached" "$(on a detach vol)" "detach"
[[ ! -e $link && ! -e /proc/$keeper ]] || fail "something is left"
same 0 "$(blockdev --getsize64 "$device")" "the device without a volume"

explain "fail-closed: without its peer the device waits, longer than I/O may take otherwise"
on a policy vol fail-closed >/dev/null
same "$device" "$(on a attach vol --device "$device" --timeout 2)" "attached"
mark a
crash b
await_log a "volume 'vol': synced -> waiting"
in_background dd if=/dev/zero of=$link bs=4k count=1 oflag=direct status=none
# The keeper would give up after 2 s, and the kernel after 5 more.
! timeout 9 tail --pid="$job" -s 0.5 -f /dev/null || fail "it was not held"
[[ -e /proc/$(field keeper) ]] || fail "the keeper gave up: $(tail -n 2 "$notes/vol.log")"
on a policy vol fail-open >/dev/null
await_exit "$job"
same 0 "$status" "what was held, under the other policy"
mark a
start b
await_log a "volume 'vol': .*-> synced"
on a detach vol >/dev/null

explain "an engine that stays away: I/O fails within the stated time"
same "$device" "$(on a attach vol --device "$device" --timeout 3)" "attached"
keeper=$(field keeper)
crash a
begin=$SECONDS
! dd if=/dev/zero of=$link bs=4k count=1 oflag=direct status=none 2>"$work/said" || fail "written without an engine"
matches "Input/output error" "$(cat "$work/said")" "dd"
((SECONDS - begin <= 10)) || fail "it took $((SECONDS - begin)) s to fail"
await_gone "$keeper"
grep "given up after 3 s" "$notes/vol.log" || fail "it does not say why"
[[ ! -e $link ]] || fail "$link is there still"
# Not awk itself, which may wait for the disk as well.
same "" "$(ps -eo state=,comm= | awk '/^D.*nbd/ || /^D[^ ]* +(dd|lockstep)/')" "processes that hang"
start a

explain "an engine that answers late, after the volume has grown"
words=late
on a volume create late --size 8M >/dev/null
device=$(on a attach late --device "$device")
mark_words
keeper=$(field keeper late)
kill -STOP "$keeper"
on a expand late 12M >/dev/null
freeze a
kill -CONT "$keeper"
await_words "does not say what the volume is like"
# To open it is to read from it.
same $((8 << 11)) "$(cat "/sys/block/${device#/dev/}/size")" "its size in sectors, as last heard"
thaw a
await_words "$device has $((12 << 20)) bytes now"

explain "the volume is deleted, and another one has its name: what was written to the first gets into no other"
# Sent while there is no engine, so that it waits for one.
writes() {
	in_background dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none
}
replace_late() {
	on a volume delete late >/dev/null
	on a volume create late --size 16M >/dev/null
	"$ops" "$(socket_of a)" late write:0:16M:7 flush
}
keeper=$(field keeper late)
kill -STOP "$keeper"
crash a
writes
mark a
start a
replace_late
kill -CONT "$keeper"
await_log a "refused.*volume 'late' is another one than the one that was attached"
# By force: else it would first look whether somebody uses it, and to open it is to read from it.
on a detach late --force >/dev/null
await_exit "$job"
((status != 0)) || fail "a write to a volume that was deleted was done"
"$ops" "$(socket_of a)" late read:0:16M:7
device=$(on a attach late --device "$device")
keeper=$(field keeper late)
kill -KILL "$keeper"
await_gone "$keeper"
crash a
writes
start a
replace_late
refuses 1 "$device is of a volume 'late' that was deleted" on a attach late
on a detach late --force >/dev/null
await_exit "$job"
"$ops" "$(socket_of a)" late read:0:16M:7
device=$(on a attach late --device "$device")
same $((16 << 20)) "$(blockdev --getsize64 "$device")" "the size of the new one"
on a detach late >/dev/null

# Of one user, and this one is root as everybody here: the engine is the last one who wants a watch for it.
explain "no room to watch the connection: nothing is attached, and that is said"
watches=/proc/sys/fs/epoll/max_user_watches
watches_max=$(cat $watches)
used=$({ cat /proc/[0-9]*/fdinfo/* 2>/dev/null || true; } | grep -c '^tfd:') # processes end meanwhile
said=""
for ((n = used - 4; n < used + 20; n++)); do
	echo $n >$watches
	said=$(on a attach late 2>&1) && break
	[[ $said != *"watch one more descriptor"* ]] || break
done
echo "$watches_max" >$watches
matches 'the engine cannot watch one more descriptor.*fs.epoll.max_user_watches' "$said" "attach"
same "$device" "$(on a attach late --device "$device")" "attached, with room"
on a detach late >/dev/null
passed
