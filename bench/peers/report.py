#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tables, goals and a plot of what bench/peers/run measured.

usage: report.py ROWS [--base NAME] [--machine FILE] [--json FILE] [--svg FILE]
       report.py ROWS ROWS... [--markdown]

ROWS: one JSON object a line, or a list as --json writes it.  NAME: the system that the others are
divided by (default: md-nvme-rdma).  Of several runs: each goal's ratio in each of them.
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rows import gnuplot, load, number, panels, save  # noqa: E402  pylint: disable=wrong-import-position

ORDER = ("wire raw raw-both floor floor-queue lockstep lockstep-nocrc lockstep-nbd lockstep-tcp "
         "md-nvme-rdma md-nvme-tcp drbd").split()
MD = "md-nvme-rdma"
WRITE1, WRITE32 = ("randwrite", 4096, 1), ("randwrite", 4096, 32)
WRITE128K = ("randwrite", 131072, 8)
READ1, READ32 = ("randread", 4096, 1), ("randread", 4096, 32)


def rank(system):
    """Names that are not in ORDER stay as they came, behind those."""
    return ORDER.index(system) if system in ORDER else len(ORDER)


class Results:
    def __init__(self, rows):
        self.values = {}
        self.gone = {}
        self.jobs = []
        for row in rows:
            if "not_available" in row:
                self.gone[row["system"]] = row["not_available"]
                continue
            job = (row["rw"], row["bs"], row["qd"])
            if job not in self.jobs:
                self.jobs.append(job)
            self.values.setdefault((row["system"], job), []).append(row)

    def systems(self):
        return sorted(dict.fromkeys([system for system, _ in self.values] + list(self.gone)), key=rank)

    def all(self, system, job, what):
        """Of every round; empty when there is none."""
        rows = self.values.get((system, job), [])
        return [row[what] for row in rows if row.get(what) is not None]

    def median(self, system, job, what):
        found = self.all(system, job, what)
        return statistics.median(found) if found else None


def size(bs):
    return f"{bs >> 10} KiB" if bs >= 1024 and bs % 1024 == 0 else f"{bs} B"


def job_name(job):
    if job[0] == "pgbench":
        return f"pgbench -s {job[1]} -c {job[2]}"
    return f"{job[0]} {size(job[1])} QD{job[2]}"


# Heading, width, what, digits; behind IOPS or tps with their spread, and the ratio.
COLUMNS = (("p50 us", 9, "p50_us", 0), ("p99 us", 9, "p99_us", 0), ("p99.9 us", 10, "p999_us", 0),
           ("MB/s", 8, "mbps", 1), ("CPU us/IO", 11, "cpu_us_per_io", 1))
PGBENCH_COLUMNS = (("mean us", 9, "mean_us", 0), ("p50 us", 9, "p50_us", 0), ("p99 us", 9, "p99_us", 0),
                   ("CPU us/transaction", 20, "cpu_us_per_io", 0))


def print_job(results, job, base_name):
    database = job[0] == "pgbench"
    columns = PGBENCH_COLUMNS if database else COLUMNS
    print(f"\n{job_name(job)}")
    against = "x md" if base_name == MD else f"x {base_name}"
    print(f"  {'':16}{'tps' if database else 'IOPS':>8} {'(min..max)':>15}{against:>9}" +
          "".join(f"{heading:>{width}}" for heading, width, _, _ in columns))
    base = results.median(base_name, job, "iops")
    most = max((len(results.all(system, job, "iops")) for system in results.systems()), default=0)
    for system in results.systems():
        if (system, job) not in results.values:
            continue
        iops = results.all(system, job, "iops")
        middle = results.median(system, job, "iops")
        spread = f"({min(iops):.0f}..{max(iops):.0f})" if iops else ""
        ratio = f"{middle / base:.2f}" if middle and base else "-"
        # One that failed in the middle has fewer rounds than the others: that must be seen.
        short = f"  {len(iops)} of {most} rounds" if len(iops) < most else ""
        print(f"  {system:16}{number(middle):>8} {spread:>15}{ratio:>9}" +
              "".join(f"{number(results.median(system, job, what), digits):>{width}}"
                      for _, width, what, digits in columns) + short)
        hit = sum(results.all(system, job, "checkpointed"))
        if hit:
            print(f"  {'':16}a checkpoint fell into {hit} of {len(iops)} rounds: a larger --span, or a shorter --time")


def goals(results):
    """(name, system, what, job, at least?, factor, others): against factor x the best of the others."""
    at_least, at_most = True, False
    return (
        ("P1", "lockstep-nocrc", "iops", WRITE1, at_least, 0.95, ["floor-queue"]),
        ("P1", "lockstep", "iops", WRITE1, at_least, 0.85, ["floor-queue"]),
        ("P1", "lockstep", "iops", WRITE1, at_least, 1.6, [MD]),
        ("P1", "lockstep", "p99_us", WRITE1, at_most, 0.5, [MD]),
        ("P2", "lockstep", "iops", WRITE32, at_least, 0.9, ["floor-queue"]),
        ("P2", "lockstep", "iops", WRITE32, at_least, 5, [MD]),
        ("P2", "lockstep", "iops", WRITE32, at_least, 2, ["md-nvme-tcp", "drbd"]),
        ("P3", "lockstep", "mbps", WRITE128K, at_least, 0.9, ["floor-queue"]),
        ("P3", "lockstep", "mbps", WRITE128K, at_least, 1.6, [MD]),
        ("P4", "lockstep", "iops", READ1, at_least, 0.9, ["raw"]),
        ("P4", "lockstep", "iops", READ32, at_least, 0.9, ["raw"]),
        ("P5", "lockstep", "cpu_us_per_io", WRITE32, at_most, 0.4, [MD]),
        ("P5", "lockstep", "cpu_us_per_io", WRITE32, at_most, 1.2, ["floor-queue"]),
        ("P6", "lockstep-nbd", "iops", WRITE1, at_least, 1.0, [MD]),
        ("P6", "lockstep-nbd", "iops", WRITE32, at_least, 2.5, [MD]),
        ("P7", "lockstep-tcp", "iops", WRITE1, at_least, 1.25, ["md-nvme-tcp", "drbd"]),
        ("P7", "lockstep-tcp", "iops", WRITE32, at_least, 1.25, ["md-nvme-tcp", "drbd"]),
    ) + tuple(("P6", "lockstep-nbd", "iops", job, at_least, 1.0, [MD, "drbd"])
              for job in results.jobs if job[0] == "pgbench")


# What no mirror can be better than, and so what a goal can ask for on this machine.
YARDSTICKS = ("floor-queue", "floor", "wire")


def ratio_of(results, system, goal):
    """What the goal asks of its system, of any; None: not measured."""
    _, _, what, job, at_least, _, others = goal
    ours = results.median(system, job, what)
    theirs = [results.median(other, job, what) for other in others]
    if ours is None or None in theirs:
        return None
    return ours / (max(theirs) if at_least else min(theirs))


def meets(goal, ratio):
    _, _, _, _, at_least, factor, _ = goal
    return ratio is not None and (ratio >= factor if at_least else ratio <= factor)


def judged(results):
    """Of each goal whose job was run: itself, the ratio (None: not measured), and whether it holds."""
    for goal in goals(results):
        if goal[3] in results.jobs and goal[1] in results.systems():
            ratio = ratio_of(results, goal[1], goal)
            yield goal, ratio, meets(goal, ratio)


def yardsticks(results, goal):
    """The same ratio of what is no mirror, of those that are not what the goal compares with."""
    return {system: ratio_of(results, system, goal) for system in YARDSTICKS if system not in goal[-1]}


def print_goals(results):
    lines = []
    for goal, ratio, holds in judged(results):
        name, system, what, job, at_least, factor, others = goal
        there = ", ".join(f"{yardstick} {value:.2f}" for yardstick, value in yardsticks(results, goal).items() if value is not None)
        lines.append(f"  {name}  {system + ', ' + job_name(job):38} {what:14}"
                     f"{'>=' if at_least else '<='} {factor:4} x {' | '.join(others):20}"
                     + ("     -  not measured" if ratio is None else
                        f"{ratio:6.2f}  {'holds' if holds else 'DOES NOT HOLD':13}") + (f"  ({there})" if there else ""))
    if lines:
        print("\ngoals (medians; in brackets the same of what is no mirror)")
        print("\n".join(lines))


def print_runs(runs, markdown):
    """Each goal's ratio in each run, and the range of what is no mirror."""
    found = {}
    there = {}
    for i, results in enumerate(runs):
        for judgement, ratio, holds in judged(results):
            name, system, what, job, at_least, factor, others = judgement
            goal = (name, f"{system}, {job_name(job)}, {what.removesuffix('_us')}",
                    f"{'>=' if at_least else '<='} {factor} x {' or '.join(others)}")
            found.setdefault(goal, [("-", False)] * len(runs))[i] = ("-" if ratio is None else f"{ratio:.2f}", holds)
            for yardstick, value in yardsticks(results, judgement).items():
                if value is not None:
                    there.setdefault((goal, yardstick), []).append(value)
    rows = [("", "", "goal", *(f"run {i + 1}" for i in range(len(runs))), "holds", *YARDSTICKS)]
    for goal, ratios in found.items():
        times = sum(holds for _, holds in ratios)
        ranges = (there.get((goal, yardstick)) for yardstick in YARDSTICKS)
        rows.append((*goal, *(text for text, _ in ratios),
                     "-" if all(text == "-" for text, _ in ratios) else "yes" if times == len(runs) else "no" if not times else f"in {times}",
                     *(f"{min(values):.2f} to {max(values):.2f}" if values else "-" for values in ranges)))
    if markdown:
        rows.insert(1, ("---",) * len(rows[0]))
        print("\n".join("| " + " | ".join(row) + " |" for row in rows))
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print("\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows))


def plot(results, path):
    """One panel for each job: median IOPS, and minimum and maximum as a line."""
    jobs = [job for job in results.jobs if job[0].startswith("rand") or job[0] in ("fsync", "pgbench")]
    if not jobs:
        return
    script = [*panels(path, len(jobs)), "set style fill solid 0.6", "set boxwidth 0.7",
              "set yrange [0:*]", "unset key", "set xtics rotate by -50 noenhanced"]
    for job in jobs:
        systems = [s for s in results.systems() if results.all(s, job, "iops")]
        script += [f"set title '{job_name(job)}, {'tps' if job[0] == 'pgbench' else 'IOPS'}'", f"set xrange [-0.6:{len(systems) - 0.4}]", "$d << EOD"]
        for i, system in enumerate(systems):
            iops = results.all(system, job, "iops")
            script.append(f"{i} {system} {statistics.median(iops)} {min(iops)} {max(iops)}")
        script += ["EOD", "plot $d using 1:3:xtic(2) with boxes lc rgb '#4477aa', "
                   "$d using 1:3:4:5 with yerrorbars pt 0 lc rgb 'black'"]
    gnuplot(script)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--base", default=MD)
    parser.add_argument("--machine")
    parser.add_argument("--json")
    parser.add_argument("--svg")
    args = parser.parse_args()
    if len(args.rows) > 1:
        print_runs([Results(load(path)) for path in args.rows], args.markdown)
        return 0
    rows = load(args.rows[0])
    results = Results(rows)
    if args.machine:
        with open(args.machine, encoding="utf-8") as file:
            print(file.read().rstrip())
    for job in results.jobs:
        print_job(results, job, args.base)
    for system in sorted(results.gone, key=rank):
        print(f"\n{system}: not available: {results.gone[system]}")
    print_goals(results)
    if args.json:
        save(args.json, rows)
    if args.svg:
        plot(results, args.svg)
    # What cannot run here is no fault; what ran and failed is.
    return 1 if any(why.startswith("failed in round") for why in results.gone.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
