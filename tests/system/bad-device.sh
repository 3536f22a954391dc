#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a device that is too small, in use, missing or somebody else's is refused, and untouched.
. "$(dirname "$0")/lib.sh"

need mkfs.ext4
start a

# Too small, missing, not for us.
truncate -s 64K "$work/tiny"
refuses any "too small|at least" on a pool create p "$work/tiny"
refuses any "no such|not exist|No such" on a pool create p "$work/absent/disk"
refuses any "directory|device" on a pool create p "$work"
refuses any "twice|once|more than" on a pool create p "$work/one" "$work/one" --size 64M
refuses any "not a pool name" on a pool create "no name" "$work/one" --size 64M
same 0 "$(ask a "pool list" '.pools | length')" "pools after refusals"
[[ ! -e $work/one ]] || fail "a pool that was refused left its file"

# Somebody else's file system: nothing of it changes without --force.
truncate -s 64M "$work/theirs"
mkfs.ext4 -q -F "$work/theirs"
before=$(sha256sum <"$work/theirs")
refuses any "ext4" on a pool create p "$work/theirs"
matches "--force" "$said" "the refusal"
same "$before" "$(sha256sum <"$work/theirs")" "content after the refusal"
on a pool create p "$work/theirs" --force
[[ $before != "$(sha256sum <"$work/theirs")" ]] || fail "--force wrote nothing"

# In use: by this node, and by another daemon.
refuses any "belongs to pool" on a pool create q "$work/theirs"
start b
refuses any "in use|used|locked" on b pool create q "$work/theirs" --force
same 0 "$(ask b "pool list" '.pools | length')" "pools at b"

# Ours, but of a pool that is not open here.
on a volume create keep --size 4M >/dev/null
"$ops" "$(socket_of a)" keep write:0:1M:1 flush
stop a
refuses any "pool|Lockstep" on b pool create q "$work/theirs"
start a
"$ops" "$(socket_of a)" keep read:0:1M:1
passed
