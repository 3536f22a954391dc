# SPDX-License-Identifier: BSD-3-Clause
"""One mirrored volume under torture: its writers, its history, and what must hold after a round.

The history is a list of lines that torture-check reads. While the volume is forked (the other side
was promoted, and nobody knows yet whether the old primary goes on, too), the lines of both sides
are kept apart; settle() in world.py joins them when the sides have met.
"""
import json
import os
import subprocess

from common import Broken, other

BLOCK = 4096
WRITER_ENDED, WRITER_NOT_PRIMARY, WRITER_NOT_ATTACHED = 0, 4, 5


class Writer:
    def __init__(self, node, process, ledger):
        self.node, self.process, self.ledger = node, process, ledger


class Fork:
    """The old primary's lines from the promotion on, and those of the new one."""

    def __init__(self, old, reachable, unsure):
        self.old = old  # node
        # Lines from before the fork that the peer need not have: the old primary had gone on
        # alone already, or may have.
        self.unsure = unsure
        # A partition: requests that the old primary took after the fork may have reached the peer.
        self.reachable = reachable
        self.lines = {old: [], other(old): []}


def without_loss(lines):
    return [line for line in lines if line != "loss"]


def doubted(lines):
    """They may have been done; what was said of them does not count."""
    return [line.replace("main ", "maybe ") for line in without_loss(lines)]


def length_of(ledger):
    return os.path.getsize(ledger) if os.path.exists(ledger) else 0


class Volume:
    def __init__(self, world, number, home, policy):
        self.world, self.number, self.policy = world, number, policy
        self.name = "vol%d" % number
        self.primary = home
        self.bytes = world.cluster.volume_mib << 20
        self.writer = {}  # node -> Writer
        self.baseline = None
        self.lines = []
        self.fork = None
        self.broken = False  # by the operator, in this round
        # A device failed in this round; or a primary was revoked with requests in flight, which
        # may have been done or not.
        self.may_fail = False

    def extents(self, node):
        """Where it is on the node's disk, as last seen."""
        return self.world.status[node][self.name]["extents"]

    # --- writers

    def start_writer(self, node=None):
        node = node or self.primary
        world = self.world
        world.writers += 1
        ledger = "%s/ledger-%d" % (world.ledgers, world.writers)
        open(ledger, "wb").close()
        words = ["--seed", str(world.seed), "--number", str(world.writers),
                 "--volume-id", str(self.number), "--qd", str(world.rng.choice((4, 16, 32))),
                 "--rate", str(world.rng.choice(world.cluster.rates)), self.name]
        self.writer[node] = Writer(node, world.cluster.start_writer(node, words, ledger), ledger)
        self._side(node).append("main %s 0 -1" % ledger)

    def _side(self, node):
        return self.fork.lines[node] if self.fork else self.lines

    def kill_writer(self, node):
        writer = self.writer.pop(node, None)
        if writer:
            self._judge_writer(writer, self.world.cluster.kill_writer(writer.process))

    def lost_power(self, node):
        """The node's device has forgotten what was not flushed, and its clients are dead."""
        self.writer.pop(node, None)
        if self.fork or node == self.primary:
            self.note(node, "barrier")
            self.note(node, "loss")

    def _judge_writer(self, writer, status):
        """@status: how it had ended by itself, or None."""
        if status in (None, WRITER_ENDED, WRITER_NOT_ATTACHED):
            return
        if status == WRITER_NOT_PRIMARY and (self.fork or writer.node != self.primary):
            return
        raise Broken("the writer of %s at %s ended with status %s: %s" %
                     (self.name, writer.node, status, self.world.cluster.said(writer.process)))

    def tell_writers(self):
        """They are to end; stop_writers() waits for it."""
        for writer in self.writer.values():
            self.world.cluster.tell_writer(writer.process)

    def stop_writer(self, node):
        writer = self.writer.pop(node)
        self._judge_writer(writer, self.world.cluster.end_writer(writer.process))

    def stop_writers(self):
        for node in list(self.writer):
            self.stop_writer(node)

    def note(self, node, word):
        self._side(node).append(word)

    # --- forks

    def mark(self):
        """
        Before a fork: (ledger, length) of the primary's writer; all that is recorded up to there is
        at both nodes.  None: it is not, the primary has gone on alone.
        """
        writer = self.writer.get(self.primary)
        mark = (writer.ledger, length_of(writer.ledger)) if writer else ("", 0)
        said = self.world.cluster.volumes(self.primary)[self.name]
        return mark if said["mirror"] == "synced" else None

    def open_fork(self, reachable, mark):
        """@mark: from mark(), of just before; the primary may have gone on alone since then."""
        sure, unsure, later = [], [], []
        for line in self.lines:
            word, *rest = line.split()
            if not rest or rest[2] != "-1":
                (sure if mark else unsure).append(line)
                continue
            ledger, begin, now = rest[0], int(rest[1]), length_of(rest[0])
            if mark:
                known = mark[1] if ledger == mark[0] else now
                sure.append("%s %s %d %d" % (word, ledger, begin, known))
                begin = known
            if begin < now:
                unsure.append("%s %s %d %d" % (word, ledger, begin, now))
            # Later records are on its side of the fork.
            later.append("%s %s %d -1" % (word, ledger, now))
        self.lines = sure
        self.fork = Fork(self.primary, reachable, unsure)
        self.fork.lines[self.primary] = later
        self.may_fail = True

    def join_fork(self, kept, was_split):
        """The sides have met: @kept is primary."""
        fork, self.fork = self.fork, None
        old, new = fork.lines[fork.old], fork.lines[other(fork.old)]
        if kept == fork.old:
            self.lines += fork.unsure + old
        elif not was_split:
            # The old side went on no further: what it acknowledged must be there.
            # If that lost power, the new primary has what it forgot.
            self.lines += fork.unsure + without_loss(old) + ["barrier"] + new
        else:
            self.lines += doubted(fork.unsure + (old if fork.reachable else []))
            self.lines += ["barrier"] + new
        self.primary = kept

    # --- what must hold

    def check(self, round_dir):
        """Legs equal, every acknowledged byte there; the engine reads what the devices hold."""
        world, cluster = self.world, self.world.cluster
        if world.rng.random() < 0.3:
            self._verify()
        seen = cluster.digest(self.primary, self.name)
        raw = {}
        for node in ("a", "b"):
            raw[node] = "%s/%s.%s" % (round_dir, self.name, node)
            with open(raw[node], "wb") as f:
                cluster.raw(node, world.status[node][self.name], f)
        found = self._judge(round_dir, raw[self.primary])
        if subprocess.run(["cmp", raw["a"], raw["b"]], stdout=subprocess.DEVNULL).returncode:
            said = subprocess.run(["cmp", raw["a"], raw["b"]], capture_output=True, text=True)
            raise Broken("the legs of %s differ: %s" % (self.name, said.stdout.strip()))
        if found["digest"] != seen:
            raise Broken("%s: the engine reads other bytes (%s) than the devices hold (%s)" %
                         (self.name, seen, found["digest"]))
        if found["failed"] and not self.may_fail:
            raise Broken("%s: %d requests failed without a reason" % (self.name, found["failed"]))
        for one in raw.values():
            os.unlink(one)
        self.may_fail = self.broken = False
        return found

    def _verify(self):
        cluster = self.world.cluster
        # One that a fault began may still run.
        cluster.ask(self.primary, command="verify-stop", volume=self.name)
        answer, why = cluster.ask(self.primary, command="verify", volume=self.name)
        if not answer:
            # An emulated machine may have been silent for longer than its peer waits.
            self.world.settle()
            answer, why = cluster.ask(self.primary, command="verify", volume=self.name)
        if not answer or answer["different_bytes"]:
            raise Broken("%s: verify says: %s" % (self.name, why or answer))
        self.world.count("verified")

    def _judge(self, round_dir, content):
        history, baseline = round_dir + "/" + self.name + ".history", content + ".baseline"
        with open(history, "w") as f:
            print("volume %d %d %d" % (self.number, self.world.seed, self.bytes // BLOCK), file=f)
            if self.baseline:
                print("baseline", self.baseline, file=f)
            for line in self.lines:
                print(line, file=f)
        done = subprocess.run([self.world.build + "/tests/torture/torture-check", history, content,
                               baseline], capture_output=True, text=True)
        if done.returncode:
            raise Broken("%s holds what it must not:\n%s%s" %
                         (self.name, done.stdout, done.stderr))
        if self.baseline:
            os.unlink(self.baseline)
        self.baseline = self.world.work + "/" + self.name + ".baseline"
        os.replace(baseline, self.baseline)
        self.lines = []
        return json.loads(done.stdout)
