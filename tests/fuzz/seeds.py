#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the small seeds in corpus/: one for each way to begin and each kind of step.  The harnesses
put checksums, MACs and identifications in themselves, so that nothing here computes any."""
import os
import struct
import sys

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def write(target, name, data):
    folder = os.path.join(here, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as f:
        f.write(data)


# --- session: fuzz_session.c and wire.c say what the bytes mean ---
ALONE, A_DIALS, PAIRS, A_IS_SOURCE, IN_SYNC, UP = 1, 2, 4, 8, 16, 32
PASS, REQUEST, AGAIN, RAW, COMPLETION, MESSAGE, CHANGE, SCRIBBLE = range(8)
HANDSHAKE, DOWN, LATER, DISK, CLIENT, OPERATION, WIRE, SEND = range(8, 16)
B = 0x80


def request(command, volume=2, flags=0, offset=(1, b"\x01"), length=(1, b"\x01"), payload=b"\x5a" * 16):
    return (bytes([SEND, flags, command, volume, offset[0]]) + offset[1] + bytes([length[0]]) + length[1] +
            struct.pack("<H", len(payload)) + payload + b"\x00")


def run(n=16):
    return bytes([PASS, n - 1])


def client(node, name, op, offset, blocks, flags=0):
    return bytes([CLIENT | node, name, op, flags]) + struct.pack("<HH", offset, blocks)


modes = {"bare": 0, "bare-dials": A_DIALS, "up": UP, "up-dials": UP | A_DIALS, "target": PAIRS | IN_SYNC | UP,
         "target-dials": PAIRS | IN_SYNC | UP | A_DIALS, "source": PAIRS | IN_SYNC | UP | A_IS_SOURCE,
         "source-dials": PAIRS | IN_SYNC | UP | A_IS_SOURCE | A_DIALS, "target-begins": PAIRS | UP,
         "source-begins": PAIRS | UP | A_IS_SOURCE}
for name, how in modes.items():
    write("session", name, bytes([how]) + run(4))
target, source = modes["target"], modes["source"]
for command in range(1, 16):
    write("session", f"target-command-{command:02}",
          bytes([target]) + request(command) + request(command, flags=2) + run(8))
    write("session", f"again-{command:02}",
          bytes([target, AGAIN, command % 6, 0]) + run(4) + bytes([AGAIN, (command + 1) % 6, 1, 64 + command, 0, command]) +
          run(4))
for begins in ("source", "target"):
    how = bytes([modes[begins]])
    write("session", begins + "-writes", how + client(0, 0, 2, 0, 8) + client(0, 1, 1, 8, 8) + run() +
          client(B, 0, 2, 256, 300) + client(B, 1, 3, 0, 8) + run())
    write("session", begins + "-lost", how + client(0, 0, 2, 0, 8) + bytes([DOWN, 0]) + client(0, 0, 2, 64, 8) + run() +
          bytes([LATER, 1]) + run() + bytes([LATER, 2]) + run() + run() + run())
    write("session", begins + "-completes", how + client(0, 0, 2, 0, 8) + bytes([PASS, 0, COMPLETION, 0, 8, 9]) + run())
    write("session", begins + "-disk", how + bytes([DISK, 1]) + client(0, 0, 2, 0, 8) + client(B, 0, 2, 0, 8) + run(4) +
          bytes([DOWN, 0, DISK, 0x32]) + run())
    for what in range(9):
        for node in (0, B):
            write("session", f"{begins}-operation-{what}-{node >> 7}",
                  how + bytes([OPERATION | node, 0, what, 1]) + run() + bytes([OPERATION | node, 1, what, 0]) + run() +
                  bytes([DOWN, 1, LATER, 1]) + run())
for change in range(5):
    for begins in ("target", "source", "up", "target-begins"):
        write("session", f"{begins}-change-{change}",
              bytes([modes[begins], CHANGE, change, 40, 0, 3]) + client(B, 0, 2, 0, 8) + run() +
              bytes([CHANGE, change, 90, 0, 1, LATER, 3]) + run())
write("session", "alone-dialler", bytes([ALONE, HANDSHAKE, 0]) + run(2) + bytes([HANDSHAKE, 0]) + run(2) +
      request(1) + request(7) + bytes([LATER, 3]) + run(2))
write("session", "alone-acceptor", bytes([ALONE | A_DIALS]) + run(4) + bytes([HANDSHAKE, 0]) + run(2) +
      bytes([HANDSHAKE, 0]) + run(2) + request(9) + request(7) + run(2))
write("session", "alone-source", bytes([ALONE | A_DIALS | PAIRS | A_IS_SOURCE]) + run(4) + bytes([HANDSHAKE, 0]) + run(2) +
      bytes([HANDSHAKE, 0]) + run(4) + bytes([COMPLETION, 0, 1, 1, 4, 0, 0]) + run(4) + bytes([COMPLETION, 0, 0]) + run(4))
for wrong in (1, 2, 4, 8, 16):
    for how in (ALONE, ALONE | A_DIALS):
        write("session", f"alone-wrong-{how}-{wrong}", bytes([how]) + run(4) + bytes([HANDSHAKE, wrong, 2, 4, 1, 2]) + run(2) +
              bytes([HANDSHAKE, 0]) + run(2))
write("session", "raw", bytes([target, RAW, 0x80 | 8, 16, 0]) + b"LSF1" + bytes(76) + run(2))
write("session", "message", bytes([target, MESSAGE, 1, 64, 0]) + b"LSF1" + bytes(60) + run(2))
write("session", "scribble", bytes([target]) + request(1)[:-1] + bytes([SCRIBBLE, 8, 8, 64, 0]) + bytes(8) + run(2))
write("session", "stranger", bytes([target, WIRE, 1, HANDSHAKE | 0x10, 0]) + run(2) + bytes([HANDSHAKE | 0x10, 0]) + run(4))


# --- the decoders: a selector where there is one, then what a right one looks like ---
write("frame", "zero", bytes(64))
write("frame", "hello", bytes(4) + bytes([1, 16, 2, 0]) + bytes(56))
write("frame", "completion", bytes(4) + bytes([1, 1, 0, 0x80]) + bytes(56))
write("record", "super", b"\x00" + b"LOCKSTEP" + struct.pack("<II", 1, 512) + bytes(40) +
      struct.pack("<IIQI", 0, 1, 1 << 25, 512) + bytes(4) + bytes(8) + b"pool" + bytes(28))
record = (b"volume".ljust(64, b"\x00") + bytes(16) + struct.pack("<IIQ", 1025, 512, 1 << 20) +
          bytes([0, 1, 1, 0]) + struct.pack("<HBBIBB", 1, 0, 1, 3, 20, 0) + bytes(2) + struct.pack("<6Q", 5, 0, 0, 0, 0, 0) + struct.pack("<II", 0, 0))
record += struct.pack("<Q", 7) + b"b".ljust(32, b"\x00") + struct.pack("<II", 1, 0) + b"copy".ljust(64, b"\x00")
record += struct.pack("<HHII", 0, 0, 0, 1)
write("record", "table", b"\x01" + b"LSTABLE\x00" + struct.pack("<II", 3, 1) + bytes(48) + record)
write("record", "table-2", b"\x01" + b"LSTABLE\x00" + struct.pack("<II", 3, 2) + bytes(48) + record + record)
write("record", "map", b"\x02" + b"".join((bytes(11) + b"\x01" + bytes(4) + b"\xff" * 8 + bytes(488)) for _ in range(3)))

# --- pool: a byte for the devices, then changes: how long and where, place, place in it, bytes ---
for how in range(16):
    write("pool", f"plain-{how:02}", bytes([how]))
for at in (0, 8, 12, 16, 40, 56, 60, 64, 72, 88):
    write("pool", f"super-{at}", bytes([2, 3, 0]) + struct.pack("<H", at) + b"\x01\x00\x00\x01")
for at in (0, 80, 84, 88, 96, 98, 100, 102, 103, 108, 112, 160, 164, 168, 176):
    write("pool", f"record-{at}", bytes([2, 3, 1]) + struct.pack("<H", 64 + at) + b"\x02\x00\x00\x00" +
          bytes([3, 0x81]) + struct.pack("<H", 64 + at) + b"\x02\x00\x00\x00")
write("pool", "paired", bytes([2, 1, 1]) + struct.pack("<H", 64 + 98) + b"\x01\x00" + bytes([0, 1]) +
      struct.pack("<H", 64 + 103) + b"\x01")

# --- ring: depth, arena, then steps ---
def near(n):
    return bytes([0, n])


def submit(op, offset=0, length=8, buffer=0):
    return bytes([0, op, 0, 0, 0, 0, 0]) + near(offset) + near(length) + near(buffer)


loop = bytes([6, 8, 9, 2])
for op in range(1, 6):
    write("ring", f"op-{op}", bytes([3, 8]) + submit(op) + submit(op | 0x10, 8) + loop + loop)
write("ring", "full", bytes([1, 1]) + submit(2) * 3 + loop + submit(1) + loop + bytes([10]))
write("ring", "index", bytes([2, 4]) + submit(2) + bytes([4, 2, 255, 255, 255, 255]) + loop + bytes([4, 1, 200]) + loop)
write("ring", "scribble", bytes([2, 4, 3, 64, 0, 4, 1, 0, 0, 0]) + bytes([3, 0, 16, 40]) + bytes(40) + loop)
write("ring", "hold", bytes([3, 8, 11 + 12]) + submit(2) * 2 + loop + bytes([11 + 60]) + loop + bytes([10]))

# --- nbd: fuzz_nbd.c says what the steps mean ---
def nbd(kind, length, offset=0, flags=0, payload=b"", magic=0x25609513):
    return struct.pack(">IHHQQI", magic, flags, kind, 7, offset, length) + payload


def sent(data):
    return b"".join(bytes([0, len(data[at:at + 255])]) + data[at:at + 255] for at in range(0, len(data), 255))


ended = bytes([1, 2, 0, 0, 1, 3, 0, 32])
for kind in (0, 1, 3, 4, 5, 6):
    write("nbd", f"type-{kind}", sent(nbd(kind, 512, 4096, payload=bytes(512) if kind == 1 else b"")) + ended)
write("nbd", "long", sent(nbd(0, 700000)) + bytes([1, 2, 2, 0, 2, 0, 5, 2, 0, 0, 1, 3, 255, 255, 1]))
write("nbd", "too-long", sent(nbd(1, 3 << 20, payload=bytes(2000))) + bytes([1, 1]))
write("nbd", "many", sent(nbd(3, 0) * 40) + bytes([1, 1]) + bytes([2, 0, 0]) * 4 + bytes([1, 3, 64, 0, 1]))
write("nbd", "wrong", sent(nbd(3, 0) + nbd(3, 0, magic=1)) + ended)
write("nbd", "leaves", sent(nbd(1, 4096, payload=bytes(700))) + bytes([1, 4, 1]))
write("nbd", "goodbye", sent(nbd(3, 0) + nbd(2, 0) + nbd(3, 0)) + ended)

# --- attach: the messages ---
def message(kind, text):
    return struct.pack("<IHH", 0x5441534C, kind, 8 + len(text)) + text


for version in (1, 2, 3):
    write("attach", f"hello-{version}", message(1, struct.pack("<IIQII", version, 64, 1 << 20, 0, 0)))
write("attach", "open", message(3, b"vol".ljust(64, b"\x00")))
for version in (1, 2):
    start = struct.pack("<iI", 0, version) + bytes(400)
    write("attach", f"hello-reply-{version}",
          message(2, start + struct.pack("<IIQQQ", 64, 0, 12288, 4096, 16384)))
    write("attach", f"open-reply-{version}",
          message(4, start + struct.pack("<IIQIIQQ", 1, 512, 1 << 20, 1 << 20, 1, 1, 2)))
write("attach", "refusal", message(2, struct.pack("<iI", -22, 2) + b"no".ljust(400, b"\x00")))

# --- control: a byte of how, then lines ---
lines = {
    "ping": '{"command":"ping"}', "status": '{"command":"status"}', "one": '{"command":"status","volume":"vol"}',
    "pool-list": '{"command":"pool-list"}', "volume-list": '{"command":"volume-list"}', "peer-list": '{"command":"peer-list"}',
    "pool-create": '{"command":"pool-create","name":"p2","devices":["/x","file:/y4k"],"size":16777216,"force":true}',
    "pool-foreign": '{"command":"pool-create","name":"p2","devices":["/foreign"]}',
    "pool-none": '{"command":"pool-create","name":"p2","devices":["/x","/none"]}',
    "volume-create": '{"command":"volume-create","name":"db","size":2097152,"zero":false}',
    "volume-pool": '{"command":"volume-create","name":"db","size":2097152,"pool":"pool"}',
    "volume-delete": '{"command":"volume-delete","name":"vol"}',
    "peer-add": '{"command":"peer-add","name":"b","key_file":"/key","address":"h:1"}',
    "peer-change": '{"command":"peer-add","name":"b","key_file":"/key"}\n{"command":"peer-change","name":"b","address":"h:2"}',
    "peer-remove": '{"command":"peer-add","name":"b","key_file":"/key"}\n{"command":"peer-remove","name":"b"}',
    "pool-open": '{"command":"pool-open","name":"p2","devices":["/x"]}', "pool-again": '{"command":"pool-open","name":"pool"}',
    "pool-close": '{"command":"pool-close","name":"pool"}',
    "pair": '{"command":"peer-add","name":"b","key_file":"/key"}\n{"command":"pair","volume":"vol","peer":"b","wait":true}',
    "pair-now": '{"command":"peer-add","name":"b","key_file":"/key"}\n{"command":"pair","volume":"vol","peer":"b","wait":false}',
    "pair-where": '{"command":"pair","volume":"vol","peer":"b","target":"t","target_pool":"q"}',
    "capture": '{"command":"capture","count":4}\n{"command":"capture-read"}', "shutdown": '{"command":"shutdown"}',
    "events": '{"command":"events","last":9,"follow":false}\n{"command":"events","since":3,"volume":"vol"}\n{"command":"ping"}',
    "broken": '{"command":', "no-object": '[1,2]', "more": '{} {}', "nul": '{"command":"volume-create","name":"a\\u0000b","size":1}',
    "numbers": '{"command":"capture","count":-1}\n{"command":"volume-create","name":"x","size":1e99}',
}
# Commands of operators that may come and go: an unknown one is answered, too.
for operation in ("break", "resume", "unpair", "promote", "demote", "policy", "resolve", "set-policy"):
    lines[operation] = f'{{"command":"{operation}","volume":"vol","force":true,"keep":"local","policy":"fail-closed","wait":false}}'
for name, line in lines.items():
    write("control", name, b"\x00" + line.encode() + b"\n")
write("control", "parts", b"\x04" + b'{"command":\xff{"command":"ping"}\xff"ping"}\n\xff{"command":"status"}\n')
write("control", "starting", b"\x01" + b'{"command":"status"}\n{"command":"ping"}\n')
write("control", "stopping", b"\x02" + b'{"command":"volume-delete","name":"vol"}\n')
write("control", "many-lines", b"\x04" + b"\n" * 1500)
write("control", "longest", b"\x20" + b'{"command":"status"}\n{"command":"ping"}\n')
write("control", "too-long", b"\x20" + b"x" * 100 + b'\n{"command":"ping"}\n')
write("control", "too-long-later", b"\x20{\n" + b" " * 200 + b'\xff{"command":"ping"}\n')
write("control", "early", b"\x10" + b'{"command":"volume-delete","name":"vol"}\n{"command":"status"}\n')

# --- tcp: how, a grant, pieces of the stream ---
def piece(data):
    return bytes([len(data)]) + data


def item(kind, slot, length, magic=0x4B4C, zero=0):
    return struct.pack("<HBBII", magic, kind, zero, slot, length)


grant = struct.pack("<III", 0x3154474C, 64, 131072).ljust(32, b"\x00")
write("tcp", "message", b"\x03" + grant + piece(item(1, 0, 8) + b"12345678") + piece(item(1, 0, 64) + bytes(64)))
write("tcp", "request", b"\x03" + grant + piece(item(2, 3, 16) + bytes(80)) + piece(item(2, 0, 0) + bytes(64)))
write("tcp", "in-parts", b"\x0b" + grant + b"".join(piece(bytes([b])) for b in item(2, 1, 4) + bytes(68)))
write("tcp", "at-once", b"\x07" + grant + piece(item(1, 0, 8) + b"12345678" + item(2, 1, 16) + bytes(80) + item(1, 0, 1) + b"1"))
write("tcp", "no-slots", b"\x00" + bytes(32) + piece(item(2, 0, 4) + bytes(68)))
write("tcp", "slot-too-far", b"\x01" + bytes(32) + piece(item(2, 4, 4) + bytes(68)))
write("tcp", "too-long", b"\x01" + bytes(32) + piece(item(2, 0, 4097) + bytes(68)))
write("tcp", "message-too-long", b"\x01" + bytes(32) + piece(item(1, 0, 1 << 16) + bytes(68)))
write("tcp", "no-magic", b"\x01" + bytes(32) + piece(item(1, 0, 1, magic=1)))

# --- state: node.json ---
write("state", "empty", b'{"format":"lockstep-node","version":1,"node":{"name":"a","address":"a1"},"pools":[],"peers":[]}')
write("state", "full", b'{"format":"lockstep-node","version":1,"node":{"name":"a","address":"0x00000000000000a1"},'
      b'"pools":[{"name":"p","devices":["/dev/x","file:/y"]}],'
      b'"peers":[{"name":"b","address":"h:1","key_file":"/k"},{"name":"c","key_file":"/k"}]}')
write("state", "later", b'{"format":"lockstep-node","version":2}')

if __name__ == "__main__":
    print(sum(len(files) for _, _, files in os.walk(here)), "files in", here, file=sys.stderr)
