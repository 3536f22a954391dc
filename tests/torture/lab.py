# SPDX-License-Identifier: BSD-3-Clause
"""Two virtual machines with soft-RoCE, NVMe that forgets what was not flushed, and a wire."""
import json
import os
import re
import shutil
import subprocess
import time

import faults
from common import Broken, NODES, other

PEER_TIMEOUT_MS = 8000
POLL_S = 0.02


class Writer:
    def __init__(self, node, ledger):
        self.node, self.ledger = node, ledger

    def status(self):
        """None: it runs, or died with its machine."""
        try:
            with open(self.ledger + ".status") as f:
                return int(f.read() or 0)
        except FileNotFoundError:
            return None


class Lab:
    kind = "lab"
    volume_mib = 8
    # Of World.settle(): all of it, the load beside it, from one look to the next.
    settle_limit_s, patience_s, look_s = 300, 10, 1
    peer_timeout_s = PEER_TIMEOUT_MS / 1000
    longest_s = 2.0
    first_faults, faults = faults.LAB_FIRST, faults.LAB
    rates = (50, 200, 500)
    wire_faults = ("cut",)
    takeovers = ("killed", "paused", "cut off", "without power", "without power")

    def __init__(self, work, build):
        self.work, self.build = work, build
        self.top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.share = work + "/share"
        self.name = "torture-%d" % os.getpid()
        self.folder = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                                   "lockstep-lab", "labs", self.name)
        self.boots = 0
        self.agent = {}  # node -> the job that does our commands there
        self.commands = {}
        self.ids = 0
        self.engines = set()
        self.silent = set()  # with no power

    def ledgers(self, work):
        os.makedirs(self.share, exist_ok=True)
        return self.share

    def _lab(self, *words, **options):
        done = subprocess.run([self.top + "/tools/lab", words[0], "--name", self.name, *words[1:]],
                              capture_output=True, text=True, **options)
        if done.returncode:
            raise Broken("tools/lab %s: %s" % (" ".join(words), done.stderr.strip()))

    def up(self):
        self._lab("up", "--nodes", "2", "--fresh", "--disk-size", "96M", "--lba", "4096",
                  "--volatile", "--memory", "640", "--share", self.share)
        for node in NODES:
            self._start_agent(node)
        for node in NODES:
            self.start(node)
            self.lockstep(node, "pool", "create", "pool-" + node, "/dev/nvme0n1", "--force")
        self.lockstep("a", "key", "create", self.share + "/key")
        for node in NODES:
            peer = other(node)
            self.lockstep(node, "peer", "add", peer, "--address",
                          "10.77.0.%d:7610" % (NODES.index(peer) + 1), "--key-file",
                          self.share + "/key")

    def down(self):
        for agent in self.agent.values():
            agent.kill()
            agent.wait()
        self.agent.clear()
        if os.path.exists(self.folder):
            for command in ("down", "remove"):
                subprocess.run([self.top + "/tools/lab", command, "--name", self.name],
                               capture_output=True)

    # --- commands to guest.sh

    def _start_agent(self, node):
        self.boots += 1
        path = "%s/commands-%s-%d" % (self.share, node, self.boots)
        self.commands[node] = open(path, "a")
        self.agent[node] = subprocess.Popen(
            [self.top + "/tools/lab", "exec", "--quiet", "--name", self.name, "--node", node,
             "--timeout", "0", "--env", "LS_BUILD=" + self.build, "--",
             self.top + "/tests/torture/guest.sh", self.share, str(self.boots)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.agent[node].stdout.readline():
            raise Broken("guest.sh did not start at " + node)

    def _tell(self, node, *words):
        """Begins a command; its name, for _hear()."""
        self.ids += 1
        print(self.ids, *words, file=self.commands[node], flush=True)
        return "%s/%d.reply" % (self.share, self.ids)

    def _hear(self, reply, limit_s):
        """(exit status, what it printed)."""
        end = time.monotonic() + limit_s
        while not os.path.exists(reply):
            if time.monotonic() > end:
                raise Broken("a machine did not answer within %d s (%s)" % (limit_s, reply))
            time.sleep(POLL_S)
        with open(reply) as f:
            lines = f.read().rstrip("\n").split("\n")
        os.unlink(reply)
        return int(lines[-1]), "\n".join(lines[:-1])

    def _do(self, node, *words, limit_s=180):
        return self._hear(self._tell(node, *words), limit_s)

    def _must(self, node, *words):
        status, said = self._do(node, *words)
        if status:
            raise Broken("%s at %s: status %d, %s" % (" ".join(words), node, status, said))
        return said

    # --- the engine of a node

    def _power_on(self, node):
        # The wire of b ends in a.
        for one in ("a", node):
            if one in self.silent:
                self._lab("up", "--node", one)
                self.silent.discard(one)
                self._start_agent(one)

    def start(self, node):
        if node in self.silent:
            self._power_on(node)
        self._must(node, "start", str(PEER_TIMEOUT_MS))
        self.engines.add(node)

    def runs(self, node):
        return node in self.engines

    def kill(self, node):
        self._must(node, "alive")
        self._must(node, "kill")
        self.engines.discard(node)

    def pause(self, node):
        self._must(node, "signal", "STOP")

    def go_on(self, node):
        self._must(node, "signal", "CONT")

    def assert_alive(self):
        for node in self.engines:
            self._must(node, "alive")

    def power_cut(self, *nodes):
        for node in nodes:
            self._lab("power-cut", node)
            self.agent.pop(node).kill()
            self.engines.discard(node)
            self.silent.add(node)

    # --- what an administrator says

    def ask(self, node, limit_s=120, command="", volume="", keep=None, size=None,
            wait=True):
        """(answer, "") or (None, why not)."""
        words = ["verify", volume, "--stop"] if command == "verify-stop" else [command, volume]
        if keep:
            words += ["--keep", keep]
        if not wait:
            words.append("--no-wait")
        if size:
            words.append(str(size))
        status, said = self._do(node, "lockstep", str(limit_s), *words, limit_s=limit_s + 60)
        return (json.loads(said), "") if status == 0 else (None, said or "status %d" % status)

    def lockstep(self, node, *words):
        self._must(node, "lockstep", "120", *words)

    def volumes(self, node):
        found = json.loads(self._must(node, "lockstep", "60", "volume", "list"))
        return {v["name"]: v for v in found["volumes"]}

    # --- clients

    def start_writer(self, node, words, ledger):
        self._must(node, "writer", ledger, *words)
        return Writer(node, ledger)

    def kill_writer(self, writer):
        status = writer.status()
        if status is None:
            self._must(writer.node, "end-writer", writer.ledger, "KILL")
        return status

    def tell_writer(self, writer):
        if writer.status() is None:
            self._tell(writer.node, "tell-writer", writer.ledger)

    def end_writer(self, writer):
        self._must(writer.node, "end-writer", writer.ledger, "TERM")
        end = time.monotonic() + 30
        while writer.status() is None and time.monotonic() < end:
            time.sleep(POLL_S)
        return writer.status()

    def said(self, writer):
        with open(writer.ledger + ".out") as f:
            return f.read().strip()

    def digest(self, node, volume):
        return self._do(node, "digest", volume)[1].strip()

    def raw(self, node, volume, sink):
        """From the image behind the device's cache: only what was flushed is there."""
        for extent in volume["extents"]:
            disk = re.search(r"(?:ng|nvme)(\d+)n1$", volume["devices"][extent["device"]])[1]
            with open("%s/%s/disk%s.img" % (self.folder, node, disk), "rb") as f:
                f.seek(extent["offset"])
                sink.write(f.read(extent["length"]))

    # --- the wire

    def wire(self, how):
        words = {"cut": ("down",), "mended": ("clear",)}.get(how, tuple(how.split()))
        self._lab("link", *words)

    def collect_logs(self, where):
        for node in NODES:
            for name in ("disk0.img", "console.log"):
                path = "%s/%s/%s" % (self.folder, node, name)
                if os.path.exists(path):
                    shutil.copy(path, "%s/%s.%s" % (where, node, name))
