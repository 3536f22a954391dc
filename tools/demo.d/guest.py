#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
One node of the demo, in its virtual machine: what the torture's guest does there, and scripts.
usage: guest.py SHARE BOOT
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/torture"))
import guest  # noqa: E402


class DemoGuest(guest.Guest):
    def __init__(self, share, boot):
        super().__init__(share, boot)
        self.programs = {}
        self.environment = dict(os.environ, SHARE=share, RUN=guest.RUN, LC_ALL="C",
                                LOCKSTEP=self.build + "/tools/lockstep/lockstep")

    def do_run(self, script):
        """A shell script that must succeed; what it says."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd="/",
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            raise guest.Failed("%s\n%s" % (done.stdout[-2000:], done.stderr[-2000:]))
        return done.stdout.strip()

    def do_spawn(self, name, words):
        with open("%s/%s.out" % (self.share, name), "ab") as out:
            self.programs[name] = subprocess.Popen(words, cwd="/", env=self.environment,
                                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def do_end(self, name):
        """Asks it to end; its exit status."""
        self.programs[name].terminate()
        return self.programs[name].wait()


if __name__ == "__main__":
    DemoGuest(*sys.argv[1:]).serve()
