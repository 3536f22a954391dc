#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tables, conditions and a plot of what bench/growth/run measured.

usage: report.py ROWS [--json FILE] [--svg FILE]

ROWS: one JSON object a line, or a list as --json writes it.
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rows import gnuplot, load, number, panels, save  # noqa: E402  pylint: disable=wrong-import-position

WHERES = {"near": "256 MiB at the start", "spread": "16,384 places, all over", "anywhere": "anywhere, new blocks"}
LAYOUTS = {"own": "a volume each", "one": "all on one"}
P50_RATIO_MAX = 1.05
IDLE_NS_MAX = 50


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def size(bytes_):
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if bytes_ >= 1 << shift:
            return f"{bytes_ / (1 << shift):g} {unit}"
    return f"{bytes_} B"


class Results:
    def __init__(self, rows):
        self.rows = rows
        self.conditions = []  # (text, holds)

    def part(self, name, **wanted):
        return [row for row in self.rows if row["part"] == name and "not_available" not in row
                and all(row.get(key) == value for key, value in wanted.items())]

    def clients(self, layout):
        """One client is alone on its volume in either layout, and was measured once."""
        return [row for row in self.part("clients") if row["layout"] == layout or row["clients"] == 1]

    def values(self, name, key):
        """In order, each once."""
        return sorted({row[key] for row in self.part(name)})

    def condition(self, text, holds):
        self.conditions.append((text, holds))


def print_machine(results):
    for row in results.part("machine"):
        for key, value in row.items():
            if key != "part":
                print(f"{key.replace('_', ' ')}: {value}")


def print_sizes(results):
    sizes = results.values("sizes", "size_bytes")
    for where, words in WHERES.items():
        if not results.part("sizes", where=where):
            continue
        print(f"\nrandwrite 4 KiB QD1, {words}")
        print(f"  {'volume':>9}{'p50 us':>9} {'(min..max)':>15}{'x first':>9}{'p99 us':>9}{'IOPS':>9}{'map waits/write':>17}")
        first = {row["round"]: row["p50_us"] for row in results.part("sizes", where=where, size_bytes=sizes[0])}
        for bytes_ in sizes:
            rows = results.part("sizes", where=where, size_bytes=bytes_)
            p50 = [row["p50_us"] for row in rows]
            # Round by round, so that what the machine does meanwhile is in both.
            ratio = median(row["p50_us"] / first[row["round"]] for row in rows if row["round"] in first) or 0
            print(f"  {size(bytes_):>9}{median(p50):>9.1f} {f'({min(p50):.0f}..{max(p50):.0f})':>15}{ratio:>9.3f}"
                  f"{median(r['p99_us'] for r in rows):>9.0f}{median(r['iops'] for r in rows):>9.0f}"
                  f"{median(r['map_waits_per_write'] for r in rows):>17.3f}")
        if len(sizes) > 1:
            results.condition(f"{size(sizes[0])} -> {size(sizes[-1])}, {words}: p50 x {ratio:.3f} (<= {P50_RATIO_MAX})",
                              ratio <= P50_RATIO_MAX)
    for row in results.rows:
        if "not_available" in row:
            print(f"\n{size(row['size_bytes'])}: not available: {row['not_available']}")


def print_memory(results):
    rows = results.part("memory")
    if not rows:
        return
    print("\nmemory that a volume adds (resident, after its places were written)")
    print(f"  {'volume':>9}{'primary KiB':>13}{'secondary KiB':>15}{'KiB per TiB':>13}")
    for row in rows:
        both = row["primary_rss_kib"] + row["secondary_rss_kib"]
        print(f"  {size(row['size_bytes']):>9}{row['primary_rss_kib']:>13}{row['secondary_rss_kib']:>15}"
              f"{both * (1 << 40) / row['size_bytes']:>13.0f}")


def per_volume(rows, key):
    """What one more volume adds, from the first to the last count."""
    first, last = min(rows, key=lambda r: r["volumes"]), max(rows, key=lambda r: r["volumes"])
    if first["volumes"] == last["volumes"]:
        return None
    return (last[key] - first[key]) / (last["volumes"] - first["volumes"])


def print_volumes(results):
    rows = results.part("volumes")
    if not rows:
        return
    print("\nmirrored volumes of 1 MiB, all but one of them idle")
    print(f"  {'volumes':>8}{'ns a loop: idle':>17}{'with a client':>15}{'QD1 p50 us':>12}{'idle CPU %':>12}{'QPs':>5}{'MRs':>6}"
          f"{'RSS MiB a':>11}{'b':>7}{'make ms':>9}{'first':>8}{'last':>8}{'restart s':>11}")
    for row in rows:
        made = row["made"]
        print(f"  {row['volumes']:>8}{median(row['loop_idle_ns']):>17.1f}{median(row['loop_with_client_ns']):>15.1f}"
              f"{median(r['p50_us'] for r in row['qd1']):>12.1f}{row['idle_primary_cpu_percent']:>12.3f}"
              f"{number(row['qps']):>5}{number(row['memory_regions']):>6}{row['primary_rss_kib'] / 1024:>11.1f}"
              f"{row['secondary_rss_kib'] / 1024:>7.1f}"
              f"{made['create_ms'] + made['pair_ms']:>9.1f}"
              f"{made['first_ms']:>8.1f}{made['last_ms']:>8.1f}{row['in_sync_after_restart_s']:>11.2f}")
    judge_volumes(results, rows)


def judge_volumes(results, rows):
    most, least = max(r["volumes"] for r in rows), min(r["volumes"] for r in rows)
    if most == least:
        return
    judge_turns(results)
    for key, words in (("qps", "queue pairs"), ("memory_regions", "memory regions")):
        counts = {row["volumes"]: row[key] for row in rows}
        if None not in counts.values():
            # None at all: they were not counted.
            results.condition(f"{least} -> {most} volumes: {counts[least]} -> {counts[most]} {words}",
                              0 < counts[most] <= counts[least])
    print(f"  memory per volume of 1 MiB: {per_volume(rows, 'primary_rss_kib'):.1f} KiB at its primary, "
          f"{per_volume(rows, 'secondary_rss_kib'):.1f} KiB at its secondary")


def judge_turns(results):
    """One volume and all of them in turn: the difference of each round, so that what the machine does meanwhile is in both."""
    rows = results.part("turns")
    ones, alls = [row for row in rows if row["volumes"] == 1], [row for row in rows if row["volumes"] > 1]
    if not ones or len(ones) != len(alls):
        return
    print(f"\n1 and {alls[0]['volumes']} volumes in turn, {len(ones)} rounds, ns a loop: median (min..max)")
    for key, words in (("loop_idle_ns", "nothing to do"), ("loop_with_client_ns", "one client at QD1")):
        more = [b[key] - a[key] for a, b in zip(ones, alls)]
        print(f"  {words:18} 1: {spread(a[key] for a in ones)}, all: {spread(b[key] for b in alls)}, all - 1: {spread(more)}")
        results.condition(f"1 -> {alls[0]['volumes']} volumes, {words}: {median(more):+.1f} ns a loop (<= {IDLE_NS_MAX})",
                          median(more) <= IDLE_NS_MAX)


def spread(values):
    values = list(values)
    return f"{median(values):.1f} ({min(values):.0f}..{max(values):.0f})"


def print_clients(results):
    for layout, words in LAYOUTS.items():
        rows = results.clients(layout)
        if not rows:
            continue
        print(f"\nclients, QD{rows[0]['qd']} each, randwrite 4 KiB, {words}")
        print(f"  {'clients':>8}{'IOPS':>9} {'(min..max)':>15}{'p50 us':>9}{'p99 us':>9}{'p99.9 us':>10}{'max/min of a client':>21}")
        for count in sorted({row["clients"] for row in rows}):
            here = [row for row in rows if row["clients"] == count]
            iops = [row["iops"] for row in here]
            fair = median(max(c["iops"] for c in r["each"]) / max(min(c["iops"] for c in r["each"]), 0.1) for r in here)
            print(f"  {count:>8}{median(iops):>9.0f} {f'({min(iops):.0f}..{max(iops):.0f})':>15}"
                  f"{median(r['p50_us'] for r in here):>9.0f}{median(r['p99_us'] for r in here):>9.0f}"
                  f"{median(r['p999_us'] for r in here):>10.0f}{fair:>21.2f}")


# The plot: a panel is (title, x axis, y axis, logarithmic y?, [(name, [(x, y, min, max)])]).
def panel_sizes(results):
    lines = []
    for where, words in WHERES.items():
        points = []
        for bytes_ in results.values("sizes", "size_bytes"):
            p50 = [row["p50_us"] for row in results.part("sizes", where=where, size_bytes=bytes_)]
            points.append((bytes_ / (1 << 30), median(p50), min(p50), max(p50)))
        lines.append((words, points))
    return ("QD1 write p50, us", "volume, GiB", True, lines)


def panels_volumes(results):
    rows = results.part("volumes")

    def line(name, of):
        found = []
        for row in rows:
            values = of(row)
            found.append((row["volumes"], median(values), min(values), max(values)))
        return (name, found)

    yield ("ns of each loop, busy polling", "volumes", False,
           [line("nothing to do", lambda r: r["loop_idle_ns"]), line("one client, QD1", lambda r: r["loop_with_client_ns"])])
    yield ("ms to make and pair one volume", "volumes", False,
           [line("first tenth", lambda r: [r["made"]["first_ms"]]), line("last tenth", lambda r: [r["made"]["last_ms"]])])
    yield ("resident MiB of each daemon", "volumes", False,
           [line("primary", lambda r: [r["primary_rss_kib"] / 1024]), line("secondary", lambda r: [r["secondary_rss_kib"] / 1024])])


def panels_clients(results):
    for key, title in (("iops", "IOPS together"), ("p50_us", "p50, us"), ("p99_us", "p99, us")):
        lines = []
        for layout, words in LAYOUTS.items():
            points = []
            for count in sorted({row["clients"] for row in results.clients(layout)}):
                values = [row[key] for row in results.clients(layout) if row["clients"] == count]
                points.append((count, median(values), min(values), max(values)))
            lines.append((words, points))
        yield (title, "clients", key != "iops", lines)


def plot(results, path):
    found = []
    if results.part("sizes"):
        found.append(panel_sizes(results))
    if results.part("volumes"):
        found += panels_volumes(results)
    if results.part("clients"):
        found += panels_clients(results)
    if not found:
        return
    script = [*panels(path, len(found)), "set logscale x", "set key below"]
    for title, axis, logarithmic, lines in found:
        lines = [line for line in lines if line[1]]
        script += [f"set title '{title}'", f"set xlabel '{axis}'", "set logscale y" if logarithmic else "unset logscale y",
                   "set yrange [*:*]" if logarithmic else "set yrange [0:*]"]
        for i, (_, points) in enumerate(lines):
            script += [f"$d{i} << EOD"] + [" ".join(f"{value:.6g}" for value in point) for point in points] + ["EOD"]
        script.append("plot " + ", ".join(f"$d{i} using 1:2:3:4 with yerrorlines lw 2 title '{name}'"
                                          for i, (name, _) in enumerate(lines)))
    gnuplot(script)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rows")
    parser.add_argument("--json")
    parser.add_argument("--svg")
    args = parser.parse_args()
    rows = load(args.rows)
    results = Results(rows)
    print_machine(results)
    print_sizes(results)
    print_memory(results)
    print_volumes(results)
    print_clients(results)
    if results.conditions:
        print("\nconditions (medians)")
    for text, holds in results.conditions:
        print(f"  {'holds' if holds else 'DOES NOT HOLD':15}{text}")
    if args.json:
        save(args.json, rows)
    if args.svg:
        plot(results, args.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
