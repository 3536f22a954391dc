# SPDX-License-Identifier: BSD-3-Clause
"""The torture's two machines, with a guest of the demo's own in each."""
import os
import subprocess
import threading

from lab import Lab, Machine

HERE = os.path.dirname(os.path.abspath(__file__))


class DemoMachine(Machine):
    """As the torture's, but for the program that runs there."""

    def __init__(self, lab, node, boot):  # pylint: disable=super-init-not-called
        self.node, self.changes = node, lab.changes
        self.condition = threading.Condition()
        self.ids, self.replies, self.gone = 0, {}, False
        path = "%s/%%s-%s-%d" % (lab.share, node, boot)
        self.commands = open(path % "commands", "a")
        open(path % "said", "w").close()
        lab.call("exec", "--quiet", "--node", node, "--env", "LS_BUILD=" + lab.build, "--",
                 "bash", "-c", 'exec setsid -f "$@" </dev/null >/dev/null 2>"$0"',
                 path % "trouble", "python3", HERE + "/guest.py", lab.share, str(boot))
        # It ends with the machine.
        with open("%s/%s/qemu.pid" % (lab.folder, node)) as f:
            pid = f.read().split()[0]
        self.tail = subprocess.Popen(["tail", "-n", "+1", "--pid", pid, "-f", path % "said"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()


class DemoLab(Lab):
    switches = ("--nodes", "2", "--volatile", "--memory", "1024")

    def __init__(self, work, build):
        super().__init__(work, build)
        self.name = "demo-%d" % os.getpid()
        self.folder = os.path.join(os.path.dirname(self.folder), self.name)
        os.makedirs(self.share)

    def _meet(self, node):
        self.boots += 1
        self.machine[node] = DemoMachine(self, node, self.boots)

    def run(self, node, script, limit_s=180):
        """A shell script in the machine, which must succeed; what it says."""
        return self._must(node, "run", script, limit_s=limit_s)

    def spawn(self, node, name, *words):
        self._must(node, "spawn", name, list(words))

    def end(self, node, name):
        return self._must(node, "end", name)
