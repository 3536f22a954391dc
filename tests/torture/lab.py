# SPDX-License-Identifier: BSD-3-Clause
"""Two virtual machines with soft-RoCE, NVMe that forgets what was not flushed, and a wire."""
import json
import os
import re
import shutil
import subprocess
import threading

import faults
from common import Broken, Changes, NODES, other

PEER_TIMEOUT_MS = 6000


class Machine:
    """A boot of a node: what the program there (lab.guest) is told, and what it says."""

    def __init__(self, lab, node, boot):
        self.node, self.changes = node, lab.changes
        self.condition = threading.Condition()
        self.ids, self.replies, self.gone = 0, {}, False
        path = "%s/%%s-%s-%d" % (lab.share, node, boot)
        self.commands = open(path % "commands", "a")
        open(path % "said", "w").close()
        lab.call("exec", "--quiet", "--node", node, "--env", "LS_BUILD=" + lab.build, "--",
                 "bash", "-c", 'exec setsid -f "$@" </dev/null >/dev/null 2>"$0"',
                 path % "trouble", "python3", lab.guest, lab.share, str(boot))
        # It ends with the machine.
        with open("%s/%s/qemu.pid" % (lab.folder, node)) as f:
            pid = f.read().split()[0]
        self.tail = subprocess.Popen(["tail", "-n", "+1", "--pid", pid, "-f", path % "said"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.tail.stdout:
            said = json.loads(line)
            if "id" not in said:
                self.changes.note()
                continue
            with self.condition:
                self.replies[said["id"]] = said
                self.condition.notify_all()
        with self.condition:
            self.gone = True
            self.condition.notify_all()

    def end(self):
        self.tail.kill()
        self.tail.wait()
        self.commands.close()

    def tell(self, verb, *words):
        """Begins a command; its number, for hear()."""
        self.ids += 1
        print(json.dumps({"id": self.ids, "verb": verb, "words": words}), file=self.commands,
              flush=True)
        return self.ids

    def hear(self, number, limit_s):
        """(was it done, what it gave or why it was not)."""
        with self.condition:
            self.condition.wait_for(lambda: number in self.replies or self.gone, limit_s)
            reply = self.replies.pop(number, None)
        if not reply:
            raise Broken("node %s %s" % (self.node, "died, see its console.log" if self.gone else
                                         "did not answer within %d s" % limit_s))
        return reply["ok"], reply["said"]


class Writer:
    def __init__(self, node, ledger):
        self.node, self.ledger = node, ledger


class Lab:
    kind = "lab"
    volume_mib = 4
    # Of World.settle(): all of it, the load beside it, from one look to the next when no engine says
    # that something has changed.
    settle_limit_s, patience_s, look_s = 300, 5, 3
    peer_timeout_s = PEER_TIMEOUT_MS / 1000
    longest_s = 1.5
    draw = staticmethod(faults.draw_lab)
    rates = (50, 200, 500)
    wire_faults = ("cut",)
    takeovers = ("killed", "paused", "cut off")
    switches = ("--nodes", "2", "--volatile", "--memory", "640")

    def __init__(self, work, build):
        self.work, self.build = work, build
        self.top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.guest = self.top + "/tests/torture/guest.py"
        self.share = work + "/share"
        self.name = "torture-%d" % os.getpid()
        self.folder = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                                   "lockstep-lab", "labs", self.name)
        self.boots = 0
        self.changes = Changes()
        self.machine = {}  # those with power
        self.engines = set()

    def ledgers(self, work):
        os.makedirs(self.share, exist_ok=True)
        return self.share

    def call(self, *words):
        done = subprocess.run([self.top + "/tools/lab", words[0], "--name", self.name, *words[1:]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Broken("tools/lab %s: %s" % (" ".join(words), done.stderr.strip()))

    def up(self, disk="96M"):
        self.call("up", *self.switches, "--fresh", "--disk-size", disk, "--lba", "4096",
                  "--share", self.share)
        for node in NODES:
            self._meet(node)
        self.start(*NODES)
        for node in NODES:
            self.lockstep(node, "pool", "create", "pool-" + node, "/dev/nvme0n1", "--force")
        self.lockstep("a", "key", "create", self.share + "/key")
        for node in NODES:
            peer = other(node)
            self.lockstep(node, "peer", "add", peer, "--address",
                          "10.77.0.%d:7610" % (NODES.index(peer) + 1), "--key-file",
                          self.share + "/key")

    def down(self):
        for machine in self.machine.values():
            machine.end()
        self.machine.clear()
        if os.path.exists(self.folder):
            for command in ("down", "remove"):
                subprocess.run([self.top + "/tools/lab", command, "--name", self.name],
                               capture_output=True)

    # --- the machines

    def _meet(self, node):
        self.boots += 1
        self.machine[node] = Machine(self, node, self.boots)

    def _power_on(self, *nodes):
        # The wire of b ends in a.
        silent = [n for n in NODES if n not in self.machine and (n in nodes or n == "a")]
        if len(silent) == 2:
            self.call("up", *self.switches, "--share", self.share)
        elif silent:
            self.call("up", "--node", silent[0])
        for node in silent:
            self._meet(node)

    def power_cut(self, *nodes):
        for node in nodes:
            self.call("power-cut", node)
            self.machine.pop(node).end()
            self.engines.discard(node)

    def _must(self, node, *words, limit_s=180):
        machine = self.machine[node]
        done, said = machine.hear(machine.tell(*words), limit_s)
        if not done:
            raise Broken("%s at %s: %s" % (" ".join(str(w) for w in words), node, said))
        return said

    # --- the engine of a node

    def start(self, *nodes):
        self._power_on(*nodes)
        options = ["--peer-timeout-ms", str(PEER_TIMEOUT_MS)]
        begun = [(self.machine[node], self.machine[node].tell("start", options))
                 for node in nodes]
        for node, (machine, number) in zip(nodes, begun):
            done, said = machine.hear(number, 180)
            if not done:
                raise Broken("start at %s: %s" % (node, said))
            self.engines.add(node)

    def runs(self, node):
        return node in self.engines

    def kill(self, node):
        self._must(node, "kill")
        self.engines.discard(node)

    def pause(self, node):
        self._must(node, "signal", "SIGSTOP")

    def go_on(self, node):
        self._must(node, "signal", "SIGCONT")

    def assert_alive(self):
        for node in self.engines:
            self._must(node, "alive")

    # --- what an administrator says

    def ask(self, node, limit_s=120, **request):
        """(answer, "") or (None, why not)."""
        return self._must(node, "ask", limit_s, request, limit_s=limit_s + 60)

    def lockstep(self, node, *words):
        self._must(node, "lockstep", words)

    def all_volumes(self):
        begun = [(node, self.machine[node].tell("ask", 60, {"command": "volume-list"}))
                 for node in NODES]
        return {node: self._listed(node, number) for node, number in begun}

    def volumes(self, node):
        return self._listed(node, self.machine[node].tell("ask", 60, {"command": "volume-list"}))

    def _listed(self, node, number):
        done, said = self.machine[node].hear(number, 120)
        if not done or not said[0]:
            raise Broken("volume list at %s: %s" % (node, said))
        return {v["name"]: v for v in said[0]["volumes"]}

    # --- clients

    def start_writer(self, node, words, ledger):
        self._must(node, "writer", ledger, words)
        return Writer(node, ledger)

    def kill_writer(self, writer):
        """Its exit status, when it had ended by itself."""
        return self._must(writer.node, "kill_writer", writer.ledger)

    def tell_writer(self, writer):
        self._must(writer.node, "tell_writer", writer.ledger)

    def end_writer(self, writer):
        """Asks it to end; its exit status."""
        return self._must(writer.node, "end_writer", writer.ledger)

    def said(self, writer):
        with open(writer.ledger + ".out") as f:
            return f.read().strip()

    def digest(self, node, volume):
        return self._must(node, "digest", volume)

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
        self.call("link", *words)

    def collect_logs(self, where):
        for node in NODES:
            for name in ("disk0.img", "console.log", "console.previous.log", "qemu.log"):
                path = "%s/%s/%s" % (self.folder, node, name)
                if os.path.exists(path):
                    shutil.copy(path, "%s/%s.%s" % (where, node, name))
