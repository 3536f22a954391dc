#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Where two files of one length differ, as lines "OFFSET LENGTH" of blocks of 4096 bytes.

usage: changed.py FILE FILE
       changed.py --within LIST   each place on standard input must lie in the union of the list's
"""
import sys

BLOCK = 4096


def differences(a, b):
    at = 0
    while True:
        left, right = a.read(BLOCK), b.read(BLOCK)
        if len(left) != len(right):
            sys.exit("the files are not equally long")
        if not left:
            return
        if left != right:
            print(at, len(left))
        at += len(left)


def places(lines):
    return [tuple(int(word) for word in line.split()) for line in lines]


def within(listed):
    blocks = set()
    for offset, length in listed:
        blocks.update(range(offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK))
    count = 0
    for offset, length in places(sys.stdin):
        count += 1
        if any(b not in blocks for b in range(offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK)):
            sys.exit(f"{length} bytes at {offset} have changed, but were not listed")
    if not count:
        sys.exit("there is nothing to look at")
    print(f"{count} blocks of {BLOCK} bytes have changed, all of them within what was listed")


if sys.argv[1] == "--within":
    with open(sys.argv[2], encoding="ascii") as listing:
        within(places(listing))
else:
    with open(sys.argv[1], "rb") as one, open(sys.argv[2], "rb") as two:
        differences(one, two)
