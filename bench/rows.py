# SPDX-License-Identifier: BSD-3-Clause
"""Rows of measurements, and what the reports of bench/ do with them alike."""
import json
import os
import subprocess
import tempfile


def load(path):
    """One JSON object a line, or a list as save() writes it."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def save(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def number(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def panels(path, count):
    """The first lines of a plot: an SVG of @count panels, three beside each other at most."""
    columns = min(3, count)
    heights = -(-count // columns)
    return [f"set terminal svg size {columns * 420},{heights * 340} font 'sans,11'", f"set output '{path}'",
            f"set multiplot layout {heights},{columns}", "set grid ytics"]


def gnuplot(script):
    with tempfile.NamedTemporaryFile("w", suffix=".gp", delete=False) as file:
        file.write("\n".join(script) + "\n")
    try:
        subprocess.run(["gnuplot", file.name], check=True)
    finally:
        os.unlink(file.name)
