#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A peer that does not do what it should, over the TCP link: wire.py ADDRESS:PORT WHAT

  other-version       a HELLO of wire versions that the daemon does not have: it must say so
  other-link-version  the same, one layer below
  garbage             bytes that are no protocol: the daemon must hang up
  bad-crc             a HELLO whose header was damaged: the daemon must hang up
  bad-payload         a HELLO whose body was damaged: the daemon must hang up
  silence             nothing at all: the daemon must hang up, within its time limit
The bytes are those of verbs/doc/link.md and engine/doc/protocol.md.
"""
import socket
import struct
import sys

LIMIT_S = 40
ITEM_MAGIC, ITEM_MESSAGE, ITEM_HEAD_BYTES = 0x4b4c, 1, 12
FRAME_BYTES, FRAME_CRC = 64, 0x0002
HELLO, REJECT = 16, 20


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def link_hello(version=1):
    return b"LSTCPLNK" + struct.pack("<II", version, 0)


def hello(lowest, highest):
    """The frame HELLO of a node that is called b."""
    body = bytes([lowest, highest]).ljust(16, b"\0") + b"b".ljust(32, b"\0") + bytes(range(32))
    head = struct.pack("<4sBBHQQQIIQIII", b"LSF1", 1, HELLO, FRAME_CRC, 0, 0x1234567890, 0, 0, len(body), 0, 0, 0,
                       crc32c(body))
    return bytearray(head + struct.pack("<I", crc32c(head)) + body)


def item(message):
    return struct.pack("<HBBII", ITEM_MAGIC, ITEM_MESSAGE, 0, 0, len(message)) + bytes(message)


def talk(where, data):
    """Sends @data; returns what came back until the daemon hung up."""
    host, port = where.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as conn:
        answer = b""
        try:
            conn.sendall(data)
            while True:
                got = conn.recv(65536)
                if not got:
                    return answer
                answer += got
        except ConnectionError:
            return answer


def rejection(answer):
    """The sentence of a REJECT in @answer, or "" when there is none."""
    at = 16
    while len(answer) >= at + ITEM_HEAD_BYTES + FRAME_BYTES:
        length = struct.unpack_from("<I", answer, at + 8)[0]
        message = answer[at + ITEM_HEAD_BYTES:at + ITEM_HEAD_BYTES + length]
        if message[5] == REJECT:
            return message[FRAME_BYTES:].split(b"\0")[0].decode()
        at += ITEM_HEAD_BYTES + length
    return ""


def main():
    where, what = sys.argv[1:]
    if what == "other-version":
        said = rejection(talk(where, link_hello() + item(hello(9, 12))))
        print(f"wire: the daemon said: {said}")
        return 0 if "version" in said and "9" in said and "2 to 3" in said else 1
    damaged = hello(2, 2)
    damaged[20] ^= 1
    torn = hello(2, 2)
    torn[FRAME_BYTES + 20] ^= 1
    data = {
        "other-link-version": link_hello(9) + item(hello(2, 2)),
        "garbage": bytes(range(256)) * 64,
        "bad-crc": link_hello() + item(damaged),
        "bad-payload": link_hello() + item(torn),
        "silence": b"",
    }[what]
    answer = talk(where, data)
    print(f"wire: {what}: the daemon hung up after {len(answer)} bytes {rejection(answer)}")
    return 0 if len(answer) <= 1024 else 1


if __name__ == "__main__":
    sys.exit(main())
