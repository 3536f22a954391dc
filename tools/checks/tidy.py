#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the house rules that a program can check (CONTRIBUTING.md has the rest).

usage: tidy.py [TOP]     prints one line for each fault, exit status 1 when there is any
       tidy.py --self-test
"""
import os
import re
import subprocess
import sys

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
TAB = 8

BANNED = {
    "strcpy": "use snprintf() or memcpy() with a known length",
    "strcat": "use snprintf()",
    "sprintf": "use snprintf()",
    "vsprintf": "use vsnprintf()",
    "strtok": "it keeps state: use strtok_r()",
    "gets": "no bound",
    "alloca": "no bound",
}
SLEEPS = ("sleep", "usleep", "nanosleep", "clock_nanosleep")
ALLOCATORS = ("malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "strdup",
              "strndup", "asprintf", "mmap")
# Folders of the data path, and the functions there that run before or beside it.
NO_ALLOCATION = ("engine/core/", "verbs/", "nvme/")
MAY_ALLOCATE = re.compile(r"(^|_)(create|open|init|add|listen|dial|connect|accept|probe|alloc)(_|$)")
ALLOCATES_AT_SETUP = {
    "pages_map": "called by create functions",
    "on_request": "a connection that arrives, on the CM thread",
    "nvme_facts_read": "called when a store is opened",
    "direct_works": "called when a store is opened",
    "store_fault_wrap": "puts a fault in front of a store, for tests",
    "fault_link_wrap": "puts a fault in front of a link, for tests",
}
# A script whose subject is things that hang.
MAY_SLEEP = ("tests/lab/lab-selftest.sh",)

C_SUFFIXES = (".c", ".h", ".cc")
SPDX_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".cmake")
# Paths of one machine have no place in a file that goes to others.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")

CALL = re.compile(r"(?<![\w.>])([a-z_]+)\s*\(")
SHELL_SLEEP = re.compile(r"(?:^|[;&|(]|\bdo\b|\bthen\b|\belse\b)\s*sleep\s")
LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')


def without_comments(text):
    """The same lines, with comments and the inside of literals blanked out."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
    lines = []
    for line in text.split("\n"):
        line = LITERAL.sub(lambda m: '"' + " " * (len(m[0]) - 2) + '"', line)
        lines.append(re.sub(r"//.*", "", line))
    return lines


def functions(lines):
    """(name, first line, last line) of every function; counts from 1.  Kernel style: braces in column 1."""
    begin, head = None, []
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            text = " ".join(head)
            match = re.search(r"([A-Za-z_]\w*)\s*\(", text)
            begin = (match[1] if match else "?", number)
        elif line.startswith("}"):
            if begin:
                yield begin[0], begin[1], number
            begin, head = None, []
        elif begin is None:
            if not line.strip() or line.startswith("#") or line.rstrip().endswith(";"):
                head = []
            else:
                head.append(line)


def check_c(path, text):
    faults = []
    raw, lines = text.split("\n"), without_comments(text)
    table = False
    for number, line in enumerate(raw, 1):
        if "clang-format o" in line:
            table = "clang-format off" in line
        if not table and len(line.expandtabs(TAB)) > LINE_COLUMNS_MAX:
            faults.append((number, f"{len(line.expandtabs(TAB))} columns, {LINE_COLUMNS_MAX} are the limit"))
        if line != line.rstrip():
            faults.append((number, "blanks at the end of the line"))
    if len(raw) - 1 > FILE_LINES_MAX:
        faults.append((1, f"{len(raw) - 1} lines, {FILE_LINES_MAX} are the limit: split it by subject"))

    inside = {}
    for name, first, last in functions(lines):
        if last - first - 1 > FUNCTION_LINES_MAX:
            faults.append((first, f"{name}() has {last - first - 1} lines, {FUNCTION_LINES_MAX} are the limit"))
        for number in range(first, last + 1):
            inside[number] = name
    for number, line in enumerate(lines, 1):
        for call in CALL.findall(line):
            if number not in inside:
                continue
            if call in BANNED:
                faults.append((number, f"{call}(): {BANNED[call]}"))
            if path.startswith("tests/") and call in SLEEPS:
                faults.append((number, f"{call}(): a test waits for an event, with a time limit"))
            if (path.startswith(NO_ALLOCATION) and call in ALLOCATORS
                    and inside[number] not in ALLOCATES_AT_SETUP and not MAY_ALLOCATE.search(inside[number])):
                faults.append((number, f"{call}() in {inside[number]}(): the data path allocates nothing"))
    return faults


def check_shell(path, text):
    if not path.startswith("tests/") or path in MAY_SLEEP:
        return []
    return [(number, "sleep: a test waits for an event, with a time limit")
            for number, line in enumerate(text.split("\n"), 1)
            if SHELL_SLEEP.search(re.sub(r"^\s*#.*", "", line))]


def check_text(path, text):
    faults = []
    first = text.split("\n", 3)[:3]
    if path.endswith(SPDX_SUFFIXES) and not any("SPDX-License-Identifier: BSD-3-Clause" in l for l in first):
        faults.append((1, "no SPDX-License-Identifier in the first lines"))
    for number, line in enumerate(text.split("\n"), 1):
        match = MACHINE_PATH.search(line)
        if match and "tidy: path" not in line:
            faults.append((number, f"path of one machine: {match[0]}"))
    if text and not text.endswith("\n"):
        faults.append((text.count("\n") + 1, "no newline at the end of the file"))
    if path.endswith(C_SUFFIXES):
        faults += check_c(path, text)
    elif path.endswith(".sh") or text.startswith("#!") and "sh\n" in text.split("\n", 1)[0] + "\n":
        faults += check_shell(path, text)
    return [f"{path}:{number}: {what}" for number, what in faults]


def files_of(top):
    """What git tracks or would track; without git, everything but build/."""
    listed = subprocess.run(["git", "-C", top, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=False) if have_git(top) else None
    if listed and listed.returncode == 0:
        return sorted(set(listed.stdout.split("\n")) - {""})
    found = []
    for where, folders, names in os.walk(top):
        folders[:] = [f for f in folders if f not in (".git", ".cache") and (where != top or f != "build")]
        found += [os.path.relpath(os.path.join(where, name), top) for name in names]
    return sorted(found)


def have_git(top):
    return os.path.exists(os.path.join(top, ".git")) and any(
        os.access(os.path.join(folder, "git"), os.X_OK) for folder in os.environ["PATH"].split(":"))


def self_test():
    spdx = "/* SPDX-License-Identifier: BSD-3-Clause */\n"
    body = "static int f(void)\n{\n\t%s\n}\n"
    cases = (  # path, text, part of the fault or "" for none
        ("engine/core/a.c", spdx + body % "return 0;", ""),
        ("engine/core/a.c", body % "return 0;", "SPDX"),
        ("engine/core/a.c", spdx + body % "strcpy(a, b);", "strcpy"),
        ("engine/core/a.c", spdx + body % "/* strcpy(a, b) */", ""),
        ("engine/core/a.c", spdx + body % 'log("strcpy(a, b)");', ""),
        ("engine/core/a.c", spdx + body % "malloc(4);", "allocates nothing"),
        ("engine/core/a.c", spdx + (body % "malloc(4);").replace("f(", "ring_create("), ""),
        ("tests/unit/a.c", spdx + body % "usleep(4);", "waits for an event"),
        ("tools/a.c", spdx + body % "usleep(4);", ""),
        ("tests/system/a.sh", "#!/bin/bash\n# SPDX-License-Identifier: BSD-3-Clause\nfoo; sleep 1\n", "sleep"),
        ("tests/system/a.sh", "#!/bin/bash\n# SPDX-License-Identifier: BSD-3-Clause\n# sleep 1\n", ""),
        ("a.c", spdx + body % ("x" * 93), "columns"),
        ("a.c", spdx + body % ("x" * 92), ""),
        ("a.c", spdx + body % "x;\n" * 1 + "int x;", "no newline"),
        ("a.c", spdx + body % "\n".join(["\tx;"] * 71), "71 lines"),
        ("a.c", spdx + body % "\n".join(["\tx;"] * 70), ""),
        ("a.c", spdx + "/*\n" * 1 + "*/\n" + "int x;\n" * 800, "lines, 800"),
        ("README.md", "see /home" + "/me/x\n", "path of one machine"),
    )
    wrong = 0
    for path, text, expected in cases:
        found = check_text(path, text)
        if bool(found) != bool(expected) or (expected and expected not in " ".join(found)):
            print("self-test:", path, "expected", repr(expected), "found", found)
            wrong += 1
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    faults, count = [], 0
    for path in files_of(top):
        full = os.path.join(top, path)
        if not os.path.isfile(full) or os.path.islink(full):
            continue
        with open(full, "rb") as file:
            data = file.read()
        # Inputs of a fuzzer are bytes, even where they look like text.
        if b"\0" in data or path.startswith("tests/fuzz/corpus/"):
            continue
        faults += check_text(path, data.decode("utf-8", "replace"))
        count += 1
    for fault in faults:
        print(fault)
    print(f"tidy: {count} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
