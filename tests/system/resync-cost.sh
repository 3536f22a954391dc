#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the way back after a loss costs what was changed, not what the volume holds: 1 % of a volume,
# scattered over all of it, moves at most 2 % over the wire, and the same writes on a volume 16 times
# as large lead to the same number of frames and bytes.
. "$(dirname "$0")/lib.sh"

small=1024 large=16384 # MiB; sparse files
export LS_DISK_SIZE=18G
[[ -z $LS_DEVS_A ]] || small=12 large=96

two_nodes
mirrored small "${small}M"
mirrored large "${large}M"
at_a=$(socket_of a)

# 8 KiB at every 800 KiB of as much as the small one holds: no region is left alone.
count=$((small * 1024 / 800)) writes=()
for ((i = 0; i < count; i++)); do writes+=("write:$((i * 800))K:8K:7"); done
written=$((count * 8192))

# lost_and_back VOLUME: the resync's frames in $frames, all bytes on the wire in $wire, its time in $ms.
lost_and_back() {
	local link line vol
	# The lazy clearing is through with both: nothing else is to be compared.
	for vol in small large; do
		until (($(volume_field a $vol regions_touched) == 0)); do ((SECONDS < LS_LIMIT * 6)) || fail "regions of $vol stay set"; done
	done
	mark a
	crash b
	await_log a "volume '$1': synced -> "
	"$ops" "$at_a" "$1" "${writes[@]}" flush >"$work/ops"
	# For 50 ms after a client's request chunks are smaller, and more; who starts anew had none.
	crash a
	start a
	mark a
	start b
	await_log a "volume '$1': .*-> synced" 60
	await_log a "volume '$1': resync to the peer ended"
	# Counted since this session began, and with the header of each frame.
	link=$(ask a "peer list" '.peers[0].link | "\(.requests_tx) \(.payload_tx_bytes + .payload_rx_bytes + 64 * (.requests_tx + .requests_rx + .messages_tx + .messages_rx))"')
	read -r frames wire <<<"$link"
	line=$(grep "volume '$1': resync to the peer" "$work/a/log" | tail -n 1)
	ms=$(sed -E 's/.* bytes in ([0-9]+) ms.*/\1/' <<<"$line")
	explain "$1: $written bytes were written alone; $(volume_field a "$1" resync_sent_bytes) sent, $wire on the wire, $frames frames, $ms ms"
	same "$written" "$(volume_field a "$1" resync_sent_bytes)" "bytes that the resync of $1 sent"
	legs_equal_at "$1"
}

# Where something was written; all of the large one would be 16 GiB.
legs_equal_at() {
	local path offset length
	for node in a b; do
		read -r path offset length < <(extents $node "$1")
		((length >= small << 20)) || fail "the extents of $1 are too small for this test"
		"$ops" --raw "$path:$offset" "${writes[@]/#write/read}" >"$work/raw" || fail "$1 at $node: $(tail -n 1 "$work/raw")"
	done
}

lost_and_back small
small_frames=$frames small_ms=$ms
((written * 100 >= small * 1048576 * 97 / 100)) || fail "less than 1 % was written"
((wire * 100 <= 2 * small * 1048576)) || fail "$wire bytes are more than 2 % of $small MiB"
lost_and_back large
explain "the same on a volume of $large MiB instead of $small MiB: $frames frames instead of $small_frames, $ms ms instead of $small_ms ms"
# Sessions begin with a few frames, and a slow one pings.
((frames <= small_frames + 32 && frames + 32 >= small_frames)) ||
	fail "the larger volume costs $frames frames, the smaller $small_frames"
passed
