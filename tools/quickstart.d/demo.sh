#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What tools/quickstart shows, wherever it runs it: `demo.sh lab|native|rxe`.
#
# Two engines, A and B, on this host: a pool each, a volume at A that is paired with B, a pattern
# written once through A's queue, both copies read raw and compared; then what it runs on, one
# request and its completion as they crossed the wire, and a table of speeds.  What it runs on is
# in the variables of tests/system/lib.sh; DEMO_TIME = seconds for each line of the table.
set -euo pipefail

mode=$1
quickstart_d=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
if [[ $mode == lab ]]; then
	LS_HOST=$LAB_IP LS_DEVS_A=/dev/nvme0n1 LS_DEVS_B=/dev/nvme1n1
fi
# shellcheck source=tests/system/lib.sh
. "$quickstart_d/../../tests/system/lib.sh"

: "${LS_STARTED:=$EPOCHSECONDS}" "${DEMO_TIME:=3}"
volume_size=128M
LS_DISK_SIZE=512M
rows=("4k 1" "4k 32" "128k 8")

say() { printf '\n[%4d s] %s\n' $((EPOCHSECONDS - LS_STARTED)) "$*"; }
# show NODE ARGS...: an administrator's command at A or B, and what it answers.
show() {
	local node=$1
	shift
	echo "  ${node^^}\$ lockstep $*"
	on "$node" "$@" | sed 's/^/     /'
}
held() { echo "  held: $*"; }
report() { python3 "$quickstart_d/report.py" "$@"; }

# Speeds of a device by itself, before Lockstep has it: rows like those of `lockstep bench --json`.
raw_device() {
	local row bs qd engine=(--ioengine=io_uring --direct=1 --filename="$1") jobs=()
	[[ $1 != /dev/nvme* ]] || engine=(--ioengine=io_uring_cmd --cmd_type=nvme --filename="${1/nvme/ng}")
	for row in "${rows[@]}"; do
		read -r bs qd <<<"$row"
		jobs+=(--name="$bs $qd" --bs="$bs" --iodepth="$qd" --stonewall)
	done
	fio "${engine[@]}" --rw=randwrite --size="$volume_size" --runtime="$DEMO_TIME" --time_based \
		"${jobs[@]}" --output-format=json --output="$work/fio" >/dev/null 2>"$work/fio.err" ||
		fail "fio: $(tail -n 3 "$work/fio.err")"
	report fio "$work/fio" "raw device (fio)" >>"$work/table"
}

# The wire by itself, both ends on this host: average one-way times of a message, in microseconds.
raw_wire() {
	local tool bytes attempt found why

	: >"$work/wire"
	for tool in ib_send_lat ib_write_lat; do
		bytes=64
		[[ $tool == ib_send_lat ]] || bytes=4096
		# Under emulation perftest's calibration of its clock fails now and then: it prints "inf".
		for attempt in 1 2 3 4; do
			found="" why="it could not calibrate its clock"
			if perftest "$tool" -s "$bytes" -n 2000 >"$work/wire.client" 2>"$work/wire.err"; then
				found=$(awk -v tool="$tool" '/^ *[0-9]+ +[0-9]+ / && !/inf/ { print tool, $1, $5, $6, $9 }' "$work/wire.client")
			else
				why=$(tail -qn 1 "$work/wire.err" "$work/perftest.server" | xargs)
			fi
			[[ -z $found ]] || break
		done
		if [[ -n $found ]]; then
			echo "$found" >>"$work/wire"
		else
			echo "  the wire, $tool $bytes bytes: not measured by perftest in $attempt attempts: $why"
		fi
	done
}

if [[ $mode == lab ]]; then
	say "first the device and the wire by themselves, for comparison"
	raw_device "$(device a)"
	raw_wire
	report wire "$work/wire"
fi

say "two engines on this host, A and B, each with its own device"
start a
start b
for node in a b; do echo "  ${node^^}  lockstepd --listen ${node_uri[$node]}, device $(device $node)"; done
force=()
size=()
if [[ -n $LS_DEVS_A ]]; then force=(--force); else size=(--size "$LS_DISK_SIZE"); fi
show a pool create pool "$(device a)" "${force[@]}" "${size[@]}"
show b pool create pool "$(device b)" "${force[@]}" "${size[@]}"
show a key create "$work/key"
show a peer add b --address "${node_uri[b]#*://}" --key-file "$work/key"
show b peer add a --address "${node_uri[a]#*://}" --key-file "$work/key"
show a volume create mirrored --size "$volume_size"
show a volume create local --size "$volume_size"

say "one request pairs the volume at A with one at B; what is there already is copied"
show a pattern write mirrored --seed 41 --bytes 16M
show a pair mirrored --peer b
legs_equal mirrored
held "after the initial copy both devices hold the same bytes"

say "a process writes once, into memory that it shares with A's engine"
show a pattern write mirrored --seed 42 --bytes 32M
show a pattern check mirrored --seed 42 --bytes 32M
for node in a b; do
	read -r path offset length < <(extents "$node" mirrored)
	on "$node" pattern check --raw "$path:$offset:$((32 << 20))" --seed 42 >"$work/check" || fail "node $node: $(cat "$work/check")"
	held "$path of ${node^^}, read raw past the engine, has the pattern"
done
legs_equal mirrored
held "the two devices are equal, byte by byte, over all $volume_size of the volume"

say "what it runs on"
for node in a b; do on $node --json status >"$work/status.$node"; done
report machine "$work/status.a" "$work/status.b"

say "one write on the wire: the request, and the completion that carries the same identification"
show a capture --start --count 8
"$ops" "$(socket_of a)" mirrored write:64M:4K:1 write:65M:4K:1 | sed 's/^/     /'
on a --json capture --read >"$work/frames"
report frames "$work/frames" || fail "no request was captured with its completion"
python3 "$here/frames.py" "$work/frames" "$(node_address a)" "$(node_address b)" >"$work/check" ||
	fail "the frames do not match"
held "the message identification of both is identical, and names no other request"

say "how fast: random writes through the shared queue, $DEMO_TIME s each, local only and mirrored in turn"
for row in "${rows[@]}"; do
	read -r bs qd <<<"$row"
	for volume in local mirrored; do
		what="lockstep, mirrored"
		[[ $volume == mirrored ]] || what="lockstep, local only"
		on a --json bench --name "$what" --volume "$volume" --rw randwrite --bs "$bs" --qd "$qd" --time "$DEMO_TIME" >>"$work/table"
	done
done
report table "$work/table"
for node in a b; do on $node --json status >"$work/status.$node.after"; done
report proof "$work"/status.[ab] "$work"/status.[ab].after
legs_equal mirrored
held "after all these writes the two devices are equal"
stop a
stop b
logs_clean

say "all of it held. What to try next:"
case $mode in
lab) echo "  tools/lab shell --nodes 2              two nodes with a wire between them
  tools/quickstart --rxe                 over this host's own RDMA device" ;;
native) echo "  tools/quickstart                       the same over real soft-RoCE and NVMe, in a virtual machine" ;;
rxe) echo "  tools/quickstart --rxe --devices A,B   the same with two NVMe devices; what is on them is lost" ;;
esac
echo "  tools/check                            every test, natively and in the lab
  README.md                              two machines of your own: \"Using it on hardware\""
