#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: fio, with our engine, reads back what it wrote (crc32c) over mixed schedules, with trims, syncs, FUA and several jobs;
# the legs are equal; an engine that is killed is a longer wait; what cannot be is refused in a sentence.
. "$(dirname "$0")/lib.sh"
need fio
engine=$LS_BUILD/tools/fio/liblockstep_fio.so
[[ -e $engine ]] || skip "the fio engine was not built: run tools/fio/source, then build again"

# fio_on NODE VOLUME OPTION...: its JSON in $work/fio.json.
fio_on() {
	local node=$1 volume=$2
	shift 2
	(cd "$work" && timeout 120 fio --output-format=json --output="$work/fio.json" --name=job --ioengine="external:$engine" \
		--volume="$volume" --lockstep_socket="$(socket_of "$node")" "$@")
}
ios() { sed '/^{/,$!d' "$work/fio.json" | jq "[.jobs[].$1.total_ios] | add"; }

# How much: a virtual machine without KVM does a tenth of it in the same time.
size=32M
[[ $LS_TRANSPORT == tcp ]] || size=4M

two_nodes
mirrored vol 64M

explain "written, then read back and verified"
fio_on a vol --rw=randwrite --bs=4k --iodepth=16 --size=$size --verify=crc32c --fsync=64
(($(ios write) * 4096 == $(numfmt --from=iec $size))) || fail "fio wrote $(ios write) blocks"
(($(ios read) == $(ios write))) || fail "fio verified $(ios read) of $(ios write) blocks"
(($(volume_field a vol flushes) >= 10)) || fail "no flush came"
legs_equal vol

explain "a mixed schedule: sizes from 512 or 4k to 256k, reads among writes, verified while it runs"
block=$(volume_field a vol block_bytes)
fio_on a vol --rw=randrw --bsrange="$block-256k" --blockalign="$block" --iodepth=32 --size=$size --verify=crc32c --verify_backlog=64 \
	--randseed=7
legs_equal vol

explain "trims, FUA, several jobs"
fio_on a vol --rw=randtrim --bs=64k --iodepth=4 --size=4M
(($(ios trim) == 64)) || fail "trims: $(ios trim)"
cmp -n $((4 << 20)) <(raw a vol) /dev/zero || fail "what was trimmed is not zero"
fio_on a vol --rw=write --bs=16k --iodepth=8 --size=2M --fua=1 --verify=crc32c
fio_on a vol --rw=randwrite --bs=4k --iodepth=4 --numjobs=3 --size=8M --offset_increment=16M --verify=crc32c --group_reporting
fio_on a vol --rw=randread --bs=4k --iodepth=8 --size=$size --thread
legs_equal vol

explain "the daemon is killed under it"
before=$(volume_field a vol writes)
# In the background, but not a shell: fio is what ends.
in_background fio_on a vol --rw=randwrite --bs=4k --iodepth=8 --size=32M --verify=crc32c --do_verify=1
load=$job
until (($(volume_field a vol writes) > before + 200)); do kill -0 "$load" || fail "the load ended"; done
crash a
start a
await_exit "$load" 120
same 0 "$status" "fio over a killed daemon"
on a resume vol >/dev/null
legs_equal vol

explain "what is refused"
refuses any "which volume" fio --name=job --ioengine="external:$engine" --lockstep_socket="$(socket_of a)" --rw=read --size=1M
refuses any "no volume 'none'" fio_on a none --rw=read --size=1M
refuses any "is secondary on this node" fio_on b vol --rw=write --size=1M
refuses any "more than the volume takes at once" fio_on a vol --rw=write --bs=2M --size=4M
refuses any "volume=, not filename=" fio_on a vol --rw=read --size=1M --filename="$work/file"
refuses any "." fio_on a vol --rw=read --bs=100 --size=1M
stop a
refuses any "lockstepd" fio_on a vol --rw=read --size=1M
start a
passed
