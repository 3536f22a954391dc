#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a pool whose device came late is opened without a restart; a pool is let go of, and comes back with all that was in
# it, at this node or another one; and nothing of that reaches what is in use.
. "$(dirname "$0")/lib.sh"

need tcp files
two_nodes
mkdir "$work/c"
start c
on a pool create second "$work/a/other0" "$work/a/other1" --size 64M >/dev/null
pools() { ask "$1" "pool list" '[.pools[] | select(.available) | .name] | sort | join(" ")'; }
in_file() { jq -r '[.pools[].name] | sort | join(" ")' "$work/$1/state/node.json"; }
same "pool-a second" "$(pools a)" "the pools of a"
on a volume create vol --size 8M --pool second >/dev/null
on a volume create here --size 8M --pool pool-a >/dev/null
at_a=$(socket_of a)
"$ops" "$at_a" vol write:0:1M:1 flush

# In use, or counted on by a peer.
in_background "$lockstep" --run "$work/a/run" load vol --time 150 --seed 3 >"$work/load" 2>&1
load=$job
until (($(volume_field a vol writes) > 100)); do kill -0 "$load" || fail "the load ended: $(cat "$work/load")"; done
refuses 1 "volume 'vol' is in use by 1 client" on a pool close second
kill -TERM "$load"
await_exit "$load"
"$ops" "$at_a" vol write:0:1M:1 flush
on a pair vol --peer b >/dev/null
refuses 1 "'vol' is paired with node 'b', which is connected" on a pool close second
on a unpair vol >/dev/null
refuses 1 "there is no pool 'third'" on a pool close third
refuses 1 "pool 'second' is open" on a pool open second
refuses 1 "this node does not know pool 'third': name its devices" on a pool open third
refuses 1 "other0 belongs to pool 'second' of this node" on a pool open third "$work/a/other0"

# Let go of, while its neighbour works; and back, from devices in any order.
in_background "$lockstep" --run "$work/a/run" load here --time 150 --seed 4 >"$work/load" 2>&1
load=$job
sum=$(digest a vol)
on a pool close second
same "pool-a pool-a here" "$(pools a) $(in_file a) $(ask a "volume list" '[.volumes[].name] | join(" ")')" "what is left at a"
refuses 1 "not one whole pool" on a pool open second "$work/a/other0"
refuses 1 "pool 'second': the devices hold it, and not pool 'third'" on a pool open third "$work/a/other0" "$work/a/other1"
on a pool open second "$work/a/other1" "$work/a/other0"
same "pool-a second" "$(pools a)" "the pools of a"
same "$sum" "$(digest a vol)" "what vol holds, closed and opened"
"$ops" "$at_a" vol read:0:1M:1 write:1M:1M:2
kill -0 "$load" || fail "the neighbour's load ended: $(cat "$work/load")"
kill -TERM "$load"
await_exit "$load"

# A device that is late: the node starts without the pool, which is opened when it is there, or at another path.
stop a
mv "$work/a/other1" "$work/late"
start a
same pool-a "$(pools a)" "the pools of a, without a device"
matches "other1" "$(ask a "pool list" '.pools[] | select(.name == "second") | .error')" "why"
refuses 1 "other1" on a pool open second
mv "$work/late" "$work/a/other1"
on a pool open second
"$ops" "$at_a" vol read:0:1M:1 read:1M:1M:2
stop a
mv "$work/a/other1" "$work/a/moved"
start a
on a pool open second "$work/a/other0" "$work/a/moved"
stop a
start a
same "pool-a second" "$(pools a)" "the pools of a, with a device that has another path"

# One that cannot be read is not called damaged.
stop a
echo "read 0 200000" >"$work/a/bad"
sed "s|\"$work/a/other0\"|\"fail:$work/a/bad:$work/a/other0\"|" -i "$work/a/state/node.json"
start a
matches "other0: Lockstep's metadata cannot be read: the device fails" \
	"$(ask a "pool list" '.pools[] | select(.name == "second") | .error')" "why"
: >"$work/a/bad"
on a pool open second
on a pool close second
on a pool open second "$work/a/other0" "$work/a/moved"

# To another node.
on c pool create pool-c "$work/c/disk0" --size 64M >/dev/null
for name in one two three; do on c volume create "$name" --size 2M >/dev/null; done
on a pool close second >/dev/null
on c pool open second "$work/a/other0" "$work/a/moved" >/dev/null
refuses 1 "in use|another process" on a pool open second "$work/a/other0" "$work/a/moved"
"$ops" "$(socket_of c)" vol read:0:1M:1 read:1M:1M:2
stop c
start c
same "pool-c second" "$(pools c)" "the pools of c"
same 4 "$(ask c "volume list" '[.volumes[].number % 1024] | unique | length')" "numbers of the volumes of c"

# What a peer knows by its number keeps it, wherever the others have to go: "kept" is mirrored, "moved" is not, and at c the
# first places are taken.
on a pool create third "$work/a/disk3" --size 64M >/dev/null
on a volume create moved --size 2M --pool third >/dev/null
on a volume create kept --size 2M --pool third >/dev/null
on a pair kept --peer b >/dev/null
"$ops" "$at_a" kept write:0:1M:5
number=$(volume_field a kept number)
stop a
on c pool close second
for name in one two three; do on c volume delete "$name" >/dev/null; done
on c volume create one --size 2M --pool pool-c >/dev/null
on c pool open third "$work/a/disk3"
same "$number" "$(volume_field c kept number)" "the number of a mirrored volume"
"$ops" "$(socket_of c)" moved write:0:1M:6
on c pool close third
on c pool open second "$work/a/other0" "$work/a/moved" >/dev/null
start a
refuses 1 "in use" on c pool open third "$work/a/disk3"
on a resume kept >/dev/null
legs_equal kept

# A pool that is gone for good is only a name, and can be let go of.
stop c
rm "$work/a/moved"
start c
on c pool close second
same "pool-c pool-c" "$(pools c) $(in_file c)" "the pools of c"
passed
