#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who spends the processor time of a request, and on what: bench/peers/profile's recordings as tables.

usage: profile.py FOLDER --seconds S [--json FILE]

FOLDER: kallsyms of the machine that was recorded, and for each job a folder with `rows` (bench/peers/rounds)
and SYSTEM.perf (perf record -a -g).  Of each recording the last S seconds count: before that a job fills, pairs and warms up.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rows import load, save  # noqa: E402  pylint: disable=wrong-import-position

HEAD = re.compile(r"^(.+?)\s+(\d+)\s+(\d+\.\d+):\s*$")
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")
# Link-time optimisation puts a suffix behind a name.
CHECKSUM = re.compile(r"^(table_update|sumlog_payload|\w*crc32c?\w*)(\.|$)")
# The first line that one of a sample's functions matches says what it does; the order is the precedence.
KERNEL = tuple((what, re.compile(pattern)) for what, pattern in (
    ("switching", r"^(schedule|__schedule|schedule_\w+|finish_task_switch.*)$"),
    ("waking", r"^(try_to_wake_up|__wake_up\w*|wake_up_\w+|ttwu_\w+)$"),
    ("soft-RoCE", r"^(rxe_|__rxe_)"),
    ("nbd", r"^(nbd_|recv_work$)"),
    ("TCP/IP", r"^(tcp_|__tcp_|ip_|__ip_|net_rx_action|inet_)"),
    ("md", r"^(md_|raid1_|raid1d)"),
    ("DRBD", r"^(drbd_|__drbd_)"),
    ("block and NVMe", r"^(nvme|blk_|__blk_|bio_|submit_bio|blkdev_)"),
    ("io_uring", r"^(io_|__io_|__do_sys_io_uring_enter|tctx_task_work)"),
    ("epoll", r"^(ep_|do_epoll_|__do_sys_epoll|eventfd_)"),
    ("interrupts", r"^(asm_sysvec_|asm_common_interrupt|__do_softirq|irq_exit)"),
))
SYSCALL = re.compile(r"^__(?:x64|do)_sys_(\w+)$")


class Sample:
    def __init__(self, comm, pid, time):
        self.comm, self.pid, self.time, self.frames = comm, pid, time, []

    def in_kernel(self):
        return not self.frames or "kallsyms" in self.frames[0][1] or self.frames[0][1].startswith("[")

    def is_idle(self):
        """Nothing to do, and no interrupt at that moment."""
        return self.pid == 0 and not any(pattern.match(name) for name, _ in self.frames for _, pattern in KERNEL)

    def what(self, program):
        if not self.in_kernel():
            name, binary = self.frames[0]
            if CHECKSUM.match(name):
                return "payload checksum"
            return "own code" if os.path.basename(binary) == program else "libraries"
        names = [name for name, _ in self.frames]
        for what, pattern in KERNEL:
            if any(pattern.match(name) for name in names):
                return what
        called = [SYSCALL.match(name) for name in names]
        called = [match.group(1) for match in called if match]
        return f"{called[-1]}()" if called else "kernel, other"


def samples_of(recording, kallsyms):
    text = subprocess.run(["perf", "script", "-i", recording, "--kallsyms", kallsyms, "-F", "comm,pid,time,ip,sym,dso"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    found = []
    for line in text.splitlines():
        head = HEAD.match(line)
        frame = FRAME.match(line)
        if head:
            found.append(Sample(head.group(1).strip(), int(head.group(2)), float(head.group(3))))
        elif frame and found:
            found[-1].frames.append((frame.group(1).split("+")[0], frame.group(2)))
    return found


def programs_of(samples):
    """{pid: the file that most of its own code is from}; a kernel's thread has none."""
    seen = collections.defaultdict(collections.Counter)
    for sample in samples:
        if not sample.in_kernel() and ".so" not in sample.frames[0][1]:
            seen[sample.pid][os.path.basename(sample.frames[0][1])] += 1
    return {pid: names.most_common(1)[0][0] for pid, names in seen.items()}


def names_of(samples, programs):
    """{pid: name}: several processes of one program are numbered, the oldest first; one that used no time has no number."""
    names = {sample.pid: re.sub(r"[:/].*$", "", sample.comm) for sample in samples}
    for program in set(programs.values()):
        own = sorted(pid for pid, name in programs.items() if name == program)
        names.update((pid, program if len(own) == 1 else f"{program} {at}") for at, pid in enumerate(own, 1))
    return names


def parts_of(samples, cpu_us_per_io):
    programs = programs_of(samples)
    names = names_of(samples, programs)
    count = collections.Counter()
    for sample in samples:
        if sample.comm.startswith("perf") or sample.is_idle():
            continue
        who = "idle, interrupted" if sample.pid == 0 else names[sample.pid]
        count[who, sample.what(programs.get(sample.pid))] += 1
    total = sum(count.values())
    return [{"who": who, "what": what, "us": round(cpu_us_per_io * n / total, 1)}
            for (who, what), n in count.most_common()], total


def tabled(row, parts):
    print(f"\n{row['system']}, {row['rw']} {row['bs']} QD{row['qd']}: {row['iops']:,.0f}/s, "
          f"{row['cpu_us_per_io']:,.0f} us of processor for each")
    whole = sum(part["us"] for part in parts)
    for who in dict.fromkeys(part["who"] for part in parts):
        own = [part for part in parts if part["who"] == who]
        all_us = sum(part["us"] for part in own)
        if all_us < whole / 100:
            continue
        shown = [f"{part['what']} {part['us']:,.0f}" for part in own if part["us"] >= whole / 200]
        print(f"  {who:<22} {all_us:8,.0f}  {', '.join(shown)}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("folder")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--json")
    args = parser.parse_args()
    result = []
    for job in sorted(entry.path for entry in os.scandir(args.folder) if entry.is_dir()):
        for row in load(os.path.join(job, "rows")):
            if "not_available" in row:
                print(f"\n{row['system']}: not available: {row['not_available']}")
                continue
            samples = samples_of(os.path.join(job, row["system"] + ".perf"), os.path.join(args.folder, "kallsyms"))
            begin = max(sample.time for sample in samples) - args.seconds
            parts, total = parts_of([sample for sample in samples if sample.time >= begin], row["cpu_us_per_io"])
            tabled(row, parts)
            result.append({key: row[key] for key in ("system", "rw", "bs", "qd", "iops", "cpu_us_per_io")} |
                          {"samples": total, "parts": parts})
    if args.json:
        save(args.json, result)


if __name__ == "__main__":
    main()
