#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: programs that others wrote use a mirrored volume over NBD (nbdkit and our plugin): libnbd's and QEMU's
# tools; what they wrote is on both legs, what cannot be is refused, and an engine that is killed is a longer wait.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy nbdsh qemu-img qemu-io

# shellcheck source=tests/system/nbd-lib.sh
. "$(dirname "$0")/nbd-lib.sh"

# How much of a load: a virtual machine without KVM does a tenth of it in the same time.
writes=20000 mib=64
[[ $LS_TRANSPORT == tcp ]] || writes=2000 mib=36

two_nodes
mirrored vol ${mib}M
serve a vol

info=$(nbdinfo --json "$uri")
field() { jq -r ".exports[0].$1" <<<"$info"; }
same $((mib << 20)) "$(field '"export-size"')" "size"
same "true true true true true" "$(field 'can_multi_conn, .exports[0].can_flush, .exports[0].can_fua, .exports[0].can_trim, .exports[0].can_zero' | xargs)" "what it can"
same false "$(field is_read_only)" "read only"
block=$(field block_size_minimum)
((block == 512 || block == 4096)) || fail "smallest block: $block"

explain "every operation, by nbdsh"
python -c '
import random
random.seed(1)
MIB = 1 << 20
h.set_strict_mode(0)
want = bytearray(h.get_size())

def check(at, length):
    assert h.pread(length, at) == bytes(want[at:at + length]), f"what is read at {at} is not what was written"

def write(at, length, flags=0):
    data = random.randbytes(length)
    h.pwrite(data, at, flags)
    want[at:at + length] = data
    check(at, length)

def zero(at, length, flags=0):
    h.zero(length, at, flags)
    want[at:at + length] = bytes(length)
    check(at, length)

write(0, 4096)
write(4096, 4096, nbd.CMD_FLAG_FUA)
write(MIB - 4096, 3 * MIB)  # longer than a chunk, across borders
write(8 * MIB, 20 * MIB)  # longer than all slots of a small queue
zero(9 * MIB, MIB)
zero(11 * MIB, 65536, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
h.trim(65536, 12 * MIB)
want[12 * MIB:12 * MIB + 65536] = bytes(65536)
check(12 * MIB, 65536)
h.trim(65536, 13 * MIB, nbd.CMD_FLAG_FUA)
want[13 * MIB:13 * MIB + 65536] = bytes(65536)
h.flush()
h.cache(MIB, 0)
check(0, 30 * MIB)

def refused(call, errno):
    try:
        call()
    except nbd.Error as error:
        assert error.errno == errno, error
    else:
        raise SystemExit("was not refused")

refused(lambda: h.zero(MIB, 0, nbd.CMD_FLAG_FAST_ZERO), "ENOTSUP")
refused(lambda: h.pread(100, 0), "EINVAL")
refused(lambda: h.pwrite(bytes(4096), 1), "EINVAL")
refused(lambda: h.pwrite(bytes(4096), h.get_size()), "ENOSPC")
check(0, 30 * MIB)

# A hundred in flight on one connection, more than there are threads.
buffers = []
for i in range(100):
    data = random.randbytes(16384)
    at = 32 * MIB + i * 16384
    want[at:at + 16384] = data
    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), at)
while h.aio_in_flight():
    h.poll(-1)
check(32 * MIB, 100 * 16384)
h.shutdown()
'
legs_equal vol

explain "copies, by nbdcopy over several connections"
head -c ${mib}M /dev/urandom >"$work/image"
nbdcopy --connections=4 --flush "$work/image" "$uri"
nbdcopy --connections=4 "$uri" "$work/back"
cmp "$work/image" "$work/back"
cmp "$work/image" <(raw a vol)
legs_equal vol

explain "QEMU's tools"
qemu-img info -f raw "$uri" | grep -q "virtual size: $mib MiB" || fail "qemu-img info"
truncate -s 16M "$work/small"
qemu-io -f raw -c 'write -P 0x5a 1M 2M' "$work/small" >/dev/null
qemu-img convert -n -f raw -O raw "$work/small" "$uri"
qemu-io -f raw -c 'read -P 0x5a 1M 2M' -c 'read -P 0 4M 8M' -c 'write -f -P 0x33 20M 1M' -c 'write -z 24M 1M' -c 'discard 26M 1M' \
	-c 'flush' -c 'aio_write -P 0x44 30M 256k' -c 'aio_write -P 0x45 31M 256k' -c aio_flush -c 'read -P 0x33 20M 1M' \
	-c 'read -P 0 24M 1M' -c 'read -P 0x44 30M 256k' -c 'read -P 0x45 31M 256k' "$uri" >"$work/qemu-io"
! grep -iE 'fail|error' "$work/qemu-io" || fail "qemu-io: $(cat "$work/qemu-io")"
qemu-img bench -f raw -w -c $((writes / 10)) -d 16 -s 4096 "$uri" >/dev/null
legs_equal vol

explain "the engine is killed under it"
before=$(volume_field a vol writes)
in_background qemu-img bench -f raw -w -c $writes -d 8 -s 4096 "$uri"
bench=$job
until (($(volume_field a vol writes) > before + writes / 40)); do kill -0 "$bench" || fail "the load ended"; done
crash a
start a
await_exit "$bench" 120
same 0 "$status" "qemu-img bench over a killed engine"
on a resume vol >/dev/null
legs_equal vol
end_nbdkit

explain "what it says when it cannot"
# The reason is on nbdkit's standard error; the client gets none (NBD has no room for it before the handshake).
serve_badly() {
	serve "$@" 2>"$work/nbdkit.err"
	! nbdinfo "$uri" >/dev/null 2>&1 || fail "was not refused"
	end_nbdkit
	cat "$work/nbdkit.err"
}
matches "no volume 'none'|there is no volume" "$(serve_badly a none)" "an unknown volume"
matches "is secondary on this node" "$(serve_badly b vol)" "a secondary"
stop a
matches "lockstepd" "$(serve_badly a vol)" "no engine"
refuses 1 "power of two" nbdkit -f -U - "$plugin" vol depth=3
refuses 1 "unknown parameter 'color'" nbdkit -f -U - "$plugin" vol color=red
refuses 1 "which volume" nbdkit -f -U - "$plugin"
start a
on a resume vol >/dev/null # until it is in sync: only then can it grow

explain "an engine that stays away is an error, within the stated time"
serve a vol reconnect=1
python -c '
import os, signal
h.pwrite(bytes(4096), 0)
os.kill('"${node_pid[a]}"', signal.SIGKILL)
try:
    h.pwrite(bytes(4096), 0)
except nbd.Error as error:
    assert error.errno in ("ESHUTDOWN", "EIO"), error
else:
    raise SystemExit("written without an engine")
'
wait "${node_pid[a]}" || true
unset "node_pid[a]"
end_nbdkit
start a
passed
