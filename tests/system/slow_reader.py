#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""usage: slow_reader.py CONTROL-SOCKET COMMANDS

Subscribes to events and reads none of them, while COMMANDS operations fail (two events each) on another
connection.  Then it reads: it must be told of each event, or how many it lost, to the last one; and some
must be lost, or this tests nothing."""
import json
import socket
import sys


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("r")

    def send(self, **request):
        self.socket.sendall((json.dumps(request) + "\n").encode())

    def line(self):
        return json.loads(self.file.readline())


def last_number(control):
    control.send(command="events", last=1, follow=False)
    number = control.line()["seq"]
    assert control.line()["ok"]
    return number


def main():
    path, commands = sys.argv[1], int(sys.argv[2])
    slow, busy = Control(path), Control(path)
    first = last_number(busy)
    # "since": it makes no difference when the daemon comes to it.
    slow.send(command="events", since=first)
    for _ in range(commands):
        busy.send(command="volume-delete", name="none")
        assert busy.line()["code"] == "ENOENT"
    last = last_number(busy)
    assert last >= first + 2 * commands, (first, last)
    seen, lost = first, 0
    while seen < last:
        event = slow.line()
        if event["event"] == "lost":
            assert event["count"] > 0
            lost += event["count"]
            seen += event["count"]
        else:
            seen += 1
            assert event["seq"] == seen, (event, seen)
    print(f"{last - first} events, {lost} of them lost to a reader that did not read")
    assert 0 < lost < last - first


main()
