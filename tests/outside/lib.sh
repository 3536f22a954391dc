# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the suites share: two nodes and a mirrored volume, as in the system tests, over which somebody else's program is run.
# A suite ends with passed (0), fail (1), skip (77: does not apply here) or not_ours (78), each with a sentence.
outside=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=tests/system/lib.sh
. "$outside/../system/lib.sh"
# shellcheck source=tests/system/nbd-lib.sh
. "$outside/../system/nbd-lib.sh"

# not_ours WHAT: it failed, and for a reason that lies with the program.
not_ours() {
	explain "NOT OURS: $*"
	exit 78
}

# How much of a load: a virtual machine without KVM does a tenth of it in the same time.
scale=1
[[ $LS_TRANSPORT == tcp ]] || scale=10

# volume_of SIZE: two nodes, and the volume "vol" of that size on both.
volume_of() {
	local size
	size=$(numfmt --from=iec "$1")
	# Room for a table and what is rounded up.
	LS_DISK_SIZE=$((size + size / 8 + (64 << 20)))
	two_nodes
	mirrored vol "$1"
}

# in_order: at the end of a suite both legs are equal, and no request has failed.
in_order() {
	legs_equal vol
	same 0 "$(volume_field a vol errors)" "requests that failed at the engine"
	same synced "$(volume_field a vol mirror)" "the mirror"
}

# fio_schedules FIO-OPTION...: mixed schedules, each verified with crc32c; prints one line each.
fio_schedules() {
	local schedule name
	local schedules=(
		"sequential-4k --rw=write --bs=4k --iodepth=1 --size=$((16 / scale + 1))M"
		"random-4k --rw=randwrite --bs=4k --iodepth=32 --size=$((48 / scale))M"
		"random-mixed-sizes --rw=randwrite --bsrange=4k-256k --blockalign=4k --iodepth=16 --size=48M"
		"large --rw=write --bs=1M --iodepth=8 --size=64M"
		"read-among-writes --rw=randrw --rwmixread=40 --bs=8k --iodepth=16 --size=$((48 / scale))M --verify_backlog=128"
		"synced --rw=randwrite --bs=4k --iodepth=8 --size=$((8 / scale + 1))M --fsync=8"
		"zipf-overwrites --rw=randwrite --bs=4k --iodepth=32 --size=16M --io_size=$((64 / scale))M --norandommap --random_distribution=zipf:1.1 --serialize_overlap=1 --verify_backlog=256"
		"three-jobs --rw=randwrite --bs=16k --iodepth=8 --numjobs=3 --size=16M --offset_increment=20M"
		"verified-by-threads --rw=randwrite --bs=32k --iodepth=16 --size=32M --verify_async=2"
	)
	for schedule in "${schedules[@]}"; do
		read -r name schedule <<<"$schedule"
		# shellcheck disable=SC2086 # options
		(cd "$work" && timeout 600 fio --name="$name" --output-format=json --output="$work/fio.json" --verify=crc32c --verify_fatal=1 \
			--randrepeat=1 --randseed=11 --group_reporting $schedule "$@") || fail "fio, schedule $name: status $?"
		explain "$name: $(sed '/^{/,$!d' "$work/fio.json" | jq -r '.jobs[0] | "\(.write.total_ios) writes, \(.read.total_ios) verified or read"')"
	done
}
