# SPDX-License-Identifier: BSD-3-Clause
"""The databases of the demo: how each is made, started, loaded and checked at a node."""
import os
import shlex
import time

from common import Broken

HERE = os.path.dirname(os.path.abspath(__file__))
LOOK_S = 0.05


class Database:
    """Its ledgers: (kind, where) pairs, as ledger.py takes them."""

    workers = 1  # of each ledger

    def __init__(self, demo, mount):
        self.demo, self.lab, self.mount = demo, demo.lab, mount
        self.loads = 0
        self.files = {}  # of each load, by ledger: what was acknowledged

    def ledgers(self):
        raise NotImplementedError

    def words(self, kind, where, *rest):
        return ["python3", HERE + "/ledger.py", kind, where, *map(str, rest)]

    def acks(self, load, kind):
        return "%s/acknowledged-%d-%s" % (self.lab.share, load, kind)

    def begin_load(self, node):
        """From the next number on that no transfer has had."""
        self.loads += 1
        for kind, where in self.ledgers():
            self.lab.spawn(node, "load-" + kind, *self.words(
                kind, where, "load", self.demo.rng.randrange(1 << 30), self.loads * 1_000_000,
                self.acks(self.loads, kind)))

    def end_load(self, node):
        for kind, _ in self.ledgers():
            status = self.lab.end(node, "load-" + kind)
            if status:
                raise Broken("the load of %s ended with status %d" % (kind, status))

    def _count(self, load, kind):
        try:
            with open(self.acks(load, kind), "rb") as f:
                return f.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def acknowledged(self):
        return sum(self._count(load, kind) for load in range(1, self.loads + 1)
                   for kind, _ in self.ledgers())

    def await_commits(self, wanted, limit_s, of_last=False):
        """Until each ledger has so many; @of_last: of the load that runs."""
        end = time.monotonic() + limit_s
        loads = [self.loads] if of_last else range(1, self.loads + 1)
        while any(sum(self._count(load, kind) for load in loads) < wanted
                  for kind, _ in self.ledgers()):
            if time.monotonic() > end:
                raise Broken("not %d commits within %d s" % (wanted, limit_s))
            # The files are written by a machine; nothing tells of it.
            time.sleep(LOOK_S)

    def check(self, node):
        """While no load runs."""
        said = []
        for kind, where in self.ledgers():
            paths = [self.acks(load, kind) for load in range(1, self.loads + 1)]
            torn = self.workers * self.loads
            said.append("%s: %s" % (kind, self.demo.run(
                node, shlex.join(self.words(kind, where, "check", torn, *paths)))))
        return "\n".join(said)


class SQLite(Database):
    name = "two SQLite databases"
    disk, volume = "128M", "64M"
    commits = (20, 120)

    def ledgers(self):
        return [(kind, "%s/%s.db" % (self.mount, kind)) for kind in ("wal", "delete")]

    def create(self, node):
        for kind, where in self.ledgers():
            self.demo.run(node, shlex.join(self.words(kind, where, "init")))

    def start(self, node):
        """Whoever opens it recovers it."""

    def stop(self, node):
        pass


class Postgres(Database):
    name = "PostgreSQL"
    disk, volume = "512M", "320M"
    commits = (50, 400)
    workers = 4
    programs = "/usr/lib/postgresql/15/bin"
    sockets = "/run/demo-postgres"

    def __init__(self, demo, mount):
        super().__init__(demo, mount)
        self.data = mount + "/data"

    def words(self, kind, where, *rest):
        return ["env", "PATH=%s:/usr/bin:/bin" % self.programs,
                *super().words(kind, where, *rest)]

    def ledgers(self):
        return [("postgres", self.sockets)]

    def as_postgres(self, node, *words, limit_s=180):
        return self.demo.run(node, "PATH=%s:$PATH setpriv --reuid=postgres --regid=postgres "
                             "--init-groups %s" % (self.programs, shlex.join(words)), limit_s)

    def create(self, node):
        self.demo.run(node, "install -d -o postgres -m 700 " + self.data)
        self.as_postgres(node, "initdb", "-D", self.data, "--auth=trust", "--data-checksums",
                         "--no-locale", "--encoding=UTF8", "-U", "postgres", "--no-sync",
                         limit_s=300)
        with_settings = "printf '%%s\\n' %s >>%s/postgresql.conf" % (shlex.join([
            "listen_addresses = ''", "unix_socket_directories = '%s'" % self.sockets,
            "shared_buffers = 32MB", "jit = off", "autovacuum = off", "max_wal_size = 64MB",
            "min_wal_size = 32MB"]), self.data)
        self.demo.run(node, with_settings)
        # PostgreSQL syncs what it writes itself, from now on: the settings are ours.
        self.demo.run(node, "sync -f " + self.data)
        self.start(node)
        self.demo.run(node, shlex.join(self.words("postgres", self.sockets, "init")))

    def start(self, node):
        self.demo.run(node, "install -d -o postgres " + self.sockets)
        self.as_postgres(node, "pg_ctl", "-D", self.data, "-w", "-t", "120", "-l",
                         self.sockets + "/log", "start")

    def stop(self, node):
        self.as_postgres(node, "pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")
        self.demo.show(self.as_postgres(node, "pg_checksums", "--check", "-D",
                                        self.data).replace("\n", ", "))


DATABASES = {"sqlite": SQLite, "postgres": Postgres}
