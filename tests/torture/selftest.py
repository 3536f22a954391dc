#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Goal: torture-check accepts what a history allows, and nothing else; a history is in doubt from where
on the old primary may have been alone, and no earlier.

usage: selftest.py TORTURE-CHECK
"""
import os
import struct
import subprocess
import sys
import tempfile

from volume import Volume, Writer

SEED, VOLUME, BLOCKS = 5, 3, 4
MASK = (1 << 64) - 1
SUBMIT, DONE, FAILED = 1, 2, 3
WRITE, ZERO, FLUSH = 1, 2, 3


def mix(x):
    x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ x >> 27) * 0x94d049bb133111eb) & MASK
    return x ^ x >> 31


def sector(block, version, n, volume=VOLUME):
    words = [0x65727574726f746c, SEED, volume << 32 | n, block, version]
    word = mix(SEED ^ mix(version) ^ mix(block << 16 | n))
    step = word | 1
    while len(words) < 64:
        word = (word + step) & MASK
        words.append(word)
    return struct.pack("<64Q", *words)


def block(number, version, **options):
    if version == 0:
        return bytes(4096)
    return b"".join(sector(number, version, n, **options) for n in range(8))


def record(kind, op, version, at=0, count=1, fua=0):
    return struct.pack("<BBBBIQQ", kind, op, fua, 0, 0 if op == FLUSH else count, at, version)


def begun(version, op=WRITE, **options):
    return record(SUBMIT, op, version, **options)


def done(version, op=WRITE, **options):
    return record(DONE, op, version, **options)


def acked(version, op=WRITE, **options):
    return begun(version, op, **options) + done(version, op, **options)


class Case:
    def __init__(self, name, first, lines, good, bad):
        """@first: the first ledger; @lines: (word, ledger) or word; @good, @bad: of block 0."""
        self.name, self.lines, self.good, self.bad = name, [("main", first)] + lines, good, bad


FLUSHED = acked(1) + acked(9, FLUSH) + acked(2)
CASES = (
    Case("nothing was written", b"", [], [0], [1]),
    Case("acknowledged", acked(1), [], [1], [0, 2]),
    Case("open", begun(1), [], [0, 1], [2]),
    Case("failed", begun(1) + record(FAILED, WRITE, 1), [], [0, 1], [2]),
    Case("half a record", acked(1) + begun(2)[:20], [], [1], [0, 2]),
    Case("overwritten", acked(1) + acked(2), [], [2], [0, 1]),
    Case("zeroed", acked(1) + acked(2, ZERO), [], [0], [1, 2]),
    Case("at the same time", begun(1) + begun(2) + done(1) + done(2), [], [1, 2], [0]),
    Case("open under acknowledged", begun(1) + acked(2), [], [1, 2], [0]),
    Case("open, then a barrier", begun(1), ["barrier", ("main", acked(2))], [2], [0, 1]),
    Case("open, and no barrier", begun(1), [("main", acked(2))], [1, 2], [0]),
    Case("a loss takes what was not flushed", FLUSHED, ["loss"], [1, 2], [0]),
    Case("no loss", FLUSHED, [], [2], [0, 1]),
    Case("a loss, all flushed", FLUSHED + acked(10, FLUSH), ["loss"], [2], [0, 1]),
    Case("a loss, flush not acknowledged", FLUSHED + begun(10, FLUSH), ["loss"], [1, 2], [0]),
    Case("a loss, flush came before", begun(9, FLUSH) + acked(1) + done(9, FLUSH), ["loss"],
         [0, 1], [2]),
    Case("a loss, FUA", acked(1, fua=1), ["loss"], [1], [0]),
    Case("a loss, then more", acked(1), ["loss", ("main", acked(2))], [2], [0, 1]),
    Case("a flush after the loss saves nothing", acked(1), ["loss", ("main", acked(9, FLUSH))],
         [0, 1], [2]),
    Case("loser of a split", acked(1), [("maybe", acked(2))], [1, 2], [0]),
    Case("loser, then the winner", acked(1), [("maybe", acked(2)), "barrier", ("main", acked(3))],
         [3], [0, 1, 2]),
)


def judge(program, folder, lines, content, baseline=None):
    with open(folder + "/history", "w") as history:
        print("volume %d %d %d" % (VOLUME, SEED, BLOCKS), file=history)
        if baseline:
            print("baseline", baseline, file=history)
        for n, line in enumerate(lines):
            if isinstance(line, str):
                print(line, file=history)
                continue
            path = "%s/ledger%d" % (folder, n)
            with open(path, "wb") as f:
                f.write(line[1])
            print(line[0], path, "0 -1", file=history)
    with open(folder + "/content", "wb") as f:
        f.write(content)
    return subprocess.run([program, folder + "/history", folder + "/content", folder + "/next"],
                          stdout=subprocess.DEVNULL).returncode


class Primary:
    """Of one volume, with one writer: 1 is acknowledged, it says how its mirror is, then 2 is."""

    volume_mib = 1

    def __init__(self, folder, says):
        self.cluster, self.says = self, says
        self.ledger = folder + "/primary"
        self.volume = Volume(self, VOLUME, "a", "fail-open")
        self.volume.writer["a"] = Writer("a", None, self.ledger)
        self.volume.lines = ["main %s 0 -1" % self.ledger]
        self.record(acked(1))

    def volumes(self, node):
        return {self.volume.name: {"mirror": self.says}}

    def record(self, records):
        with open(self.ledger, "wb") as f:
            f.write(records)

    def history(self, kept, was_split):
        """b is promoted beside a, which is paused and says 3 when it wakes up."""
        mark = self.volume.mark()
        self.record(acked(1) + acked(2))
        self.volume.open_fork(False, mark)
        self.record(acked(1) + acked(2) + acked(3))
        self.volume.join_fork(kept, was_split)
        return self.volume.lines


# What the old primary says of its mirror; who is kept; split?; what block 0 may hold; what not.
FORKS = (
    ("synced", "b", True, [1, 2], [0, 3]),
    ("synced", "b", False, [3], [0, 1, 2]),
    ("synced", "a", True, [3], [0, 1, 2]),
    ("alone", "b", True, [0, 1, 2], [3]),
    ("alone", "b", False, [3], [0, 1, 2]),
    ("alone", "a", True, [3], [0, 1, 2]),
)


def content_of(first):
    return first + bytes(4096 * (BLOCKS - 1))


def main():
    program, wrong, tried = sys.argv[1], [], 0

    def expect(name, expected, *arguments, **options):
        nonlocal tried
        tried += 1
        if judge(program, folder, *arguments, **options) != expected:
            wrong.append(name)

    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            for versions, expected in ((case.good, 0), (case.bad, 1)):
                for version in versions:
                    expect("%s: holds %d" % (case.name, version), expected, case.lines,
                           content_of(block(0, version)))
        for says, kept, was_split, good, bad in FORKS:
            for version in good + bad:
                expect("%s, then a fork, %s is kept, split %s: holds %d" %
                       (says, kept, was_split, version), version not in good,
                       Primary(folder, says).history(kept, was_split),
                       content_of(block(0, version)))
        one = [("main", acked(1))]
        torn = block(0, 1)[:512] + bytes(3584)
        damaged = bytearray(block(0, 1))
        damaged[2000] ^= 1
        expect("torn", 1, one, content_of(torn))
        expect("damaged", 1, one, content_of(bytes(damaged)))
        expect("of another block", 1, one, content_of(block(1, 1)))
        expect("of another volume", 1, one, content_of(block(0, 1, volume=4)))
        expect("a long write", 0, [("main", acked(1, count=2))],
               block(0, 1) + block(1, 1) + bytes(8192))
        expect("half of a long write", 1, [("main", acked(1, count=2))], content_of(block(0, 1)))
        # The next round begins with what this one left, and no older version may come back.
        expect("the first round", 0, [("main", acked(1) + acked(2))], content_of(block(0, 2)))
        os.rename(folder + "/next", folder + "/baseline")
        expect("the next round", 0, [("main", b"")], content_of(block(0, 2)),
               baseline=folder + "/baseline")
        expect("the next round, older", 1, [("main", b"")], content_of(block(0, 1)),
               baseline=folder + "/baseline")
    for name in wrong:
        print("wrong about:", name)
    print("torture-check: %d histories, %d wrong" % (tried, len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
