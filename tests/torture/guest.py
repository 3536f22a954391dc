#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
One node of the lab's torture, in its virtual machine: does what lab.py appends to a file in the
share, a line of JSON each, many at a time.  What it says goes to another file there, lines too:
  {"id": N, "ok": bool, "said": ...}     the answer to one command
  {"changed": true}                      the engine has told of a new state
(A job of tools/lab for each command would cost a second or more of an emulated machine.)
usage: guest.py SHARE BOOT
"""
import json
import os
import signal
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
import control  # noqa: E402

RUN = "/run/lockstep-torture"


class Failed(Exception):
    """A command could not be done: the sentence why."""


class Guest:
    def __init__(self, share, boot):
        self.share, self.boot, self.node = share, boot, os.environ["LAB_NODE"]
        self.build = os.environ["LS_BUILD"]
        self.out = os.open("%s/said-%s-%s" % (share, self.node, boot), os.O_WRONLY | os.O_APPEND)
        self.lock = threading.Lock()
        self.daemon = None
        self.writers = {}  # by ledger
        os.makedirs(RUN, exist_ok=True)

    def say(self, what):
        with self.lock:
            os.write(self.out, (json.dumps(what) + "\n").encode())

    # --- commands

    def do_start(self, options):
        with open("%s/log-%s" % (self.share, self.node), "ab") as log:
            self.daemon = subprocess.Popen(
                [self.build + "/engine/daemon/lockstepd", "--config", "/dev/null", "--node", self.node,
                 "--run", RUN, "--state", "%s/state-%s" % (self.share, self.node),
                 "--listen", "rdma://%s:7610" % os.environ["LAB_IP"], *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.daemon.stdout:
            if line.startswith("ready"):
                threading.Thread(target=control.follow_states, daemon=True, args=(
                    RUN + "/control.sock", lambda: self.say({"changed": True}))).start()
                return line.strip()
        raise Failed("the engine ended while it started, status %d" % self.daemon.wait())

    def do_alive(self):
        if self.daemon.poll() is not None:
            raise Failed("the engine had ended by itself, status %d" % self.daemon.returncode)

    def do_kill(self):
        self.do_alive()
        self.daemon.kill()
        self.daemon.wait()

    def do_signal(self, name):
        self.daemon.send_signal(getattr(signal, name))

    def do_ask(self, limit_s, request):
        return control.ask(RUN + "/control.sock", limit_s, request)

    def do_lockstep(self, words):
        done = subprocess.run([self.build + "/tools/lockstep/lockstep", "--run", RUN, *words],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(done.stderr.strip())

    def do_writer(self, ledger, words):
        with open(ledger + ".out", "wb") as out:
            self.writers[ledger] = subprocess.Popen(
                [self.build + "/tests/torture/torture-writer", RUN + "/client.sock", *words,
                 ledger], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def do_kill_writer(self, ledger):
        """Its exit status, when it had ended by itself."""
        writer = self.writers[ledger]
        status = writer.poll()
        writer.kill()
        writer.wait()
        return status

    def do_tell_writer(self, ledger):
        self.writers[ledger].terminate()

    def do_end_writer(self, ledger):
        self.writers[ledger].terminate()
        return self.writers[ledger].wait()

    def do_digest(self, volume):
        done = subprocess.run([self.build + "/tests/torture/torture-writer", "--digest",
                               RUN + "/client.sock", volume], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip() or done.stderr.strip()

    # --- the rest

    def handle(self, command):
        answer = {"id": command["id"], "ok": True}
        try:
            answer["said"] = getattr(self, "do_" + command["verb"])(*command["words"])
        except (Failed, OSError) as e:
            answer.update(ok=False, said=str(e))
        self.say(answer)

    def serve(self):
        # The host appends; a share tells nobody of that, so that tail looks.
        with subprocess.Popen(["tail", "---disable-inotify", "-n", "+1", "-s", "0.03", "-f",
                               "%s/commands-%s-%s" % (self.share, self.node, self.boot)],
                              stdout=subprocess.PIPE, text=True) as tail:
            for line in tail.stdout:
                threading.Thread(target=self.handle, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    Guest(*sys.argv[1:]).serve()
