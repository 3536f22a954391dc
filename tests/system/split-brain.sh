#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a split brain made on purpose is found on both nodes, shown with both histories and with
# every place that each choice would lose; resolved either way, exactly the given-up side's writes
# are gone, and all of them were listed before (I7).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
at_a=$(socket_of a)
at_b=$(socket_of b)
"$ops" "$at_a" vol write:0:16M:1 flush
legs_equal vol

# other NODE: the other one.
other() { if [[ $1 == a ]]; then echo b; else echo a; fi; }

# changed FILE FILE: "OFFSET LENGTH" of the blocks of 4096 bytes that differ.
changed() { python3 "$here/changed.py" "$@"; }

# within FILE: fails unless each place on standard input lies in one of the file's.
within() { python3 "$here/changed.py" --within "$1"; }

# diverge SEED: each node is primary while the other is away, and writes.
diverge() {
	mark a b
	crash b
	"$ops" "$at_a" vol write:5M:64K:"$1" write:10M:8K:"$1" write:15M:1M:"$1" flush
	stop a
	start b
	on b promote vol
	"$ops" "$at_b" vol write:9M:128K:"$1"9 write:10M:4K:"$1"9 write:12M:4K:"$1"9 flush
	mark a b
	start a
	await_log a "volume 'vol': .*-> split"
	await_log b "volume 'vol': .*-> split"
}

# shown: both nodes tell both histories, and what each choice loses; ./only.NODE is what is listed.
shown() {
	local node generation state=() current=() base dirty
	for node in a b; do
		read -ra state <<<"$(ask $node "volume list" \
			'.volumes[] | "\(.mirror) \(.generations.current) \(.generations.base) \(.dirty_bytes)"')"
		same split "${state[0]}" "the mirror at $node"
		current+=("${state[1]#0x}")
		base=${state[2]#0x} dirty=${state[3]}
		on "$node" --json regions vol >"$work/regions.$node"
		jq -r '.local[] | "\(.offset) \(.length)"' "$work/regions.$node" >"$work/only.$node"
		same "$(awk '{ n += $2 } END { print n }' "$work/only.$node")" "$dirty" "bytes listed at $node"
		raw $node vol >"$work/before.$node"
	done
	for node in a b; do
		same "$(jq -c .local "$work/regions.$node")" "$(jq -c .peer "$work/regions.$(other $node)")" \
			"what is listed of $node on the other node"
		on "$node" status vol --explain >"$work/why.$node"
		cat "$work/why.$node"
		for generation in "${current[@]}" "$base" "keep local.* loses" "keep peer.* loses"; do
			matches "$generation" "$(<"$work/why.$node")" "what $node explains"
		done
	done
	on a regions vol
}

# resolved KEPT CHOICE: at a; it is KEPT's bytes that are on both now, and what the other one lost was
# listed there.
resolved() {
	local kept=$1 lost
	lost=$(other "$kept")
	on a resolve vol --keep "$2"
	legs_equal vol
	raw "$kept" vol | cmp - "$work/before.$kept" || fail "the side that was kept has changed"
	raw "$lost" vol >"$work/after"
	changed "$work/before.$lost" "$work/after" >"$work/changed"
	[[ -s $work/changed ]] || fail "nothing was given up"
	# What only the kept side had written changed here, too: both lists together are all of it.
	cat "$work/only.a" "$work/only.b" >"$work/both"
	within "$work/both" <"$work/changed"
	# And of the loser's own writes each one was in its own list.
	changed "$work/equal" "$work/before.$lost" | within "$work/only.$lost"
	same primary "$(volume_field "$kept" vol role)" "role of the side that was kept"
	same secondary "$(volume_field "$lost" vol role)" "role of the side that was given up"
	same 0 "$(volume_field "$kept" vol dirty_regions)" "dirty regions afterwards"
	"$ops" "$(socket_of "$kept")" vol write:0:4K:3 flush
	legs_equal vol
}

raw a vol >"$work/equal"
diverge 2
shown
refuses 1 "split brain" on a resume vol
resolved a local
"$ops" "$at_a" vol read:5M:64K:2 read:10M:8K:2 read:9M:128K:1 read:12M:4K:1

raw a vol >"$work/equal"
diverge 3
shown
resolved b peer
"$ops" "$at_b" vol read:9M:128K:39 read:10M:4K:39 read:5M:64K:2 read:15M:1M:2
passed
