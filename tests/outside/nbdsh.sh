#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: libnbd from Python (nbdsh): random operations on four connections at once against a model, flushes and FUA seen by all
# Packages: python3-libnbd nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit nbdsh
volume_of 32M
serve a vol
LS_STEPS=$((3000 / scale)) LS_URI=$uri nbdsh -c '
import os, random

steps, uri = int(os.environ["LS_STEPS"]), os.environ["LS_URI"]
random.seed(5)
handles = []
for _ in range(4):
    one = nbd.NBD()
    one.connect_uri(uri)
    handles.append(one)
size = handles[0].get_size()
block = max(handles[0].get_block_size(nbd.SIZE_MINIMUM), 512)
model = bytearray(size)
places = size // 65536
busy = [None] * places  # which handle has something in flight there
flying = []  # (handle, cookie, place, check)


def finish(upto):
    while len(flying) > upto:
        flying_now = list(flying)
        for item in flying_now:
            handle, cookie, place, check = item
            if handle.aio_command_completed(cookie):
                flying.remove(item)
                busy[place] = None
                if check:
                    check()
        if len(flying) > upto:
            flying[0][0].poll(-1)


count = {}
for step in range(steps):
    place = random.randrange(places)
    if busy[place] is not None:
        finish(0)
    at = place * 65536 + random.randrange(0, 65536 // block) * block
    length = random.randrange(1, (place * 65536 + 65536 - at) // block + 1) * block
    handle = random.choice(handles)
    op = random.choice(("write", "write", "write-fua", "read", "read", "trim", "zero", "flush"))
    count[op] = count.get(op, 0) + 1
    check = None
    if op.startswith("write"):
        data = random.randbytes(length)
        model[at:at + length] = data
        cookie = handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), at,
                                   flags=nbd.CMD_FLAG_FUA if op == "write-fua" else 0)
    elif op == "read":
        buffer = nbd.Buffer(length)
        want = bytes(model[at:at + length])

        def check(buffer=buffer, want=want, at=at):
            assert buffer.to_bytearray() == want, f"what is read at {at} is not what was written"
        cookie = handle.aio_pread(buffer, at)
    elif op == "trim":
        model[at:at + length] = bytes(length)
        cookie = handle.aio_trim(length, at)
    elif op == "zero":
        model[at:at + length] = bytes(length)
        cookie = handle.aio_zero(length, at)
    else:
        cookie = handle.aio_flush()
    busy[place] = handle
    flying.append((handle, cookie, place, check))
    finish(40)
finish(0)
for at in range(0, size, 1 << 20):
    got = random.choice(handles).pread(1 << 20, at)
    assert got == bytes(model[at:at + (1 << 20)]), f"at the end, the MiB at {at}"
print("nbdsh:", ", ".join(f"{n} {op}" for op, n in sorted(count.items())))
for one in handles:
    one.shutdown()
' || fail "nbdsh: status $?"
end_nbdkit
in_order
passed
