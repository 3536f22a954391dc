# SPDX-License-Identifier: BSD-3-Clause
"""The torture's two machines, with a guest of the demo's own in each."""
import os

from lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))


class DemoLab(Lab):
    switches = ("--nodes", "2", "--volatile", "--memory", "1024")

    def __init__(self, work, build):
        super().__init__(work, build)
        self.guest = HERE + "/guest.py"
        self.name = "demo-%d" % os.getpid()
        self.folder = os.path.join(os.path.dirname(self.folder), self.name)
        os.makedirs(self.share)

    def run(self, node, script, limit_s=180):
        """A shell script in the machine, which must succeed; what it says."""
        return self._must(node, "run", script, limit_s=limit_s)

    def spawn(self, node, name, *words):
        self._must(node, "spawn", name, list(words))

    def end(self, node, name):
        return self._must(node, "end", name)
