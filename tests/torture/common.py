# SPDX-License-Identifier: BSD-3-Clause
"""Small words that all of the torture's modules use."""
import threading

NODES = ("a", "b")


class Broken(Exception):
    """Something that must hold does not."""


class Changes:
    """How often something has changed at the nodes, for who waits until it did."""

    def __init__(self):
        self.condition = threading.Condition()
        self.count = 0

    def note(self):
        with self.condition:
            self.count += 1
            self.condition.notify_all()

    def await_next(self, seen, limit_s):
        """@seen: the count before one looked; so no change between the look and this is missed."""
        with self.condition:
            self.condition.wait_for(lambda: self.count != seen, limit_s)


def other(node):
    return "b" if node == "a" else "a"
