#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Formats what the demo found out.

  report.py fio FILE SYSTEM            fio's JSON -> rows of the table, one a line
  report.py wire FILE                  "tool bytes min typical p99" lines -> sentences
  report.py table FILE                 rows, one a line, as `lockstep --json bench` prints them -> the table
  report.py machine STATUS-A STATUS-B  `lockstep --json status` of both nodes
  report.py proof BEFORE-A BEFORE-B AFTER-A AFTER-B   what the data path did between two of those
  report.py frames FILE                `lockstep --json capture` -> one request with its completion
"""
import json
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def fio(path, system):
    for job in load(path)["jobs"]:
        bs, qd = job["jobname"].split()
        did = job["write"]
        percentile = did["clat_ns"]["percentile"]
        print(json.dumps({
            "system": system, "rw": "randwrite", "bs": bs, "qd": int(qd), "iops": did["iops"],
            "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3,
            "mbps": did["bw_bytes"] / 1e6}))


def wire(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            tool, size, low, typical, p99 = line.split()
            print(f"  the wire, {tool} {size} bytes, one way: typical {float(typical):.0f} us, "
                  f"at best {float(low):.0f}, p99 {float(p99):.0f}")


def byte_count(text):
    units = {"k": 1 << 10, "m": 1 << 20}
    text = str(text).lower()
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def table(path):
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    rows.sort(key=lambda r: (byte_count(r["bs"]), r["qd"]))  # stable: raw, local, mirrored
    print(f"  {'random writes':<15}{'':<22}{'IOPS':>8}{'p50 us':>9}{'p99 us':>9}{'MB/s':>9}")
    last = None
    for row in rows:
        kind = f"{byte_count(row['bs']) >> 10} KiB, QD {row['qd']}"
        if last not in (None, kind):
            print()
        print(f"  {kind if kind != last else '':<15}{row['system']:<22}{row['iops']:>8.0f}"
              f"{row['p50_us']:>9.0f}{row['p99_us']:>9.0f}{row['mbps']:>9.1f}")
        last = kind


def machine(path_a, path_b):
    for name, path in (("A", path_a), ("B", path_b)):
        status = load(path)
        for peer in status["peers"]:
            link = peer["link"]
            print(f"  {name}  transport  {link['backend']}: {link['device']}, {link['detail']}")
        for pool in status["pools"]:
            for device in pool["devices"]:
                print(f"     device     {device['backend']}: {device['path']}, {device['model']}".rstrip(" ,")
                      + f", {device['size_bytes'] >> 20} MiB in blocks of {device['block_bytes']}, {device['detail']}")
        shard = status["shard"]
        print(f"     polling    {shard['polling']} ({shard['polling_why']})")
        print(f"     core       {shard['core']} ({shard['core_why']})")


def proof(*paths):
    before, after = ([load(p)["shard"] for p in half] for half in (paths[:2], paths[2:]))
    for name, was, now in zip("AB", before, after):
        requests = now["per_io"]["ios"] - was["per_io"]["ios"]
        grown = {k: now[k] - was[k] for k in ("copied_payload_bytes", "data_path_allocations", "data_path_locks")}
        print(f"  {name} served {requests} requests meanwhile: {grown['copied_payload_bytes']} payload bytes copied, "
              f"{grown['data_path_allocations']} allocations, {grown['data_path_locks']} locks")


def frames(path):
    captured = load(path)["frames"]
    for completion in captured:
        for request in captured:
            if (request["message"] == completion["message"] and completion["completion"]
                    and not request["completion"] and request["command"] == "write"):
                for name, frame in (("request", request), ("completion", completion)):
                    way = "A -> B" if frame["sent"] else "B -> A"
                    print(f"  {name:<11}{way}   target node {frame['target']}   initiating node {frame['initiator']}"
                          f"\n  {'':<11}         command {frame['command']:<21}"
                          f"message identification {frame['message']}")
                return 0
    return 1


if __name__ == "__main__":
    commands = {"fio": fio, "wire": wire, "table": table, "machine": machine, "proof": proof, "frames": frames}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]) or 0)
