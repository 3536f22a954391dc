#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that every #include stays within the layers, and that third-party headers stay at home.

The layers, each of which may use only what is to its right:

  tools, bench -> client | daemon -> control -> peer -> core -> meta -> link.h, store.h -> base

and engine/config and engine/json, which are used by the daemon and the tools.

usage: layers.py [TOP]     prints one line for each fault, exit status 1 when there is any
       layers.py --self-test
"""
import os
import re
import sys

PURE = ("core", "meta", "peer", "control")

# Folder -> layer.  The longest prefix wins.
LAYERS = {
    "engine/base": "base",
    "engine/include": "api",
    "verbs/link.h": "interface",
    "nvme/store.h": "interface",
    "verbs": "verbs",
    "nvme": "nvme",
    "engine/config": "config",
    "engine/json": "json",
    "engine/meta": "meta",
    "engine/core": "core",
    "engine/peer": "peer",
    "engine/control": "control",
    "engine/shm": "shm",
    "engine/shm/shmq_layout.h": "layout",
    "engine/client": "client",
    "engine/daemon": "daemon",
    "tools": "tools",
    "bench": "bench",
    "tests": "tests",
}

# What each layer may use of ours, besides itself.  "api" is <lockstep.h>.
EVERYTHING = set(LAYERS.values())
MAY_USE = {
    "base": {"api"},
    "api": set(),
    "layout": {"base", "api"},
    "interface": {"base", "api"},
    "verbs": {"base", "api", "interface"},
    "nvme": {"base", "api", "interface"},
    "config": {"base", "api", "interface"},
    "json": {"base"},
    "meta": {"base", "api", "interface"},
    "core": {"base", "api", "interface", "meta"},
    "peer": {"base", "api", "interface", "meta", "core"},
    "control": {"base", "api", "interface", "meta", "core", "peer"},
    "shm": {"base", "api", "layout"},
    "client": {"base", "api", "layout", "shm"},
    "daemon": EVERYTHING - {"client", "tools", "bench", "tests"},
    "tools": {"base", "api", "client", "config", "json"},
    "bench": EVERYTHING,
    "tests": EVERYTHING,
}

# Third-party header -> where it may be included.  A path with a suffix is one file.
# bench/floor and bench/load are what the engine is compared with: they may not use its layers.
HOMES = (
    (r"infiniband/", ("verbs", "bench/floor")),
    (r"rdma/", ("verbs",)),
    (r"libnvme\.h|nvme/", ("nvme",)),
    (r"linux/nvme_ioctl\.h", ("nvme", "bench/load")),
    (r"liburing", ("nvme", "bench/load")),
    (r"blkid/", ("nvme",)),
    (r"isa-l", ("engine/base",)),
    (r"json-c/|json\.h", ("engine/json", "engine/daemon", "tools", "tests/system")),
    (r"libsmartcols", ("tools",)),
    (r"n?curses", ("tools/lockstep",)),
    (r"microhttpd", ("tools/exporter",)),
    (r"(fio|optgroup)\.h", ("tools/fio",)),
    (r"systemd/", ("engine/daemon", "tools/lockstep")),
    (r"openssl/", ("engine", "tests/fuzz/wire.c")),
    (r"libnbd|netlink/|linux/nbd", ("tools/lockstep",)),
    (r"cmocka", ("tests",)),
    (r"benchmark/", ("bench",)),
)
ONE_FILE = ("hwloc",)

# The pure layers decide everything and touch nothing: no header of system calls.
PURE_MAY = re.compile(
    r"(assert|errno|inttypes|limits|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|endian|byteswap)"
    r"\.h|openssl/.*|lockstep\.h")

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]')


def layer_of(path):
    best = ""
    for prefix in LAYERS:
        if (path == prefix or path.startswith(prefix + "/")) and len(prefix) > len(best):
            best = prefix
    return LAYERS.get(best)


def at_home(path, homes):
    return any(path == home or path.startswith(home + "/") for home in homes)


def faults_of(path, line_number, quoted, header, one_file):
    """Faults of one #include; notes in one_file who uses a header that only one file may use."""
    layer = layer_of(path)
    where = f"{path}:{line_number}"
    if quoted:
        used = layer_of(header)
        if used is None:
            # A header beside the file, without its folder, hides the layer.
            return [f'{where}: "{header}": write the path from the top of the tree']
        if layer and used != layer and used not in MAY_USE[layer]:
            return [f'{where}: {layer} may not use {used} ("{header}")']
        return []
    faults = []
    for pattern, homes in HOMES:
        if re.match(pattern, header) and not at_home(path, homes):
            faults.append(f"{where}: <{header}> belongs in {', '.join(homes)} only")
    for name in ONE_FILE:
        if header.startswith(name):
            one_file.setdefault(name, set()).add(path)
    if layer in PURE and not PURE_MAY.fullmatch(header):
        faults.append(f"{where}: {layer} is pure: it may not use <{header}>")
    return faults


def check_text(path, text, one_file):
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            faults += faults_of(path, number, match[1] == '"', match[2], one_file)
    return faults


def check_tree(top):
    faults, one_file, files = [], {}, 0
    for folder in ("engine", "verbs", "nvme", "tools", "bench", "tests"):
        for where, _, names in sorted(os.walk(os.path.join(top, folder))):
            for name in sorted(names):
                if not name.endswith((".c", ".h", ".cc")):
                    continue
                full = os.path.join(where, name)
                with open(full, encoding="utf-8") as file:
                    faults += check_text(os.path.relpath(full, top), file.read(), one_file)
                files += 1
    for name, users in one_file.items():
        if len(users) > 1:
            faults.append(f"<{name}.h> has one home, but these use it: {', '.join(sorted(users))}")
    return faults, files


def self_test():
    """(path, include line, is it a fault?)"""
    cases = (
        ("engine/core/a.c", '#include "engine/base/err.h"', False),
        ("engine/core/a.c", '#include "verbs/link.h"', False),
        ("engine/core/a.c", '#include "verbs/fabric.h"', True),
        ("engine/core/a.c", '#include "engine/peer/session.h"', True),
        ("engine/core/a.c", "#include <unistd.h>", True),
        ("engine/core/a.c", "#include <string.h>", False),
        ("engine/base/a.c", '#include "engine/core/frame.h"', True),
        ("engine/daemon/a.c", '#include "verbs/fabric.h"', False),
        ("engine/daemon/a.c", "#include <infiniband/verbs.h>", True),
        ("verbs/a.c", "#include <infiniband/verbs.h>", False),
        ("bench/floor/a.c", "#include <infiniband/verbs.h>", False),
        ("bench/micro/a.c", "#include <infiniband/verbs.h>", True),
        ("verbs/a.c", '#include "nvme/store.h"', False),
        ("verbs/a.c", '#include "nvme/store_queue.h"', True),
        ("nvme/a.c", "#include <liburing.h>", False),
        ("tools/lockstep/a.c", '#include "engine/core/frame.h"', True),
        ("tools/lockstep/a.c", '#include "engine/config/options.h"', False),
        ("engine/core/a.c", '#include "engine/config/options.h"', True),
        ("tests/unit/a.c", '#include "engine/core/frame.h"', False),
        ("engine/core/a.c", '#include "frame.h"', True),
    )
    wrong = [case for case in cases if bool(check_text(case[0], case[1], {})) != case[2]]
    for case in wrong:
        print("self-test: wrong about", case)
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    faults, files = check_tree(sys.argv[1] if len(sys.argv) > 1 else ".")
    for fault in faults:
        print(fault)
    print(f"layers: {files} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
