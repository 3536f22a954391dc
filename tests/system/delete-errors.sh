#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a volume whose delete failed is used by nobody until it is certain that a crash leaves it there.
. "$(dirname "$0")/lib.sh"
need jq
. "$here/faults.sh"

vol_through_faults
on a volume create keep --size 4M >/dev/null
"$ops" "$at_a" keep write:0:4M:1 flush
# One copy of the table is written, the other one is not: which comes first is open.
for copy in 1 2; do
	explain "copy $copy of the table cannot be written"
	bad a "write $((copy << 20)) 1048576"
	refuses any "volume table could not be written.*the volume stays" on a volume delete keep
	refuses 1 "there is no volume 'keep'" "$ops" "$at_a" keep write:0:4M:$((copy + 1))
	refuses any "there is a volume 'keep' already" on a volume create keep --size 4M
	# With it nothing is lost, whatever the table says: nobody was told of anything since.
	mark a
	well a
	await_log a "volume 'keep': kept"
	"$ops" "$at_a" keep write:0:4M:$((copy + 1)) flush
	crash a
	start a
	"$ops" "$at_a" keep read:0:4M:$((copy + 1))
done

explain "the engine ends while it is so"
bad a "write $((1 << 20)) 2097152"
refuses any "volume table could not be written" on a volume delete keep
stop a
well a
start a
"$ops" "$at_a" keep read:0:4M:3
on a volume delete keep >/dev/null
refuses 1 "there is no volume 'keep'" "$ops" "$at_a" keep read:0:4M:3
passed
