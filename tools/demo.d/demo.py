#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/demo: a database loses its machine, and goes on at the other one."""
import argparse
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/torture"))
from common import Broken, NODES, other  # noqa: E402
from databases import DATABASES  # noqa: E402
from machines import DemoLab  # noqa: E402

VOLUME, LINK, MOUNT = "db", "/dev/lockstep/db", "/srv/demo"
TOOL = '"$LOCKSTEP" --run "$RUN" '
RETRY_S = 2
SYNC_LIMIT_S, PROMOTE_LIMIT_S, COMMIT_LIMIT_S = 300, 60, 120


class Demo:
    def __init__(self, options, lab, work):
        self.lab, self.work = lab, work
        self.database = DATABASES[options.database](self, MOUNT)
        self.rng = random.Random(options.seed)
        self.begin = time.monotonic()

    def say(self, text):
        print("[%4d s] %s" % (time.monotonic() - self.begin, text), flush=True)

    def show(self, text):
        for line in text.split("\n"):
            print("         " + line, flush=True)

    def run(self, node, script, limit_s=180):
        return self.lab.run(node, script, limit_s)

    def lockstep(self, node, *words):
        self.say("%s$ lockstep %s" % (node.upper(), " ".join(words)))
        return self.run(node, TOOL + " ".join(words))

    # --- the volume, used by one node

    def take(self, node, make=""):
        self.show(self.lockstep(node, "attach", VOLUME))
        self.run(node, "%s mkdir -p %s; mount %s %s" % (make, MOUNT, LINK, MOUNT))

    def let_go(self, node):
        self.run(node, "umount %s; e2fsck -fn %s" % (MOUNT, LINK))
        self.lockstep(node, "detach", VOLUME)

    def promote(self, node):
        """Asks until the engine has noticed that its peer is gone."""
        end = time.monotonic() + PROMOTE_LIMIT_S
        self.say("%s$ lockstep promote %s" % (node.upper(), VOLUME))
        while True:
            seen = self.lab.changes.count
            answer, why = self.lab.ask(node, command="promote", volume=VOLUME)
            if answer:
                return
            self.show("not yet: " + why)
            if time.monotonic() > end:
                raise Broken("%s could not be promoted: %s" % (node, why))
            self.lab.changes.await_next(seen, RETRY_S)

    def await_synced(self, node):
        end = time.monotonic() + SYNC_LIMIT_S
        while True:
            seen = self.lab.changes.count
            volume = self.lab.volumes(node)[VOLUME]
            if volume["mirror"] == "synced":
                return volume
            if volume["mirror"] == "split" or time.monotonic() > end:
                raise Broken("not in sync, but %s: %s" % (volume["mirror"], volume["last_error"]))
            self.lab.changes.await_next(seen, RETRY_S)

    def must_be_synced(self, node):
        """Otherwise what is committed is at this node only, and a power cut may take it."""
        volume = self.lab.volumes(node)[VOLUME]
        if volume["mirror"] != "synced":
            raise Broken("%s is not in sync before its power is cut, but %s: %s" %
                         (node.upper(), volume["mirror"], volume["last_error"]))

    # --- the story

    def begin_at_a(self):
        self.say("two machines boot")
        self.lab.up(self.database.disk)
        self.lockstep("a", "volume", "create", VOLUME, "--size", self.database.volume)
        self.lockstep("a", "pair", VOLUME, "--peer", "b")
        self.take("a", "mkfs.ext4 -q %s;" % LINK)
        self.say("A has %s on %s, with ext4" % (self.database.name, LINK))
        self.database.create("a")
        self.database.begin_load("a")

    def cut(self):
        wanted = self.rng.randint(*self.database.commits)
        self.database.await_commits(wanted, COMMIT_LIMIT_S)
        self.must_be_synced("a")
        # Anywhere between two commits.
        time.sleep(self.rng.uniform(0, 0.5))
        self.cut_at = time.monotonic()
        self.lab.power_cut("a")
        self.say("A's power is cut, after %d commits that were acknowledged" %
                 self.database.acknowledged())

    def go_on_at_b(self):
        self.promote("b")
        self.take("b")
        self.database.start("b")
        self.database.begin_load("b")
        self.database.await_commits(1, COMMIT_LIMIT_S, of_last=True)
        self.say("B accepted its first commit %.1f s after the cut" %
                 (time.monotonic() - self.cut_at))
        self.database.end_load("b")
        self.show(self.database.check("b"))
        self.database.begin_load("b")
        self.database.await_commits(20, COMMIT_LIMIT_S, of_last=True)

    def bring_a_back(self):
        self.say("A's power is back; B goes on meanwhile")
        self.lab.start("a")
        volume = self.await_synced("b")
        sent = volume["resync_sent_bytes"]
        self.say("in sync again: %.1f MiB of %d MiB were sent to A" %
                 (sent / 2**20, volume["size_bytes"] >> 20))
        if sent * 2 > volume["size_bytes"]:
            raise Broken("the resync sent more than what differs")

    def return_to_a(self):
        self.database.end_load("b")
        self.database.stop("b")
        self.let_go("b")
        self.lockstep("b", "demote", VOLUME)
        self.lockstep("a", "promote", VOLUME)
        self.take("a")
        self.database.start("a")
        self.database.begin_load("a")
        self.database.await_commits(20, COMMIT_LIMIT_S, of_last=True)
        self.database.end_load("a")
        self.say("A has taken over again")
        self.show(self.database.check("a"))
        self.database.stop("a")
        self.let_go("a")
        self.show(self.lockstep("a", "verify", VOLUME).split("\n")[-1])

    def go(self):
        self.begin_at_a()
        self.cut()
        self.go_on_at_b()
        self.bring_a_back()
        self.return_to_a()
        self.say("all of it held")


def parse():
    p = argparse.ArgumentParser(prog="tools/demo")
    p.add_argument("database", choices=sorted(DATABASES))
    p.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    p.add_argument("--keep")
    return p.parse_args()


def keep(options, lab, work):
    where = options.keep or tempfile.mkdtemp(prefix="ls-demo-kept-")
    for node in NODES:
        try:
            lab.run(node, 'cp "$RUN"-attach/*.log "$SHARE/" 2>/dev/null; dmesg >"$SHARE/dmesg-%s"; '
                    'cp /run/demo-postgres/log "$SHARE/postgres-%s" 2>/dev/null || true' %
                    (node, node), 30)
        except (Broken, KeyError):
            pass  # it has no power
    lab.collect_logs(work)
    lab.down()
    shutil.copytree(work, where, dirs_exist_ok=True,
                    ignore=lambda folder, names: [n for n in names if n.endswith("sock")])
    return where


def hint(where):
    """What the machines themselves say of a failure that is not the mirror's."""
    for node in NODES:
        try:
            with open("%s/%s.console.log" % (where, node), errors="replace") as log:
                if "NETDEV WATCHDOG" in log.read():
                    return ("The wire between the two machines hung (%s.console.log, NETDEV WATCHDOG): "
                            "the emulator's fault. Run it again with the same seed." % node)
        except FileNotFoundError:
            pass
    return ""


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("demo: %s, seed %d" % (options.database, options.seed), flush=True)
    work = tempfile.mkdtemp(prefix="ls-demo.")
    lab = DemoLab(work, os.environ["LS_BUILD"])
    try:
        Demo(options, lab, work).go()
        return 0
    except (Broken, subprocess.SubprocessError, OSError) as e:
        where = keep(options, lab, work)
        print("FAILED: %s\nseed %d; logs and images are in %s" % (e, options.seed, where), flush=True)
        if hint(where):
            print(hint(where), flush=True)
        return 1
    finally:
        lab.down()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
