#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes and awaits many volumes over one connection, so that no program's start is in the time.

usage: control.py SOCKET make PREFIX FROM TO BYTES PEER POOL PEERS-POOL
                                                            volumes PREFIX<FROM> to PREFIX<TO - 1>, each mirrored; prints
                                                            how long each took, as JSON
       control.py SOCKET synced PREFIX FROM TO PEER         returns when they are all in sync
       control.py SOCKET loop                               processor time of the engine's thread in ns, and the passes
                                                            of its loop, at the same moment

SOCKET: a daemon's control socket (engine/doc/control.md).
"""
import glob
import json
import socket
import statistics
import sys
import time

TIMEOUT_S = 600


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def ask(self, command, **arguments):
        """The answer; ends the program when it is an error."""
        self.socket.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        for line in self.lines:
            answer = json.loads(line)
            if "ok" not in answer:
                continue
            if not answer["ok"]:
                sys.exit(f"control.py: {command} {arguments}: {answer['error']}")
            return answer
        sys.exit(f"control.py: {command}: the daemon has closed the connection")


def timed_ms(function, *arguments, **named):
    begin = time.monotonic()
    function(*arguments, **named)
    return (time.monotonic() - begin) * 1000


def make(control, prefix, begin, end, size, peer, pool, peers_pool):  # pylint: disable=too-many-arguments
    create, pair = [], []
    for i in range(begin, end):
        create.append(timed_ms(control.ask, "volume-create", name=f"{prefix}{i}", size=size, pool=pool))
        pair.append(timed_ms(control.ask, "pair", volume=f"{prefix}{i}", peer=peer, target_pool=peers_pool))
    tenth = max(1, len(create) // 10)
    print(json.dumps({
        "made": len(create), "seconds": (sum(create) + sum(pair)) / 1000,
        "create_ms": statistics.median(create), "pair_ms": statistics.median(pair),
        # Of the first and of the last tenth of these: does it get slower?
        "first_ms": statistics.median(create[:tenth]) + statistics.median(pair[:tenth]),
        "last_ms": statistics.median(create[-tenth:]) + statistics.median(pair[-tenth:]),
    }))


def shard_ns(pid):
    """Of the engine's thread alone: the kernel's own account, in nanoseconds."""
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/comm", encoding="ascii") as comm, open(f"{task}/schedstat", encoding="ascii") as stat:
            if comm.read().startswith("shard-"):
                return int(stat.read().split()[0])
    sys.exit(f"control.py: process {pid} has no thread of an engine")


def loop(control):
    pid = control.ask("ping")["pid"]
    before = shard_ns(pid)
    passes = control.ask("status", volume="v0")["shard"]["loop"]["passes"]
    print((before + shard_ns(pid)) // 2, passes)


def main(path, what, *arguments):
    control = Control(path)
    if what == "loop":
        loop(control)
    else:
        many(control, what, *arguments)


def many(control, what, prefix, begin, end, *more):
    begin, end = int(begin), int(end)
    if what == "make":
        make(control, prefix, begin, end, int(more[0]), *more[1:])
        return
    for i in range(begin, end):
        if what == "synced":
            control.ask("pair", volume=f"{prefix}{i}", peer=more[0])
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 7, 10):
        sys.exit(__doc__)
    main(*sys.argv[1:])
