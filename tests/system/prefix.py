#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Reads a volume's bytes that `ops` wrote over and over, from the start to the end, with the
seeds 1, 2, 3 …: they must be those of one moment, a seed N up to some place and N - 1 behind it.

    prefix.py SEEDS < BYTES      prints N and the place
"""
import sys

MASK = (1 << 64) - 1
BLOCK = 4096


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def word(seed, offset):
    return mix((seed * 0x100000001B3 + offset) & MASK)


def seed_of(data, offset, seeds):
    first = int.from_bytes(data[offset : offset + 8], "little")
    last = int.from_bytes(data[offset + BLOCK - 8 : offset + BLOCK], "little")
    for seed in seeds:
        if first == word(seed, offset):
            if last == word(seed, offset + BLOCK - 8):
                return seed
            break
    sys.exit(f"the block at {offset} is of no seed, or torn")


def main():
    data = sys.stdin.buffer.read()
    if not data:
        sys.exit("no bytes")
    newest = seed_of(data, 0, range(int(sys.argv[1]), 0, -1))
    now, place = newest, len(data)
    for offset in range(BLOCK, len(data), BLOCK):
        seed = seed_of(data, offset, (now, now - 1))
        if seed == now:
            continue
        if now != newest:
            sys.exit(f"not of one moment: seed {seed} at {offset}, {now} before it")
        now, place = seed, offset
    print(newest, place)


main()
