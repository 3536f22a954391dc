# SPDX-License-Identifier: BSD-3-Clause
"""Small words that all of the torture's modules use."""

NODES = ("a", "b")


class Broken(Exception):
    """Something that must hold does not."""


def other(node):
    return "b" if node == "a" else "a"
