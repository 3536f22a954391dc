#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a volume that lost its peer and holds its writes until it is back (fail-closed) holds up no copy
# of another volume, with another peer, whatever waits behind these writes.
. "$(dirname "$0")/lib.sh"

need tcp files
two_nodes --peer-timeout-ms 60000
mkdir "$work/c"
start c
pool c pool-c
on a peer add c --address "${node_uri[c]#*://}" --key-file "$work/key" >/dev/null
on c peer add a --address "${node_uri[a]#*://}" --key-file "$work/key" >/dev/null
mirrored vol 16M
on a policy vol fail-closed
mirrored other 2M a c
on a volume create third --size 16M >/dev/null
at_a=$(socket_of a)

# hang: B stops in the middle of a write that covers all of the volume.
hang() {
	freeze b
	in_background "$ops" "$at_a" vol zeroes:0:16M flush
	writer=$job
	until (($(ask a status .shard.pieces_in_use) > 0)); do kill -0 "$writer" || fail "the writer ended"; done
}
# await_chunk: a copy of vol that may run has begun its next chunk.  Nothing shows one that waits; what it may
# wait for before it begins is a pause beside clients, of 125 ms at most.
await_chunk() {
	local then
	then=$(ask a status .now_ns)
	until (($(ask a status .now_ns) > then + 500000000)); do kill -0 "$writer" || fail "the writer ended"; done
}
# lose: B is gone; the write that it did not answer is held.
lose() {
	mark a
	crash b
	await_log a "volume 'vol': $1 -> waiting"
}
# return: B is back, and the write goes on.
return_b() {
	start b --peer-timeout-ms 60000
	await_exit "$writer"
	same 0 "$status" "the writer's exit status"
}

# A verify waits behind the write.  Another one beside clients, whose pace counts what is under way:
hang
mark a
in_background "$lockstep" --run "$work/a/run" verify vol >"$work/lost" 2>&1
verify=$job
await_log a "verify .*begun"
await_chunk
lose synced
await_exit "$verify"
same 1 "$status" "the exit status of a verify whose peer was lost"
in_background "$lockstep" --run "$work/a/run" load other --time 150 --seed 5 >"$work/load" 2>&1
load=$job
before=$(volume_field a other writes)
until (($(volume_field a other writes) > before + 200)); do kill -0 "$load" || fail "the load ended: $(cat "$work/load")"; done
on a verify other >"$work/verify" || fail "the other verify did not end: $(tail -n 1 "$work/verify")"
kill -0 "$load" || fail "the verify ended only when the clients had: $(cat "$work/load")"
kill -TERM "$load"
await_exit "$load"

# A resync waits behind the next one.  A chunk of 128 KiB each two seconds: B hangs when one has ended, so
# that the next one comes behind the write.
on a policy vol --resync-rate 64k
mark a
return_b
await_log a "volume 'vol': waiting -> copying"
until (($(volume_field a vol copy_done_bytes) >= 196608)); do :; done
hang
on a policy vol --resync-rate unlimited
await_chunk
lose copying
same waiting "$(volume_field a vol mirror)" "the mirror at a"
kill -0 "$writer" || fail "the write was not held"
on a pair third --peer c || fail "the other resync did not end"
same synced "$(volume_field a third mirror)" "the mirror with c"
return_b
on a resume vol
legs_equal vol
legs_equal third third a c
passed
