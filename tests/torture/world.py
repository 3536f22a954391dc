# SPDX-License-Identifier: BSD-3-Clause
"""The two nodes and their volumes; how an operator brings them back in order after faults."""
import os
import time

from common import Broken, NODES, other
from volume import Volume

# Home of each volume and its policy: both nodes are primaries, one volume is fail-closed.
VOLUMES = (("a", "fail-open"), ("b", "fail-open"), ("a", "fail-closed"))
DRAIN_LIMIT_S, DRAIN_LOOK_S = 30, 0.2


def in_order(at):
    """@at: what each node says of a volume."""
    return all(one["mirror"] == "synced" and one["size_bytes"] == at["a"]["size_bytes"] and
               not one.get("growing_bytes") for one in at.values())


class World:
    def __init__(self, cluster, work, build, seed, say):
        self.cluster, self.work, self.build, self.seed, self.say = cluster, work, build, seed, say
        self.ledgers = cluster.ledgers(work)
        self.writers = 0
        self.rng = None  # of the round
        self.status = {}
        self.paused, self.wire = set(), "mended"
        self.spoilt = set()  # nodes whose disk fails
        # Lost power, and were not in sync since: what they hold may lack what was not flushed.
        self.dubious = set()
        self.volumes = [Volume(self, i + 1, home, policy)
                        for i, (home, policy) in enumerate(VOLUMES)]

    def create_volumes(self):
        for v in self.volumes:
            size = str(v.bytes)
            self.cluster.lockstep(v.primary, "volume", "create", v.name, "--size", size)
            self.cluster.lockstep(v.primary, "pair", v.name, "--peer", other(v.primary))
            self.cluster.lockstep(v.primary, "policy", v.name, v.policy)

    # --- faults and their mending, the words that faults.py uses

    def kill(self, node):
        if node in self.paused:
            self.go_on(node)
        self.cluster.kill(node)

    def start(self, *nodes):
        down = [node for node in nodes if not self.cluster.runs(node)]
        if down:
            self.cluster.start(*down)

    def pause(self, node):
        self.cluster.pause(node)
        self.paused.add(node)

    def go_on(self, node):
        self.cluster.go_on(node)
        self.paused.discard(node)

    def set_wire(self, how):
        self.cluster.wire(how)
        self.wire = how

    def spoil(self, node, areas):
        self.cluster.spoil(node, areas)
        if areas:
            self.spoilt.add(node)
            for v in self.volumes:
                v.may_fail = True
        else:
            self.spoilt.discard(node)

    def up(self, node):
        return self.cluster.runs(node) and node not in self.paused

    def start_writers(self):
        """On every volume whose primary runs and that has none."""
        for v in self.volumes:
            node = other(v.fork.old) if v.fork else v.primary
            if self.up(node) and node not in v.writer:
                v.start_writer(node)

    def mend(self):
        self.set_wire("mended")
        for node in list(self.spoilt):
            self.spoil(node, [])
        for node in list(self.paused):
            self.go_on(node)
        self.start(*NODES)

    # --- back in order

    def look(self):
        self.status = self.cluster.all_volumes()

    def settle(self):
        """Until all volumes are in sync; resolves split brains as an operator does."""
        begin = time.monotonic()
        self.mend()
        kept = {}  # volume -> node, of those that were split
        left = list(self.volumes)
        patient = True
        while left:
            seen = self.cluster.changes.count
            self.look()
            for v in list(left):
                at = {node: self.status[node][v.name] for node in NODES}
                if in_order(at):
                    left.remove(v)
                    self._settled(v, at, kept.get(v))
                else:
                    self._order(v, at, kept)
            took = time.monotonic() - begin
            if patient and took > self.cluster.patience_s:
                # A copy is slow beside a load that needs all that there is.
                patient = False
                for v in self.volumes:
                    v.tell_writers()
            if took > self.cluster.settle_limit_s and left:
                raise Broken("not in sync within %d s: %s" % (took, "; ".join(
                    "%s is %s %s at %s (%s)" % (v.name, s["role"], s["mirror"], n, s["last_error"])
                    for v in left for n in NODES for s in [self.status[n][v.name]])))
            if left:
                self.cluster.changes.await_next(seen, self.cluster.look_s)
        self.dubious.clear()
        self.cluster.assert_alive()

    def _order(self, v, at, kept):
        """What an operator does about a volume that does not get in sync by itself."""
        if any(one["mirror"] == "split" for one in at.values()):
            if not v.fork:
                raise Broken("%s has a split brain, and was promoted nowhere" % v.name)
            if v not in kept:
                kept[v] = self.rng.choice(NODES)
                self.count("split brain resolved")
                self.say("%s: split brain, %s is kept" % (v.name, kept[v]))
            node = self.rng.choice(NODES)
            self.cluster.ask(node, command="resolve", volume=v.name, wait=False,
                             keep="local" if node == kept[v] else "peer")
        elif any(one["association"] == "broken" for one in at.values()):
            self.cluster.ask(self.rng.choice(NODES), command="resume", volume=v.name, wait=False)

    def _settled(self, v, at, kept):
        v.bytes = at["a"]["size_bytes"]
        primaries = [node for node in NODES if at[node]["role"] == "primary"]
        if len(primaries) != 1:
            raise Broken("%s is in sync, and primary at: %s" % (v.name, primaries or "no node"))
        if kept and primaries != [kept]:
            raise Broken("%s: %s was kept, but %s is primary" % (v.name, kept, primaries[0]))
        if v.fork:
            v.join_fork(primaries[0], bool(kept))
        elif v.primary != primaries[0]:
            raise Broken("%s is primary at %s, and was promoted nowhere" % (v.name, primaries[0]))

    def drain(self):
        """No block stays dirty: with no writer, the maps of both nodes become empty."""
        end = time.monotonic() + DRAIN_LIMIT_S
        while True:
            self.look()
            left = ["%s at %s: %d dirty, %d in the map" %
                    (v.name, node, s["dirty_regions"], s["regions_touched"])
                    for v in self.volumes for node in NODES
                    for s in [self.status[node][v.name]]
                    if s["dirty_regions"] or s["regions_touched"]]
            if not left:
                return
            if time.monotonic() > end:
                raise Broken("dirty for %d s without a writer: %s" % (DRAIN_LIMIT_S, "; ".join(left)))
            # An engine tells nobody that a region became clean.
            time.sleep(DRAIN_LOOK_S)

    def check(self, round_dir):
        os.makedirs(round_dir, exist_ok=True)
        return [v.check(round_dir) for v in self.volumes]
