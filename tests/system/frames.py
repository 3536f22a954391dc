#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the frames of `lockstep --json capture` at node A: frames.py FILE ADDRESS-OF-A ADDRESS-OF-B"""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        frames = json.load(file)["frames"]
    node_a, node_b = sys.argv[2:4]
    requests = [f for f in frames if f["command"] == "write" and not f["completion"]]
    completions = [f for f in frames if f["command"] == "write" and f["completion"]]
    matched = 0
    for frame in frames:
        for field in ("target", "initiator", "command", "message"):
            assert field in frame, f"no {field} in {frame}"
        # The frames that A sends go from A to B, and those that it receives from B to A.
        ends = (str(frame["target"]), str(frame["initiator"]))
        assert ends == ((node_b, node_a) if frame["sent"] else (node_a, node_b)), f"wrong ends: {frame}"
    for completion in completions:
        same = [r for r in requests if r["message"] == completion["message"]]
        # The request of the first completions may be older than the capture.
        assert len(same) <= 1, f"identification {completion['message']} was used twice"
        assert completion["status"] in (0, "ok"), f"failed: {completion}"
        matched += len(same)
    identifications = [r["message"] for r in requests]
    assert len(set(identifications)) == len(identifications), "two requests share an identification"
    assert matched > 0, f"no request with its completion among {len(frames)} frames"
    print(f"frames: {len(frames)}, {matched} completions match their requests by message identification")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as fault:
        sys.exit(f"frames: {fault}")
