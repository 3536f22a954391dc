#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that the manual pages name what the programs have, and nothing else.

  lockstep.8         each command of `lockstep --help`, each option of `lockstep COMMAND --help`
  lockstepd.8        each option of `lockstepd --help`
  lockstepd.conf.5   each of those but --config
  lockstep-exporter.8  each option of `lockstep-exporter --help`
  liblockstep.3      each function and each status of <lockstep.h>

and that mandoc and man, as far as they are installed, have nothing to warn of.

usage: man.py MAN LOCKSTEP LOCKSTEPD EXPORTER HEADER    prints one line for each fault, exit status 1 when there is any
       man.py --self-test MAN ...              leaves out every entry in turn: each must be missed
"""
import functools
import os
import re
import shutil
import subprocess
import sys

# Of argp itself.
EVERYWHERE = {"help", "usage", "version"}
OPTION = re.compile(r"^ +(?:-., +|    )--([a-z][a-z-]*)", re.M)


@functools.cache
def said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True,
                          env=dict(os.environ, LC_ALL="C", ARGP_HELP_FMT="")).stdout


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def options_of(*words):
    return set(OPTION.findall(said(*words, "--help"))) - EVERYWHERE


def flags(text):
    """Long options of tagged paragraphs: ".It Fl n , Fl -node Ns = Ns Ar name"."""
    found = set()
    for line in re.findall(r"^\.It (Fl .*)", text, re.M):
        found |= set(re.findall(r"(?:Fl|,) -([a-z][a-z-]*)", line))
    return found - EVERYWHERE


def differ(where, expected, found, what):
    return [f"{where}: {what} '{one}' is not there" for one in sorted(expected - found)] + \
           [f"{where}: there is no {what} '{one}'" for one in sorted(found - expected)]


def check_tool(page, program):
    shown = said(program, "--help")
    commands = dict(re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +(\S.*)$", shown.split("Commands", 1)[1], re.M))
    common = options_of(program)
    parts = re.split(r"^\.It Ic ", page, flags=re.M)
    faults = differ("lockstep.8", common, flags(parts[0]), "option")
    found = {}
    for part in parts[1:]:
        head = part.split("\n", 1)[0]
        # Words of the command are in lower case, and come before what it takes.
        name = re.match(r"[a-z]+(?: [a-z]+)?", re.split(r" (?:Ar|Op|Fl) ", head)[0])[0]
        found[name] = flags(part.split("\n.Sh ", 1)[0])
    faults += differ("lockstep.8", set(commands), set(found), "command")
    for name in sorted(set(commands) & set(found)):
        expected = options_of(program, *name.split()) - common
        faults += differ(f"lockstep.8, {name}", expected, found[name], "option")
    return faults, len(commands)


def check_daemon(page, conf, program):
    expected = options_of(program)
    faults = differ("lockstepd.8", expected, flags(page), "option")
    keys = set(re.findall(r"^\.It Cm ([a-z][a-z-]*)$", conf, re.M))
    return faults + differ("lockstepd.conf.5", expected - {"config"}, keys, "option")


def check_exporter(page, program):
    return differ("lockstep-exporter.8", options_of(program), flags(page), "option")


def check_library(page, header):
    functions = set(re.findall(r"LS_EXPORT [^;]*?\b(ls_[a-z_]+)\(", header))
    shown = set(re.findall(r"^\.Fn (ls_[a-z_]+) \"", page, re.M))
    statuses = set(re.findall(r"^\s+(LS_[A-Z_]+) = \d+,", header, re.M))
    named = set()
    for line in re.findall(r"^\.It Dv (.*)$", page, re.M):
        named |= set(re.findall(r"LS_[A-Z_]+", line))
    return differ("liblockstep.3", functions, shown, "function") + \
        differ("liblockstep.3", statuses, named, "status")


def check_form(folder):
    faults = []
    for name in sorted(os.listdir(folder)):
        if not re.search(r"\.[1-8]$", name):
            continue
        path = os.path.join(folder, name)
        for words in (["mandoc", "-T", "lint", "-W", "warning", path],
                      ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path]):
            if not shutil.which(words[0]):
                continue
            run = subprocess.run(words, capture_output=True, text=True, check=False)
            text = run.stdout if words[0] == "mandoc" else run.stderr
            faults += [line for line in text.splitlines() if line.strip()]
    return faults


def self_test(folder, tool, daemon, exporter, header):
    """What is deleted from a page must be missed."""
    pages = {
        "lockstep.8": lambda page: check_tool(page, tool)[0],
        "lockstepd.8": lambda page: check_daemon(page, read(folder, "lockstepd.conf.5"), daemon),
        "lockstepd.conf.5": lambda page: check_daemon(read(folder, "lockstepd.8"), page, daemon),
        "lockstep-exporter.8": lambda page: check_exporter(page, exporter),
        "liblockstep.3": lambda page: check_library(page, header),
    }
    wrong = tried = 0
    for name, check in pages.items():
        lines = read(folder, name).split("\n")
        for number, line in enumerate(lines):
            entry = re.match(r"\.It (Ic|Fl|Cm|Dv LS_)|\.Fn ls_[a-z_]+ \"", line)
            if not entry or "-help" in line:
                continue
            tried += 1
            if not check("\n".join(lines[:number] + lines[number + 1:])):
                print(f"self-test: {name} without '{line}' has no fault")
                wrong += 1
    print(f"man: {tried} entries left out in turn, {wrong} not missed")
    return 1 if wrong or tried < 100 else 0


def main():
    own = sys.argv[1] == "--self-test"
    folder, tool, daemon, exporter, header = sys.argv[1 + own:6 + own]
    with open(header, encoding="utf-8") as file:
        header = file.read()
    if own:
        return self_test(folder, tool, daemon, exporter, header)
    faults, commands = check_tool(read(folder, "lockstep.8"), tool)
    faults += check_daemon(read(folder, "lockstepd.8"), read(folder, "lockstepd.conf.5"), daemon)
    faults += check_exporter(read(folder, "lockstep-exporter.8"), exporter)
    faults += check_library(read(folder, "liblockstep.3"), header) + check_form(folder)
    for fault in faults:
        print(fault)
    print(f"man: {commands} commands, {len(faults)} faults")
    return 1 if faults or commands < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
