#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program in a terminal (pyte) and looks at what is on its screen.

usage: screen.py COLUMNSxLINES LIMIT -- COMMAND...      what to do comes on standard input, a line each:
  await REGEX      until a line of the screen has it
  changes REGEX    until what matches has become something else
  type TEXT        "\\x1b" and the like are understood
  size COLUMNSxLINES
  show             prints the screen
  end STATUS       until the program ends, with this status
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

import pyte


class Terminal:
    def __init__(self, columns, lines, limit, command):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.end_s = time.monotonic() + limit
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "linux"
            os.execvp(command[0], command)
        self.size(columns, lines)

    def size(self, columns, lines):
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def read(self):
        """More of its output; False: it has ended."""
        left = self.end_s - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            self.give_up("in time")
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.stream.feed(data)
        return bool(data)

    def give_up(self, why):
        print("\n".join(self.lines()))
        os.kill(self.pid, signal.SIGKILL)
        sys.exit(f"screen: that did not come {why}; above is the screen")

    def find(self, regex):
        for line in self.lines():
            match = re.search(regex, line)
            if match:
                return match[0]
        return None

    def until(self, done):
        while not done():
            if not self.read():
                self.give_up("before the program ended")

    def do(self, verb, word):
        if verb == "await":
            self.until(lambda: self.find(word))
        elif verb == "changes":
            self.until(lambda: self.find(word))
            before = self.find(word)
            self.until(lambda: self.find(word) not in (None, before))
        elif verb == "type":
            os.write(self.fd, word.encode().decode("unicode_escape").encode())
        elif verb == "size":
            self.size(*map(int, word.split("x")))
        elif verb == "show":
            print("\n".join(self.lines()).rstrip(), flush=True)
        elif verb == "end":
            while self.read():
                pass
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            if status != int(word):
                sys.exit(f"screen: it ended with {status}, not {word}")
        else:
            sys.exit(f"screen: what is '{verb}'?")


def main():
    columns, lines = map(int, sys.argv[1].split("x"))
    terminal = Terminal(columns, lines, float(sys.argv[2]), sys.argv[4:])
    for line in sys.stdin:
        verb, _, word = line.strip("\n").partition(" ")
        terminal.do(verb, word)
        if verb == "end":
            break


if __name__ == "__main__":
    main()
