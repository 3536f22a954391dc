#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""usage: wire.py PROGRAM

Goal: the cable between the machines of a lab (tools/lab.d/wire) carries whole frames in order and intact, both ways, also
when one side takes them slowly; a machine that loses its power in the middle of a frame, and comes back, changes nothing
for the other one."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

LIMIT_S = 20


def frame(number, size):
    return struct.pack("!I", size) + number.to_bytes(4, "big") + bytes([number % 251]) * (size - 4)


class Machine:
    """What QEMU is to the wire."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(path)

    def send(self, data):
        self.socket.sendall(data)

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the wire has closed"
            data += part
        return data

    def frame(self):
        return self.take(struct.unpack("!I", self.take(4))[0])

    def expect(self, number, size):
        found = self.frame()
        assert found == frame(number, size)[4:], f"frame {number}: {len(found)} bytes, number {int.from_bytes(found[:4], 'big')}"

    def cut(self):
        self.socket.close()


def in_step(a, b, number):
    """@a has come: what it sends arrives; and what @b sent before may come still, but whole, and then what is new."""
    a.send(frame(number, 100))
    b.expect(number, 100)
    b.send(frame(number, 64))
    while True:
        found = a.frame()
        if len(found) == 64:
            assert found == frame(number, 64)[4:]
            return
        assert found == frame(int.from_bytes(found[:4], "big"), 4000)[4:]


def both_ways(a, b):
    for number in range(50):
        a.send(frame(number, 60 + 13 * number))
        b.expect(number, 60 + 13 * number)
        b.send(frame(number, 9000))
        a.expect(number, 9000)


def in_pieces(a, b):
    data = frame(7, 5000) + frame(8, 64)
    for begin in range(0, len(data), 700):
        a.send(data[begin:begin + 700])
    b.expect(7, 5000)
    b.expect(8, 64)


def slow_reader(a, b):
    """More than all buffers hold, of sizes that differ: none may come into another one."""
    sizes = [4242 if n % 3 else 90 for n in range(4000)]
    many = threading.Event()

    def sender():
        sent = 0
        for number, size in enumerate(sizes):
            a.send(frame(number, size))
            sent += size
            if sent > 1 << 20:  # more than both sockets hold: some waits in the wire, and a frame is sent in part
                many.set()

    thread = threading.Thread(target=sender, daemon=True)
    thread.start()
    assert many.wait(LIMIT_S)
    # The other way stays free.
    b.send(frame(1, 77))
    a.expect(1, 77)
    for number, size in enumerate(sizes):
        b.expect(number, size)
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def power_cut(a, b, path_a):
    a.send(frame(9, 4000)[:1234])  # the rest never comes
    a.cut()
    for number in range(2000):  # more than all buffers: nobody waits for a machine that is off
        b.send(frame(number, 4000))
    a = Machine(path_a)
    in_step(a, b, 2)
    # Cut while there is much on its way to it.
    for number in range(100):
        b.send(frame(number, 4000))
    a.frame()
    a.cut()
    a = Machine(path_a)
    in_step(a, b, 3)
    # A new connection takes the place of one that nobody has closed.
    newer = Machine(path_a)
    in_step(newer, b, 4)


def main():
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in "ab"]
        with subprocess.Popen([sys.argv[1], *paths]) as wire:
            try:
                while not os.path.exists(paths[1]):
                    assert wire.poll() is None, "the wire did not start"
                a, b = Machine(paths[0]), Machine(paths[1])
                both_ways(a, b)
                in_pieces(a, b)
                slow_reader(a, b)
                power_cut(a, b, paths[0])
                assert wire.poll() is None
            finally:
                wire.terminate()
    print("passed")


main()
