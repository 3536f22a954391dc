#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
The ledger, in a machine that has the database: accounts, transfers between them, a line of a log for
each.  A transfer is one transaction; its line "ID FROM TO AMOUNT" goes to a file of the share after the
database has said that it is committed.

usage: ledger.py KIND WHERE init
       ledger.py KIND WHERE load SEED FIRST_ID ACKNOWLEDGED    until SIGTERM
       ledger.py KIND WHERE check TORN ACKNOWLEDGED...         TORN: so many may be there that nobody was told of
KIND: wal or delete (SQLite's journal; WHERE is its file), or postgres (WHERE is the folder of its socket).
"""
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading

ACCOUNTS, BALANCE = 100, 1000
WORKERS = {"wal": 1, "delete": 1, "postgres": 4}
PSQL = ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]
ID_SPACE = 10_000_000  # of one worker

stop = threading.Event()


class SQLite:
    def __init__(self, kind, where):
        self.connection = sqlite3.connect(where, isolation_level=None, timeout=60)
        found = self.connection.execute("PRAGMA journal_mode=" + kind).fetchone()[0]
        if found != kind:
            sys.exit("the journal is '%s', not '%s'" % (found, kind))
        # Each commit is synced. With FULL a rollback journal may come back after a power cut, and roll the last
        # commit back: it is EXTRA that syncs the folder after the journal was deleted.
        self.connection.execute("PRAGMA synchronous=EXTRA")

    def run(self, *statements):
        for statement in statements:
            self.connection.execute(statement)

    def rows(self, query):
        return [tuple(row) for row in self.connection.execute(query)]

    def whole(self):
        return self.connection.execute("PRAGMA integrity_check").fetchone()[0]


class Postgres:
    """psql, which tells of a COMMIT when the server has answered it."""

    def __init__(self, _, where):
        self.where = where
        self.psql = subprocess.Popen(PSQL + ["-h", where], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self, *statements):
        self.psql.stdin.write("".join(s + ";\n" for s in statements))
        self.psql.stdin.flush()
        for _ in statements:
            if not self.psql.stdout.readline():
                sys.exit("psql has ended")

    def rows(self, query):
        done = subprocess.run(PSQL + ["-q", "-h", self.where, "-c", query], check=True, text=True,
                              capture_output=True)
        return [tuple(int(x) for x in line.split("|")) for line in done.stdout.split()]

    def whole(self):
        done = subprocess.run(["pg_amcheck", "-U", "postgres", "-h", self.where, "-d", "postgres",
                               "--install-missing", "--heapallindexed"], text=True,
                              capture_output=True, check=False)
        return "ok" if done.returncode == 0 else done.stdout + done.stderr


def connect(kind, where):
    return (Postgres if kind == "postgres" else SQLite)(kind, where)


def init(kind, where):
    db = connect(kind, where)
    db.run("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
           "CREATE TABLE log (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, amount INTEGER)",
           "BEGIN", "INSERT INTO accounts VALUES " +
           ",".join("(%d,%d)" % (n, BALANCE) for n in range(ACCOUNTS)), "COMMIT")


def transfers(db, rng, number, out):
    while not stop.is_set():
        # In one order, so that two of them never wait for each other.
        a, b = sorted(rng.sample(range(ACCOUNTS), 2))
        amount = rng.randint(-9, 9)
        db.run("BEGIN",
               "UPDATE accounts SET balance = balance - %d WHERE id = %d" % (amount, a),
               "UPDATE accounts SET balance = balance + %d WHERE id = %d" % (amount, b),
               "INSERT INTO log VALUES (%d, %d, %d, %d)" % (number, a, b, amount),
               "COMMIT")
        os.write(out, b"%d %d %d %d\n" % (number, a, b, amount))
        number += 1


def load(kind, where, seed, first, path):
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if WORKERS[kind] == 1:
        transfers(connect(kind, where), random.Random(seed), first, out)
        return
    threads = [threading.Thread(target=lambda n=n: transfers(
        connect(kind, where), random.Random("%d/%d" % (seed, n)), first + n * ID_SPACE, out))
        for n in range(WORKERS[kind])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check(kind, where, torn, *paths):
    told = {}
    for path in paths:
        with open(path) as f:
            for line in f.read().split("\n")[:-1]:
                number, *rest = map(int, line.split())
                told[number] = tuple(rest)
    db = connect(kind, where)
    log = {row[0]: row[1:] for row in db.rows("SELECT id, a, b, amount FROM log")}
    balance = dict(db.rows("SELECT id, balance FROM accounts"))
    lost = [n for n, what in told.items() if log.get(n) != what]
    if lost:
        sys.exit("LOST: %d commits that were acknowledged, %s" % (len(lost), sorted(lost)[:10]))
    if len(log) - len(told) > torn:
        sys.exit("%d transfers are there that nobody was told of; %d were under way" %
                 (len(log) - len(told), torn))
    expected = dict.fromkeys(range(ACCOUNTS), BALANCE)
    for a, b, amount in log.values():
        expected[a] -= amount
        expected[b] += amount
    if balance != expected:
        sys.exit("the balances are not what the log says")
    if sum(balance.values()) != ACCOUNTS * BALANCE:
        sys.exit("money was made or lost")
    whole = db.whole()
    if whole != "ok":
        sys.exit("the database is not whole: " + whole)
    print("all %d acknowledged commits are there, and %d more; the sums are right, the database is "
          "whole" % (len(told), len(log) - len(told)))


def main():
    kind, where, verb, *rest = sys.argv[1:]
    if verb == "init":
        init(kind, where)
    elif verb == "load":
        load(kind, where, int(rest[0]), int(rest[1]), rest[2])
    else:
        check(kind, where, int(rest[0]), *rest[1:])


if __name__ == "__main__":
    main()
