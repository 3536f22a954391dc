# SPDX-License-Identifier: BSD-3-Clause
"""Two daemons of this host, over TCP and files, with a wire between them that can be hurt."""
import os
import re
import select
import signal
import subprocess
import threading
import time

import control
import faults
from common import Broken, Changes, NODES, other
from relay import Relay

PEER_TIMEOUT_MS = 2000
WRITER_LIMIT_S = 30


class Native:
    kind = "native"
    volume_mib = 16
    # Of World.settle(): all of it, the load beside it, from one look to the next when no engine says
    # that something has changed.
    settle_limit_s, patience_s, look_s = 120, 6, 1
    peer_timeout_s = PEER_TIMEOUT_MS / 1000
    draw = staticmethod(faults.draw_native)
    rates = (0, 500, 1000, 3000)  # of a writer, requests a second; 0: no limit
    # For how long a fault lasts, and the load runs between two, at most.
    longest_s = 1.0

    def __init__(self, work, build):
        self.work, self.build = work, build
        self.daemon = {}
        self.clients = []  # that may run still
        self.uri = {}
        self.changes = Changes()
        self.relay = {node: Relay() for node in NODES}  # by who dials

    def _dir(self, node):
        return os.path.join(self.work, node)

    def ledgers(self, work):
        return work

    def up(self):
        for node in NODES:
            os.mkdir(self._dir(node))
            self.start(node)
            self.lockstep(node, "pool", "create", "pool-" + node, self._dir(node) + "/disk",
                          "--size", "192M")
            self._make_breakable(node)
        key = self.work + "/key"
        self.lockstep("a", "key", "create", key)
        for node in NODES:
            peer = other(node)
            host, port = self.uri[peer].split("//")[1].rsplit(":", 1)
            self.relay[node].target = (host, int(port))
            self.lockstep(node, "peer", "add", peer, "--address", self.relay[node].address,
                          "--key-file", key)

    def _make_breakable(self, node):
        """Puts the store that fails what a file says (nvme/fault.h) before the node's disk."""
        self.kill(node)
        state, disk = self._dir(node) + "/state/node.json", self._dir(node) + "/disk"
        open(self._dir(node) + "/bad", "w").close()
        with open(state) as f:
            text = f.read()
        with open(state, "w") as f:
            f.write(text.replace('"%s"' % disk, '"fail:%s/bad:%s"' % (self._dir(node), disk)))
        self.start(node)

    def spoil(self, node, areas):
        """(operation, offset, length) on the node's disk that fail from now on."""
        with open(self._dir(node) + "/bad", "r+") as f:
            f.truncate()
            f.write("".join("%s %d %d\n" % area for area in areas))

    def down(self):
        for daemon in self.daemon.values():
            daemon.kill()
            daemon.wait()
        self.daemon.clear()
        for writer in self.clients:
            writer.kill()
            writer.wait()
        self.clients.clear()

    # --- the engine of a node

    def start(self, *nodes):
        for node in nodes:
            self._start(node)

    def _start(self, node):
        folder = self._dir(node)
        with open(folder + "/log", "ab") as log:
            daemon = subprocess.Popen(
                [self.build + "/engine/daemon/lockstepd", "--config", "/dev/null", "--node", node,
                 "--state", folder + "/state", "--run", folder + "/run", "--polling", "adaptive",
                 "--listen", self.uri.get(node, "tcp://127.0.0.1:0"),
                 "--peer-timeout-ms", str(PEER_TIMEOUT_MS)],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, bufsize=0)
        self.daemon[node] = daemon
        end = time.monotonic() + 30
        line = ""
        while not line.startswith("ready"):
            if not select.select([daemon.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Broken(f"the engine of {node} was not ready within 30 s")
            line = daemon.stdout.readline().decode()
            if not line:
                raise Broken(f"the engine of {node} ended while it started")
        self.uri[node] = re.search(r"tcp://[^ )]+", line)[0]
        threading.Thread(target=control.follow_states, daemon=True,
                         args=(self._control(node), self.changes.note)).start()

    def runs(self, node):
        return node in self.daemon

    def kill(self, node):
        daemon = self.daemon.pop(node)
        if daemon.poll() is not None:
            raise Broken(f"the engine of {node} had ended by itself, status {daemon.returncode}")
        daemon.kill()
        daemon.wait()

    def pause(self, node):
        self.daemon[node].send_signal(signal.SIGSTOP)

    def go_on(self, node):
        self.daemon[node].send_signal(signal.SIGCONT)

    def assert_alive(self):
        for node, daemon in self.daemon.items():
            if daemon.poll() is not None:
                raise Broken(f"the engine of {node} ended by itself, status {daemon.returncode}")

    # --- what an administrator says

    def _control(self, node):
        return self._dir(node) + "/run/control.sock"

    def ask(self, node, limit_s=60, **request):
        """(answer, "") or (None, why not)."""
        return control.ask(self._control(node), limit_s, request)

    def lockstep(self, node, *words):
        subprocess.run([self.build + "/tools/lockstep/lockstep", "--run", self._dir(node) + "/run",
                        *words], check=True, stdout=subprocess.DEVNULL, timeout=60)

    def all_volumes(self):
        return {node: self.volumes(node) for node in NODES}

    def volumes(self, node):
        answer, why = self.ask(node, command="volume-list", limit_s=15)
        if not answer:
            raise Broken(f"volume list at {node}: {why}")
        return {v["name"]: v for v in answer["volumes"]}

    # --- clients

    def start_writer(self, node, words, ledger):
        with open(ledger + ".out", "wb") as out:
            writer = subprocess.Popen([self.build + "/tests/torture/torture-writer",
                                       self._dir(node) + "/run/client.sock", *words, ledger],
                                      stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.clients = [c for c in self.clients if c.poll() is None] + [writer]
        return writer

    def kill_writer(self, process):
        """Its exit status, when it had ended by itself."""
        status = process.poll()
        process.kill()
        process.wait()
        return status

    def tell_writer(self, process):
        process.terminate()

    def end_writer(self, process):
        """Asks it to end; its exit status."""
        process.terminate()
        try:
            return process.wait(WRITER_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Broken("a writer did not end within %d s" % WRITER_LIMIT_S) from None

    def said(self, process):
        with open(process.args[-1] + ".out") as f:
            return f.read().strip()

    def digest(self, node, volume):
        done = subprocess.run([self.build + "/tests/torture/torture-writer", "--digest",
                               self._dir(node) + "/run/client.sock", volume],
                              capture_output=True, text=True, timeout=60)
        return done.stdout.strip() or done.stderr.strip()

    def raw(self, node, volume, sink):
        """The volume's bytes, past its engine."""
        for extent in volume["extents"]:
            path = volume["devices"][extent["device"]].rsplit(":", 1)[-1]
            with open(path, "rb") as f:
                f.seek(extent["offset"])
                sink.write(f.read(extent["length"]))

    # --- the wire

    def wire(self, how):
        """cut, silent, from-a, from-b (that node is heard no more) or mended."""
        for node, relay in self.relay.items():
            if how == "mended":
                relay.mend()
            elif how == "cut":
                relay.cut()
            elif how == "silent":
                relay.silence("out", "in")
            else:
                relay.silence("out" if how == "from-" + node else "in")

    takeovers = ("killed", "killed with its client", "paused", "cut off")
    wire_faults = ("cut", "cut", "silent", "from-a", "from-b")

    def collect_logs(self, where):
        """Logs are in the work folder already."""
