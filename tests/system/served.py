#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""usage: served.py CLIENT-SOCKET VOLUME[=UUID] SEED WHAT

In the place of `lockstep attach` and the kernel's nbd: has the engine serve VOLUME (with UUID: only if it is that one) at a
socket, and speaks the protocol there (engine/doc/block-device.md).  WHAT:
  requests   each kind of request, and what is refused, of a volume of 16 MiB
  gone       a connection goes away with writes in flight, and another one has what was answered
  wrong      what is no request, and a SERVE that brings no socket of the right kind
  refused    prints why the engine does not serve it
  until-end  waits for the engine's end, with a request's answer before it
  held       the same with writes that wait for the peer: the end is all that it hears of them
  revoked    writes that wait for the peer are refused when it is primary
  owing      connections that go away with writes that wait for the peer, until the engine serves no other one
"""
import array
import random
import socket
import struct
import sys

READ, WRITE, DISCONNECT, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA = 1
EPERM, EINVAL, ENOSPC = 1, 22, 28
MIB = 1 << 20


class Refused(Exception):
    pass


def exchange(path, volume, with_fd):
    """SERVE, and its reply: raises Refused with its sentence."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.settimeout(20)
    asking.connect(path)
    name, _, uuid = volume.partition("=")
    identity = bytes.fromhex(uuid)
    message = struct.pack("<IHHII64s", 0x5441534C, 5, 80 + len(identity), 2, 0, name.encode()) + identity
    ancillary = [] if with_fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [with_fd]))]
    asking.sendmsg([message], ancillary)
    reply = asking.recv(4096)
    magic, kind, length, status = struct.unpack_from("<IHHi", reply)
    assert (magic, kind, length) == (0x5441534C, 6, len(reply)), reply
    assert asking.recv(4096) == b"", "the engine keeps the socket"
    if status:
        raise Refused(reply[16:].split(b"\0")[0].decode())


class Device:
    def __init__(self, path, volume):
        self.socket, other = socket.socketpair()
        self.socket.settimeout(20)
        with other:
            exchange(path, volume, other.fileno())
        self.cookie = 0

    def send(self, kind, offset=0, length=0, payload=b"", flags=0, magic=0x25609513):
        self.cookie += 1
        header = struct.pack(">IHHQQI", magic, flags, kind, self.cookie, offset, length)
        self.socket.sendall(header + payload)
        return self.cookie

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def answer(self, reads=()):
        """Of any request: its cookie, its error, and its data when it is one of @reads (cookie: length)."""
        magic, error, cookie = struct.unpack(">IIQ", self.exactly(16))
        assert magic == 0x67446698, hex(magic)
        data = self.exactly(dict(reads).get(cookie, 0)) if not error else b""
        return cookie, error, data

    def ask(self, kind, offset=0, length=0, payload=b"", flags=0):
        cookie = self.send(kind, offset, length, payload, flags)
        found, error, data = self.answer({cookie: length} if kind == READ else {})
        assert found == cookie
        return error or data

    def done(self, *args, **kwargs):
        error = self.ask(*args, **kwargs)
        assert error in (0, b""), error

    def refused(self, error, *args, **kwargs):
        found = self.ask(*args, **kwargs)
        assert found == error, (args, found)

    def write(self, offset, data, flags=0):
        self.done(WRITE, offset, len(data), data, flags)


def requests(path, volume, rng):
    device, size = Device(path, volume), 16 * MIB
    expected = bytearray(size)
    device.done(TRIM, 0, size)
    for length in (4096, 8192, 65536, 256 << 10, 300 << 10, 2 * MIB, 12288):
        offset = rng.randrange((size - length) // 4096) * 4096
        data = rng.randbytes(length)
        device.write(offset, data, rng.choice((0, FUA)))
        expected[offset : offset + length] = data
        assert device.ask(READ, offset, length) == data
    device.done(FLUSH)
    device.done(TRIM, 3 * MIB, MIB, flags=FUA)
    device.done(ZEROES, 5 * MIB, MIB)
    for place in (3 * MIB, 5 * MIB):
        expected[place : place + MIB] = bytes(MIB)
    device.refused(EINVAL, WRITE, 0, 100, bytes(100))
    device.refused(EINVAL, WRITE, 100, 4096, bytes(4096))
    device.refused(EINVAL, READ, 0, 0)
    device.refused(EINVAL, READ, 0, 2 * MIB + 4096)
    device.refused(EINVAL, WRITE, 0, 3 * MIB, bytes(3 * MIB))
    device.refused(EINVAL, 5, 0, 4096)
    device.refused(EINVAL, 77, 0, 4096)
    device.refused(EINVAL, FLUSH, flags=2)
    device.refused(ENOSPC, READ, size, 4096)
    device.refused(ENOSPC, WRITE, size - 4096, 8192, bytes(8192))
    device.refused(ENOSPC, TRIM, (1 << 64) - 4096, 8192)
    several = [Device(path, volume) for _ in range(3)]
    waiting = []
    for i in range(200):
        place = i * 65536
        data = rng.randbytes(4096)
        expected[place : place + 4096] = data
        one = several[i % 3]
        waiting.append((one, one.send(WRITE, place, 4096, data)))
    for one in several:
        left = {cookie for device, cookie in waiting if device is one}
        while left:
            cookie, error, _ = one.answer()
            assert not error
            left.remove(cookie)
    for place in range(0, size, 2 * MIB):
        assert several[0].ask(READ, place, 2 * MIB) == expected[place : place + 2 * MIB], place
    # Reads whose answers nobody takes: others go on meanwhile.
    reads = {several[1].send(READ, i * MIB, MIB): MIB for i in range(8)}
    for i in range(100):
        several[2].write(i * 4096, bytes(expected[i * 4096 : (i + 1) * 4096]))
    for _ in range(len(reads)):
        cookie, error, data = several[1].answer(reads)
        assert not error and data == expected[(cookie - min(reads)) * MIB :][:MIB]
    several[0].send(DISCONNECT)
    try:
        several[0].answer()
        raise AssertionError("a disconnect is answered")
    except EOFError:
        pass
    print(f"requests: all as expected, {several[2].cookie + several[0].cookie} on two of the connections")


def gone(path, volume, rng):
    for _ in range(20):
        one, other = Device(path, volume), Device(path, volume)
        other.write(0, bytes(4096))
        data = rng.randbytes(65536)
        for i in range(rng.randrange(60)):
            one.send(WRITE, 65536 * (i + 1), 65536, data)
        if rng.randrange(2):
            one.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 9, 0, 4096) + bytes(1000))
        one.socket.shutdown(socket.SHUT_RDWR)
        # What was cut off has not been begun, and is not in the way.
        last = rng.randbytes(4096)
        other.write(0, last)
        assert other.ask(READ, 0, 4096) == last
    print("gone: 20 connections ended in the middle")


def is_refused(why, *args):
    try:
        exchange(*args)
    except Refused as refusal:
        assert why in str(refusal), refusal
        return
    raise AssertionError(f"served, though {why}")


def wrong(path, volume, _rng):
    other = Device(path, volume)
    for header in ({"magic": 0x25609514}, {"magic": 0}):
        device = Device(path, volume)
        device.send(WRITE, 0, 4096, bytes(4096), **header)
        try:
            device.answer()
            raise AssertionError("an answer to nonsense")
        except (EOFError, ConnectionError):
            pass
    is_refused("without a connected unix socket", path, volume, None)
    with open("/dev/null", "rb") as null:
        is_refused("without a connected unix socket", path, volume, null.fileno())
    with socket.socket() as tcp:
        is_refused("without a connected unix socket", path, volume, tcp.fileno())
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    is_refused("without a connected unix socket", path, volume, ends[0].fileno())
    with socket.socket(socket.AF_UNIX) as lone:
        is_refused("without a connected unix socket", path, volume, lone.fileno())
    other.done(FLUSH)
    print("wrong: refused, and nobody else noticed")


def refused(path, volume, _rng):
    try:
        Device(path, volume)
        sys.exit("served")
    except Refused as why:
        sys.exit(str(why))


def until_end(path, volume, _rng):
    device = Device(path, volume)
    device.done(FLUSH)
    device.socket.settimeout(None)
    print("answered", flush=True)
    assert device.socket.recv(1) == b""
    print("ended")


def held(path, volume, _rng):
    device = Device(path, volume)
    for i in range(10):
        device.send(WRITE, i * 65536, 4096, bytes(4096))
    # Taken in order, and a read waits for nobody: the writes have been taken.
    assert len(device.ask(READ, 8 * MIB, 4096)) == 4096
    device.socket.settimeout(None)
    print("answered", flush=True)
    left = device.socket.recv(65536)
    assert left == b"", f"an answer at the engine's end: {struct.unpack_from('>IIQ', left)}"
    print("ended")


def revoked(path, volume, _rng):
    device = Device(path, volume)
    waiting = {device.send(WRITE, i * 65536, 4096, bytes(4096)) for i in range(10)}
    # Taken in order, and a read waits for nobody: the writes have been taken.
    assert len(device.ask(READ, 8 * MIB, 4096)) == 4096
    print("answered", flush=True)
    while waiting:
        cookie, error, _ = device.answer()
        assert error == EPERM, error
        waiting.remove(cookie)
    print("revoked")


def owing(path, volume, _rng):
    served = 0
    try:
        # The engine need not have heard yet that those before are gone.
        while served < 100:
            device = Device(path, volume)
            device.send(WRITE, served * 65536, 4096, bytes(4096))
            assert len(device.ask(READ, 8 * MIB, 4096)) == 4096  # so the write has been taken
            device.socket.close()
            served += 1
    except Refused as why:
        assert served >= 16, served
        sys.exit(str(why))
    print("served without end")


def main():
    path, volume, seed, what = sys.argv[1:]
    print(f"served.py: seed {seed}", file=sys.stderr)
    {"requests": requests, "gone": gone, "wrong": wrong, "refused": refused, "until-end": until_end, "held": held, "revoked": revoked, "owing": owing}[what](
        path, volume, random.Random(int(seed))
    )


main()
