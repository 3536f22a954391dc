#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a node whose device comes back as it was long ago (a snapshot, a backup) is a target, whatever its role was:
# what it lacks is copied, nothing of the newer side is lost. Within one generation nothing tells, and `verify` mends it.
# A device that is gone: the other node goes on, says why, and pairs with what takes its place.
. "$(dirname "$0")/lib.sh"
need files

# keep NODE, back NODE: what its device holds, noted and brought back; its daemon does not run meanwhile.
keep() { cp --sparse=always "$(device "$1")" "$work/$1/old"; }
back() { cp --sparse=always "$work/$1/old" "$(device "$1")"; }
# leave NODE, come_back NODE: it is stopped, and the other one knows; it runs, and both are in sync.
other() { if [[ $1 == a ]]; then echo b; else echo a; fi; }
leave() {
	mark a b
	stop "$1"
	await_log "$(other "$1")" "volume 'vol': synced -> waiting"
}
come_back() {
	mark a b
	start "$1"
	await_log a "volume 'vol': .*-> synced"
	await_log b "volume 'vol': .*-> synced"
}
new_lines() { tail -n +"$((log_mark[$1] + 1))" "$work/$1/log"; }
# write NODE OP...
write() { "$ops" "$(socket_of "$1")" vol "${@:2}" flush; }
# newer NODE: its bytes are those that came last, on both legs.
newer() {
	"$ops" "$(socket_of "$1")" vol read:0:2M:1 read:2M:4K:2 read:9M:64K:3 read:12M:1M:4 read:13M:3M:1
	legs_equal vol
}

LS_DISK_SIZE=64M
two_nodes
mirrored vol 16M
write a write:0:16M:1
leave b
keep b
come_back b
# A new generation, and what both wrote in it.
leave b
write a write:2M:4K:2 write:9M:64K:3
come_back b
write a write:12M:1M:4

explain "the secondary's device is of a generation ago"
leave b
back b
come_back b
matches "resync .*\(everything\): one side is older than what the map covers" "$(new_lines a)" "the log of a"
same $((4096 + 65536 + 1048576)) "$(volume_field a vol resync_sent_bytes)" "bytes sent: those that differ, of 16 MiB compared"
newer a

explain "the primary's device is of a generation ago, and says that it is primary"
leave a
keep a
on b promote vol
write b write:4M:64K:5
come_back a
leave a
back a
come_back a
matches "resync .*\(everything\): one side is older than what the map covers" "$(new_lines b)" "the log of b"
same secondary "$(volume_field a vol role)" "the role of what was primary in the old image"
"$ops" "$(socket_of b)" vol read:4M:64K:5
newer b

explain "within one generation: nothing tells"
leave a
keep a
come_back a
write b write:6M:64K:6
end=$((SECONDS + LS_LIMIT))
until (($(volume_field b vol regions_touched) == 0)); do
	((SECONDS < end)) || fail "still in the map of b: $(volume_field b vol regions_touched) regions"
done
leave a
back a
come_back a
refuses 1 "65536|64 KiB" on b verify vol
on b verify vol --repair
"$ops" "$(socket_of b)" vol read:6M:64K:6
newer b

explain "the device is gone, and a new one takes its place"
leave a
rm "$(device a)"
mark b
start a
await_log b "session down -> up"
write b write:2M:4K:2
matches "NOT AVAILABLE: .*no such file" "$(on a pool list)" "the pools of a"
refuses 1 "does not know this mirror" on b resume vol
on a pool create anew "$(device a 1)" --size "$LS_DISK_SIZE"
on b unpair vol
on b pair vol --peer a
newer b
passed
